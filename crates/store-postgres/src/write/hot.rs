//! Appends and watermarks, many at once: what has to be known of all of them is read together, and what they come to is written together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tertulia_proto::{ClientMsgId, ConversationId, Message, MessageId, Role, Seq, Timestamp, UserId};
use tertulia_store::{AppendMessage, Effect, Facts, Target, Write, WriteError, WriteResult};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::push::OfDevices;
use super::{Batch, ConversationRow, Stop};
use crate::error::Sql;
use crate::read::history;
use crate::rows::{Key, at, bad_value, conversation_at, role_of, user_at};
use crate::session::{Param, Session};

/// A sender's own name for a message.
pub(super) type Name = (UserId, ClientMsgId);

/// What is so before a round of appends and watermarks.
#[derive(Default)]
pub(super) struct Known {
    pub keys: HashMap<Name, Key>,
    pub seats: HashMap<(ConversationId, UserId), Seat>,
    pub people: HashMap<UserId, Sender>,
    pub replies: HashMap<(ConversationId, MessageId), Seq>,
}

/// Somebody's place in a conversation, and what the rules ask of it.
pub(super) struct Seat {
    /// `None` for a stranger.
    pub role: Option<Role>,
    pub visible_after_seq: Seq,
    pub delivered_seq: Seq,
    pub read_seq: Seq,
    has_blocked_actor: bool,
    is_blocked_by_actor: bool,
}

pub(super) struct Sender {
    pub name: String,
    pub avatar_url: Option<String>,
}

/// What a round comes to, not yet written.
#[derive(Default)]
pub(super) struct Changes {
    pub messages: Vec<(Message, i64)>,
    /// Conversations that changed; with what was said where something was.
    pub heads: BTreeMap<ConversationId, Option<Said>>,
    /// Delivered, read and `rev`.
    pub seats: BTreeMap<(ConversationId, UserId), (Seq, Seq, i64)>,
    /// Where the messages of this round are.
    pub names: HashMap<Name, usize>,
    pub said: HashMap<(ConversationId, MessageId), Seq>,
    pub devices: OfDevices,
}

/// New messages of one conversation.
#[derive(Clone, Copy)]
pub(super) struct Said {
    first_seq: Seq,
    /// The latest time.
    at: i64,
    /// The earliest.
    notify_at: Option<i64>,
}

impl Said {
    pub const fn from(first_seq: Seq) -> Self {
        Self { first_seq, at: 0, notify_at: None }
    }

    pub fn also(&mut self, append: &AppendMessage) {
        self.at = append.now.ms();
        self.notify_at = self.notify_at.into_iter().chain(append.notify_at.map(Timestamp::ms)).min();
    }
}

/// What came of one write.
pub(super) enum Told {
    Now(Box<Effect>),
    /// It is in the log already, at this place: answered as it is now.
    Repeat(Key),
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.devices.is_empty()
    }
}

const KEYS: &str = "SELECT w.sender_id, w.client_msg_id, k.conversation_id, k.seq FROM unnest($1::uuid[], $2::text[]) AS w (sender_id, client_msg_id)
     CROSS JOIN LATERAL (SELECT k.conversation_id, k.seq FROM message_keys k
        WHERE k.sender_id = w.sender_id AND k.client_msg_id = w.client_msg_id OFFSET 0) k";

const SEATS: &str = "SELECT w.conversation_id, w.user_id, m.role, m.visible_after_seq, m.delivered_seq, m.read_seq,
        EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = o.other AND b.blocked_id = w.user_id),
        EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = w.user_id AND b.blocked_id = o.other)
     FROM unnest($1::uuid[], $2::uuid[]) AS w (conversation_id, user_id) JOIN conversations c ON c.id = w.conversation_id
     CROSS JOIN LATERAL (SELECT CASE c.dm_low WHEN w.user_id THEN c.dm_high ELSE c.dm_low END AS other OFFSET 0) o
     LEFT JOIN members m ON m.conversation_id = w.conversation_id AND m.user_id = w.user_id AND m.removed_at IS NULL";

const PEOPLE: &str = "SELECT id, name, avatar_url FROM users WHERE id = ANY($1)";

const REPLIES: &str = "SELECT w.conversation_id, w.id, x.seq FROM unnest($1::uuid[], $2::uuid[]) AS w (conversation_id, id)
     CROSS JOIN LATERAL (SELECT x.seq FROM messages x WHERE x.conversation_id = w.conversation_id AND x.id = w.id OFFSET 0) x";

const INSERT_MESSAGES: &str = "INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, body, reply_to, created_at, rev, pos, born_pos)
     SELECT w.*, w.pos FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::bigint[], $9::bigint[],
        $10::bigint[]) AS w (conversation_id, seq, id, sender_id, client_msg_id, body, reply_to, created_at, rev, pos)";

