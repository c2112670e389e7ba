//! The difference: when it is asked for, and what its pages make of the rows.

use std::collections::{BTreeMap, BTreeSet};

use tertulia_proto::request::{ClientRequest, SyncRequest};
use tertulia_proto::sync::{Difference, Held, SyncConversation};
use tertulia_proto::{Answer, ApiError, Conversation, ConversationId, ErrorCode, Member, Seq};

use crate::backoff;
use crate::engine::{Asked, Engine, Notice, Now};
use crate::holes::Holes;
use crate::planted::Bug;
use crate::store::{LocalConversation, LocalStore, Op, ParkedReason, Registration, Stored};

/// Conversations said to be held with one request: within the server's limit and the frame's. Of more the rest is told again, as of the cursor.
const HAVE_MAX: usize = 300;

/// A cursor that no server wrote: the answer is a reset.
const START_OVER: &str = "0";

#[derive(Debug, Clone)]
struct Flight {
    id: u64,
    /// Said not to be held, so that it is told whole.
    recount: BTreeSet<ConversationId>,
    have: BTreeMap<ConversationId, Held>,
    /// Whether this is the first page of its difference.
    first: bool,
    /// What the page said, once it is here.
    has_more: Option<bool>,
}

/// The difference being read.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    flight: Option<Flight>,
    wanted_at: Option<u64>,
    attempt: u32,
    /// The difference was begun on this connection. One that an earlier connection began ends where the log ended then.
    is_of_this_connection: bool,
    /// Conversations whose counts only the server knows: said not to be held, so that they are told.
    recount: BTreeSet<ConversationId>,
}

impl Sync {
    pub const fn is_idle(&self) -> bool {
        self.flight.is_none()
    }

    pub fn timeout(&self) -> Option<u64> {
        self.wanted_at.filter(|_| self.is_idle())
    }

    /// The connection is gone; what was to be counted anew still is.
    pub fn forget_flight(&mut self) {
        let unanswered = self.flight.take().map(|flight| flight.recount).unwrap_or_default();
        let recount = std::mem::take(&mut self.recount).into_iter().chain(unanswered).collect();
        *self = Self { recount, ..Self::default() };
    }

    pub fn recount(&mut self, id: ConversationId) {
        self.recount.insert(id);
    }
}

impl Engine {
    /// Asks for the difference at this time, or sooner where that was wanted.
    pub(crate) fn want_sync(&mut self, at: u64) {
        self.sync.wanted_at = Some(self.sync.wanted_at.map_or(at, |wanted| wanted.min(at)));
    }

    /// Nothing of what is held can be relied on: the next answer is a reset.
    pub(crate) fn start_over(&mut self, store: &mut dyn LocalStore) -> Stored<()> {
        let mut state = store.sync_state()?;
        (state.cursor, state.within) = (Some(START_OVER.to_owned()), false);
        store.put_sync_state(&state)
    }

    pub(crate) fn pump_sync(&mut self, store: &mut dyn LocalStore, now: Now) -> Stored<()> {
        let due = self.sync.wanted_at.is_some_and(|at| at <= now.mono_ms);
        if !self.link.is_open() || !self.sync.is_idle() || !due {
            return Ok(());
        }
        self.sync.wanted_at = None;
        let mut state = store.sync_state()?;
        let first = !state.within;
        if first {
            self.sync.is_of_this_connection = true;
            state.round += 1;
            self.round = state.round;
            store.put_sync_state(&state)?;
        }
        let mut have: Vec<Held> = store.touched(HAVE_MAX)?;
        let recount = std::mem::take(&mut self.sync.recount);
        have.retain(|held| !recount.contains(&held.id));
        let said = have.iter().map(|held| (held.id, *held)).collect();
        let request = SyncRequest {
            conversation_id: None,
            after_message_id: None,
            cursor: state.cursor,
            limit: None,
            have: Some(have),
        };
        let id = self.ask(now, Asked::Sync, ClientRequest::Sync(request));
        self.sync.flight = Some(Flight { id, recount, have: said, first, has_more: None });
        Ok(())
    }

    pub(crate) fn handle_difference(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        difference: Difference,
    ) -> Stored<()> {
        // A page that answers another request, or one that is here already, says nothing about this one.
        let awaited =
            |flight: &Flight| flight.has_more.is_none() && difference.request_id.is_none_or(|id| id == flight.id);
        let Some(flight) = self.sync.flight.clone().filter(awaited) else { return Ok(()) };
        let mut state = store.sync_state()?;
        if difference.reset {
            state.resetting = true;
            store.doubt_all()?;
        }
        if difference.reset || state.cursor.is_none() {
            // The log may know nothing of it. Nor is all that the first difference brings to be told: it is no news.
            self.lose_registration(store, &mut state)?;
        }
        let beyond = if flight.first { 0 } else { state.round };
        for told in difference.conversations {
            let id = told.conversation.id;
            let have = flight.have.get(&id).filter(|_| !difference.reset).copied();
            self.take_conversation(store, now, told, have, beyond)?;
        }
        for id in &difference.removed {
            self.remove_conversation(store, now, *id)?;
        }
        (state.cursor, state.epoch, state.within) =
            (Some(difference.cursor), Some(difference.epoch), difference.has_more);
        if !difference.has_more {
            if state.resetting && !self.has(Bug::ResetKeepsTheRest) {
                for id in store.doubted()? {
                    self.remove_conversation(store, now, id)?;
                }
            }
            state.resetting = false;
            let settled = state.round + i64::from(self.has(Bug::SettledTooMuch));
            store.settle_touched(settled)?;
            store.settle_taken_back(state.round)?;
        }
        store.put_sync_state(&state)?;
        if let Some(flight) = &mut self.sync.flight {
            flight.has_more = Some(difference.has_more);
        }
        Ok(())
    }

