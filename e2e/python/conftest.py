"""The real binary on a free port in a temporary folder, and people who come to it."""

import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest
import requests

DEADLINE_S = float(os.environ.get("E2E_DEADLINE_MS", "15000")) / 1000
START_DEADLINE_S = 60
BINARY = Path(os.environ.get("TERTULIA_BIN", Path(__file__).parents[2] / "target" / "debug" / "tertulia")).resolve()
LISTENING = re.compile(r"^listening on http://127\.0\.0\.1:(\d+)$")
TROUBLE = re.compile(r"\bERROR\b|panicked at")


class Server:
    def __init__(self, **env):
        if not BINARY.exists():
            raise FileNotFoundError(f"no binary at {BINARY}: run `cargo build -p tertulia-server`, or name one in TERTULIA_BIN")
        self.data = tempfile.mkdtemp(prefix="tertulia-e2e-")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TERTULIA_")}
        self.env = {**inherited, "TERTULIA_RATE_LIMITS": "off", **env}
        self.log = []
        self.launch("127.0.0.1:0")

    def launch(self, listen):
        self.process = subprocess.Popen(
            [str(BINARY), "serve", "--listen", listen, "--data", self.data],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        )
        ports = queue.Queue()
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr, ports), daemon=True)
        self.reader.start()
        try:
            port = ports.get(timeout=START_DEADLINE_S)
        except queue.Empty:
            port = None
        if port is None:
            self.kill()
            raise RuntimeError("the server did not say where it listens:\n" + "".join(self.log))
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def _read(self, stream, ports):
        with stream:
            for line in stream:
                self.log.append(line)
                if found := LISTENING.match(line.rstrip("\n")):
                    ports.put(int(found[1]))
        ports.put(None)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def restart(self):
        """Comes back on the same data and the same port."""
        self.launch(f"127.0.0.1:{self.port}")

    def stop(self):
        """As an operator would; a server that has to be shot, or whose log has an error in it, is a failure."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                try:
                    status = self.process.wait(timeout=DEADLINE_S)
                except subprocess.TimeoutExpired:
                    self.kill()
                    raise
                self.reader.join()
                assert status == 0, f"exit status {status} after SIGTERM:\n" + "".join(self.log)
            trouble = [line for line in self.log if TROUBLE.search(line)]
            assert not trouble, "errors in the log:\n" + "".join(trouble)
        finally:
            shutil.rmtree(self.data, ignore_errors=True)

    def register(self, name):
        email = f"{name}.{uuid.uuid4().hex[:8]}@example.org"
        body = {"email": email, "password": f"the password of {name}", "name": name}
        answer = requests.post(f"{self.url}/auth/register", json=body, timeout=DEADLINE_S)
        assert answer.status_code in (200, 201), answer.text
        return Person(self, email, **answer.json())


class Person:
    def __init__(self, server, email, token, user, **_):
        self.server, self.email, self.token = server, email, token
        self.id, self.name = user["id"], user["name"]

    def call(self, method, path, **more):
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, f"{self.server.url}/api/v1{path}", headers=headers, timeout=DEADLINE_S, **more)

    def api(self, method, path, **more):
        answer = self.call(method, path, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def dm(self, other):
        return self.api("POST", "/conversations/dm", json={"email": other.email})

    def send(self, conversation, body):
        path = f"/conversations/{conversation['id']}/messages"
        return self.api("POST", path, json={"clientMsgId": str(uuid.uuid4()), "body": body})


class Inbox:
    """Events in order of arrival. `take` waits for the first that fits and that nobody has taken."""

    def __init__(self):
        self._events = []
        self._changed = threading.Condition()

    def put(self, name, payload=None):
        with self._changed:
            self._events.append((name, payload))
            self._changed.notify_all()

    def take(self, name, where=lambda payload: True, deadline_s=DEADLINE_S):
        end = time.monotonic() + deadline_s
        with self._changed:
            while True:
                for at, (found, payload) in enumerate(self._events):
                    if found == name and where(payload):
                        del self._events[at]
                        return payload
                if not self._changed.wait(timeout=max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    raise AssertionError(f"waited {deadline_s} s for {name}; there is: {self._events[-10:]}")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()