/// In one order, so that two servers that were sent the same never wait for each other in a circle. A key that is there fails the transaction, and the
/// next try finds it.
const INSERT_KEYS: &str = "INSERT INTO message_keys (sender_id, client_msg_id, conversation_id, seq)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[]) AS w (sender_id, client_msg_id, conversation_id, seq)
     ORDER BY w.sender_id, w.client_msg_id";

const UPDATE_HEADS: &str = "UPDATE conversations c SET last_seq = w.last_seq, rev = w.rev, pos = w.pos,
        last_message_at = coalesce(w.said_at, c.last_message_at), activity_at = coalesce(w.said_at, c.activity_at)
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS w (id, last_seq, rev, pos, said_at) WHERE c.id = w.id";

/// Sending moves one's own watermarks: who writes has seen what was there.
const UPDATE_SEATS: &str =
    "UPDATE members m SET delivered_seq = w.delivered, read_seq = w.read, rev = w.rev, pos = w.pos
     FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS w (conversation_id, user_id, delivered, read, rev, pos)
     WHERE m.conversation_id = w.conversation_id AND m.user_id = w.user_id";

/// One job per conversation takes care of everybody who is not there; further messages find it waiting, and lock it (without a change): claimed before
/// this commit, it would be worked on without these messages, and none would be left for them.
const INSERT_JOBS: &str = "INSERT INTO jobs (kind, unique_key, payload, run_at, created_at)
     SELECT 'notify', uuid_send(w.id), '{\"conversationId\":\"' || w.id || '\",\"fromSeq\":' || w.from_seq || '}', w.notify_at, w.at
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w (id, from_seq, notify_at, at) ORDER BY w.id
     ON CONFLICT (kind, unique_key) WHERE state = 0 DO UPDATE SET run_at = jobs.run_at WHERE false";

