//! The local store by itself: files, what is shown of rows, what is kept and what is let go.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use tertulia_client_sqlite::{Durability, Keep, OpenError, Store};
use tertulia_engine::{
    Holes, LocalConversation, LocalMessage, LocalStore as _, MessageRef, Op, OutboxEntry, StoreFailure, SyncState,
};
use tertulia_proto::{
    ConversationId, ConversationKind, HistoryVisibility, Message, MessageId, Role, Seq, Timestamp, UserId,
};
use tertulia_testkit::Folder;

const ME: UserId = UserId::from_bytes([1; 16]);
const BOB: UserId = UserId::from_bytes([2; 16]);
const TALK: ConversationId = ConversationId::from_bytes([9; 16]);

fn talk(last_seq: Seq, read_seq: Seq) -> LocalConversation {
    LocalConversation {
        id: TALK,
        kind: ConversationKind::Group,
        title: Some("Talk".to_owned()),
        created_at: Timestamp::from_ms(0),
        last_message_at: None,
        my_role: Role::Member,
        muted_until: None,
        hidden: false,
        history_visibility: HistoryVisibility::All,
        peer: None,
        member_count: 2,
        joined_at: Timestamp::from_ms(0),
        rev: last_seq,
        last_seq,
        delivered_seq: last_seq,
        read_seq,
        told_delivered: None,
        want_read: read_seq,
        want_muted: None,
        deleted_in_holes: 0,
        touched: 0,
        doubted: false,
        left: false,
        draft: String::new(),
    }
}

fn message_id(seq: Seq) -> MessageId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&seq.to_be_bytes());
    MessageId::from_bytes(bytes)
}

/// The message of this number, written at so many milliseconds.
fn message(seq: Seq, body: &str) -> LocalMessage {
    LocalMessage::of_log(
        0,
        Message {
            message_id: message_id(seq),
            conversation_id: TALK,
            seq,
            rev: seq,
            sender_id: BOB,
            sender_name: "Bob".to_owned(),
            sender_avatar: None,
            client_msg_id: format!("b{seq}").parse().unwrap(),
            body: body.to_owned(),
            created_at: Timestamp::from_ms(seq),
            reply_to: None,
            edited_at: None,
            deleted_at: None,
            reactions: Vec::new(),
        },
    )
}

fn pending(name: &str, body: &str) -> LocalMessage {
    LocalMessage {
        seq: None,
        message_id: None,
        sender_id: ME,
        client_msg_id: name.parse().unwrap(),
        ..message(1, body)
    }
}

fn waiting(target: MessageRef, op: Op) -> OutboxEntry {
    let created_at = Timestamp::from_ms(0);
    OutboxEntry {
        id: 0,
        conversation_id: TALK,
        target,
        op,
        parked: None,
        transmitted: false,
        departure: None,
        created_at,
    }
}

/// A conversation with messages 1 to `last`, read up to `read`.
fn fill(store: &mut Store, last: Seq, read: Seq) {
    let filled = store.transaction::<_, StoreFailure>(Durability::Power, |rows| {
        rows.put_sync_state(&SyncState { account: Some(ME), ..SyncState::default() })?;
        rows.put_conversation(&talk(last, read))?;
        (1..=last).try_for_each(|seq| rows.put_message(&message(seq, &format!("message number {seq}"))).map(drop))
    });
    filled.unwrap();
}

fn shown(store: &Store, below: Option<Seq>, limit: usize) -> Vec<Seq> {
    let timeline = store.timeline(TALK, below, limit).unwrap();
    timeline.messages.iter().filter_map(|shown| shown.message.seq).collect()
}

#[test]
fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let folder = Folder::new().unwrap();
    let file = folder.path().join("chat.db");
    let mut store = Store::open(&file).unwrap();
    fill(&mut store, 3, 0);
    drop(store);
    let store = Store::open(&file).unwrap();
    assert_eq!(store.account().unwrap(), Some(ME));
    assert_eq!(shown(&store, None, 10), [1, 2, 3]);
    assert_eq!(store.unread_total(0).unwrap(), 3);
}

