"""The client library as another language sees it: the generated Python module over the built library, against the real server."""

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import DEADLINE_S

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TERTULIA_PYTHON_BINDING", ROOT / "target" / "debug" / "bindings" / "python")).resolve()
if not (FOLDER / "tertulia.py").exists():
    raise FileNotFoundError(f"no Python binding in {FOLDER}: run `cargo xtask bindings --debug`, or name its folder in TERTULIA_PYTHON_BINDING")
sys.path.insert(0, str(FOLDER))
tertulia = importlib.import_module("tertulia")
TertuliaError = tertulia.TertuliaError


class Listener(tertulia.Listener):
    def __init__(self):
        self.events = []
        self.threads = set()
        self.changed = threading.Condition()

    def on_event(self, event):
        with self.changed:
            self.events.append(event)
            self.threads.add(threading.current_thread())
            self.changed.notify_all()

    def wait_for(self, wanted):
        with self.changed:
            assert self.changed.wait_for(lambda: any(wanted(event) for event in self.events), timeout=DEADLINE_S), self.events


class Tokens(tertulia.TokenProvider):
    """First throws what nobody expects, then has none for now, then has one."""

    def __init__(self, token):
        self.token_text = token
        self.asked = 0

    async def token(self):
        await asyncio.sleep(0)
        self.asked += 1
        if self.asked == 1:
            raise ValueError("a bug of the app")
        if self.asked == 2:
            raise tertulia.NoToken.Unavailable("the app's server restarts")
        return self.token_text


def story(test):
    """Runs the test in an event loop that the library knows, with a deadline."""

    async def told(*args, **kwargs):
        tertulia.uniffi_set_event_loop(asyncio.get_running_loop())
        async with asyncio.timeout(2 * DEADLINE_S):
            await test(*args, **kwargs)

    def run(server, tmp_path):
        asyncio.run(told(server, tmp_path))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def until(watch, wanted):
    """Reads a subscription until it tells what is wanted."""
    while True:
        if wanted(told := await watch.next()):
            return told


def step(rows, diff):
    if diff.is_reset():
        rows[:] = diff.values
    elif diff.is_insert():
        rows.insert(diff.index, diff.value)
    elif diff.is_set():
        rows[diff.index] = diff.value
    else:
        del rows[diff.index]


async def shows(timeline, rows, bodies):
    """Reads steps until the list they make is as wanted; each row stays in the list once."""
    while [row.body for row in rows] != bodies:
        for diff in await timeline.next():
            step(rows, diff)
        assert len({row.key for row in rows}) == len(rows), "a row is there twice"


async def signed_in(server, name):
    email = f"{name}@example.org"
    return await tertulia.register(server.url, email, f"the password of {name}", name)


async def online(server, person, file=None):
    client = tertulia.Client(server.url, file=file and str(file), token=person.token)
    client.connect()
    await until(client.connection(), lambda state: state.is_connected() and state.caught_up)
    return client


async def dm_of(client, other, *clients):
    conversation = await client.open_dm(tertulia.Person.EMAIL(other.user.email))
    for one in (client, *clients):
        await until(one.conversation(conversation), lambda here: here is not None)
    return conversation


# In a process of its own, which ends as a crash does.
OFFLINE_SENDER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import tertulia
told = json.loads(sys.argv[2])
client = tertulia.Client(told["server"], file=told["file"], token=told["token"])
for body in told["bodies"]:
    client.send(told["conversation"], body)
