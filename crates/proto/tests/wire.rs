//! How everything looks on the wire, kept as snapshots: a change of one is a change that other people's code sees.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tertulia_proto::event::*;
use tertulia_proto::model::TokenAnswer;
use tertulia_proto::request::*;
use tertulia_proto::sync::{Difference, Held, SyncConversation};
use tertulia_proto::*;
use uuid::Uuid;

const AT: Timestamp = Timestamp::from_ms(1_790_000_000_007);

fn uuid(number: u8) -> Uuid {
    let mut bytes = *b"\x01\x8f\x00\x00\x00\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x00";
    bytes[15] = number;
    Uuid::from_bytes(bytes)
}

fn alice() -> UserId {
    UserId::from_uuid(uuid(1))
}

fn bob() -> UserId {
    UserId::from_uuid(uuid(2))
}

fn place() -> ConversationId {
    ConversationId::from_uuid(uuid(3))
}

fn message_id() -> MessageId {
    MessageId::from_uuid(uuid(4))
}

fn client_msg_id() -> ClientMsgId {
    "alice-1_A".parse().unwrap()
}

fn reactions() -> Vec<Reaction> {
    vec![Reaction { emoji: "👍".parse().unwrap(), user_ids: vec![bob(), alice()] }]
}

fn user() -> User {
    User {
        id: bob(),
        email: Some("bob@example.org".into()),
        name: "Bob".into(),
        avatar_url: Some("https://example.org/bob.png".into()),
        created_at: AT,
        blocked: true,
    }
}

fn member() -> Member {
    Member {
        user_id: alice(),
        name: "Alice".into(),
        avatar_url: None,
        role: Role::Owner,
        joined_at: AT,
        delivered_seq: 2,
        read_seq: 1,
        rev: 5,
        removed: false,
    }
}

fn message() -> Message {
    Message {
        message_id: message_id(),
        conversation_id: place(),
        seq: 1,
        rev: 2,
        sender_id: alice(),
        sender_name: "Alice".into(),
        sender_avatar: Some("https://example.org/alice.png".into()),
        client_msg_id: client_msg_id(),
        body: "Grüße, \"Bob\" 👋\n<b>".into(),
        created_at: AT,
        reply_to: Some(MessageId::from_uuid(uuid(5))),
        edited_at: Some(AT.plus_ms(1000)),
        deleted_at: None,
        reactions: reactions(),
    }
}

/// The least of a message: just sent, by somebody without a picture.
fn fresh_message() -> Message {
    Message { sender_avatar: None, reply_to: None, edited_at: None, reactions: Vec::new(), ..message() }
}

fn tombstone() -> Message {
    Message { body: String::new(), deleted_at: Some(AT.plus_ms(2000)), ..fresh_message() }
}

fn group() -> Conversation {
    Conversation {
        id: place(),
        kind: ConversationKind::Group,
        title: Some("Ours".into()),
        created_at: AT,
        last_seq: 3,
        rev: 7,
        last_message_at: Some(AT),
        last_message: None,
        unread_count: 2,
        my_role: Role::Member,
        muted_until: None,
        hidden: false,
        history_visibility: HistoryVisibility::Joined,
        peer: None,
        member_count: 2,
        members: None,
    }
}

fn dm() -> Conversation {
    Conversation {
        kind: ConversationKind::Dm,
        title: None,
        last_message_at: None,
        muted_until: Some(AT.plus_ms(60_000)),
        hidden: true,
        history_visibility: HistoryVisibility::All,
        peer: Some(user()),
        ..group()
    }
}

fn listed(conversation: Conversation, last_message: Option<Message>) -> Conversation {
    Conversation { last_message: Some(last_message.map(Box::new)), ..conversation }
}

fn whole() -> Conversation {
    let removed = Member { user_id: bob(), name: "Bob".into(), role: Role::Admin, removed: true, ..member() };
    Conversation { members: Some([member(), removed].into()), ..listed(group(), Some(message())) }
}

