//! Who is notified where: registered devices, how far each has come, and what was sent to it. What is decided on these facts is decided elsewhere.
//!
//! A message queues a `notify` job for its conversation. That one looks who may need a notification ([`PushBook::audience`]) and queues a job for each
//! device and conversation; and this one reads everything anew when it runs ([`PushBook::occasion`]), so what was read, muted or deleted meanwhile is
//! not told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tertulia_proto::{
    ConversationId, ConversationKind, Device, DeviceId, MessageId, Platform, PushProvider, QuietHours, RegistrationId,
    Seq, SessionId, Timestamp, UserId,
};

use crate::Reading;

/// The kind of the job that a message queues; its key is the conversation's id.
pub const NOTIFY: &str = "notify";

/// Messages that an [`Occasion`] bears, the newest: more than a conversation takes while a message waits for its receipt.
pub const UNSEEN_MAX: usize = 30;

/// Rows of one page of an audience.
pub const AUDIENCE_MAX: usize = 400;

/// Bytes of what is kept of an attempt's answer.
pub const DETAIL_MAX_BYTES: usize = 200;

/// Attempts that are kept of one message at one device, the latest.
pub const ATTEMPTS_MAX: usize = 20;

/// Attempts that are told of one message.
pub const ATTEMPTS_TOLD_MAX: usize = 200;

/// Of the attempts from a message on, so many are looked through.
pub const ATTEMPTS_READ_MAX: usize = 2_000;

/// Where counting ends, of the unread sum and of what a device has not seen.
pub const BADGE_MAX: i64 = 9_999;

/// A device to be registered.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRegistration {
    /// Its own, where token and client device are new.
    pub id: RegistrationId,
    pub user: UserId,
    /// The sign-in that registers it, or the API key, by its id: the registration goes when that one ends. That of a host app's token is kept nowhere
    /// before it is ended.
    pub session: Option<SessionId>,
    pub device: Option<DeviceId>,
    pub provider: PushProvider,
    pub platform: Platform,
    pub token: String,
    pub app_version: Option<String>,
    pub user_agent: Option<String>,
    pub shows_content: bool,
    /// The person's registrations beyond so many go, those that were registered longest ago.
    pub per_user_max: usize,
    pub now: Timestamp,
}

/// Whoever has a token can notify the device: it belongs in no log.
impl fmt::Debug for NewRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRegistration").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

impl NewRegistration {
    /// What is answered where the session has ended meanwhile.
    pub fn of_ended_session(&self) -> Device {
        Device {
            id: self.id,
            platform: self.platform,
            provider: self.provider,
            app_version: self.app_version.clone(),
            user_agent: self.user_agent.clone(),
            device_id: self.device,
            shows_content: self.shows_content,
            created_at: self.now,
            registered_at: self.now,
            active: false,
            failure: Some("the session has ended".to_owned()),
        }
    }
}

/// By what a token is found: tokens are longer than an index's keys may be.
pub fn token_hash(provider: PushProvider, token: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(provider.as_str());
    hash.update([0]);
    hash.update(token);
    hash.finalize().into()
}

/// One of a person's registrations.
#[derive(Clone, PartialEq, Eq)]
pub enum WhichDevice {
    Id(RegistrationId),
    /// Of whichever provider.
    Token(String),
}

impl fmt::Debug for WhichDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.debug_tuple("Id").field(id).finish(),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// How far one device of one member has come in one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    pub user: UserId,
    pub registration: RegistrationId,
    pub provider: PushProvider,
    /// Messages up to here are not for this member.
    pub visible_after_seq: Seq,
    /// Read on whichever device.
    pub read_seq: Seq,
    /// What has reached this device; of one that does not say which it is, what has reached any of the person's.
    pub delivered_seq: Seq,
    /// Up to here it was notified.
    pub pushed_seq: Seq,
    /// Up to here its notifications were taken away again.
    pub withdrawn_seq: Seq,
    pub muted_until: Option<Timestamp>,
    /// No member any longer: nothing there is for this person to see, nor what was shown of it.
    pub has_left: bool,
}

impl Seat {
    /// Above it are the messages that have neither been read nor reached the device, by a socket or as a notification.
    pub fn seen_seq(&self) -> Seq {
        self.read_seq.max(self.delivered_seq).max(self.pushed_seq).max(self.visible_after_seq)
    }
}

