//! States one wants the log to have, whatever happened in between: watermarks and mutes. Only the last of each is told.
//!
//! A watermark is the person's, whichever device tells it. A device that the server notifies tells by itself too how far it has come ([`crate::push`]).

use tertulia_proto::request::{ClientRequest, MuteConversation, Receipt};
use tertulia_proto::{Answer, ApiError, ConversationId, Seq, Timestamp};

use crate::backoff;
use crate::engine::{Asked, Engine, Notice, Now};
use crate::planted::Bug;
use crate::store::{LocalConversation, LocalStore, Registration, Stored};

/// Conversations told at once; the rest follows with the next beat.
const TOLD_AT_ONCE: usize = 20;

/// How long until the rest follows.
const BEAT_MS: u64 = 100;

/// What this connection has told of a conversation, so that it is not told again before the log's answer is here.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    delivered: Seq,
    read: Seq,
    /// Told by this very device since it was registered for notifications.
    by_this_device: Seq,
    receipt_in_flight: bool,
    /// The server will know it of this very device when the receipt under way is acknowledged.
    counts: Option<Seq>,
    mute_in_flight: bool,
    /// The server will not have it: nothing more is told over this connection.
    refused: bool,
}

impl Told {
    /// The device is another one for the server.
    pub const fn forget_device(&mut self) {
        (self.by_this_device, self.counts) = (0, None);
    }
}

impl Engine {
    pub(crate) fn intents_soon(&mut self, now: Now, delay_ms: u64) {
        let at = now.mono_ms.saturating_add(delay_ms);
        self.intents_at = Some(self.intents_at.map_or(at, |due| due.min(at)));
    }

    /// In large groups later: each receipt is told to everybody.
    pub(crate) fn delivered_soon(&mut self, now: Now, held: &LocalConversation) {
        let members = u64::try_from(held.member_count.clamp(2, 1000)).unwrap_or(2) - 2;
        self.intents_soon(now, self.config.delivered_delay_ms.saturating_add(members.saturating_mul(10)));
    }

    pub(crate) fn pump_intents(&mut self, store: &mut dyn LocalStore, now: Now) -> Stored<()> {
        // Before the first difference of a connection it is not known whether the log is still the one that was read here.
        if !self.link.is_caught_up() || self.intents_at.is_none_or(|at| at > now.mono_ms) {
            return Ok(());
        }
        self.intents_at = None;
        let counts = store.sync_state()?.registration == Registration::Stands;
        let mut told = 0;
        for held in store.intents(self.told.len() + TOLD_AT_ONCE)? {
            if told >= TOLD_AT_ONCE {
                self.intents_soon(now, BEAT_MS);
                break;
            }
            told += usize::from(self.tell_watermarks(now, &held, counts)) + usize::from(self.tell_mute(now, &held));
        }
        Ok(())
    }

    /// `counts`: the server notes it of this very device.
    fn tell_watermarks(&mut self, now: Now, held: &LocalConversation, counts: bool) -> bool {
        let planted = self.has(Bug::ToldByAnother);
        let (delivered, read) = (held.last_seq.max(held.delivered_seq), held.want_read.max(held.read_seq));
        let told = self.told.entry(held.id).or_default();
        let known = (told.delivered.max(held.delivered_seq), told.read.max(held.read_seq));
        let is_untold = held.is_untold_above(told.by_this_device) && !planted;
        if told.receipt_in_flight || told.refused || (delivered <= known.0 && read <= known.1 && !is_untold) {
            return false;
        }
        (told.delivered, told.read, told.receipt_in_flight) = (delivered, read, true);
        (told.by_this_device, told.counts) = (delivered, counts.then_some(delivered));
        let receipt = Receipt {
            conversation_id: held.id,
            delivered_seq: Some(delivered),
            read_seq: Some(read).filter(|read| *read > held.read_seq),
        };
        self.ask(now, Asked::Receipt { conversation: held.id }, ClientRequest::Receipt(receipt));
        true
    }

    fn tell_mute(&mut self, now: Now, held: &LocalConversation) -> bool {
        let Some(until) = held.want_muted else { return false };
        let told = self.told.entry(held.id).or_default();
        if told.mute_in_flight || told.refused {
            return false;
        }
        told.mute_in_flight = true;
        let mute = MuteConversation { conversation_id: held.id, muted_until: until };
        let asked = Asked::Mute { conversation: held.id, until };
        self.ask(now, asked, ClientRequest::MuteConversation(mute));
        true
    }

    pub(crate) fn receipt_answered(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        result: Result<Answer, ApiError>,
    ) -> Stored<()> {
        let told = self.told.entry(id).or_default();
        told.receipt_in_flight = false;
        let counts = told.counts.take();
        match result {
            Ok(_) => {
                // More may have been read meanwhile.
                self.intents_soon(now, self.config.read_delay_ms);
                counts.map_or(Ok(()), |seq| note_told(store, id, seq))
            }
            Err(error) => {
                self.intent_refused(now, id, &error);
                Ok(())
            }
        }
    }

    pub(crate) fn mute_answered(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        until: Option<Timestamp>,
        result: Result<Answer, ApiError>,
    ) -> Stored<()> {
        self.told.entry(id).or_default().mute_in_flight = false;
        if let Err(error) = result {
            self.intent_refused(now, id, &error);
            return Ok(());
        }
        let Some(mut held) = store.conversation(id)? else { return Ok(()) };
        held.muted_until = until;
        if held.want_muted == Some(until) {
            held.want_muted = None;
        } else {
            self.intents_soon(now, 0);
        }
        self.notice(Notice::Conversation(id));
        store.put_conversation(&held)
    }

    fn intent_refused(&mut self, now: Now, id: ConversationId, error: &ApiError) {
        let told = self.told.entry(id).or_default();
        (told.delivered, told.read, told.by_this_device) = (0, 0, 0);
        if matches!(error.code.next_step(), tertulia_proto::error::NextStep::RetryAfter) {
            let wait = error.retry_after_ms.unwrap_or_else(|| backoff::retry_ms(1, &mut self.jitter));
            self.intents_soon(now, wait);
        } else {
            told.refused = true;
            self.want_sync(now.mono_ms);
        }
    }
}

fn note_told(store: &mut dyn LocalStore, id: ConversationId, seq: Seq) -> Stored<()> {
    let Some(mut held) = store.conversation(id)? else { return Ok(()) };
    if held.told_delivered.is_some_and(|mark| mark < seq) {
        held.told_delivered = Some(seq);
        store.put_conversation(&held)?;
    }
    Ok(())
}
