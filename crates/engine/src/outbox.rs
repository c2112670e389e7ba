//! From the outbox to the log: what may go now, in what order, and what an answer makes of it.
//!
//! Sends of a conversation may be under way together; each names the one before it (`afterClientMsgId`), so the server refuses what would overtake.
//! Everything else goes alone, when all before it is done; what was sent over an earlier connection waits for the first difference, which tells whether
//! it has to go again. A parked send stops its conversation.

use std::collections::VecDeque;

use tertulia_proto::event::MessageAck;
use tertulia_proto::request::{ClientRequest, DeleteMessage, EditMessage, ReactToMessage, SendMessage};
use tertulia_proto::{Answer, ApiError, ClientMsgId, ConversationId, ErrorCode, MessageId, Rev};

use crate::backoff::{self, Jitter};
use crate::engine::{Asked, Engine, Notice, Now, Refused};
use crate::planted::Bug;
use crate::repeat::Fate;
use crate::store::{LocalMessage, LocalStore, MessageRef, Op, OutboxEntry, ParkedReason, Stored};
use crate::view;

/// What is under way of one conversation, and when it is tried again. Nothing of it outlives the connection but the wait.
#[derive(Debug, Default)]
pub(crate) struct SendLane {
    /// Entries under way, in order.
    flights: VecDeque<i64>,
    retry_at: Option<u64>,
    attempt: u32,
    /// Sends that may be under way at once; `None`: as many as the configuration says. One after the server had too much, then twice as many with
    /// each acknowledgement.
    window: Option<usize>,
}

impl SendLane {
    fn acknowledged(&mut self) {
        self.reset_backoff();
        self.window = self.window.map(|window| window.saturating_mul(2));
    }

    pub const fn retry_at(&self) -> Option<u64> {
        self.retry_at
    }

    /// Whether anything is worth remembering.
    pub fn forget_flights(&mut self) -> bool {
        self.flights.clear();
        self.retry_at.is_some()
    }

    pub const fn reset_backoff(&mut self) {
        self.retry_at = None;
        self.attempt = 0;
    }

    /// What waits for its time is tried now.
    pub fn hurry(&mut self, now: u64) {
        self.attempt = 0;
        self.retry_at = self.retry_at.map(|at| at.min(now));
    }

    pub fn try_again(&mut self, now: u64) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
    }

    fn done(&mut self, entry: i64) {
        self.flights.retain(|flight| *flight != entry);
    }

    fn wait(&mut self, now: u64, retry_after_ms: Option<u64>, jitter: &mut Jitter) {
        self.attempt = self.attempt.saturating_add(1);
        self.window = Some(1);
        let wait = match retry_after_ms {
            // The server knows when; a little later, so that not everybody comes in the same instant.
            Some(after) => after.saturating_add(jitter.between(0, 250)),
            None => backoff::retry_ms(self.attempt, jitter),
        };
        self.retry_at = Some(now.saturating_add(wait));
    }
}

#[derive(serde::Deserialize)]
struct Changed {
    rev: Rev,
}

impl Engine {
    pub(crate) fn pump_outbox_all(&mut self, store: &mut dyn LocalStore, now: Now) -> Stored<()> {
        if !self.link.is_open() {
            return Ok(());
        }
        for conversation in store.outbox_conversations()? {
            self.pump_outbox(store, now, conversation)?;
        }
        Ok(())
    }

    fn flights(&self) -> usize {
        self.lanes.values().map(|lane| lane.flights.len()).sum()
    }