fn changed() -> SyncConversation {
    SyncConversation {
        conversation: Conversation { members: Some([member()].into()), ..group() },
        messages: vec![fresh_message(), tombstone()],
        hole_before: Some(1),
        stale_before: Some(1),
    }
}

fn difference() -> Difference {
    Difference {
        cursor: SyncCursor { epoch: uuid(6), base: 9, within: None }.encode(),
        epoch: uuid(6),
        has_more: true,
        conversations: vec![changed()],
        removed: vec![ConversationId::from_uuid(uuid(7))],
        reset: true,
        request_id: Some(7),
    }
}

fn held() -> Held {
    Held { id: place(), rev: 7, last_seq: 1 }
}

fn nothing_new() -> Difference {
    Difference {
        has_more: false,
        conversations: Vec::new(),
        removed: Vec::new(),
        reset: false,
        request_id: None,
        ..difference()
    }
}

fn refusal() -> ApiError {
    ApiError::retry(ErrorCode::RateLimited, "sends: over the limit of 30 in 10 s", 1500)
}

/// Numbers the variants: a new one does not compile until it has a number here and a place in [`events`].
fn number(event: &ServerEvent) -> usize {
    match event {
        ServerEvent::Connected(_) => 0,
        ServerEvent::MessageAck(_) => 1,
        ServerEvent::MessageNew(_) => 2,
        ServerEvent::MessageUpdated(_) => 3,
        ServerEvent::MessageDeleted(_) => 4,
        ServerEvent::ReactionUpdated(_) => 5,
        ServerEvent::ReceiptUpdated(_) => 6,
        ServerEvent::ConversationUpdated(_) => 7,
        ServerEvent::ConversationRemoved(_) => 8,
        ServerEvent::MemberUpdated(_) => 9,
        ServerEvent::TypingStart(_) => 10,
        ServerEvent::TypingStop(_) => 11,
        ServerEvent::PresenceUpdate(_) => 12,
        ServerEvent::SyncBatch(_) => 13,
        ServerEvent::ConversationBatch(_) => 14,
        ServerEvent::SyncNeeded {} => 15,
        ServerEvent::Error(_) => 16,
    }
}

const EVENTS: usize = 17;

fn message_events() -> Vec<(&'static str, ServerEvent)> {
    let (conversation_id, message_id, client_msg_id) = (place(), message_id(), client_msg_id());
    vec![
        (
            "message_ack",
            ServerEvent::MessageAck(MessageAck { client_msg_id, message_id, seq: 1, rev: 2, created_at: AT }),
        ),
        ("message_new", ServerEvent::MessageNew(Box::new(fresh_message()))),
        ("message_updated", ServerEvent::MessageUpdated(Box::new(message()))),
        (
            "message_deleted",
            ServerEvent::MessageDeleted(MessageDeleted { conversation_id, message_id, seq: 1, rev: 3, deleted_at: AT }),
        ),
        (
            "reaction_updated",
            ServerEvent::ReactionUpdated(ReactionUpdated {
                conversation_id,
                message_id,
                seq: 1,
                rev: 4,
                reactions: reactions(),
            }),
        ),
        (
            "receipt_updated",
            ServerEvent::ReceiptUpdated(ReceiptUpdated {
                conversation_id,
                user_id: bob(),
                delivered_seq: 3,
                read_seq: 2,
                rev: 5,
            }),
        ),
    ]
}

