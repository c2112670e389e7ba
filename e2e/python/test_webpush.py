"""What a browser reads of a web push, by a library that is not ours: http_ece, which browsers' push services are tested with. The keys are made here, and
the private one stays here."""

import base64
import json
import os
import subprocess
from pathlib import Path

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conftest import DEADLINE_S

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("TERTULIA_WEBPUSH_CONTENT", ROOT / "target" / "debug" / "examples" / "webpush_content")).resolve()
if not PROGRAM.exists():
    raise FileNotFoundError(f"no program at {PROGRAM}: run `cargo build --workspace --example webpush_content`, or name it in TERTULIA_WEBPUSH_CONTENT")

CONTENT_MAX = 3993


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Browser:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.auth = os.urandom(16)

    def subscription(self):
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"endpoint": "https://push.example.net/1", "keys": {"p256dh": base64url(public), "auth": base64url(self.auth)}}

    def read(self, message):
        return http_ece.decrypt(message, private_key=self.key, auth_secret=self.auth, version="aes128gcm")


def encrypt(subscription, content):
    return subprocess.run([PROGRAM, json.dumps(subscription)], input=content, capture_output=True, timeout=DEADLINE_S, check=False)


@pytest.mark.parametrize("content", [b"", b"a", "Treffen wir uns? \U0001f375".encode(), bytes(256), os.urandom(CONTENT_MAX)], ids=len)
def test_a_browser_reads_what_was_written(content):
    browser = Browser()
    done = encrypt(browser.subscription(), content)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == len(content) + 4096 - CONTENT_MAX
    assert browser.read(done.stdout) == content


def test_another_browser_reads_nothing():
    browser = Browser()
    message = encrypt(browser.subscription(), b"a secret").stdout
    with pytest.raises(http_ece.ECEException):
        Browser().read(message)
    other_secret = Browser()
    other_secret.key = browser.key
    with pytest.raises(http_ece.ECEException):
        other_secret.read(message)


def test_what_does_not_fit_into_4096_bytes_is_refused():
    done = encrypt(Browser().subscription(), bytes(CONTENT_MAX + 1))
    assert done.returncode != 0 and done.stdout == b""
