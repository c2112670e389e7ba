//! Replicas that are read from: which of them are well, and one lookup at one of them.
//!
//! Whatever a replica says is checked against what the primary said before ([`Warrant`]); so nothing here has to be right for an answer to be, only for it
//! to be quick. One task looks at all of them now and then. A replica that does not answer, is too far behind, or is of another log is left out at once,
//! and looked at more and more seldom until it is well; who has asked it meanwhile is answered by the primary.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;

use crate::Options;
use crate::connect::Target;
use crate::error::{Fault, Sql};
use crate::read::warrant::Warrant;
use crate::readers::{Readers, Times};
use crate::rows::at;
use crate::schema::OpenError;
use crate::session::Session;

/// How long a lookup may be about a replica before the primary is asked. By the replica's own clock a statement ends earlier than by ours, so that one that
/// is slow can be told from one that hangs.
fn times(deadline: Duration) -> Times {
    Times { queue: deadline / 2, connect: deadline / 2, lookup: deadline, statement: deadline * 4 / 5 }
}

/// The longest pause before a replica is looked at again, in usual ones. One that has been well for so long begins with the shortest again.
const PAUSE_MAX: u32 = 32;

/// Where the primary was at earlier looks, kept for a replica that is behind. The oldest say how far; the newest are thinned out beyond this.
const SAMPLES_MAX: usize = 64;

/// Why the primary answered what a replica was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// It had not got yet what the answer had to hold, or, more seldom, had more already. It goes on being asked.
    Behind,
    /// It stopped the lookup by itself, for taking long or being in the way of what it has to follow. It goes on being asked.
    Cancelled,
    /// No connection came about in time.
    Unreachable,
    /// It has not answered in time.
    Silent,
    /// It is no replica of this log, or of what this log was before.
    OtherLog,
    Failed,
}

impl Fallback {
    pub const ALL: [Self; 6] =
        [Self::Behind, Self::Cancelled, Self::Unreachable, Self::Silent, Self::OtherLog, Self::Failed];

    /// For metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Cancelled => "cancelled",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::OtherLog => "other_log",
            Self::Failed => "failed",
        }
    }

    fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Behind => Self::Behind,
            Fault::NoConnection(_) | Fault::Unavailable(_) => Self::Unreachable,
            Fault::Late | Fault::Silent => Self::Silent,
            Fault::OtherHistory => Self::OtherLog,
            Fault::Database(error) => match error.code() {
                // A conflict with what is to be replayed is told as the first.
                Some(code) if [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::QUERY_CANCELED].contains(&code) => {
                    Self::Cancelled
                }
                Some(_) => Self::Failed,
                None => Self::Unreachable,
            },
            Fault::Corrupt(_) => Self::Failed,
        }
    }

    const fn is_left_out(self) -> bool {
        !matches!(self, Self::Behind | Self::Cancelled)
    }
}

/// What is known of one replica, in the order of [`Options::replicas`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplicaState {
    /// Whether it is read from.
    pub is_used: bool,
    /// For how long the primary has been beyond what the replica shows, in milliseconds; 0 where it is not. Of one that does not answer, since it last did.
    pub lag_ms: u64,
    /// Lookups that it has answered.
    pub reads: u64,
    /// Why it is not read from, where it answers and it was found out.
    pub complaint: Option<&'static str>,
}

/// Where a server is in the log of its changes, and of which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    is_replica: bool,
    lsn: i64,
    system: i64,
    epoch: uuid::Uuid,
    generation: i64,
}

/// Of the primary what it has written; of a replica what it shows.
const STANDING: &str =
    "SELECT r.is, (CASE WHEN r.is THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,
        (SELECT c.system_identifier FROM pg_control_system() c), l.epoch, l.generation
     FROM log_state l, (SELECT pg_is_in_recovery() AS is) r";

