//! What was so at the moment at which a worker read everything: taken by other questions than the worker's own.

use anyhow::Result;
use tertulia_proto::{ConversationId, Message, RegistrationId, Seq, Timestamp, UserId};
use tertulia_store::Store as _;
use tertulia_store::push::Occasion;
use tertulia_store_sqlite::SqliteStore;

use super::post::{Post, Registered};
use crate::server::now_or_never;

#[derive(Debug, Clone)]
pub struct Snapshot {
    pub at: Timestamp,
    pub registered: Registered,
    /// `None`: no member.
    pub place: Option<Place>,
    pub blocked: Vec<UserId>,
    /// The newest that the worker was told of, as the person would see it.
    pub message: Option<Message>,
    pub badge: i64,
    /// Up to there it was told, by what was written down.
    pub noted: Seq,
    pub in_quiet_hours: bool,
    /// How often its worker had stood still.
    pub stalls: u64,
}

#[derive(Debug, Clone)]
pub struct Place {
    pub read: Seq,
    /// On any device.
    pub delivered: Seq,
    pub is_muted: bool,
}

/// Kept of each device and conversation: two jobs of one key may run at once.
const KEPT: usize = 4;

impl Post {
    pub fn look(
        &self,
        life: u64,
        store: &SqliteStore,
        (registration, conversation): (RegistrationId, ConversationId),
        told: Option<&Occasion>,
        now: Timestamp,
    ) -> Result<()> {
        let (registered, noted) = {
            let book = self.book();
            let noted = book.noted.get(&(registration, conversation)).copied().unwrap_or(0);
            (book.registered.get(&registration).cloned(), noted)
        };
        let Some(registered) = registered else { return Ok(()) };
        let user = registered.user;
        let is_muted = |until: Option<Timestamp>| until.is_some_and(|until| until > now);
        let all = now_or_never(store.conversations(user, None, 1000))??.conversations;
        let counts = all.iter().filter(|one| !one.hidden && !is_muted(one.muted_until));
        let badge = counts.map(|one| one.unread_count).sum();
        let held = now_or_never(store.conversation(user, conversation))??;
        let place = held.and_then(|held| {
            let me = held.members.as_deref()?.iter().find(|member| member.user_id == user)?.clone();
            Some(Place { read: me.read_seq, delivered: me.delivered_seq, is_muted: is_muted(held.muted_until) })
        });
        let message = match told.and_then(|told| told.unseen.first()) {
            Some(newest) => now_or_never(store.message(user, conversation, newest.id))??,
            None => None,
        };
        let hours = now_or_never(store.push().quiet_hours(user))??;
        let in_quiet_hours = hours.is_some_and(|hours| covers(&hours.from, &hours.to, now));
        let mut book = self.book();
        let blocked = book.blocked.iter().filter(|(who, _)| *who == user).map(|(_, whom)| *whom).collect();
        let stalls = book.stalls_of(life);
        let kept = book.snapshots.entry((life, registration, conversation)).or_default();
        kept.push(Snapshot { at: now, registered, place, blocked, message, badge, noted, in_quiet_hours, stalls });
        if kept.len() > KEPT {
            kept.remove(0);
        }
        Ok(())
    }
}

/// Hours of a day in UTC, the only zone of these worlds.
fn covers(from: &str, to: &str, now: Timestamp) -> bool {
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':').unwrap_or(("0", "0"));
        60 * hours.parse::<i64>().unwrap_or(0) + minutes.parse::<i64>().unwrap_or(0)
    };
    let (from, to, here) = (minutes(from), minutes(to), now.ms().div_euclid(60_000).rem_euclid(24 * 60));
    if from < to { (from..to).contains(&here) } else { here >= from || here < to }
}
