//! Notifying people who are not there: what the jobs `notify` and `push.*` do, and what a test of one's devices does. Telling other programs what happens:
//! [`webhooks`].
//!
//! A crate of its own so that the simulation runs the very same. It must not know: providers by name, settings, ambient time.
//!
//! `notify` is queued with a message and asks, a grace later, which devices may need to be told; each gets a job of its own, by its provider, so that a
//! provider that is away keeps nobody else waiting. That one reads everything anew, decides ([`tertulia_push::plan`]), sends, and notes what came of it.
//! A crash between sending and noting has the device told again, and nothing else does.

mod receipts;
mod under_way;
pub mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_core::{Notifying, Powers, TestSender, quiet};
use tertulia_jobs::{Job, Kind, Outcome, Schedule, Wake};
use tertulia_proto::device::PushOffer;
use tertulia_proto::{ConversationId, PushProvider, RegistrationId, TestOutcome, Timestamp};
use tertulia_push::{Answer, Notification, NotificationKind, Plan, Policy, Provider, Target};
use tertulia_store::jobs::{NewJob, Priority};
use tertulia_store::push::{NOTIFY, Occasion, PushJob, PushNote, PushOutcome, PushTarget, push_key, token_hash};
use tertulia_store::{Store, StoreError};

pub use receipts::RECEIPTS;
use under_way::UnderWay;

/// Devices told at the same time, over one provider.
const PER_PROVIDER: usize = 32;

/// When it is looked again at a device that another job is telling.
const BUSY_MS: i64 = 1000;

/// What was looked up longer ago decides nothing. Two lookups take some milliseconds, a lease lasts longer where it is not set to less: whoever took so long
/// stood still, or waited for readers, and looks again.
const LOOKS_MAX_MS: i64 = 10_000;

/// What of a provider's `Retry-After` is waited. Who asks for a day would have a message told when it is too old, and everything else of its conversation
/// with it; with this it is asked again some times, and then a dead letter says so.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(15);

/// Everything that has to be there to notify somebody.
pub struct Pushing {
    pub providers: BTreeMap<PushProvider, Arc<dyn Provider>>,
    pub vapid_public_key: Option<String>,
    pub policy: Policy,
    pub grace_ms: i64,
    pub powers: Powers,
    under_way: UnderWay,
}

impl Pushing {
    pub fn new(
        providers: BTreeMap<PushProvider, Arc<dyn Provider>>,
        vapid_public_key: Option<String>,
        policy: Policy,
        powers: Powers,
    ) -> Self {
        let grace_ms = policy.grace_ms;
        Self { providers, vapid_public_key, policy, grace_ms, powers, under_way: UnderWay::default() }
    }

    pub fn notifying(self: &Arc<Self>) -> Notifying {
        let providers: Vec<PushProvider> = self.providers.keys().copied().collect();
        let tester = (!providers.is_empty()).then(|| Arc::clone(self) as Arc<dyn TestSender>);
        let offer = PushOffer { providers, vapid_public_key: self.vapid_public_key.clone() };
        Notifying { offer, grace_ms: self.grace_ms, tester }
    }

    /// The kinds of jobs that notify; without a provider there is none.
    pub fn kinds(self: &Arc<Self>, store: &Arc<dyn Store>, schedule: &Schedule, wake: &Wake) -> Vec<Kind> {
        if self.providers.is_empty() {
            return Vec::new();
        }
        let (pushing, asked, wake) = (Arc::clone(self), Arc::clone(store), wake.clone());
        let notify = Kind::new(NOTIFY, move |job: Job| {
            let (pushing, store, wake) = (Arc::clone(&pushing), Arc::clone(&asked), wake.clone());
            async move { pushing.notify(&*store, &job, &wake).await }
        });
        let of_provider = |provider: &PushProvider| {
            let (pushing, store, provider) = (Arc::clone(self), Arc::clone(store), *provider);
            let kind = Kind::new(provider.job_kind(), move |job: Job| {
                let (pushing, store) = (Arc::clone(&pushing), Arc::clone(&store));
                async move { pushing.push(&*store, provider, &job).await }
            });
            Kind { concurrency: PER_PROVIDER, schedule: schedule.clone(), ..kind }
        };
        let mut kinds = vec![Kind { schedule: schedule.clone(), ..notify }];
        kinds.extend(self.providers.keys().map(of_provider));
        if self.providers.values().any(|provider| provider.gives_receipts()) {
            let (pushing, store) = (Arc::clone(self), Arc::clone(store));
            kinds.push(Kind::periodic(RECEIPTS, receipts::EVERY, move |_| {
                let (pushing, store) = (Arc::clone(&pushing), Arc::clone(&store));
                async move { pushing.ask_for_receipts(&*store).await }
            }));
        }
        kinds
    }

    /// Queues a job for each device that may need to be told of the conversation.
    async fn notify(&self, store: &dyn Store, job: &Job, wake: &Wake) -> Outcome {
        let key: Option<[u8; 16]> = job.unique_key.as_deref().and_then(|key| key.try_into().ok());
        let Some(conversation) = key.map(ConversationId::from_bytes) else {
            return Outcome::Dead("its key is no conversation".into());
        };
        self.concerned(store, conversation, wake)
            .await
            .map_or_else(|error| Outcome::Retry(error.to_string()), Outcome::DoneAnd)
    }