fn conversation_events() -> Vec<(&'static str, ServerEvent)> {
    let conversation_id = place();
    let renamed = ConversationUpdated { conversation_id, rev: 6, title: Some("Ours".into()), conversation: None };
    let joined = ConversationUpdated { conversation: Some(Box::new(whole())), rev: 7, ..renamed.clone() };
    let batch = ConversationBatch { conversation_id, messages: vec![fresh_message()], has_more: true };
    vec![
        ("conversation_updated_renamed", ServerEvent::ConversationUpdated(renamed)),
        ("conversation_updated_whole", ServerEvent::ConversationUpdated(joined)),
        ("conversation_removed", ServerEvent::ConversationRemoved(ConversationRemoved { conversation_id })),
        ("member_updated", ServerEvent::MemberUpdated(MemberUpdated { conversation_id, rev: 5, member: member() })),
        ("sync_batch", ServerEvent::SyncBatch(Box::new(difference()))),
        ("sync_batch_nothing_new", ServerEvent::SyncBatch(Box::new(nothing_new()))),
        ("sync_batch_of_one_conversation", ServerEvent::ConversationBatch(Box::new(batch))),
        ("sync_needed", ServerEvent::SyncNeeded {}),
    ]
}

fn connection_events() -> Vec<(&'static str, ServerEvent)> {
    let typing = Typing { conversation_id: place(), user_id: bob(), user_name: "Bob".into() };
    let here = Presence { user_id: bob(), online: true, last_seen_at: None };
    let gone = Presence { online: false, last_seen_at: Some(AT), ..here.clone() };
    let session_id = SessionId::from_uuid(uuid(8));
    let limits = Limits::default();
    vec![
        (
            "connected",
            ServerEvent::Connected(Box::new(Connected {
                user_id: alice(),
                session_id,
                server_time: AT,
                limits,
                epoch: Some(uuid(6)),
            })),
        ),
        ("typing_start", ServerEvent::TypingStart(typing.clone())),
        ("typing_stop", ServerEvent::TypingStop(typing)),
        ("presence_update_online", ServerEvent::PresenceUpdate(here)),
        ("presence_update_offline", ServerEvent::PresenceUpdate(gone)),
        ("error", ServerEvent::Error(refusal())),
    ]
}

fn events() -> Vec<(&'static str, ServerEvent)> {
    [message_events(), conversation_events(), connection_events()].concat()
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn every_event_has_its_form_in_both_protocols() {
    let mut numbers: Vec<usize> = events().iter().map(|(_, event)| number(event)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>());
    for (name, event) in events() {
        let frame = event.encode(Protocol::WebSocket);
        let payload = event.encode(Protocol::SocketIo);
        let mut spliced: Value = serde_json::from_str(&frame).unwrap();
        let kind = spliced.as_object_mut().unwrap().remove("type");
        assert_eq!(kind, Some(json!(event.name(Protocol::WebSocket))), "{name}");
        assert_eq!(spliced, serde_json::from_str::<Value>(&payload).unwrap(), "{name}");
        let text = format!(
            "WebSocket\n{frame}\n\nSocket.IO {}\n{payload}\n\n{}",
            event.name(Protocol::SocketIo),
            pretty(&event)
        );
        insta::assert_snapshot!(format!("event_{name}"), text);
    }
}

#[test]
fn a_frame_is_about_as_large_as_its_hint_says() {
    for (name, event) in events() {
        let (hint, size) = (event.size_hint(), event.encode(Protocol::WebSocket).len());
        assert!(hint < 4 * size + 400 && size < 2 * hint, "{name}: {size} bytes, hint {hint}");
    }
}

/// Through text and back, with everything and with the least there may be; keeps both texts.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, full: &T, least: &str) {
    let text = pretty(full);
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *full, "{name}");
    let small: T = serde_json::from_str(least).unwrap_or_else(|error| panic!("{name}: {least}: {error}"));
    assert_eq!(serde_json::from_str::<T>(&pretty(&small)).unwrap(), small, "{name}");
    insta::assert_snapshot!(name, format!("{text}\n\nof {least}\n{}", pretty(&small)));
}

fn ids(fields: &str) -> String {
    let fields = fields.replace("{place}", &place().to_string()).replace("{message}", &message_id().to_string());
    fields.replace("{bob}", &bob().to_string())
}