async fn standing(readers: &Arc<Readers>) -> Sql<Standing> {
    let look = |session: Arc<Session>| async move {
        let row = session.opt(STANDING, &[]).await?.ok_or(Fault::OtherHistory)?;
        let (lsn, system): (Option<i64>, i64) = (at(&row, 1)?, at(&row, 2)?);
        let (epoch, generation) = (at(&row, 3)?, at(&row, 4)?);
        Ok(Standing { is_replica: at(&row, 0)?, lsn: lsn.unwrap_or(0), system, epoch, generation })
    };
    Arc::clone(readers).read(look).await
}

struct Health {
    is_used: bool,
    /// How often it was left out, ever: what was asked before says nothing afterwards.
    falls: u64,
    /// Looks in a row that have found it away.
    failures: u32,
    used_since: Option<Instant>,
    look_at: Option<Instant>,
    complaint: Option<&'static str>,
    lag: Duration,
    /// Where the primary was, and when, which the replica has not been seen to show.
    unreached: VecDeque<(Instant, i64)>,
    shown: i64,
}

pub(crate) struct Replica {
    /// From 1.
    number: usize,
    readers: Arc<Readers>,
    health: Mutex<Health>,
    reads: AtomicU64,
    fallbacks: Arc<[AtomicU64; 6]>,
    check_every: Duration,
}

impl Replica {
    /// `None` where the primary has to be asked.
    pub async fn read<T, F, R>(&self, warrant: Warrant, lookup: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        let falls = self.health.lock().falls;
        let both = move |session: Arc<Session>| async move {
            warrant.holds_at(&session).await?;
            lookup(session).await
        };
        match Arc::clone(&self.readers).read(both).await {
            Ok(found) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                Some(found)
            }
            Err(fault) => {
                let why = Fallback::of(&fault);
                self.fallbacks[why as usize].fetch_add(1, Ordering::Relaxed);
                tracing::debug!(replica = self.number, %fault, "the primary answers instead");
                if why.is_left_out() {
                    self.leave_out(falls, &fault);
                }
                None
            }
        }
    }

    fn leave_out(&self, falls: u64, fault: &Fault) {
        let mut health = self.health.lock();
        // Many may find it out together, and it counts once.
        if health.falls == falls && health.is_used {
            health.fall(self.check_every);
            drop(health);
            tracing::warn!(replica = self.number, %fault, "a replica is left out");
        }
    }

    /// Looks how it is, after the primary was seen where it was.
    async fn look(&self, primary: &Standing, seen_at: Instant, lag_max: Duration) {
        let falls = {
            let mut health = self.health.lock();
            health.note(primary.lsn, seen_at);
            if health.look_at.is_some_and(|at| instant() < at) {
                return;
            }
            health.falls
        };
        let found = standing(&self.readers).await;
        let mut health = self.health.lock();
        let was_used = health.is_used;
        match &found {
            Ok(found) => health.judge(primary, found, lag_max, falls, self.check_every),
            Err(_) => health.fall(self.check_every),
        }
        let (is_used, why, lag_ms) = (health.is_used, health.complaint, millis(health.lag));
        drop(health);
        let fault = found.err().map(|fault| fault.to_string());
        match (was_used, is_used) {
            (true, false) => tracing::warn!(replica = self.number, why, fault, lag_ms, "a replica is left out"),
            (false, true) => tracing::info!(replica = self.number, "a replica is read from"),
            (false, false) => tracing::debug!(replica = self.number, why, fault, lag_ms, "a replica stays out"),
            (true, true) => {}
        }
    }

    fn state(&self) -> ReplicaState {
        let health = self.health.lock();
        let reads = self.reads.load(Ordering::Relaxed);
        ReplicaState { is_used: health.is_used, lag_ms: millis(health.lag), reads, complaint: health.complaint }
    }
}

impl Health {
    const fn new() -> Self {
        Self {
            is_used: false,
            falls: 0,
            failures: 0,
            used_since: None,
            look_at: None,
            complaint: None,
            lag: Duration::ZERO,
            unreached: VecDeque::new(),
            shown: 0,
        }
    }

