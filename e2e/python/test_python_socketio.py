"""The second implementation of the Socket.IO client protocol, python-socketio, as a witness that the first is no accident."""

import pytest
import socketio

from conftest import DEADLINE_S, Inbox

EVENTS = ["message:ack", "message:new", "message:updated", "message:deleted", "reaction:updated", "receipt:updated", "sync:batch"]
MESSAGE_KEYS = {
    "messageId", "conversationId", "seq", "rev", "senderId", "senderName", "senderAvatar", "clientMsgId", "body", "createdAt",
    "editedAt", "deletedAt", "reactions",
}


class Device:
    """A client with an inbox; `connect` and `disconnect` arrive there too."""

    def __init__(self, person, transports):
        self.inbox = Inbox()
        self.client = socketio.Client(reconnection=True, reconnection_delay=0.05, reconnection_delay_max=0.25, randomization_factor=0)
        self.client.on("connect", lambda: self.inbox.put("connect"))
        self.client.on("disconnect", lambda *reason: self.inbox.put("disconnect", reason))
        for name in EVENTS:
            self.client.on(name, lambda payload, name=name: self.inbox.put(name, payload))
        self.client.connect(person.server.url, auth={"token": person.token}, transports=transports, wait_timeout=DEADLINE_S)
        self.inbox.take("connect")

    def ask(self, name, payload):
        return self.client.call(name, payload, timeout=DEADLINE_S)

    def leave(self):
        self.client.disconnect()
        self.client.wait()


@pytest.fixture
def devices():
    opened = []

    def connect(person, transports):
        opened.append(Device(person, transports))
        return opened[-1]

    yield connect
    for device in opened:
        device.client.shutdown()


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="-".join)
def test_alice_and_bob_chat(server, devices, transports):
    alice, bob = server.register("alice"), server.register("bob")
    conversation = alice.dm(bob)["id"]
    phone, bobs = devices(alice, transports), devices(bob, transports)

    sent = {"conversationId": conversation, "clientMsgId": "from-alice-1", "body": "hello bob 👋"}
    ack = phone.ask("message:send", sent)
    assert set(ack) == {"clientMsgId", "messageId", "seq", "rev", "createdAt"}
    assert (ack["clientMsgId"], ack["seq"]) == ("from-alice-1", 1)
    assert phone.inbox.take("message:ack") == ack

    message = bobs.inbox.take("message:new")
    assert set(message) == MESSAGE_KEYS
    assert message == phone.inbox.take("message:new")
    assert message == {
        **ack, "conversationId": conversation, "senderId": alice.id, "senderName": "alice", "senderAvatar": None,
        "body": "hello bob 👋", "editedAt": None, "deletedAt": None, "reactions": [],
    }
    assert phone.ask("message:send", sent) == ack, "a repeat is answered with the same message"

    reply = bobs.ask("message:send", {"conversationId": conversation, "clientMsgId": "from-bob-1", "body": "hello alice", "replyTo": ack["messageId"]})
    assert reply["seq"] == 2
    assert phone.inbox.take("message:new", lambda m: m["senderId"] == bob.id)["replyTo"] == ack["messageId"]
    refused = phone.ask("message:send", {"conversationId": conversation, "clientMsgId": "blank", "body": "  "})
    assert refused["error"]["code"] == "invalid"


def test_bob_comes_back_by_himself_after_a_crash_and_syncs(server, devices):
    alice, bob = server.register("alice"), server.register("bob")
    conversation = alice.dm(bob)
    alice.send(conversation, "before")
    device = devices(bob, ["websocket"])
    cursor = bob.api("GET", "/sync")["cursor"]

    server.kill()
    device.inbox.take("disconnect")
    server.restart()
    device.inbox.take("connect")
    for number in range(1, 4):
        alice.send(conversation, f"after {number}")
    assert device.ask("sync:request", {"cursor": cursor}) == {}
    batch = device.inbox.take("sync:batch")
    assert set(batch) == {"cursor", "epoch", "hasMore", "conversations", "removed"}
    assert [m["body"] for m in batch["conversations"][0]["messages"]] == ["after 1", "after 2", "after 3"]

    device.ask("sync:request", {"cursor": batch["cursor"]})
    assert device.inbox.take("sync:batch")["conversations"] == []


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids="-".join)
@pytest.mark.parametrize("auth", [None, {"token": "nonsense"}], ids=["no-token", "bad-token"])
def test_who_has_no_good_token_is_told_unauthenticated(server, transports, auth):
    client = socketio.Client(reconnection=False)
    inbox = Inbox()
    client.on("connect_error", lambda data=None: inbox.put("connect_error", data))
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, auth=auth, transports=transports, wait_timeout=DEADLINE_S)
    assert "unauthenticated" in str(inbox.take("connect_error"))