pub(super) async fn prepare(session: &Session) -> Sql<()> {
    use Type as T;
    let (ids, numbers, texts) = (T::UUID_ARRAY, T::INT8_ARRAY, T::TEXT_ARRAY);
    let statements: [(&'static str, &[&Type]); 9] = [
        (KEYS, &[&ids, &texts]),
        (SEATS, &[&ids, &ids]),
        (PEOPLE, &[&ids]),
        (REPLIES, &[&ids, &ids]),
        (INSERT_MESSAGES, &[&ids, &numbers, &ids, &ids, &texts, &texts, &ids, &numbers, &numbers, &numbers]),
        (INSERT_KEYS, &[&ids, &texts, &ids, &numbers]),
        (UPDATE_HEADS, &[&ids, &numbers, &numbers, &numbers, &numbers]),
        (UPDATE_SEATS, &[&ids, &ids, &numbers, &numbers, &numbers, &numbers]),
        (INSERT_JOBS, &[&ids, &numbers, &numbers, &numbers]),
    ];
    for (text, types) in statements {
        let types: Vec<Type> = types.iter().map(|kind| (*kind).clone()).collect();
        session.ready(text, &types).await?;
    }
    Ok(())
}

/// Nothing to ask is not asked.
pub(super) async fn unless(
    is_empty: bool,
    session: &Session,
    text: &'static str,
    params: &[&dyn Param],
) -> Sql<Vec<tokio_postgres::Row>> {
    if is_empty { Ok(Vec::new()) } else { session.rows(text, params).await }
}

impl Known {
    /// Reads what these writes need; one round trip.
    pub async fn load(session: &Session, hot: &[&Write]) -> Sql<Self> {
        let (mut names, mut seats, mut replies) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut people = BTreeSet::new();
        for write in hot {
            match write {
                Write::AppendMessage(append) => {
                    names.insert((append.sender.uuid(), append.client_msg_id.as_str()));
                    names.extend(append.after.as_ref().map(|after| (append.sender.uuid(), after.as_str())));
                    seats.insert((append.conversation.uuid(), append.sender.uuid()));
                    people.insert(append.sender.uuid());
                    replies.extend(append.reply_to.map(|id| (append.conversation.uuid(), id.uuid())));
                }
                Write::AdvanceWatermarks { conversation, actor, .. } => {
                    seats.insert((conversation.uuid(), actor.uuid()));
                }
                _ => {}
            }
        }
        let (senders, texts): (Vec<Uuid>, Vec<&str>) = names.into_iter().unzip();
        let (places, sitting): (Vec<Uuid>, Vec<Uuid>) = seats.into_iter().unzip();
        let people: Vec<Uuid> = people.into_iter().collect();
        let (within, replied): (Vec<Uuid>, Vec<Uuid>) = replies.into_iter().unzip();
        let (keys, seats, people, replies) = futures_util::join!(
            async { unless(senders.is_empty(), session, KEYS, &[&senders, &texts]).await },
            async { unless(places.is_empty(), session, SEATS, &[&places, &sitting]).await },
            async { unless(people.is_empty(), session, PEOPLE, &[&people]).await },
            async { unless(within.is_empty(), session, REPLIES, &[&within, &replied]).await },
        );
        let mut known = Self::default();
        for row in keys? {
            let name: &str = at(&row, 1)?;
            let name = name.parse().map_err(|_| bad_value("a client_msg_id outside its alphabet"))?;
            known.keys.insert((user_at(&row, 0)?, name), (conversation_at(&row, 2)?, at(&row, 3)?));
        }
        for row in seats? {
            known.seats.insert((conversation_at(&row, 0)?, user_at(&row, 1)?), seat_from(&row)?);
        }
        for row in people? {
            known.people.insert(user_at(&row, 0)?, Sender { name: at(&row, 1)?, avatar_url: at(&row, 2)? });
        }
        for row in replies? {
            known.replies.insert((conversation_at(&row, 0)?, MessageId::from_uuid(at(&row, 1)?)), at(&row, 2)?);
        }
        Ok(known)
    }
}

fn seat_from(row: &tokio_postgres::Row) -> Sql<Seat> {
    Ok(Seat {
        role: at::<Option<i16>>(row, 2)?.map(role_of).transpose()?,
        visible_after_seq: at::<Option<i64>>(row, 3)?.unwrap_or(i64::MAX),
        delivered_seq: at::<Option<i64>>(row, 4)?.unwrap_or(0),
        read_seq: at::<Option<i64>>(row, 5)?.unwrap_or(0),
        has_blocked_actor: at(row, 6)?,
        is_blocked_by_actor: at(row, 7)?,
    })
}

impl Seat {
    /// The facts of a conversation and who sits here; in a DM with the other person as target.
    pub fn facts(&self, conversation: &ConversationRow) -> Facts {
        let mut facts = Facts::new(conversation.kind, self.role);
        facts.member_count = conversation.member_count;
        facts.target = conversation.dm.map(|_| Target {
            role: Some(Role::Member),
            has_blocked_actor: self.has_blocked_actor,
            is_blocked_by_actor: self.is_blocked_by_actor,
        });
        facts
    }
}

impl Batch<'_> {
    /// Decides one write after the other; nothing is written yet.
    pub(super) async fn decide(&mut self, mut known: Known, hot: &[&Write]) -> Sql<(Vec<WriteResult>, Changes)> {
        let mut changes = Changes::default();
        let mut told = Vec::with_capacity(hot.len());
        for write in hot {
            told.push(match write {
                Write::AppendMessage(append) => self.append_message(&known, &mut changes, append),
                Write::AdvanceWatermarks { .. } => self.advance_watermarks(&mut known, &mut changes, write),
                _ => Ok(Told::Now(Box::new(Effect::Done))),
            });
        }
        let keys: BTreeSet<Key> =
            told.iter().filter_map(|told| if let Ok(Told::Repeat(key)) = told { Some(*key) } else { None }).collect();
        let mut repeated = HashMap::new();
        if !keys.is_empty() {
            let keys: Vec<Key> = keys.into_iter().collect();
            for message in history::by_keys(self.session, &keys).await? {
                repeated.insert((message.conversation_id, message.seq), message);
            }
        }
        let mut results = Vec::with_capacity(told.len());
        for told in told {
            results.push(match told {
                Ok(Told::Now(effect)) => Ok(*effect),
                Ok(Told::Repeat(key)) => {
                    let message = repeated.get(&key).cloned();
                    let message = message.ok_or_else(|| bad_value("a client_msg_id without its message"))?;
                    Ok(Effect::MessageAppended { message, fresh: false })
                }
                Err(Stop::Refused(refusal)) => Err(WriteError::Refused(refusal)),
                Err(Stop::Failed(fault)) => return Err(fault),
            });
        }
        Ok((results, changes))
    }

    /// Writes what a round came to; one round trip.
    pub(super) async fn write(&mut self, changes: Changes) -> Sql<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.has_written = true;
        let session = self.session;
        let said = Messages::of(&changes.messages);
        let heads = Heads::of(&changes, &self.conversations);
        let seats = Seats::of(&changes, &self.conversations);
        let no_messages = said.ids.is_empty();
        let messages: &[&dyn Param] = &[
            &said.conversations,
            &said.seqs,
            &said.ids,
            &said.senders,
            &said.names,
            &said.bodies,
            &said.replies,
            &said.times,
            &said.revs,
            &said.poses,
        ];
        let no_heads = heads.ids.is_empty();
        let keys: &[&dyn Param] = &[&said.senders, &said.names, &said.conversations, &said.seqs];
        let changed: &[&dyn Param] = &[&heads.ids, &heads.last_seqs, &heads.revs, &heads.poses, &heads.times];
        let moved: &[&dyn Param] =
            &[&seats.conversations, &seats.users, &seats.delivered, &seats.read, &seats.revs, &seats.poses];
        let queued: &[&dyn Param] = &[&heads.said_ids, &heads.first_seqs, &heads.notify_times, &heads.said_times];
        let (messages, keys, heads, seats, jobs, devices) = futures_util::join!(
            unless(no_messages, session, INSERT_MESSAGES, messages),
            unless(no_messages, session, INSERT_KEYS, keys),
            unless(no_heads, session, UPDATE_HEADS, changed),
            unless(no_heads, session, UPDATE_SEATS, moved),
            unless(heads.said_ids.is_empty(), session, INSERT_JOBS, queued),
            changes.devices.write(session),
        );
        messages.and(keys).and(heads).and(seats).and(jobs)?;
        devices
    }
}