    /// Sends what may go now.
    pub(crate) fn pump_outbox(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId) -> Stored<()> {
        let waits = self.lanes.get(&id).is_some_and(|lane| lane.retry_at.is_some());
        if !self.link.is_open() || waits {
            return Ok(());
        }
        let mut before: Option<ClientMsgId> = None;
        let mut alone = true;
        for entry in store.outbox_due(id, self.config.sends_in_flight_max * 2)? {
            let lane = self.lanes.entry(id).or_default();
            if lane.flights.contains(&entry.id) {
                match (&entry.op, &entry.target) {
                    (Op::Send, MessageRef::Mine(name)) => before = Some(name.clone()),
                    // Goes alone.
                    _ => return Ok(()),
                }
                alone = false;
                continue;
            }
            let window = self.config.sends_in_flight_max.min(lane.window.unwrap_or(usize::MAX));
            let full = lane.flights.len() >= window;
            match (entry.parked.is_some(), &entry.op) {
                (true, Op::Send) if self.has(Bug::ParkedOvertaken) => continue,
                (true, Op::Send) => return Ok(()),
                // What can't be edited any more does not hold up what comes after.
                (true, _) => continue,
                (false, Op::Send) if full => return Ok(()),
                (false, _) if self.flights() >= self.config.in_flight_max => {
                    self.is_starved = true;
                    return Ok(());
                }
                (false, Op::Send) => {
                    let Some(name) = self.transmit_send(store, now, entry, before.take())? else { return Ok(()) };
                    before = Some(name).filter(|_| !self.has(Bug::PipelineUnchained));
                    alone = false;
                }
                (false, _) if !alone => return Ok(()),
                (false, _) => {
                    if !self.take_up(store, now, entry)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// `None`: it has to wait for something that is under way.
    fn transmit_send(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        mut entry: OutboxEntry,
        after: Option<ClientMsgId>,
    ) -> Stored<Option<ClientMsgId>> {
        let id = entry.conversation_id;
        let MessageRef::Mine(name) = entry.target.clone() else {
            store.delete_outbox(entry.id)?;
            return Ok(None);
        };
        let Some(row) = store.message(id, &entry.target)?.filter(LocalMessage::is_pending) else {
            // In the log already.
            store.delete_outbox(entry.id)?;
            return Ok(after.or(Some(name)));
        };
        let Some(reply_to) = resolve_reply(store, &row)? else { return Ok(None) };
        if !entry.transmitted {
            entry.transmitted = true;
            store.put_outbox(&entry)?;
        }
        let client_msg_id = if self.has(Bug::NewNameEachTry) {
            retitled(&name, self.jitter.between(0, u64::MAX - 1))
        } else {
            name.clone()
        };
        let request =
            SendMessage { conversation_id: id, client_msg_id, body: row.body, reply_to, after_client_msg_id: after };
        self.lanes.entry(id).or_default().flights.push_back(entry.id);
        let asked = Asked::Send { conversation: id, entry: entry.id, name: name.clone() };
        self.ask(now, asked, ClientRequest::SendMessage(request));
        Ok(Some(name))
    }

    /// Whether what comes after it may go too: there was nothing left to do.
    fn take_up(&mut self, store: &mut dyn LocalStore, now: Now, entry: OutboxEntry) -> Stored<bool> {
        let id = entry.conversation_id;
        if entry.transmitted && !self.has(Bug::RepeatedBlindly) {
            if !self.link.is_caught_up() {
                return Ok(false);
            }
            match self.fate(store, &entry)? {
                Fate::Lost => {}
                Fate::Done => {
                    store.delete_outbox(entry.id)?;
                    self.changed(id);
                    return Ok(true);
                }
                Fate::Unknown(seq) => {
                    // Asked again when the page is here, and with each difference.
                    self.fill(store, now, id, seq.saturating_add(1))?;
                    return Ok(false);
                }
            }
        }
        Ok(!self.transmit_op(store, now, entry)?)
    }

    /// Whether something went; else there was nothing to do it to.
    fn transmit_op(&mut self, store: &mut dyn LocalStore, now: Now, entry: OutboxEntry) -> Stored<bool> {
        let id = entry.conversation_id;
        let message_id: Option<MessageId> = match &entry.target {
            MessageRef::Log(message_id) => Some(*message_id),
            mine @ MessageRef::Mine(_) => store.message(id, mine)?.and_then(|row| row.message_id),
        };
        let Some(message_id) = message_id else {
            store.delete_outbox(entry.id)?;
            return Ok(false);
        };
        let request = match entry.op.clone() {
            Op::Send => return Ok(false),
            Op::Edit { body } => ClientRequest::EditMessage(EditMessage { conversation_id: id, message_id, body }),
            Op::Delete => ClientRequest::DeleteMessage(DeleteMessage { conversation_id: id, message_id }),
            Op::React { emoji, remove } => {
                ClientRequest::ReactToMessage(ReactToMessage { conversation_id: id, message_id, emoji, remove })
            }
        };
        self.lanes.entry(id).or_default().flights.push_back(entry.id);
        self.ask(now, Asked::Op { conversation: id, entry: entry.id }, request);
        self.depart(store, now, entry)?;
        Ok(true)
    }

    pub(crate) fn send_answered(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        entry: i64,
        name: &ClientMsgId,
        result: Result<Answer, ApiError>,
    ) -> Stored<()> {
        self.landed(id, entry);
        match result.and_then(|answer| answer.read::<MessageAck>()) {
            Ok(ack) => self.acknowledged(store, id, entry, name, ack)?,
            Err(_) if self.has(Bug::RefusalTakenForAcceptance) => store.delete_outbox(entry)?,
            // The one before it was refused, or is to be tried again; its own turn comes after that.
            Err(error) if error.code == ErrorCode::OutOfOrder => {}
            // It was refused together with one before it, which now waits for the person: it waits behind that one.
            Err(_) if waits_behind_parked(store, id, entry, self.config.sends_in_flight_max * 2)? => {}
            Err(error) => self.refused(store, now, id, entry, error)?,
        }
        self.pump_after(store, now, id)
    }

    fn landed(&mut self, id: ConversationId, entry: i64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.done(entry);
        }
    }

    /// A place became free: of this conversation, or where all places were taken, of all.
    fn pump_after(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId) -> Stored<()> {
        if std::mem::take(&mut self.is_starved) {
            return self.pump_outbox_all(store, now);
        }
        self.pump_outbox(store, now, id)
    }

    /// The pending row becomes the log's row. Its `rev` is told again by the event or the difference, whichever brings the row itself.
    fn acknowledged(
        &mut self,
        store: &mut dyn LocalStore,
        id: ConversationId,
        entry: i64,
        name: &ClientMsgId,
        ack: MessageAck,
    ) -> Stored<()> {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.acknowledged();
        }
        store.delete_outbox(entry)?;
        let Some(mut row) = store.message(id, &MessageRef::Mine(name.clone()))?.filter(LocalMessage::is_pending) else {
            return Ok(());
        };
        if self.is_out_of_sight(store, id, &ack)? {
            store.delete_message(row.key)?;
            return self.forget_if_done(store, id);
        }
        if self.has(Bug::EchoDroppedEarly) {
            return store.delete_message(row.key);
        }
        if let Some(other) = store.message_at(id, ack.seq)? {
            // Told under another device's name for it; can't be, but two rows in one place would be worse.
            store.delete_message(other.key)?;
        }
        (row.seq, row.message_id, row.rev, row.created_at) =
            (Some(ack.seq), Some(ack.message_id), ack.rev, ack.created_at);
        row.reply_to = match (&row.reply_to, &row.reply_to_mine) {
            (None, Some(mine)) => {
                store.message(id, &MessageRef::Mine(mine.clone()))?.and_then(|target| target.message_id)
            }
            (reply_to, _) => *reply_to,
        };
        store.put_message(&row)?;
        self.changed(id);
        Ok(())
    }

    /// It had come through before I left, and is not mine to see now: I am still away, or came back to a log that begins later. All that was told up to
    /// the held `rev` is here or in a hole; what is in neither is kept from me.
    fn is_out_of_sight(&self, store: &mut dyn LocalStore, id: ConversationId, ack: &MessageAck) -> Stored<bool> {
        let Some(held) = store.conversation(id)? else { return Ok(false) };
        let told = !held.doubted && ack.rev <= held.rev;
        Ok(held.left || (told && !store.holes(id)?.contains(ack.seq)))
    }

    /// A conversation I left goes when nothing of mine waits in it any more.
    pub(crate) fn forget_if_done(&mut self, store: &mut dyn LocalStore, id: ConversationId) -> Stored<()> {
        self.changed(id);
        let done = store.outbox(id, 1)?.is_empty();
        if done && store.conversation(id)?.is_some_and(|held| held.left) {
            store.delete_conversation(id)?;
        }
        Ok(())
    }

    /// A pending message goes, and all that was to be done to it. One that has been sent may be in the log although it was refused.
    pub(crate) fn give_up(
        &mut self,
        store: &mut dyn LocalStore,
        row: &LocalMessage,
        about: &[OutboxEntry],
    ) -> Stored<()> {
        let id = row.conversation_id;
        for entry in about {
            if entry.op == Op::Send && entry.transmitted {
                store.put_taken_back(id, &row.client_msg_id, self.round)?;
            }
            store.delete_outbox(entry.id)?;
        }
        store.delete_message(row.key)?;
        self.forget_if_done(store, id)
    }

    fn refused(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        entry: i64,
        error: ApiError,
    ) -> Stored<()> {
        match error.code {
            ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::OutOfOrder => {
                let lane = self.lanes.entry(id).or_default();
                lane.wait(now.mono_ms, error.retry_after_ms, &mut self.jitter);
                return Ok(());
            }
            ErrorCode::Conflict | ErrorCode::Gone | ErrorCode::NotFound | ErrorCode::Forbidden => {
                self.want_sync(now.mono_ms)
            }
            ErrorCode::Unauthenticated | ErrorCode::Invalid | ErrorCode::TooLarge => {}
        }
        let Some(mut entry) = store.outbox_entry(entry)? else { return Ok(()) };
        self.changed(id);
        if entry.op == Op::Send {
            let about = store.outbox_about(id, &entry.target)?;
            if about.iter().any(|other| other.op == Op::Delete) {
                // Its author has taken it back already: nothing is left to decide, and nothing waits behind it.
                return match store.message(id, &entry.target)?.filter(LocalMessage::is_pending) {
                    Some(row) => self.give_up(store, &row, &about),
                    None => about.iter().try_for_each(|other| store.delete_outbox(other.id)),
                };
            }
        }
        match entry.op {
            Op::Send | Op::Edit { .. } => {
                entry.parked = Some(ParkedReason { code: error.code, detail: error.detail });
                store.put_outbox(&entry)?;
            }
            Op::Delete | Op::React { .. } => {
                store.delete_outbox(entry.id)?;
                let moot = matches!(error.code, ErrorCode::Gone | ErrorCode::NotFound);
                if !moot {
                    let refused = Refused { conversation: id, code: error.code.as_str(), detail: error.detail };
                    self.notice(Notice::Refused(refused));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn op_answered(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        entry: i64,
        result: Result<Answer, ApiError>,
    ) -> Stored<()> {
        self.landed(id, entry);
        match result.and_then(|answer| answer.read::<Changed>()) {
            Ok(changed) => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.reset_backoff();
                }
                self.op_done(store, now, entry, changed.rev)?;
            }
            Err(error) => self.refused(store, now, id, entry, error)?,
        }
        self.pump_after(store, now, id)
    }

    /// What the screen showed already goes into the row, which keeps its `rev`: the event or the difference brings the row as the log has it.
    fn op_done(&mut self, store: &mut dyn LocalStore, now: Now, entry: i64, rev: Rev) -> Stored<()> {
        let Some(entry) = store.outbox_entry(entry)? else { return Ok(()) };
        store.delete_outbox(entry.id)?;
        self.changed(entry.conversation_id);
        if let Some(me) = self.me
            && let Some(mut row) = store.message(entry.conversation_id, &entry.target)?
            && row.rev < rev
        {
            view::apply_op(&mut row, &entry.op, me, now.wall);
            store.put_message(&row)?;
        }
        Ok(())
    }
}

fn waits_behind_parked(store: &mut dyn LocalStore, id: ConversationId, entry: i64, limit: usize) -> Stored<bool> {
    let before = store.outbox_due(id, limit)?;
    Ok(before.iter().any(|other| other.id < entry && other.op == Op::Send && other.parked.is_some()))
}

/// What the reply is to, by the log's id; `None`: that one is pending itself.
#[expect(clippy::option_option, reason = "no answer yet, and no reply, are two things")]
fn resolve_reply(store: &mut dyn LocalStore, row: &LocalMessage) -> Stored<Option<Option<MessageId>>> {
    let Some(mine) = row.reply_to_mine.clone().filter(|_| row.reply_to.is_none()) else {
        return Ok(Some(row.reply_to));
    };
    Ok(match store.message(row.conversation_id, &MessageRef::Mine(mine))? {
        Some(target) => target.message_id.map(Some),
        // Discarded: the answer stands for itself.
        None => Some(None),
    })
}

fn retitled(name: &ClientMsgId, salt: u64) -> ClientMsgId {
    format!("{:.40}-{salt:x}", name.as_str()).parse().unwrap_or_else(|_| name.clone())
}
