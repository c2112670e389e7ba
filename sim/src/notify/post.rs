//! What the world knows about notifications, beside and without the server's own tables: who registered what, what each device told, what providers were
//! asked and what they took, and who held which job. The checks are held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tertulia_proto::{ConversationId, Device, DeviceId, PushProvider, RegistrationId, Seq, Timestamp, UserId};
use tertulia_push::NotificationKind;
use tertulia_store::jobs::{JobId, WorkerId};
use tertulia_store::push::PushTarget;
use tertulia_store::{Store as _, Write};
use tertulia_store_sqlite::SqliteStore;

use super::snapshot::Snapshot;
use crate::planted::NotifyBug;
use crate::server::now_or_never;
use crate::webhooks::ledger::Hooks;

/// Conversations of one person that are looked at: no world has so many.
const ALL: usize = 1000;

/// A registration as its device knows it.
#[derive(Debug, Clone)]
pub struct Registered {
    pub user: UserId,
    pub token: String,
    pub provider: PushProvider,
    /// What it calls itself at the socket.
    pub client: Option<DeviceId>,
    pub shows_content: bool,
    /// The server sends there.
    pub is_on: bool,
    /// Where each conversation ended when it was switched on: what is above is to be told.
    pub since: BTreeMap<ConversationId, Seq>,
    /// What this very device has told to have got, and to have read.
    pub acked: BTreeMap<ConversationId, Seq>,
    pub read: BTreeMap<ConversationId, Seq>,
    /// When it was switched on: its app was open then, and took away what was not to be shown.
    pub opened: u64,
}

/// One time that a provider was asked.
#[derive(Debug, Clone)]
pub struct Ask {
    pub life: u64,
    pub registration: RegistrationId,
    pub conversation: ConversationId,
    pub kind: NotificationKind,
    pub seq: Seq,
    pub at: u64,
    /// The provider has it, whatever it says.
    pub is_accepted: bool,
    /// The provider has it, and does not bring it.
    pub is_lost: bool,
    /// What came of it is written down.
    pub is_noted: bool,
    /// Something stood between the provider and the note: a death, a lost lease, a late answer, a store that failed.
    pub is_excused: bool,
    /// The worker stood still between its look and this: what it knew may be of long ago, and its lease another's.
    pub is_late: bool,
}

/// Who holds a job.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub worker: WorkerId,
    pub attempt: i64,
    pub until: Timestamp,
}

#[derive(Default)]
pub struct Book {
    pub is_on: bool,
    pub is_faulty: bool,
    pub now: u64,
    pub bug: Option<NotifyBug>,
    /// `None`: the server is away.
    pub store: Option<Arc<SqliteStore>>,
    pub registered: BTreeMap<RegistrationId, Registered>,
    /// The same device under another token.
    pub heirs: BTreeMap<RegistrationId, RegistrationId>,
    /// Tokens that their providers know.
    pub valid: BTreeSet<String>,
    pub asks: Vec<Ask>,
    pub snapshots: BTreeMap<(u64, RegistrationId, ConversationId), Vec<Snapshot>>,
    /// Up to where the notes that were written down say that it was told.
    pub noted: BTreeMap<(RegistrationId, ConversationId), Seq>,
    pub leases: BTreeMap<JobId, Lease>,
    /// How often each life has stood still.
    pub stalls: BTreeMap<u64, u64>,
    /// Jobs by their keys whose provider refused for good.
    pub refused: BTreeSet<(RegistrationId, ConversationId)>,
    /// Up to there a person was once muted: what came before nobody has to tell them of.
    pub muted_to: BTreeMap<(UserId, ConversationId), Seq>,
    pub blocked: BTreeSet<(UserId, UserId)>,
    /// The same of whom they had blocked.
    pub blocked_to: BTreeMap<(UserId, UserId), BTreeMap<ConversationId, Seq>>,
    /// Other programs that are told.
    pub hooks: Hooks,
    pub broken: Option<String>,
    lines: Vec<String>,
}

#[derive(Default)]
pub struct Post(Mutex<Book>);