    /// It is away: left out, and looked at after a pause that is twice the last one.
    fn fall(&mut self, check_every: Duration) {
        (self.is_used, self.used_since, self.complaint) = (false, None, None);
        self.falls += 1;
        let pause = (1_u32 << self.failures.min(31)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.look_at = Some(instant() + check_every * pause);
    }

    fn note(&mut self, lsn: i64, seen_at: Instant) {
        // The primary has gone back: what it was nobody will come to.
        if self.unreached.back().is_some_and(|(_, last)| *last > lsn) {
            self.unreached.clear();
        }
        if lsn > self.shown && self.unreached.back().is_none_or(|(_, last)| *last < lsn) {
            if self.unreached.len() >= SAMPLES_MAX {
                self.unreached.pop_back();
            }
            self.unreached.push_back((seen_at, lsn));
        }
        self.measure();
    }

    fn measure(&mut self) {
        self.lag = self.unreached.front().map_or(Duration::ZERO, |(at, _)| instant().duration_since(*at));
    }

    /// It has answered, and is read from if nothing speaks against it; but not where it was left out since it was asked. What happened long ago is
    /// forgiven.
    fn judge(&mut self, primary: &Standing, found: &Standing, lag_max: Duration, falls: u64, check_every: Duration) {
        self.complaint = self.complaint_about(primary, found, lag_max);
        if self.falls != falls {
            return;
        }
        self.look_at = None;
        self.is_used = self.complaint.is_none();
        if !self.is_used {
            self.used_since = None;
        } else if instant().duration_since(*self.used_since.get_or_insert_with(instant)) > check_every * PAUSE_MAX {
            self.failures = 0;
        }
    }

    fn complaint_about(&mut self, primary: &Standing, found: &Standing, lag_max: Duration) -> Option<&'static str> {
        let shown_before = std::mem::replace(&mut self.shown, found.lsn);
        self.unreached.retain(|(_, lsn)| *lsn > found.lsn);
        self.measure();
        // What it had shown before the primary was asked, the primary has: or their histories are not the same.
        let is_ahead = shown_before > primary.lsn;
        let is_other = found.system != primary.system
            || found.generation != primary.generation
            || found.epoch != primary.epoch
            || is_ahead;
        if !found.is_replica {
            Some("it is no replica")
        } else if is_other {
            Some("it has another history than the primary")
        } else if self.lag > lag_max {
            Some("it is too far behind")
        } else {
            None
        }
    }
}

/// All of them; none where none are set.
pub(crate) struct Replicas {
    all: Arc<[Arc<Replica>]>,
    next: AtomicUsize,
    fallbacks: Arc<[AtomicU64; 6]>,
    watch: Mutex<JoinSet<()>>,
}

impl Replicas {
    /// Begins to look at them over this runtime; none is read from before it was found well.
    pub fn start(options: &Options, primary: &Arc<Readers>) -> Result<Self, OpenError> {
        let fallbacks: Arc<[AtomicU64; 6]> = Arc::default();
        let mut all = Vec::new();
        for (url, number) in options.replicas.iter().zip(1..) {
            let target = Target::of_replica(url)?;
            all.push(Arc::new(Replica {
                number,
                readers: Readers::new(&target, options.readers, options.prepared, times(options.replica_deadline))?,
                health: Mutex::new(Health::new()),
                reads: AtomicU64::new(0),
                fallbacks: Arc::clone(&fallbacks),
                check_every: options.replica_check_every,
            }));
        }
        let all: Arc<[Arc<Replica>]> = all.into();
        let mut watch = JoinSet::new();
        if !all.is_empty() {
            let primary = Arc::clone(primary);
            watch.spawn(look_after(Arc::clone(&all), primary, options.replica_check_every, options.replica_lag_max));
        }
        Ok(Self { all, next: AtomicUsize::new(0), fallbacks, watch: Mutex::new(watch) })
    }