os._exit(9)
"""


@story
async def test_what_is_sent_offline_before_a_crash_and_a_restart_arrives_once_and_in_order(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    file = tmp_path / "alice.db"
    phone, bobs = await online(server, alice, file), await online(server, bob)
    dm = await dm_of(phone, bob, bobs)
    timeline, rows = bobs.timeline(dm), []

    phone.send(dm, "hello bob")
    await shows(timeline, rows, ["hello bob"])
    phone.pause()
    phone.send(dm, "one")
    assert phone.timeline(dm).get().messages[-1].status.is_pending()
    assert [waiting.op.is_send() for waiting in phone.outbox().get()] == [True]
    await phone.shut_down()
    with pytest.raises(TertuliaError.Closed):
        phone.send(dm, "too late")

    told = {"server": server.url, "file": str(file), "token": alice.token, "conversation": dm, "bodies": ["two", "three"]}
    crashed = subprocess.run([sys.executable, "-c", OFFLINE_SENDER, str(FOLDER), json.dumps(told)], timeout=DEADLINE_S)
    assert crashed.returncode == 9

    again = tertulia.Client(server.url, file=str(file), token=alice.token)
    assert [row.body for row in again.timeline(dm).get().messages] == ["hello bob", "one", "two", "three"]
    assert [row.body for row in rows] == ["hello bob"], "nothing has left the device yet"
    again.connect()
    await shows(timeline, rows, ["hello bob", "one", "two", "three"])
    await until(again.outbox(), lambda waiting: waiting == [])
    bobs.mark_read(dm)
    own = again.timeline(dm)
    await own.next()
    while not all(message.status.is_read() for message in own.get().messages):
        await own.next()
    assert [row.seq for row in rows] == [1, 2, 3, 4]
    assert [row.seq for row in own.get().messages] == [1, 2, 3, 4]


@story
async def test_alice_and_bob_chat_edit_react_answer_and_delete(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    phone, bobs = await online(server, alice), await online(server, bob)
    dm = await dm_of(phone, bob, bobs)
    (mine, at_home), (his, at_bobs) = (phone.timeline(dm), []), (bobs.timeline(dm), [])

    name = phone.send(dm, "helo")
    phone.edit(dm, tertulia.MessageRef.MINE(name), "hello bob 👋")
    await shows(his, at_bobs, ["hello bob 👋"])
    hello = tertulia.message_ref(at_bobs[0])
    assert hello.is_log() and at_bobs[0].sender == alice.user.id
    answer = bobs.reply(dm, hello, "hello alice")
    bobs.react(dm, hello, "👍")
    await shows(mine, at_home, ["hello bob 👋", "hello alice"])
    assert at_home[1].reply_to == hello
    while not at_home[0].reactions:
        for diff in await mine.next():
            step(at_home, diff)
    assert [(reaction.emoji, reaction.user_ids) for reaction in at_home[0].reactions] == [("👍", [bob.user.id])]
    assert await until(phone.unread_total(), lambda count: count == 1) == 1
    phone.mark_read(dm)
    await until(phone.unread_total(), lambda count: count == 0)

    bobs.delete(dm, tertulia.MessageRef.MINE(answer))
    await until(phone.conversation(dm), lambda here: here.last_message.deleted_at is not None)
    refusals = bobs.refusals()
    bobs.delete(dm, hello)
    refusal = await refusals.next()
    assert (refusal.conversation, refusal.code) == (dm, tertulia.ErrorCode.FORBIDDEN)
    assert [found.body for found in phone.search("bob 👋")] == ["hello bob 👋"]
    assert {member.name for member in phone.members(dm).get()} == {"alice", "bob"}

    phone.watch_presence([bob.user.id])
    assert (await until(phone.presence(bob.user.id), lambda state: state is not None)).online
    bobs.set_typing(dm, True)
    assert [who.name for who in await until(phone.typing(dm), lambda people: people != [])] == ["bob"]
    bobs.set_typing(dm, False)
    phone.set_draft(dm, "I was about to say")
    assert phone.conversation(dm).get().draft == "I was about to say"
    phone.mute(dm, 4_000_000_000_000)
    assert phone.conversation(dm).get().muted_until == 4_000_000_000_000


@story
async def test_each_refusal_is_a_class_of_its_own(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    phone = await online(server, alice)
    dm = await dm_of(phone, bob)
    with pytest.raises(TertuliaError.BlankBody):
        phone.send(dm, "  ")
    with pytest.raises(TertuliaError.BodyTooLarge) as too_large:
        phone.send(dm, "x" * 5000)
    assert too_large.value.limit_bytes == 4096
    with pytest.raises(TertuliaError.BadArgument) as bad:
        phone.timeline("no uuid")
    assert "UUID" in bad.value.detail
    with pytest.raises(TertuliaError.BadArgument):
        phone.edit(dm, tertulia.MessageRef.LOG("no uuid"), "x")
    with pytest.raises(TertuliaError.BadArgument):
        tertulia.Client("ftp://example.org")
    with pytest.raises(TertuliaError.BadArgument) as short:
        tertulia.Client(server.url, file=str(tmp_path / "short.db"), key=b"x" * 31)
    assert short.value.detail == "key: 32 bytes, these are 31"
    with pytest.raises(TertuliaError.Storage) as plain:
        tertulia.Client(server.url, file=str(tmp_path / "plain.db"), key=b"x" * 32)
    assert "without encryption" in plain.value.detail, "this library has none, and says so"
    with pytest.raises(TertuliaError.NoSuchConversation):
        phone.send(bob.user.id, "hello")
    with pytest.raises(TertuliaError.NotParked):
        phone.retry(7)
    with pytest.raises(TertuliaError.Refused) as refused:
        await phone.open_dm(tertulia.Person.EMAIL("nobody@example.org"))
    assert refused.value.code == tertulia.ErrorCode.NOT_FOUND
    assert tertulia.next_step(refused.value.code) == tertulia.NextStep.NEVER_AGAIN
    with pytest.raises(TertuliaError.Refused) as wrong:
        await tertulia.sign_in(server.url, alice.user.email, "not the password")
    assert wrong.value.code == tertulia.ErrorCode.UNAUTHENTICATED
    with pytest.raises(TertuliaError.Unreachable):
        await tertulia.sign_in("http://127.0.0.1:9", alice.user.email, "the password of alice")
    file = tmp_path / "held.db"
    holder = tertulia.Client(server.url, file=str(file))
    with pytest.raises(TertuliaError.Storage):
        tertulia.Client(server.url, file=str(file))
    assert holder.account() is None


@story
async def test_a_listener_is_told_what_others_await(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    phone, bobs = tertulia.Client(server.url, token=alice.token), await online(server, bob)
    connection, listener = phone.connection(), Listener()
    connection.listen(listener)
    phone.connect()
    caught_up = tertulia.ConnectionState.CONNECTED(True)
    await asyncio.to_thread(listener.wait_for, lambda event: event.is_connection() and event.state == caught_up)
    assert listener.events[0].state == tertulia.ConnectionState.PAUSED() or listener.events[0].state.is_connecting()
    assert threading.current_thread() not in listener.threads, "it is told on a thread of the library's"

    dm = await dm_of(phone, bob, bobs)
    timeline, rows = phone.timeline(dm), []

    class Screen(Listener):
        def on_event(self, event):
            if event.is_timeline():
                for diff in event.steps:
                    step(rows, diff)
                if any(row.body == "answer me" for row in rows) and len(rows) == 1:
                    phone.send(dm, "from within")
            super().on_event(event)
            raise ValueError("a bug of the app, after which the next event comes all the same")

    screen = Screen()
    timeline.listen(screen)
    bobs.send(dm, "answer me")
    await shows(bobs.timeline(dm), [], ["answer me", "from within"])
    timeline.cancel()
    await asyncio.to_thread(screen.wait_for, lambda event: event.is_ended())
    connection.cancel()
    await asyncio.to_thread(listener.wait_for, lambda event: event.is_ended())
    assert [row.body for row in rows] == ["answer me", "from within"]


@story
async def test_the_apps_own_token_provider_is_asked_until_it_has_one(server, tmp_path):
    alice = await signed_in(server, "alice")
    tokens = Tokens(alice.token)
    client = tertulia.Client(server.url, provider=tokens)
    client.connect()
    await until(client.connection(), lambda state: state.is_connected())
    assert client.account() == alice.user.id and tokens.asked == 3


@story
async def test_whoever_waits_can_be_called_off_from_outside_and_from_inside(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    phone = await online(server, alice)
    dm = await dm_of(phone, bob)
    nowhere = "00000000-0000-7000-8000-000000000000"

    timeline = phone.timeline(dm)
    await timeline.next()
    first, second = asyncio.ensure_future(timeline.next()), asyncio.ensure_future(timeline.next())
    await asyncio.sleep(0)
    assert timeline.get().messages == [] and not timeline.has_more(), "what waits holds nobody up"
    timeline.load_more()
    timeline.cancel()
    for waiting in (first, second):
        with pytest.raises(TertuliaError.Cancelled):
            await waiting

    again = phone.timeline(dm)
    await again.next()
    given_up = asyncio.ensure_future(again.next())
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    phone.send(dm, "the subscription has not ended")
    await shows(again, [], ["the subscription has not ended"])

    with pytest.raises(TertuliaError.NoSuchMessage):
        await phone.sync_until(dm, nowhere)
    phone.set_network(False)
    cancel = tertulia.Cancel()
    tapped = asyncio.ensure_future(phone.sync_until(dm, nowhere, 600_000, cancel))
    await until(phone.connection(), lambda state: state.is_offline())
    cancel.cancel()
    with pytest.raises(TertuliaError.Cancelled):
        await tapped
    with pytest.raises(TertuliaError.NotInTime):
        await phone.sync_until(dm, nowhere, 1)


@story
async def test_a_tapped_notification_finds_its_message_and_signing_out_leaves_nothing(server, tmp_path):
    alice, bob, carol = [await signed_in(server, name) for name in ("alice", "bob", "carol")]
    phone, bobs = await online(server, alice, tmp_path / "alice.db"), await online(server, bob)
    found = await phone.search_users("bob@")
    assert [user.id for user in found] == [bob.user.id]
    group = await phone.create_group("Friends", [bob.user.id], tertulia.HistoryVisibility.ALL)
    await phone.add_member(group, tertulia.Person.ID(carol.user.id))
    await until(bobs.conversation(group), lambda here: here is not None and here.member_count == 3)
    await until(phone.conversation(group), lambda here: here is not None)
    phone.pause()

    bobs.send(group, "are you there?")
    await until(bobs.outbox(), lambda waiting: waiting == [])
    sent = bobs.timeline(group).get().messages[-1]
    assert phone.message(group, tertulia.message_ref(sent)) is None
    assert (await phone.sync_until(group, sent.id)).body == "are you there?"
    assert phone.message(group, tertulia.message_ref(sent)).body == "are you there?"

    await phone.remove_member(group, carol.user.id)
    await phone.log_out()
    assert phone.account() is None and phone.conversations().get() == []
    with pytest.raises(TertuliaError.SignedOut):
        await phone.search_users("bob@")


@story
async def test_the_example_of_the_guide_runs(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    bobs = await online(server, bob)
    guide = (ROOT / "docs" / "bindings.md").read_text(encoding="utf-8")
    example = {}
    exec(guide.split("```python\n")[1].split("```")[0], example)
    with contextlib.chdir(tmp_path):
        chat = asyncio.ensure_future(example["chat"](server.url, alice.user.email, "the password of alice", bob.user.email))
        await until(bobs.unread_total(), lambda count: count == 1)
        await shows(bobs.timeline(bobs.conversations().get()[0].id), [], ["Hello!"])
        chat.cancel()
    assert (tmp_path / "alice.db").exists()


@story
async def test_a_phone_registers_for_notifications_and_syncs_in_the_background(server, tmp_path):
    alice, bob = await signed_in(server, "alice"), await signed_in(server, "bob")
    phone, bobs = await online(server, alice, tmp_path / "alice.db"), await online(server, bob)
    dm = await dm_of(phone, bob, bobs)
    listener, push = Listener(), phone.push_state()
    assert push.get().is_off()
    phone.push_state().listen(listener)
    # This server has no provider, and says so.
    assert (await phone.push_offer()).providers == []
    phone.register_push(
        tertulia.PushRegistration(
            token="a-token", platform=tertulia.Platform.ANDROID, provider=tertulia.PushProvider.FCM, app_version="1.0", shows_content=True
        )
    )
    refused = await until(push, lambda state: state.is_refused())
    assert "fcm" in refused.reason
    await asyncio.to_thread(listener.wait_for, lambda event: event.is_push() and event.state.is_refused())
    assert await phone.devices() == []
    phone.unregister_push()
    assert push.get().is_off()
    night = tertulia.QuietHours(_from="22:00", to="07:00", time_zone="Europe/Madrid")
    assert (await phone.set_do_not_disturb(night)).do_not_disturb == night
    assert (await phone.set_do_not_disturb()).do_not_disturb is None

    phone.pause()
    phone.send(dm, "from the tunnel")
    bobs.send(dm, "where are you?")
    await until(bobs.outbox(), lambda waiting: waiting == [])
    done = await phone.background_sync(20_000)
    assert (done.is_caught_up, done.is_done, done.outbox_len) == (True, True, 0)
    assert phone.connection().get().is_paused()
    await shows(phone.timeline(dm), [], ["where are you?", "from the tunnel"])
    cancel = tertulia.Cancel()
    server_is_gone = tertulia.Client("http://127.0.0.1:9", token=alice.token)
    woken = asyncio.ensure_future(server_is_gone.background_sync(600_000, cancel))
    await asyncio.sleep(0)
    cancel.cancel()
    with pytest.raises(TertuliaError.Cancelled):
        await woken
    assert not (await server_is_gone.background_sync(50)).is_done