/// A page of those who may need a notification: members with registered devices that have not seen the conversation's end, in order of registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    pub last_seq: Seq,
    pub seats: Vec<Seat>,
    /// The page after it begins above this one; `None` at the end.
    pub next: Option<RegistrationId>,
}

/// A message that the device has not seen. Neither the person's own, nor deleted, nor of somebody they blocked.
#[derive(Clone, PartialEq, Eq)]
pub struct Unseen {
    pub id: MessageId,
    pub seq: Seq,
    pub sender: UserId,
    pub sender_name: String,
    pub body: String,
    pub created_at: Timestamp,
}

impl fmt::Debug for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unseen").field("id", &self.id).field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// Where a notification goes.
#[derive(Clone, PartialEq, Eq)]
pub struct PushTarget {
    pub registration: RegistrationId,
    pub user: UserId,
    pub provider: PushProvider,
    pub platform: Platform,
    pub token: String,
    pub shows_content: bool,
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTarget").field("registration", &self.registration).finish_non_exhaustive()
    }
}

/// What a conversation is called, and how many are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushPlace {
    pub kind: ConversationKind,
    pub title: Option<String>,
    pub member_count: i64,
}

/// All that is known, in one snapshot, when a device may have to be told of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    pub target: PushTarget,
    pub conversation: ConversationId,
    pub place: PushPlace,
    /// `None`: never a member.
    pub seat: Option<Seat>,
    /// Newest first, at most [`UNSEEN_MAX`]; none of whoever has left.
    pub unseen: Vec<Unseen>,
    /// All of them; at most [`BADGE_MAX`].
    pub unseen_count: i64,
    /// What is unread in all the person's conversations that are neither muted nor hidden, as an app adds it up; at most [`BADGE_MAX`].
    pub badge: i64,
    pub quiet_hours: Option<QuietHours>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushOutcome {
    Accepted,
    /// Taken away again.
    Withdrawn,
    /// Will be tried again, or is to be when the owner has mended what is wrong with us.
    Failed,
    /// Will not: as often in a row as [`REFUSALS_MAX`], and the device is switched off.
    Refused,
    /// The token was no longer valid: the device is switched off.
    Unregistered,
}

impl PushOutcome {
    pub const fn number(self) -> i64 {
        match self {
            Self::Accepted => 0,
            Self::Withdrawn => 1,
            Self::Failed => 2,
            Self::Refused => 3,
            Self::Unregistered => 4,
        }
    }

    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Accepted),
            1 => Some(Self::Withdrawn),
            2 => Some(Self::Failed),
            3 => Some(Self::Refused),
            4 => Some(Self::Unregistered),
            _ => None,
        }
    }
}

/// What came of an attempt to notify a device of a conversation up to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushNote {
    pub registration: RegistrationId,
    pub conversation: ConversationId,
    /// The newest message that it spoke of.
    pub seq: Seq,
    pub outcome: PushOutcome,
    /// The provider's name for it, or the reason. Neither token nor content; cut at [`DETAIL_MAX_BYTES`].
    pub detail: String,
    pub at: Timestamp,
}

/// A device whose provider refuses so many notifications in a row, whatever is in them, gets no more until it registers again.
pub const REFUSALS_MAX: i64 = 5;

/// What some notes say of how often in a row a device was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    pub registration: RegistrationId,
    /// Something was accepted before these: they are counted anew.
    pub anew: bool,
    /// In a row, to the end of the notes.
    pub more: i64,
    /// Of the last one, and what the device is switched off for where that is one too many.
    pub at: Timestamp,
    pub failure: String,
}

/// One for each device that was answered for good, in order of their ids.
pub fn refusals(notes: &[PushNote]) -> Vec<Refusals> {
    let mut all: BTreeMap<RegistrationId, Refusals> = BTreeMap::new();
    for note in notes {
        let (registration, at) = (note.registration, note.at);
        let fresh = || Refusals { registration, anew: false, more: 0, at, failure: String::new() };
        match note.outcome {
            PushOutcome::Accepted | PushOutcome::Withdrawn => {
                all.insert(registration, Refusals { anew: true, ..fresh() });
            }
            PushOutcome::Refused => {
                let one = all.entry(registration).or_insert_with(fresh);
                (one.more, one.at) = (one.more + 1, at);
                one.failure = kept_detail(&format!("refused {REFUSALS_MAX} times in a row: {}", note.detail));
            }
            PushOutcome::Failed | PushOutcome::Unregistered => {}
        }
    }
    all.into_values().collect()
}