    /// The last page's jobs are for whoever ends this one; those of earlier pages are queued already, and merge with themselves where this is done again.
    async fn concerned(
        &self,
        store: &dyn Store,
        conversation: ConversationId,
        wake: &Wake,
    ) -> Result<Vec<NewJob>, StoreError> {
        let mut above: Option<RegistrationId> = None;
        loop {
            let Some(page) = store.push().audience(conversation, above).await? else { return Ok(Vec::new()) };
            let now = self.powers.now();
            let concerned = page.seats.iter().filter(|seat| {
                self.providers.contains_key(&seat.provider) && tertulia_push::may_need(seat, page.last_seq, now)
            });
            let jobs: Vec<NewJob> = concerned
                .map(|seat| {
                    let job = PushJob { registration: seat.registration, conversation_id: conversation };
                    push_job(seat.provider, &job, now, now)
                })
                .collect();
            above = page.next;
            if above.is_none() {
                return Ok(jobs);
            }
            store.jobs().enqueue(jobs).await?;
            wake.wake();
        }
    }

    /// Tells one device of one conversation, where it has still to be told.
    async fn push(&self, store: &dyn Store, provider: PushProvider, job: &Job) -> Outcome {
        let Ok(about) = serde_json::from_str::<PushJob>(&job.payload) else {
            return Outcome::Dead("its payload can't be read".into());
        };
        match self.tell(store, provider, job, &about).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Retry(error.to_string()),
        }
    }

    async fn tell(
        &self,
        store: &dyn Store,
        provider: PushProvider,
        job: &Job,
        about: &PushJob,
    ) -> Result<Outcome, StoreError> {
        let now = self.powers.now();
        let book = store.push();
        let turn = match self.under_way.begin(about, now) {
            Ok(turn) => turn,
            Err(later) => return Ok(Outcome::Later(later)),
        };
        // Another worker would tell the same, or something older after it. One that ends from here on has noted what it told before the occasion is read.
        if store.jobs().runs_beside(job.id).await? {
            return Ok(Outcome::Later(now.plus_ms(BUSY_MS)));
        }
        let Some(occasion) = book.occasion(about.registration, about.conversation_id, now).await? else {
            return Ok(Outcome::Done);
        };
        // Whoever stood still since it looked who else is at it may have lost the job: another has it by now, and tells the same.
        let looked_at = self.powers.now();
        if looked_at.ms() - now.ms() > LOOKS_MAX_MS {
            return Ok(Outcome::Later(looked_at));
        }
        let Some(sender) = self.providers.get(&provider) else { return Ok(Outcome::Done) };
        match self.planned(&occasion, now) {
            Plan::Nothing => Ok(Outcome::Done),
            Plan::Later(at) => Ok(Outcome::Later(at)),
            Plan::TakeAway(notification) if !sender.withdraws() => {
                let detail = "is not taken away there".to_owned();
                self.note(store, &occasion, &notification, PushOutcome::Withdrawn, detail).await?;
                self.tell_what_is_left(store, &occasion).await
            }
            Plan::Tell(notification) | Plan::TakeAway(notification) => {
                if let Err(later) = turn.admits(occasion.target.user, now) {
                    return Ok(Outcome::Later(later));
                }
                let answer = sender.send(&target(&occasion.target), &notification).await;
                self.conclude(store, &occasion, &notification, answer).await
            }
        }
    }

    fn planned(&self, occasion: &Occasion, now: Timestamp) -> Plan {
        let quiet_until = occasion.quiet_hours.as_ref().and_then(|hours| quiet::ends_at(hours, now));
        tertulia_push::plan(occasion, quiet_until, now, &self.policy)
    }

    async fn conclude(
        &self,
        store: &dyn Store,
        occasion: &Occasion,
        notification: &Notification,
        answer: Answer,
    ) -> Result<Outcome, StoreError> {
        let note = |outcome, detail| self.note(store, occasion, notification, outcome, detail);
        match answer {
            Answer::Accepted { id } => {
                let is_withdrawal = notification.kind == NotificationKind::Withdrawal;
                let outcome = if is_withdrawal { PushOutcome::Withdrawn } else { PushOutcome::Accepted };
                note(outcome, id.unwrap_or_default()).await?;
                if is_withdrawal {
                    self.tell_what_is_left(store, occasion).await
                } else {
                    self.take_back_what_was_read(store, occasion).await
                }
            }
            Answer::Unregistered(reason) => {
                let target = &occasion.target;
                let hash = token_hash(target.provider, &target.token);
                let now = self.powers.now();
                let was_on = store.push().switch_off(target.registration, hash, reason.clone(), now).await?;
                note(PushOutcome::Unregistered, reason).await?;
                // Where the device has another token by now, that one is to be told; where it is gone or off, the next look ends it.
                Ok(if was_on { Outcome::Done } else { at_once(occasion, now) })
            }
            Answer::Later { after, reason } => {
                note(PushOutcome::Failed, reason.clone()).await?;
                Ok(match after {
                    Some(after) => Outcome::RetryAfter(after.min(RETRY_AFTER_MAX), reason),
                    None => Outcome::Retry(reason),
                })
            }
            Answer::Misconfigured(reason) => {
                note(PushOutcome::Failed, reason.clone()).await?;
                Ok(Outcome::Dead(reason))
            }
            Answer::Refused(reason) => {
                note(PushOutcome::Refused, reason.clone()).await?;
                Ok(Outcome::Dead(reason))
            }
        }
    }

    /// Whoever reads from now on finds that the device was told, and has it taken away; who read while it was on its way found nothing.
    async fn take_back_what_was_read(&self, store: &dyn Store, told: &Occasion) -> Result<Outcome, StoreError> {
        let (now, registration) = (self.powers.now(), told.target.registration);
        let Some(occasion) = store.push().occasion(registration, told.conversation, now).await? else {
            return Ok(Outcome::Done);
        };
        // What came meanwhile has a job of its own. What is to be taken away is queued whoever has this job by now: what they looked at was before the note.
        if let Plan::TakeAway(_) = self.planned(&occasion, now) {
            store.jobs().enqueue(vec![job_of(&occasion, now, now)]).await?;
        }
        Ok(Outcome::Done)
    }

    /// The job that took something away may be the one that waits for the end of quiet hours. This comes to an end: what was taken away is noted.
    async fn tell_what_is_left(&self, store: &dyn Store, taken: &Occasion) -> Result<Outcome, StoreError> {
        let (now, registration) = (self.powers.now(), taken.target.registration);
        let Some(occasion) = store.push().occasion(registration, taken.conversation, now).await? else {
            return Ok(Outcome::Done);
        };
        Ok(match self.planned(&occasion, now) {
            Plan::Nothing => Outcome::Done,
            Plan::Later(at) => anew(&occasion, at, now),
            Plan::Tell(_) | Plan::TakeAway(_) => at_once(&occasion, now),
        })
    }

    async fn note(
        &self,
        store: &dyn Store,
        occasion: &Occasion,
        notification: &Notification,
        outcome: PushOutcome,
        detail: String,
    ) -> Result<(), StoreError> {
        let note = PushNote {
            registration: occasion.target.registration,
            conversation: occasion.conversation,
            seq: notification.seq,
            outcome,
            detail,
            at: self.powers.now(),
        };
        store.push().note_pushes(vec![note]).await
    }

    /// A notification that says that notifications arrive.
    async fn try_out(&self, target: &PushTarget) -> (TestOutcome, String) {
        let Some(sender) = self.providers.get(&target.provider) else {
            return (TestOutcome::Refused, format!("this server does not notify by {}", target.provider));
        };
        let notification = Notification {
            kind: NotificationKind::Test,
            title: self.policy.name.clone(),
            body: "Notifications arrive here.".into(),
            badge: 0,
            conversation: ConversationId::from_bytes([0; 16]),
            message: None,
            seq: 0,
            link: "/".into(),
            sent_at: self.powers.now(),
            silent: false,
        };
        match sender.send(&self::target(target), &notification).await {
            Answer::Accepted { id } => (TestOutcome::Accepted, id.unwrap_or_default()),
            Answer::Unregistered(reason) => (TestOutcome::Unregistered, reason),
            Answer::Later { reason, .. } => (TestOutcome::Failed, reason),
            Answer::Refused(reason) | Answer::Misconfigured(reason) => (TestOutcome::Refused, reason),
        }
    }
}