#[test]
fn a_transaction_that_fails_leaves_nothing() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 3, 0);
    let failed = store.transaction(Durability::Power, |rows| {
        rows.put_message(&message(4, "lost"))?;
        Err::<(), _>(StoreFailure::Full("in the middle".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!(shown(&store, None, 10), [1, 2, 3]);
    assert_eq!(store.search("lost", None, 10).unwrap(), []);
}

#[test]
fn the_file_of_a_newer_app_is_left_alone() {
    let folder = Folder::new().unwrap();
    let file = folder.path().join("chat.db");
    drop(Store::open(&file).unwrap());
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&file), Err(OpenError::Newer { found: 99, .. })));
}

#[test]
fn of_what_is_wiped_no_word_stays_in_any_file() {
    let folder = Folder::new().unwrap();
    let mut store = Store::open(&folder.path().join("chat.db")).unwrap();
    fill(&mut store, 200, 0);
    store.transaction(Durability::Power, |rows| rows.put_message(&pending("mine", "a secret draft"))).unwrap();
    let holds = |text: &str| {
        std::fs::read_dir(folder.path()).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    assert!(holds("message number 7") && holds("a secret draft"));
    store.wipe().unwrap();
    assert!(!holds("message number 7") && !holds("a secret draft"));
    assert_eq!((store.account().unwrap(), store.conversations(10).unwrap().len()), (None, 0));
}

#[test]
fn a_timeline_goes_up_in_pages_and_says_where_something_is_missing() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 20, 20);
    store
        .transaction::<_, StoreFailure>(Durability::Power, |rows| {
            for seq in 6..=10 {
                let row = rows.message_at(TALK, seq)?.unwrap();
                rows.delete_message(row.key)?;
            }
            rows.put_holes(TALK, &Holes::new([(6, 10)]))?;
            rows.put_message(&pending("mine", "not sent yet")).map(drop)
        })
        .unwrap();
    let newest = store.timeline(TALK, None, 4).unwrap();
    let seqs: Vec<Option<Seq>> = newest.messages.iter().map(|shown| shown.message.seq).collect();
    assert_eq!(seqs, [Some(18), Some(19), Some(20), None], "what is pending stands at the end");
    assert!(newest.has_more && newest.fill_below.is_none());
    let older = store.timeline(TALK, Some(18), 7).unwrap();
    assert_eq!(shown(&store, Some(18), 7), [11, 12, 13, 14, 15, 16, 17]);
    assert_eq!(older.fill_below, Some(11), "the hole ends right above");
    assert!(older.messages[0].hole_above);
    assert_eq!(shown(&store, Some(6), 7), [1, 2, 3, 4, 5]);
    assert!(!store.timeline(TALK, Some(6), 7).unwrap().has_more);
}

#[test]
fn what_waits_to_be_done_is_shown_as_done() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 2, 2);
    store
        .transaction::<_, StoreFailure>(Durability::Power, |rows| {
            rows.put_message(&pending("mine", "first words"))?;
            rows.put_outbox(&waiting(MessageRef::Mine("mine".parse().unwrap()), Op::Send))?;
            let edit = Op::Edit { body: "better words".to_owned() };
            rows.put_outbox(&waiting(MessageRef::Mine("mine".parse().unwrap()), edit))?;
            rows.put_outbox(&waiting(MessageRef::Log(message_id(1)), Op::Delete)).map(drop)
        })
        .unwrap();
    let timeline = store.timeline(TALK, None, 10).unwrap();
    let bodies: Vec<&str> = timeline.messages.iter().map(|shown| shown.message.body.as_str()).collect();
    assert_eq!(bodies, ["", "message number 2", "better words"]);
    let changing: Vec<bool> = timeline.messages.iter().map(|shown| shown.is_changing).collect();
    assert_eq!(changing, [true, false, true]);
}

#[test]
fn search_finds_any_three_characters_of_what_is_held() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 3, 3);
    let found = |store: &Store, text: &str| -> Vec<Option<Seq>> {
        store.search(text, Some(TALK), 10).unwrap().into_iter().map(|message| message.seq).collect()
    };
    store
        .transaction(Durability::Power, |rows| rows.put_message(&message(4, "Grüße aus 東京都, \"zitiert\"")))
        .unwrap();
    assert_eq!(found(&store, "umb"), [Some(3), Some(2), Some(1)]);
    assert_eq!(found(&store, "京都,"), [Some(4)]);
    assert_eq!(found(&store, "\"zit"), [Some(4)]);
    assert_eq!(found(&store, "um"), [], "two characters find nothing");
    store
        .transaction::<_, StoreFailure>(Durability::Power, |rows| {
            let row = rows.message_at(TALK, 4)?.unwrap();
            rows.put_message(&LocalMessage { body: String::new(), deleted_at: Some(Timestamp::from_ms(9)), ..row })
        })
        .unwrap();
    assert_eq!(found(&store, "京都,"), []);
}