impl Post {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn say(&self, line: String) {
        self.book().lines.push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.book().lines)
    }

    /// The first broken promise counts; the others may follow from it.
    pub fn breaks(&self, what: impl FnOnce() -> String) {
        self.book().broken.get_or_insert_with(what);
    }

    /// A write of people's was committed.
    pub fn wrote(&self, write: &Write, store: &SqliteStore) -> Result<()> {
        match *write {
            Write::AdvanceWatermarks { conversation, actor, delivered, read, device: Some(device), .. } => {
                let last = end_of(store, actor, conversation)?;
                self.book().told(
                    actor,
                    device,
                    conversation,
                    delivered.map(|seq| seq.min(last)),
                    read.map(|seq| seq.min(last)),
                );
            }
            Write::SetMuted { conversation, actor, until } => {
                let last = end_of(store, actor, conversation)?;
                let to = if until.is_some() { Seq::MAX } else { last };
                self.book().muted_to.insert((actor, conversation), to);
            }
            Write::SetBlocked { actor, target, blocked, .. } => {
                let ends = ends_of(store, actor)?;
                let mut book = self.book();
                if blocked {
                    book.blocked.insert((actor, target));
                } else if book.blocked.remove(&(actor, target)) {
                    book.blocked_to.insert((actor, target), ends);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A registration was answered, or would have been.
    pub fn registered(&self, user: UserId, token: &str, device: &Device, store: &SqliteStore) -> Result<()> {
        let since = ends_of(store, user)?;
        let mut book = self.book();
        let same = |old: &Registered| {
            old.user == user
                && old.provider == device.provider
                && old.client.is_some()
                && old.client == device.device_id
        };
        let gone: Vec<RegistrationId> = book
            .registered
            .iter()
            .filter(|(id, old)| **id != device.id && (old.token == token || same(old)))
            .map(|(id, _)| *id)
            .collect();
        let mut fresh = Registered {
            user,
            token: token.to_owned(),
            provider: device.provider,
            client: device.device_id,
            shows_content: device.shows_content,
            is_on: true,
            since,
            acked: BTreeMap::new(),
            read: BTreeMap::new(),
            opened: book.now,
        };
        let known = book.registered.remove(&device.id);
        let is_new = known.is_none();
        if let Some(old) = known {
            (fresh.acked, fresh.read) = (old.acked, old.read);
            if old.is_on {
                (fresh.since, fresh.opened) = (old.since, old.opened);
            }
        }
        for id in gone {
            let Some(old) = book.registered.remove(&id) else { continue };
            if same(&old) {
                // Another token alone is no reason not to be told. One that was known by itself is told what came since it was.
                if is_new && old.is_on {
                    fresh.since.clone_from(&old.since);
                    fresh.opened = old.opened;
                }
                book.take_over(id, device.id, old, &mut fresh);
            }
        }
        book.registered.insert(device.id, fresh);
        Ok(())
    }

    /// The server forgot what came after the copy that it was put back from: so does everybody here.
    pub fn restored(&self, store: &Arc<SqliteStore>, people: &[UserId]) -> Result<()> {
        let mut registered = BTreeMap::new();
        let mut blocked = BTreeSet::new();
        for user in people {
            let since = ends_of(store, *user)?;
            let devices = now_or_never(store.push().devices(*user))??;
            for target in now_or_never(store.push().targets(*user))?? {
                let client =
                    devices.iter().find(|device| device.id == target.registration).and_then(|one| one.device_id);
                registered.insert(target.registration, as_known(target, client, since.clone()));
            }
            let who = now_or_never(store.blocked(*user, ALL))??;
            blocked.extend(who.into_iter().map(|other| (*user, other.id)));
        }
        let mut book = self.book();
        // What was muted before stays excused: the copy may be of a moment at which it was.
        book.muted_to.values_mut().for_each(|to| *to = Seq::MAX);
        book.asks.clear();
        book.snapshots.clear();
        book.noted.clear();
        book.leases.clear();
        book.heirs.clear();
        (book.registered, book.blocked) = (registered, blocked);
        Ok(())
    }
}

impl Book {
    fn told(&mut self, user: UserId, device: DeviceId, id: ConversationId, delivered: Option<Seq>, read: Option<Seq>) {
        let of_it = |one: &&mut Registered| one.user == user && one.client == Some(device);
        for registered in self.registered.values_mut().filter(of_it) {
            let acked = registered.acked.entry(id).or_default();
            *acked = (*acked).max(delivered.max(read).unwrap_or(0));
            let mine = registered.read.entry(id).or_default();
            *mine = (*mine).max(read.unwrap_or(0));
        }
    }

    /// What the device was told and told under its other token.
    fn take_over(&mut self, from: RegistrationId, to: RegistrationId, old: Registered, fresh: &mut Registered) {
        let onto = |into: &mut BTreeMap<ConversationId, Seq>, from: BTreeMap<ConversationId, Seq>| {
            for (id, seq) in from {
                let here = into.entry(id).or_default();
                *here = (*here).max(seq);
            }
        };
        onto(&mut fresh.acked, old.acked);
        onto(&mut fresh.read, old.read);
        self.heirs.insert(from, to);
        let noted: Vec<_> =
            self.noted.iter().filter(|((id, _), _)| *id == from).map(|((_, c), seq)| (*c, *seq)).collect();
        for (conversation, seq) in noted {
            let here = self.noted.entry((to, conversation)).or_default();
            *here = (*here).max(seq);
        }
    }

    /// The registration that a device has by now.
    pub fn heir(&self, mut registration: RegistrationId) -> RegistrationId {
        while let Some(heir) = self.heirs.get(&registration) {
            registration = *heir;
        }
        registration
    }

    /// Whatever a life had begun may be done again by another.
    pub fn excuse(&mut self, life: u64) {
        self.hooks.excuse(life, None);
        self.asks.iter_mut().filter(|ask| ask.life == life && !ask.is_noted).for_each(|ask| ask.is_excused = true);
    }

    /// Longer than its leases, mostly.
    pub fn stood_still(&mut self, life: u64) {
        *self.stalls.entry(life).or_default() += 1;
        self.excuse(life);
    }

    pub fn stalls_of(&self, life: u64) -> u64 {
        self.stalls.get(&life).copied().unwrap_or(0)
    }

    pub fn clients_of(&self, user: UserId) -> impl Iterator<Item = DeviceId> {
        self.registered.values().filter(move |one| one.user == user).filter_map(|one| one.client)
    }

    /// Under which registration a worker's life has looked whether to tell that token: it may be another's by now.
    pub fn looked_for(&self, life: u64, conversation: ConversationId, token: &str) -> Option<RegistrationId> {
        let is_it = |(key, looks): &(&(u64, _, _), &Vec<Snapshot>)| {
            (key.0, key.2) == (life, conversation) && looks.iter().any(|look| look.registered.token == token)
        };
        let latest = self.snapshots.iter().filter(is_it).max_by_key(|(key, _)| self.registered.contains_key(&key.1));
        latest.map(|(key, _)| key.1)
    }

    pub fn by_token(&self, token: &str) -> Option<RegistrationId> {
        self.registered.iter().find(|(_, one)| one.token == token).map(|(id, _)| *id)
    }
}

fn as_known(target: PushTarget, client: Option<DeviceId>, since: BTreeMap<ConversationId, Seq>) -> Registered {
    Registered {
        user: target.user,
        token: target.token,
        provider: target.provider,
        client,
        shows_content: target.shows_content,
        is_on: true,
        since,
        acked: BTreeMap::new(),
        read: BTreeMap::new(),
        opened: 0,
    }
}

/// Where each of a person's conversations ends, the hidden ones too.
pub fn ends_of(store: &SqliteStore, user: UserId) -> Result<BTreeMap<ConversationId, Seq>> {
    let all = now_or_never(store.memberships(user))??;
    all.into_iter().map(|id| Ok((id, end_of(store, user, id)?))).collect()
}

fn end_of(store: &SqliteStore, user: UserId, id: ConversationId) -> Result<Seq> {
    Ok(now_or_never(store.conversation(user, id))??.map_or(0, |held| held.last_seq))
}