/// The beginning of a reason that is kept, cut at a character within [`DETAIL_MAX_BYTES`].
pub fn kept_detail(detail: &str) -> String {
    let mut end = detail.len().min(DETAIL_MAX_BYTES);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    // Text of PostgreSQL can't hold it.
    detail[..end].replace('\0', "")
}

/// An attempt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAttempt {
    pub registration: RegistrationId,
    /// `None` where the device is gone.
    pub user: Option<UserId>,
    pub provider: Option<PushProvider>,
    pub seq: Seq,
    pub outcome: PushOutcome,
    pub detail: String,
    pub at: Timestamp,
}

/// A notification that a provider has taken, and by which it can be asked what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub registration: RegistrationId,
    /// Of the token that it was sent to.
    pub token_hash: [u8; 32],
    pub conversation: ConversationId,
    pub seq: Seq,
    /// The provider's name for it.
    pub name: String,
}

/// Tickets that are told in one call.
pub const TICKETS_MAX: usize = 10_000;

/// Each device's first one.
pub fn one_for_each(mut tickets: Vec<Ticket>) -> Vec<Ticket> {
    let mut known = BTreeSet::new();
    tickets.retain(|ticket| known.insert(ticket.registration));
    tickets
}

/// Quiet hours as a home keeps them.
pub fn stored_quiet_hours(hours: Option<&QuietHours>) -> Option<String> {
    hours.and_then(|hours| serde_json::to_string(hours).ok())
}

pub fn quiet_hours_of(stored: Option<&str>) -> serde_json::Result<Option<QuietHours>> {
    stored.map(serde_json::from_str).transpose()
}

/// What is told of a message, of attempts that spoke of it or of a later one: each device's up to the one by which it learned of it, in order of time.
pub fn covering(mut attempts: Vec<PushAttempt>) -> Vec<PushAttempt> {
    attempts.sort_by_key(|attempt| (attempt.at, attempt.seq));
    let mut knows = BTreeSet::new();
    attempts.retain(|attempt| {
        let is_told = !knows.contains(&attempt.registration);
        if attempt.outcome == PushOutcome::Accepted {
            knows.insert(attempt.registration);
        }
        is_told
    });
    attempts.truncate(ATTEMPTS_TOLD_MAX);
    attempts
}