#[test]
fn what_waits_to_be_sent_is_found_too_and_once_when_the_log_has_it() {
    let folder = Folder::new().unwrap();
    let file = folder.path().join("chat.db");
    let mut store = Store::open(&file).unwrap();
    fill(&mut store, 2, 2);
    let found = |store: &Store, text: &str| -> Vec<String> {
        let found = store.search(text, None, 10).unwrap();
        found.into_iter().map(|message| message.client_msg_id.as_str().to_owned()).collect()
    };
    let mine = LocalMessage { created_at: Timestamp::from_ms(10), ..pending("mine", "Ein Numberkonto in Zürich") };
    let key = store.transaction(Durability::Power, |rows| rows.put_message(&mine)).unwrap();
    assert_eq!(found(&store, "ZÜRICH"), ["mine"]);
    assert_eq!(found(&store, "number"), ["mine", "b2", "b1"], "by time with those of the log");
    assert_eq!(store.search("number", None, 2).unwrap().len(), 2);
    assert_eq!(store.search("number", Some(ConversationId::from_bytes([8; 16])), 9).unwrap(), []);
    for (seq, body) in [(None, "edited Numberkonto"), (Some(3), "edited Numberkonto"), (Some(3), "anew: Numberkonto")] {
        let message_id = seq.map(message_id);
        let row = LocalMessage { key, seq, message_id, body: body.to_owned(), ..mine.clone() };
        store.transaction(Durability::Power, |rows| rows.put_message(&row)).unwrap();
        assert_eq!((found(&store, "numberk").len(), found(&store, "zürich").len()), (1, 0), "{body}");
    }
    assert_eq!((found(&store, "edited").len(), found(&store, "anew:").len()), (0, 1));
    drop(store);
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)", []).unwrap();
}

/// Each of them is written twice, and twice more where a browser's window is private every write asks another process.
const PAGES_OF_A_SEND: u64 = 9;

#[test]
fn what_is_written_while_somebody_waits_touches_few_pages() {
    let folder = Folder::new().unwrap();
    let file = folder.path().join("chat.db");
    let mut store = Store::open(&file).unwrap();
    fill(&mut store, 300, 300);
    store.prune(Keep { age_ms: 0, bytes: 0, newest: 300 }, 1000).unwrap();
    let written = || std::fs::metadata(folder.path().join("chat.db-wal")).unwrap().len();
    let send = |store: &mut Store, number: i64| {
        let name = format!("mine-{number}");
        store
            .transaction(Durability::Power, |rows| {
                rows.put_message(&pending(&name, "some words that are to be found later"))?;
                rows.put_outbox(&waiting(MessageRef::Mine(name.parse().unwrap()), Op::Send))
            })
            .unwrap();
    };
    (0..20).for_each(|number| send(&mut store, number));
    let before = written();
    (20..60).for_each(|number| send(&mut store, number));
    let pages = (written() - before).div_ceil(40 * (4096 + 24));
    assert!(pages <= PAGES_OF_A_SEND, "{pages} pages for each message that is sent");

    let before = written();
    (0..40).for_each(|number| {
        let held = LocalConversation { draft: format!("typed {number}"), ..talk(300, 300) };
        store.transaction(Durability::Process, |rows| rows.put_conversation(&held)).unwrap();
    });
    let pages = (written() - before).div_ceil(40 * (4096 + 24));
    assert_eq!(pages, 1, "for each change of a draft");
}