#[test]
fn every_request_of_a_socket_survives_its_text() {
    let (conversation_id, message_id, client_msg_id) = (place(), message_id(), client_msg_id());
    let (reply_to, after) = (Some(message_id), Some("before".parse().unwrap()));
    let body = "hi".to_owned();
    let send = SendMessage { conversation_id, client_msg_id, body: body.clone(), reply_to, after_client_msg_id: after };
    round_trip("request_message_send", &send, &ids(r#"{"conversationId":"{place}","clientMsgId":"a","body":"hi"}"#));
    let edit = EditMessage { conversation_id, message_id, body };
    round_trip(
        "request_message_edit",
        &edit,
        &ids(r#"{"conversationId":"{place}","messageId":"{message}","body":"hi"}"#),
    );
    let delete = DeleteMessage { conversation_id, message_id };
    round_trip("request_message_delete", &delete, &ids(r#"{"conversationId":"{place}","messageId":"{message}"}"#));
    let react = ReactToMessage { conversation_id, message_id, emoji: "❤️".parse().unwrap(), remove: true };
    let least = ids(r#"{"conversationId":"{place}","messageId":"{message}","emoji":"👍"}"#);
    round_trip("request_message_react", &react, &least);
    let receipt = Receipt { conversation_id, delivered_seq: Some(2), read_seq: Some(1) };
    round_trip("request_receipt", &receipt, &ids(r#"{"conversationId":"{place}"}"#));
    let sync = SyncRequest {
        conversation_id: Some(conversation_id),
        after_message_id: Some(message_id),
        cursor: Some("abc".into()),
        limit: Some(10),
        have: Some(vec![held()]),
    };
    round_trip("request_sync_request", &sync, "{}");
    let history = HistoryRequest { conversation_id, before_seq: Some(9), after_seq: Some(1), limit: Some(10) };
    round_trip("request_history", &history, &ids(r#"{"conversationId":"{place}"}"#));
    let mute = MuteConversation { conversation_id, muted_until: Some(AT) };
    round_trip("request_conversation_mute", &mute, &ids(r#"{"conversationId":"{place}","mutedUntil":null}"#));
    round_trip("request_typing", &TypingIn { conversation_id }, &ids(r#"{"conversationId":"{place}"}"#));
    round_trip("request_presence_watch", &WatchPresence { user_ids: vec![alice(), bob()] }, r#"{"userIds":[]}"#);
    round_trip("request_auth_refresh", &RefreshAuth { token: "abc".into() }, r#"{"token":""}"#);
}

#[test]
fn every_body_of_the_rest_api_survives_its_text() {
    let (client_msg_id, reply_to) = (client_msg_id(), Some(message_id()));
    let body = "hi".to_owned();
    let after_client_msg_id = Some("before".parse().unwrap());
    let send = NewMessageBody { client_msg_id, body: body.clone(), reply_to, after_client_msg_id };
    round_trip("body_new_message", &send, r#"{"clientMsgId":"a","body":"hi"}"#);
    round_trip("body_edit", &EditBody { body }, r#"{"body":""}"#);
    round_trip("body_receipt", &ReceiptBody { delivered_seq: Some(2), read_seq: Some(1) }, "{}");
    let sync = SyncBody { cursor: Some("abc".into()), limit: Some(10), have: Some(vec![held()]) };
    round_trip("body_sync", &sync, "{}");
    round_trip("body_typing", &TypingBody { typing: true }, r#"{"typing":false}"#);
    round_trip("body_person", &PersonBody { email: Some("bob@example.org".into()), user_id: Some(bob()) }, "{}");
    let group = NewGroupBody {
        title: "Ours".into(),
        member_emails: vec!["bob@example.org".into()],
        member_ids: vec![bob()],
        history_visibility: HistoryVisibility::All,
    };
    round_trip("body_new_group", &group, r#"{"title":"Ours"}"#);
    let patch = ConversationPatch { title: Some("Ours".into()), muted_until: Some(Some(AT)) };
    round_trip("body_conversation_patch", &patch, "{}");
    round_trip("body_conversation_unmute", &ConversationPatch { title: None, muted_until: Some(None) }, "{}");
    round_trip("body_role", &RoleBody { role: Role::Admin }, r#"{"role":"owner"}"#);
    let avatar_url = Some(Some("https://example.org/a.png".into()));
    round_trip("body_profile_patch", &ProfilePatch { name: Some("Alice".into()), avatar_url }, "{}");
    round_trip("body_profile_without_avatar", &ProfilePatch { name: None, avatar_url: Some(None) }, "{}");
    let register = RegisterBody { email: "a@b".into(), password: "correct horse".into(), name: "A".into() };
    round_trip("body_register", &register, r#"{"email":"","password":"","name":""}"#);
    let login = LoginBody { email: "a@b".into(), password: "correct horse".into() };
    round_trip("body_login", &login, r#"{"email":"","password":""}"#);
    round_trip("body_token", &TokenBody { email: "a@b".into(), name: Some("A".into()) }, r#"{"email":"a@b"}"#);
}

/// A request's name, its fields, and whether something is such a request.
type Frame = (&'static str, &'static str, fn(&ClientRequest) -> bool);

#[rustfmt::skip]
fn frames() -> [Frame; 13] {
    use ClientRequest as Is;
    [
        ("message.send", r#","conversationId":"{place}","clientMsgId":"a","body":"hi""#, |r| matches!(r, Is::SendMessage(_))),
        ("message.edit", r#","conversationId":"{place}","messageId":"{message}","body":"hi""#, |r| matches!(r, Is::EditMessage(_))),
        ("message.delete", r#","conversationId":"{place}","messageId":"{message}""#, |r| matches!(r, Is::DeleteMessage(_))),
        ("message.react", r#","conversationId":"{place}","messageId":"{message}","emoji":"👍""#, |r| matches!(r, Is::ReactToMessage(_))),
        ("receipt", r#","conversationId":"{place}","readSeq":1"#, |r| matches!(r, Is::Receipt(_))),
        ("conversation.mute", r#","conversationId":"{place}","mutedUntil":null"#, |r| matches!(r, Is::MuteConversation(_))),
        ("sync.request", r#","cursor":"abc","have":[{"id":"{place}","rev":7,"lastSeq":1}]"#, |r| matches!(r, Is::Sync(_))),
        ("history.request", r#","conversationId":"{place}","beforeSeq":9"#, |r| matches!(r, Is::History(_))),
        ("typing.start", r#","conversationId":"{place}""#, |r| matches!(r, Is::TypingStart(_))),
        ("typing.stop", r#","conversationId":"{place}""#, |r| matches!(r, Is::TypingStop(_))),
        ("presence.watch", r#","userIds":["{bob}"]"#, |r| matches!(r, Is::WatchPresence(_))),
        ("auth.refresh", r#","token":"abc""#, |r| matches!(r, Is::RefreshAuth(_))),
        ("ping", "", |r| matches!(r, Is::Ping)),
    ]
}

#[test]
fn a_request_is_the_same_with_dots_and_with_colons() {
    assert_eq!(frames().map(|(name, ..)| name), ClientRequest::NAMES);
    for (name, fields, is_right) in frames() {
        let frame = format!(r#"{{"type":"{name}","id":7{}}}"#, ids(fields));
        let (id, request) = parse_frame(&frame);
        assert_eq!(id, Some(7), "{frame}");
        let payload = format!("{{{}}}", ids(fields).trim_start_matches(','));
        assert_eq!(ClientRequest::parse(&name.replace('.', ":"), &payload), request, "{frame}");
        assert!(is_right(&request.unwrap()), "{frame}");
    }
}

fn things() -> Vec<(&'static str, String)> {
    vec![
        ("message_fresh", pretty(&fresh_message())),
        ("message_tombstone", pretty(&tombstone())),
        ("user", pretty(&user())),
        ("user_seen_by_a_stranger", pretty(&User { email: None, avatar_url: None, blocked: false, ..user() })),
        ("member", pretty(&member())),
        ("member_removed", pretty(&Member { removed: true, ..member() })),
        ("conversation_in_the_list", pretty(&listed(group(), Some(fresh_message())))),
        ("conversation_in_the_list_without_messages", pretty(&listed(dm(), None))),
        ("conversation_alone", pretty(&whole())),
        ("conversation_in_the_difference", pretty(&changed())),
        ("difference", pretty(&difference())),
        ("difference_with_nothing_new", pretty(&nothing_new())),
        ("token_answer", pretty(&TokenAnswer { token: "abc".into(), expires_at: AT, user: user() })),
    ]
}

#[test]
fn everything_that_people_see_has_its_form() {
    for (name, text) in things() {
        insta::assert_snapshot!(name, text);
    }
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(serde_json::from_str::<T>(&serde_json::to_string(value).unwrap()).unwrap(), *value);
}

#[test]
fn everything_that_people_see_survives_its_text() {
    for message in [message(), fresh_message(), tombstone()] {
        survives(&message);
    }
    for conversation in [group(), dm(), listed(group(), Some(message())), whole()] {
        survives(&conversation);
    }
    survives(&user());
    survives(&member());
    survives(&difference());
    survives(&nothing_new());
    survives(&refusal());
    survives(&Limits::default());
}

/// What a client that reads a list must be able to tell: no message is not the same as not being told of one.
#[test]
fn a_list_without_a_last_message_says_so() {
    assert_eq!(serde_json::to_value(listed(group(), None)).unwrap()["lastMessage"], Value::Null);
    assert_eq!(serde_json::to_value(group()).unwrap().get("lastMessage"), None);
    survives(&listed(group(), None));
}

#[test]
fn the_codes_and_what_to_do_about_each_stay() {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| format!("{} {:?}", code.as_str(), code.next_step())).collect();
    insta::assert_snapshot!("error_codes", codes.join("\n"));
    insta::assert_snapshot!("error", pretty(&refusal()));
    insta::assert_snapshot!("error_without_a_wait", pretty(&ApiError::not_found("conversation")));
}

#[test]
fn as_much_as_may_be_held_fits_into_one_frame() {
    let limits = Limits::default();
    let most = Held { id: place(), rev: i64::MAX, last_seq: i64::MAX };
    let within = Some((i64::MAX, place()));
    let cursor = Some(SyncCursor { epoch: uuid(6), base: i64::MAX, within }.encode());
    let have = Some(vec![most; limits.sync_have_max]);
    let asked = SyncRequest { conversation_id: None, after_message_id: None, cursor, limit: Some(100), have };
    let bytes = serde_json::to_string(&asked).unwrap().len();
    // Around it a frame has no more than its type and id.
    assert!(bytes + 4096 < limits.frame_max_bytes.min(limits.request_max_bytes), "{bytes} bytes");
}

#[test]
fn muting_says_until_when() {
    let frame = ids(r#"{"type":"conversation.mute","id":7,"conversationId":"{place}"}"#);
    assert_eq!(parse_frame(&frame).1.unwrap_err().detail, "missing field `mutedUntil`");
}

#[test]
fn the_limits_by_default_stay() {
    insta::assert_snapshot!("limits", pretty(&Limits::default()));
}

#[test]
fn limits_that_are_not_named_keep_their_default() {
    let limits: Limits = serde_json::from_str(r#"{"bodyMaxBytes":7}"#).unwrap();
    assert_eq!(limits, Limits { body_max_bytes: 7, ..Limits::default() });
}