/// The devices, and what they were told. Each change is one transaction, durable when it answers.
pub trait PushBook: Send + Sync {
    /// Makes or renews the registration of the token, which is nobody else's from then on. Where it was another person's, what it was told and got
    /// is forgotten. Where the same client device is registered with another token of the provider, it is that registration, with this token from now on: what
    /// is queued for it goes there. Only where this token is registered already does that registration go, and this one has been told what that one was.
    ///
    /// A session that has ended registers nothing: the answer is a device that is not kept, and not active.
    fn register(&self, new: NewRegistration) -> Reading<'_, Device>;
    /// Whether there was such a one of this person.
    fn unregister(&self, user: UserId, which: WhichDevice) -> Reading<'_, bool>;
    /// The person's, newest registration first.
    fn devices(&self, user: UserId) -> Reading<'_, Vec<Device>>;
    /// Where to notify a person: their active devices.
    fn targets(&self, user: UserId) -> Reading<'_, Vec<PushTarget>>;
    /// Nothing is sent there until it is registered again. Only if it is on, and its token is still the one that failed: whether it was so.
    fn switch_off(
        &self,
        registration: RegistrationId,
        token_hash: [u8; 32],
        reason: String,
        at: Timestamp,
    ) -> Reading<'_, bool>;
    /// `None` where there is no such conversation. `above`: the last registration of the page before.
    fn audience(&self, conversation: ConversationId, above: Option<RegistrationId>) -> Reading<'_, Option<Audience>>;
    /// `None` where the device or the conversation is gone, or the device is switched off. `now` is for mutes that have ended.
    fn occasion(
        &self,
        registration: RegistrationId,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Reading<'_, Option<Occasion>>;
    /// Keeps the attempts, also of devices that have gone meanwhile; what was accepted moves `pushed_seq`, what was withdrawn `withdrawn_seq`, both
    /// forward only. A device that was refused [`REFUSALS_MAX`] times in a row is switched off. At most [`crate::jobs::JOBS_PER_CALL_MAX`] in one call.
    fn note_pushes(&self, notes: Vec<PushNote>) -> Reading<'_, ()>;
    /// What became of a message's notifications: each device's attempts that spoke of it or of a later one, up to and including the first that was
    /// accepted, because that one told of it. In order of time, at most [`ATTEMPTS_TOLD_MAX`] of the [`ATTEMPTS_READ_MAX`] nearest to it.
    fn push_attempts(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Vec<PushAttempt>>;
    /// What the provider took from `since` on and before `until`: of each active device the latest ticket, where it has not registered again since then. Newest
    /// first, of the [`TICKETS_MAX`] latest.
    fn tickets(&self, provider: PushProvider, since: Timestamp, until: Timestamp) -> Reading<'_, Vec<Ticket>>;
    /// Work of the clean-up: attempts made before `at`, at most `limit`. How many are gone.
    fn forget_attempts(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;
    /// Work of the clean-up: devices that were registered by what is known to be over, at most `limit`: a session that was ended or expired before `at`, or
    /// an API key that was revoked. Of a host app's tokens there is no session: that none is known says nothing. How many are gone.
    fn forget_devices(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;
    fn quiet_hours(&self, user: UserId) -> Reading<'_, Option<QuietHours>>;
    fn set_quiet_hours(&self, user: UserId, hours: Option<QuietHours>) -> Reading<'_, ()>;
}

/// What a job of [`PushProvider::job_kind`] says. Its key is [`push_key`]: one waits for each device and conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushJob {
    pub registration: RegistrationId,
    pub conversation_id: ConversationId,
}

/// The registration's 16 bytes, then the conversation's.
pub fn push_key(job: &PushJob) -> Vec<u8> {
    let mut key = job.registration.as_bytes().to_vec();
    key.extend_from_slice(job.conversation_id.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(device: u8, seq: Seq, at: i64, outcome: PushOutcome) -> PushAttempt {
        let (registration, at) = (RegistrationId::from_bytes([device; 16]), Timestamp::from_ms(at));
        PushAttempt { registration, user: None, provider: None, seq, outcome, detail: String::new(), at }
    }

    #[test]
    fn refusals_count_in_a_row() {
        use PushOutcome::{Accepted, Failed, Refused, Withdrawn};
        let note = |device: u8, outcome| PushNote {
            registration: RegistrationId::from_bytes([device; 16]),
            conversation: ConversationId::from_bytes([9; 16]),
            seq: 1,
            outcome,
            detail: "bad".into(),
            at: Timestamp::from_ms(1),
        };
        let counted = |notes: &[(u8, PushOutcome)]| {
            let notes: Vec<_> = notes.iter().map(|(device, outcome)| note(*device, *outcome)).collect();
            let all = refusals(&notes).into_iter();
            all.map(|one| (one.registration.as_bytes()[0], one.anew, one.more)).collect::<Vec<_>>()
        };
        assert_eq!(counted(&[(1, Failed)]), []);
        assert_eq!(counted(&[(2, Refused), (1, Refused), (1, Failed), (1, Refused)]), [(1, false, 2), (2, false, 1)]);
        assert_eq!(counted(&[(1, Refused), (1, Accepted), (1, Refused)]), [(1, true, 1)]);
        assert_eq!(counted(&[(1, Refused), (1, Withdrawn)]), [(1, true, 0)]);
    }

    #[test]
    fn a_message_is_told_of_until_a_notification_covered_it() {
        use PushOutcome::{Accepted, Failed, Withdrawn};
        let told = covering(vec![
            attempt(1, 7, 10, Failed),
            attempt(2, 7, 11, Failed),
            attempt(1, 8, 30, Accepted),
            attempt(1, 8, 40, Withdrawn),
            attempt(2, 9, 20, Failed),
            attempt(1, 9, 50, Accepted),
        ]);
        let told: Vec<(u8, i64)> = told.iter().map(|one| (one.registration.as_bytes()[0], one.at.ms())).collect();
        assert_eq!(told, [(1, 10), (2, 11), (2, 20), (1, 30)]);
        assert_eq!(covering((0..300).map(|n| attempt(1, 1, n, Failed)).collect()).len(), ATTEMPTS_TOLD_MAX);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(kept_detail("a\0b"), "ab");
        let kept = kept_detail(&format!("n{}", "ö".repeat(200)));
        assert_eq!(kept.len(), DETAIL_MAX_BYTES - 1);
    }
}