#[test]
fn a_file_of_an_older_version_is_brought_up_to_date_with_all_that_is_in_it() {
    let folder = Folder::new().unwrap();
    let file = folder.path().join("chat.db");
    let older = rusqlite::Connection::open(&file).unwrap();
    for migration in [
        include_str!("../migrations/0001_rows.sql"),
        include_str!("../migrations/0002_taken_back.sql"),
        include_str!("../migrations/0003_device.sql"),
        include_str!("../migrations/0004_profile.sql"),
    ] {
        older.execute_batch(migration).unwrap();
    }
    older.pragma_update(None, "user_version", 4).unwrap();
    older
        .execute_batch(
            "INSERT INTO conversations VALUES (1, x'09090909090909090909090909090909', 1, 'Talk', 0, NULL, 0, NULL, 0, 1, NULL, 2, 0, 2, 2, 2, 2, 2,
                0, NULL, 0, 0, 0, 0, '');
             INSERT INTO messages (key, conversation_no, seq, message_id, rev, sender_id, sender_name, client_msg_id, body, created_at, reactions)
             VALUES (1, 1, 1, x'01010101010101010101010101010101', 1, x'02020202020202020202020202020202', 'Bob', 'b1', 'of the log', 1, ''),
                (2, 1, NULL, NULL, 0, x'01010101010101010101010101010101', 'Me', 'mine', 'of the outbox', 2, ''),
                (9, 1, NULL, NULL, 0, x'01010101010101010101010101010101', 'Me', 'gone', 'given up', 3, '');
             DELETE FROM messages WHERE key = 9;
             UPDATE sync_state SET account = x'01010101010101010101010101010101';",
        )
        .unwrap();
    drop(older);
    let mut store = Store::open(&file).unwrap();
    let bodies = |found: Vec<LocalMessage>| found.into_iter().map(|message| message.body).collect::<Vec<_>>();
    assert_eq!(bodies(store.search("of the", None, 10).unwrap()), ["of the outbox", "of the log"]);
    assert_eq!(store.timeline(TALK, None, 10).unwrap().messages.len(), 2);
    let key = store.transaction(Durability::Power, |rows| rows.put_message(&pending("next", "one more"))).unwrap();
    assert_eq!(key, 10, "a number is used once");
}

#[test]
fn what_is_old_goes_and_comes_back_as_a_hole_but_nothing_unread_or_waiting() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 100, 60);
    let react = Op::React { emoji: "👍".parse().unwrap(), remove: false };
    store
        .transaction(Durability::Power, |rows| rows.put_outbox(&waiting(MessageRef::Log(message_id(5)), react)))
        .unwrap();
    let unread = store.unread_total(0).unwrap();

    let keep = Keep { age_ms: 0, bytes: i64::MAX, newest: 10 };
    assert_eq!(store.prune(keep, 1000).unwrap().messages, 59, "up to what is read, but for the one that waits");
    assert_eq!(store.holes(TALK).unwrap(), Holes::new([(1, 60)]));
    assert_eq!(shown(&store, None, 1000), [vec![5], (61..=100).collect()].concat());
    assert_eq!(store.unread_total(0).unwrap(), unread);

    let young = Keep { age_ms: 1000, bytes: i64::MAX, newest: 0 };
    assert_eq!(store.prune(young, 1000).unwrap().messages, 0);
}

#[test]
fn a_file_that_is_too_large_loses_the_older_half() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 100, 100);
    let keep = Keep { age_ms: 1_000_000, bytes: 1, newest: 10 };
    store.prune(keep, 1000).unwrap();
    assert_eq!(shown(&store, None, 1000).first(), Some(&52));
}

#[cfg(unix)]
#[test]
fn nobody_else_on_the_device_reads_the_file_or_its_log_while_it_is_open() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new().unwrap();
    let file = folder.path().join("a.db");
    let log = folder.path().join("a.db-wal");
    let modes = || [&file, &log].map(|path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777);
    let mut store = Store::open(&file).unwrap();
    store.transaction(Durability::Power, |rows| rows.put_conversation(&talk(0, 0))).unwrap();
    assert_eq!(modes(), [0o600, 0o600]);
    // As one that was killed leaves it, made by a version that left it open to all.
    let open = folder.path().join("copy");
    std::fs::create_dir(&open).unwrap();
    for path in [&file, &log] {
        let copy = open.join(path.file_name().unwrap());
        std::fs::copy(path, &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let again = Store::open(&open.join("a.db")).unwrap();
    for path in [&file, &log] {
        let copy = open.join(path.file_name().unwrap());
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600, "{}", copy.display());
    }
    drop(again);
}