    pub(crate) fn sync_answered(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        result: Result<Answer, ApiError>,
    ) -> Stored<()> {
        let Some(flight) = self.sync.flight.take() else { return Ok(()) };
        match (result, flight.has_more) {
            (Ok(_), Some(has_more)) if has_more || !self.sync.is_of_this_connection => {
                self.sync.attempt = 0;
                self.want_sync(now.mono_ms);
                return self.pump_sync(store, now);
            }
            (Ok(_), Some(_)) => {
                self.sync.attempt = 0;
                self.link.caught_up();
                self.notice(Notice::Connection);
                let check = self.config.check_every_ms;
                let at = now.mono_ms.saturating_add(self.jitter.between(check - check / 10, check));
                self.want_sync(at);
                if !self.sync.recount.is_empty() || !self.gaps.is_empty() {
                    self.want_sync(now.mono_ms.saturating_add(self.config.gap_patience_ms));
                }
                self.intents_at.get_or_insert(now.mono_ms);
                // What was sent over an earlier connection has waited for this.
                self.pump_outbox_all(store, now)?;
            }
            (Ok(_), None) => self.sync_failed(now, None),
            (Err(error), _) => {
                self.sync.recount.extend(flight.recount);
                if error.code == ErrorCode::Invalid || error.code == ErrorCode::TooLarge {
                    self.start_over(store)?;
                }
                self.sync_failed(now, error.retry_after_ms);
            }
        }
        self.pump_sync(store, now)
    }

    fn sync_failed(&mut self, now: Now, retry_after_ms: Option<u64>) {
        self.sync.attempt = self.sync.attempt.saturating_add(1);
        let wait = backoff::retry_ms(self.sync.attempt, &mut self.jitter).max(retry_after_ms.unwrap_or(0));
        self.sync.wanted_at = Some(now.mono_ms.saturating_add(wait));
    }

    /// `beyond`: the round to note where the page stands beyond the cursor that its difference will end with; 0 where it does not.
    fn take_conversation(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        told: SyncConversation,
        have: Option<Held>,
        beyond: i64,
    ) -> Stored<()> {
        let SyncConversation { conversation: mut facts, messages, hole_before, stale_before } = told;
        let id = facts.id;
        let members = facts.members.take();
        let me = self.me;
        let mine = members.iter().flat_map(|all| all.iter()).find(|member| Some(member.user_id) == me);
        let before = store.conversation(id)?;
        let stays = |held: &LocalConversation| {
            !held.left && !held.doubted && mine.is_none_or(|mine| mine.joined_at == held.joined_at)
        };
        let held_before = before.as_ref().filter(|held| stays(held)).cloned();
        if before.is_some() && held_before.is_none() {
            store.clear_log(id)?;
            self.gaps.remove(&id);
            self.fills.remove(&id);
        }
        let known_to = known_to(held_before.as_ref(), have);
        let mut holes = store.holes(id)?;
        let holes_before = holes.clone();
        if let Some(before) = hole_before.filter(|_| !self.has(Bug::HoleForgotten)) {
            holes.add(known_to + 1, before - 1);
        }
        if let Some(before) = stale_before {
            holes.add(1, before - 1);
        }
        if holes != holes_before
            && let Some(fill) = self.fills.get_mut(&id)
        {
            fill.doubt();
        }
        if let Some(newer) = held_before.clone().filter(|held| held.rev > facts.rev) {
            return take_personal(store, newer, facts);
        }
        let mut held = merged(before, held_before.is_some(), &facts, mine);
        if held_before.is_none() && store.sync_state()?.registration != Registration::None {
            held.told_delivered = Some(0);
        }
        // The rows below belong to it.
        store.put_conversation(&held)?;
        for message in messages {
            let seq = message.seq;
            self.put_log_row(store, message)?;
            holes.remove(seq, seq);
        }
        self.take_members(store, &mut held, members.iter().flat_map(|all| all.iter()))?;
        store.put_holes(id, &holes)?;
        held.deleted_in_holes = deleted_in_holes(store, &held, &facts, &holes)?;
        if beyond > 0 {
            held.touched = beyond;
        }
        self.take_parked(store, now, &mut held)?;
        store.put_conversation(&held)?;
        if held.is_untold() {
            self.delivered_soon(now, &held);
        }
        self.changed(id);
        Ok(())
    }