impl TestSender for Pushing {
    fn send_test(&self, target: PushTarget) -> BoxFuture<'_, (TestOutcome, String)> {
        Box::pin(async move {
            // As long as a job may take.
            let limit = Duration::from_secs(15);
            let late = (TestOutcome::Failed, "no answer in time".to_owned());
            tokio::time::timeout(limit, self.try_out(&target)).await.unwrap_or(late)
        })
    }
}

fn target(target: &PushTarget) -> Target {
    Target { platform: target.platform, token: target.token.clone() }
}

fn at_once(occasion: &Occasion, now: Timestamp) -> Outcome {
    anew(occasion, now, now)
}

/// With all its tries: what there was to do is done.
fn anew(occasion: &Occasion, at: Timestamp, now: Timestamp) -> Outcome {
    Outcome::DoneAnd(vec![job_of(occasion, at, now)])
}

fn job_of(occasion: &Occasion, at: Timestamp, now: Timestamp) -> NewJob {
    let job = PushJob { registration: occasion.target.registration, conversation_id: occasion.conversation };
    push_job(occasion.target.provider, &job, at, now)
}

fn push_job(provider: PushProvider, job: &PushJob, run_at: Timestamp, now: Timestamp) -> NewJob {
    NewJob {
        kind: provider.job_kind().to_owned(),
        unique_key: Some(push_key(job)),
        unless_running: false,
        payload: serde_json::to_string(job).unwrap_or_default(),
        priority: Priority::Normal,
        run_at,
        now,
    }
}