    /// The next in turn of those that are well.
    pub fn choose(&self) -> Option<Arc<Replica>> {
        if self.all.is_empty() {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (before, from) = self.all.split_at(first);
        from.iter().chain(before).find(|replica| replica.health.lock().is_used).cloned()
    }

    pub fn states(&self) -> Vec<ReplicaState> {
        self.all.iter().map(|replica| replica.state()).collect()
    }

    pub fn fallbacks(&self) -> [(Fallback, u64); 6] {
        Fallback::ALL.map(|why| (why, self.fallbacks[why as usize].load(Ordering::Relaxed)))
    }

    pub fn close(&self) {
        self.watch.lock().abort_all();
        for replica in &*self.all {
            replica.readers.close();
        }
    }
}

async fn look_after(all: Arc<[Arc<Replica>]>, primary: Arc<Readers>, check_every: Duration, lag_max: Duration) {
    loop {
        match standing(&primary).await {
            Ok(found) if !found.is_replica => {
                let seen_at = instant();
                futures_util::future::join_all(all.iter().map(|replica| replica.look(&found, seen_at, lag_max))).await;
            }
            // Without it nobody is answered anything.
            Ok(_) => tracing::debug!("replicas are not looked at, for there is no primary"),
            Err(fault) => tracing::debug!(%fault, "replicas are not looked at without the primary"),
        }
        tokio::time::sleep(check_every).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a replica is behind or away; nothing that anybody is told depends on it"
)]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    fn standing(is_replica: bool, lsn: i64) -> Standing {
        Standing { is_replica, lsn, system: 1, epoch: uuid::Uuid::nil(), generation: 1 }
    }

    /// The primary was seen there so long ago.
    fn note(health: &mut Health, lsn: i64, ago: Duration) {
        health.note(lsn, instant() - ago);
    }

    fn complaint(health: &mut Health, primary: i64, found: Standing) -> Option<&'static str> {
        let falls = health.falls;
        health.judge(&standing(false, primary), &found, Duration::from_secs(5), falls, EVERY);
        health.complaint
    }

    #[test]
    fn a_replica_is_behind_since_the_primary_was_where_it_is_not_yet() {
        let mut health = Health::new();
        for (lsn, ago) in [(10, 9), (20, 6), (20, 5), (30, 3)] {
            note(&mut health, lsn, Duration::from_secs(ago));
        }
        assert_eq!(complaint(&mut health, 30, standing(true, 10)), Some("it is too far behind"));
        assert_eq!(health.lag.as_secs(), 6);
        assert_eq!(complaint(&mut health, 30, standing(true, 29)), None);
        assert_eq!((health.lag.as_secs(), health.is_used), (3, true));
        assert_eq!(complaint(&mut health, 30, standing(true, 30)), None);
        assert_eq!(health.lag, Duration::ZERO, "nothing is written, and nothing is missing");
    }

    #[test]
    fn a_replica_that_is_away_for_long_is_remembered_with_bounds() {
        let mut health = Health::new();
        for lsn in 1..=1000 {
            note(&mut health, lsn, Duration::from_secs(2000 - lsn.unsigned_abs()));
        }
        assert_eq!((health.unreached.len(), health.lag.as_secs()), (SAMPLES_MAX, 1999));
        note(&mut health, 500, Duration::ZERO);
        assert_eq!(health.unreached.len(), 1, "the primary went back, and nobody comes to where it was");
    }

    #[test]
    fn a_replica_beyond_its_primary_is_of_another_history() {
        let mut health = Health::new();
        assert_eq!(complaint(&mut health, 30, standing(true, 40)), None, "it may have come later");
        assert_eq!(complaint(&mut health, 30, standing(true, 40)), Some("it has another history than the primary"));
        assert!(!health.is_used);
        assert_eq!(complaint(&mut health, 41, standing(true, 40)), None);
    }

    #[test]
    fn a_replica_that_is_away_is_looked_at_more_and_more_seldom() {
        let mut health = Health::new();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let begun = instant();
            health.fall(EVERY);
            pauses.push(health.look_at.map_or(0, |at| (at - begun).as_secs()));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
        // What was asked before it fell the last time does not bring it back.
        let before = health.falls - 1;
        let (primary, found) = (standing(false, 1), standing(true, 1));
        health.judge(&primary, &found, EVERY, before, EVERY);
        assert!(!health.is_used);
        assert_eq!(complaint(&mut health, 1, found), None);
        assert!(health.is_used);
        health.fall(EVERY);
        assert!(
            health.look_at.is_some_and(|at| at > instant() + EVERY * 30),
            "it was well too short to be trusted again"
        );
    }
}