    fn take_members<'a>(
        &mut self,
        store: &mut dyn LocalStore,
        held: &mut LocalConversation,
        members: impl Iterator<Item = &'a Member>,
    ) -> Stored<()> {
        for member in members {
            let newer = store.member(held.id, member.user_id)?.is_none_or(|before| before.rev <= member.rev);
            if newer {
                store.put_member(held.id, member)?;
                if self.is_mine(member.user_id) {
                    (held.delivered_seq, held.read_seq) = (member.delivered_seq, member.read_seq);
                    held.want_read =
                        if self.has(Bug::ReadGoesBack) { member.read_seq } else { held.want_read.max(member.read_seq) };
                }
            }
        }
        Ok(())
    }

    /// I am no member any more. What could not be sent stays, for the person to copy or discard.
    fn remove_conversation(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId) -> Stored<()> {
        let Some(mut held) = store.conversation(id)? else { return Ok(()) };
        self.gaps.remove(&id);
        self.fills.remove(&id);
        self.lanes.remove(&id);
        self.told.remove(&id);
        self.signs.forget_conversation(id);
        self.changed(id);
        let mut kept = false;
        for mut entry in store.outbox(id, self.config.outbox_len_max)? {
            if entry.op == Op::Send {
                kept = true;
                entry.parked.get_or_insert(ParkedReason {
                    code: ErrorCode::NotFound,
                    detail: "no longer a member of this conversation".to_owned(),
                });
                store.put_outbox(&entry)?;
            } else {
                store.delete_outbox(entry.id)?;
            }
        }
        if !kept {
            return store.delete_conversation(id);
        }
        store.clear_log(id)?;
        (held.rev, held.last_seq, held.read_seq, held.delivered_seq, held.want_read) = (0, 0, 0, 0, 0);
        (held.deleted_in_holes, held.touched, held.doubted, held.left) = (0, 0, false, true);
        held.told_delivered = None;
        held.last_message_at.get_or_insert(now.wall);
        store.put_conversation(&held)
    }
}

/// A page that was read before what has been heard since: only what has no `rev` is news in it.
fn take_personal(store: &mut dyn LocalStore, mut held: LocalConversation, facts: Conversation) -> Stored<()> {
    held.muted_until = facts.muted_until;
    held.hidden = facts.hidden && facts.last_seq == held.last_seq;
    held.peer = facts.peer;
    store.put_conversation(&held)
}

/// Up to here the server knew what is held.
fn known_to(held: Option<&LocalConversation>, have: Option<Held>) -> Seq {
    match (held, have) {
        (None, _) => 0,
        (Some(_), Some(have)) => have.last_seq,
        (Some(held), None) if held.touched == 0 => held.last_seq,
        // Heard of beyond the cursor and not said so: all that is held below a hole may have changed.
        (Some(_), None) => 0,
    }
}

/// The conversation after a page: the log's facts, and what this device adds to them.
fn merged(
    before: Option<LocalConversation>,
    stays: bool,
    facts: &Conversation,
    mine: Option<&Member>,
) -> LocalConversation {
    // What the person wrote or chose outlives another stay and another log; what was read does not.
    let draft = before.as_ref().map(|held| held.draft.clone()).unwrap_or_default();
    let want_muted = before.as_ref().and_then(|held| held.want_muted);
    let old = before.filter(|_| stays);
    let was = old.as_ref();
    LocalConversation {
        id: facts.id,
        kind: facts.kind,
        title: facts.title.clone(),
        created_at: facts.created_at,
        last_message_at: facts.last_message_at,
        my_role: facts.my_role,
        muted_until: facts.muted_until,
        hidden: facts.hidden,
        history_visibility: facts.history_visibility,
        peer: facts.peer.clone(),
        member_count: facts.member_count,
        joined_at: mine.map(|mine| mine.joined_at).or(was.map(|held| held.joined_at)).unwrap_or(facts.created_at),
        rev: facts.rev.max(was.map_or(0, |held| held.rev)),
        last_seq: facts.last_seq.max(was.map_or(0, |held| held.last_seq)),
        delivered_seq: was.map_or(0, |held| held.delivered_seq),
        read_seq: was.map_or(0, |held| held.read_seq),
        told_delivered: was.and_then(|held| held.told_delivered),
        want_read: was.map_or(0, |held| held.want_read),
        want_muted,
        deleted_in_holes: 0,
        touched: was.map_or(0, |held| held.touched),
        doubted: false,
        left: false,
        draft,
    }
}

/// The server counts what is unread; what it leaves out and is not held as deleted here is deleted in a hole.
fn deleted_in_holes(
    store: &mut dyn LocalStore,
    held: &LocalConversation,
    facts: &Conversation,
    holes: &Holes,
) -> Stored<Seq> {
    if held.rev != facts.rev || !holes.reach_above(held.read_seq) {
        return Ok(0);
    }
    let deleted = held.last_seq - held.read_seq - facts.unread_count;
    Ok((deleted - store.tombstones_above(held.id, held.read_seq)?).max(0))
}
