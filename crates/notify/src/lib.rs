//! Notifying people who are not there: what the jobs `notify` and `push.*` do, and what a test of one's devices does.
//!
//! A crate of its own so that the simulation runs the very same. It must not know: providers by name, settings, ambient time.
//!
//! `notify` is queued with a message and asks, a grace later, which devices may need to be told; each gets a job of its own, by its provider, so that a
//! provider that is away keeps nobody else waiting. That one reads everything anew, decides ([`tertulia_push::plan`]), sends, and notes what came of it.
//! A crash between sending and noting has the device told again, and nothing else does.

mod receipts;
mod under_way;

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

/// When it is tried again to tell a device that another job is telling, or one of somebody who is told on others just now.
const BUSY_MS: i64 = 1000;

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
        let again = |at| Ok(Outcome::DoneAnd(vec![push_job(provider, about, at, now)]));
        let Some(turn) = self.under_way.begin(about) else { return again(now.plus_ms(BUSY_MS)) };
        // Another worker would tell the same, or something older after it. One that ends from here on has noted what it told before the occasion is read.
        if store.jobs().runs_beside(job.id).await? {
            return again(now.plus_ms(BUSY_MS));
        }
        let Some(occasion) = book.occasion(about.registration, about.conversation_id, now).await? else {
            return Ok(Outcome::Done);
        };
        // A token that was registered anew may have another provider: its own line of jobs.
        let Some(sender) =
            self.providers.get(&occasion.target.provider).filter(|_| occasion.target.provider == provider)
        else {
            return Ok(Outcome::Done);
        };
        let quiet_until = occasion.quiet_hours.as_ref().and_then(|hours| quiet::ends_at(hours, now));
        match tertulia_push::plan(&occasion, quiet_until, now, &self.policy) {
            Plan::Nothing => Ok(Outcome::Done),
            Plan::Later(at) => again(at),
            Plan::TakeAway(notification) if !sender.withdraws() => {
                let detail = "is not taken away there".to_owned();
                self.note(store, &occasion, &notification, PushOutcome::Withdrawn, detail).await?;
                Ok(Outcome::Done)
            }
            Plan::Tell(notification) | Plan::TakeAway(notification) => {
                if !turn.admits(occasion.target.user) {
                    return again(now.plus_ms(BUSY_MS));
                }
                let answer = sender.send(&target(&occasion.target), &notification).await;
                self.conclude(store, &occasion, &notification, answer).await
            }
        }
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
                    return Ok(Outcome::Done);
                }
                self.take_back_what_was_read(store, occasion).await
            }
            Answer::Unregistered(reason) => {
                let target = &occasion.target;
                let hash = token_hash(target.provider, &target.token);
                store.push().switch_off(target.registration, hash, reason.clone(), self.powers.now()).await?;
                note(PushOutcome::Unregistered, reason).await?;
                Ok(Outcome::Done)
            }
            Answer::Later { after, reason } => {
                note(PushOutcome::Failed, reason.clone()).await?;
                Ok(after.map_or(Outcome::Retry(reason.clone()), |after| Outcome::RetryAfter(after, reason)))
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
        // Quiet hours keep nothing from being taken away.
        Ok(match tertulia_push::plan(&occasion, None, now, &self.policy) {
            Plan::TakeAway(_) => {
                let job = PushJob { registration, conversation_id: told.conversation };
                Outcome::DoneAnd(vec![push_job(occasion.target.provider, &job, now, now)])
            }
            Plan::Nothing | Plan::Later(_) | Plan::Tell(_) => Outcome::Done,
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
            Answer::Refused(reason) => (TestOutcome::Refused, reason),
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