/// New messages, column by column.
#[derive(Default)]
struct Messages<'a> {
    conversations: Vec<Uuid>,
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    senders: Vec<Uuid>,
    names: Vec<&'a str>,
    bodies: Vec<&'a str>,
    replies: Vec<Option<Uuid>>,
    times: Vec<i64>,
    revs: Vec<i64>,
    poses: Vec<i64>,
}

impl<'a> Messages<'a> {
    fn of(messages: &'a [(Message, i64)]) -> Self {
        let mut said = Self::default();
        for (message, pos) in messages {
            said.conversations.push(message.conversation_id.uuid());
            said.seqs.push(message.seq);
            said.ids.push(message.message_id.uuid());
            said.senders.push(message.sender_id.uuid());
            said.names.push(message.client_msg_id.as_str());
            said.bodies.push(&message.body);
            said.replies.push(message.reply_to.map(|id| id.uuid()));
            said.times.push(message.created_at.ms());
            said.revs.push(message.rev);
            said.poses.push(*pos);
        }
        said
    }
}

/// Conversations that changed, column by column; those where something was said once more, for their jobs.
#[derive(Default)]
struct Heads {
    ids: Vec<Uuid>,
    last_seqs: Vec<i64>,
    revs: Vec<i64>,
    poses: Vec<i64>,
    times: Vec<Option<i64>>,
    said_ids: Vec<Uuid>,
    first_seqs: Vec<i64>,
    notify_times: Vec<i64>,
    said_times: Vec<i64>,
}

impl Heads {
    fn of(changes: &Changes, rows: &HashMap<ConversationId, ConversationRow>) -> Self {
        let mut heads = Self::default();
        for (id, said) in &changes.heads {
            let Some(row) = rows.get(id) else { continue };
            heads.ids.push(id.uuid());
            heads.last_seqs.push(row.last_seq);
            heads.revs.push(row.rev);
            heads.poses.push(row.pos);
            heads.times.push(said.map(|said| said.at));
            if let Some(said) = said
                && let Some(notify_at) = said.notify_at
            {
                heads.said_ids.push(id.uuid());
                heads.first_seqs.push(said.first_seq);
                heads.notify_times.push(notify_at);
                heads.said_times.push(said.at);
            }
        }
        heads
    }
}

/// Members whose watermarks moved, column by column.
#[derive(Default)]
struct Seats {
    conversations: Vec<Uuid>,
    users: Vec<Uuid>,
    delivered: Vec<i64>,
    read: Vec<i64>,
    revs: Vec<i64>,
    poses: Vec<i64>,
}

impl Seats {
    fn of(changes: &Changes, rows: &HashMap<ConversationId, ConversationRow>) -> Self {
        let mut seats = Self::default();
        for ((conversation, user), (delivered, read, rev)) in &changes.seats {
            seats.conversations.push(conversation.uuid());
            seats.users.push(user.uuid());
            seats.delivered.push(*delivered);
            seats.read.push(*read);
            seats.revs.push(*rev);
            seats.poses.push(rows.get(conversation).map_or(0, |row| row.pos));
        }
        seats
    }
}

/// The message that an append becomes.
pub(super) fn message_of(append: &AppendMessage, sender: &Sender, seq: Seq, rev: i64) -> Message {
    Message {
        message_id: append.id,
        conversation_id: append.conversation,
        seq,
        rev,
        sender_id: append.sender,
        sender_name: sender.name.clone(),
        sender_avatar: sender.avatar_url.clone(),
        client_msg_id: append.client_msg_id.clone(),
        body: append.body.clone(),
        created_at: append.now,
        reply_to: append.reply_to,
        edited_at: None,
        deleted_at: None,
        reactions: Vec::new(),
    }
}
