//! Devices that are notified, in few words: what the scenarios about them hold.

use tertulia_proto::{Device, DeviceId, Platform, PushProvider, RegistrationId, Seq};

use super::Home;
use super::world::World;
use crate::jobs::*;
use crate::push::*;
use crate::*;

pub const DEVICES_MAX: usize = 10;

/// More pages than any audience of these tests has.
const PAGES_MAX: usize = 20;

/// The book of one world.
pub struct Book {
    pub world: World,
}

impl Book {
    pub async fn open(home: &impl Home) -> Self {
        Self::on(World::open(home).await)
    }

    pub const fn on(world: World) -> Self {
        Self { world }
    }

    pub fn push(&self) -> &dyn PushBook {
        self.world.store.push()
    }

    /// A phone that does not say which client device it is.
    pub fn phone(&self, user: UserId, token: &str) -> NewRegistration {
        NewRegistration {
            id: RegistrationId::from_bytes(self.world.id()),
            user,
            session: None,
            device: None,
            provider: PushProvider::Fcm,
            platform: Platform::Android,
            token: token.to_owned(),
            app_version: None,
            user_agent: None,
            shows_content: true,
            per_user_max: DEVICES_MAX,
            now: self.world.now(),
        }
    }

    /// One that says so.
    pub fn of_device(&self, user: UserId, token: &str, device: DeviceId) -> NewRegistration {
        NewRegistration { device: Some(device), ..self.phone(user, token) }
    }

    pub fn client_device(&self) -> DeviceId {
        DeviceId::from_bytes(self.world.id())
    }

    pub async fn register(&self, new: NewRegistration) -> Device {
        self.push().register(new).await.expect("a device is registered")
    }

    pub async fn phone_of(&self, user: UserId, token: &str) -> RegistrationId {
        self.register(self.phone(user, token)).await.id
    }

    pub async fn devices(&self, user: UserId) -> Vec<RegistrationId> {
        self.push().devices(user).await.expect("the store reads").into_iter().map(|device| device.id).collect()
    }

    pub async fn tokens(&self, user: UserId) -> Vec<String> {
        self.push().targets(user).await.expect("the store reads").into_iter().map(|target| target.token).collect()
    }

    pub async fn audience(&self, conversation: ConversationId) -> Vec<Seat> {
        let (mut seats, mut above): (Vec<Seat>, _) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.push().audience(conversation, above).await.expect("the store reads");
            let page = page.expect("the conversation is there");
            assert!(page.seats.len() <= AUDIENCE_MAX, "a page of {}", page.seats.len());
            seats.extend(page.seats);
            above = page.next;
            if above.is_none() {
                assert!(seats.is_sorted_by_key(|seat| seat.registration), "in order of registration");
                return seats;
            }
        }
        panic!("an audience that does not end")
    }

    /// Whose devices may need a notification.
    pub async fn heard_by(&self, conversation: ConversationId) -> Vec<RegistrationId> {
        self.audience(conversation).await.into_iter().map(|seat| seat.registration).collect()
    }

    pub async fn occasion(&self, device: RegistrationId, conversation: ConversationId) -> Occasion {
        self.occasion_at(device, conversation, self.world.now())
            .await
            .expect("the device and the conversation are there")
    }

    pub async fn occasion_at(
        &self,
        device: RegistrationId,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Option<Occasion> {
        self.push().occasion(device, conversation, now).await.expect("the store reads")
    }

    pub async fn seat(&self, device: RegistrationId, conversation: ConversationId) -> Seat {
        self.occasion(device, conversation).await.seat.expect("the person is a member")
    }

    pub fn noted(
        &self,
        registration: RegistrationId,
        conversation: ConversationId,
        seq: Seq,
        outcome: PushOutcome,
    ) -> PushNote {
        PushNote { registration, conversation, seq, outcome, detail: "said so".to_owned(), at: self.world.now() }
    }

    pub async fn note(&self, notes: Vec<PushNote>) {
        self.push().note_pushes(notes).await.expect("what was sent is noted");
    }

    pub async fn pushed(&self, registration: RegistrationId, conversation: ConversationId, seq: Seq) {
        self.note(vec![self.noted(registration, conversation, seq, PushOutcome::Accepted)]).await;
    }

    pub async fn attempts(&self, conversation: ConversationId, seq: Seq) -> Vec<(RegistrationId, Seq, PushOutcome)> {
        let attempts = self.push().push_attempts(conversation, seq).await.expect("the store reads");
        attempts.into_iter().map(|one| (one.registration, one.seq, one.outcome)).collect()
    }

    /// The jobs that wait to be sent over some provider.
    pub async fn waiting(&self) -> Vec<JobRecord> {
        let filter = JobFilter { state: JobState::Ready, kind: None, after: 0, limit: 100 };
        let mut jobs = self.world.store.jobs().list_jobs(filter).await.expect("the queue is listed");
        jobs.retain(|job| job.kind != NOTIFY);
        jobs
    }

    /// The devices that such a job waits for, in no order.
    pub async fn to_withdraw(&self) -> Vec<RegistrationId> {
        let job = |job: JobRecord| serde_json::from_str::<PushJob>(&job.payload).expect("a job says for whom it is");
        let mut devices: Vec<RegistrationId> =
            self.waiting().await.into_iter().map(job).map(|job| job.registration).collect();
        devices.sort();
        devices
    }

    /// As if a worker had done all that waits.
    pub async fn work_off(&self) {
        let claim = Claim {
            kinds: PushProvider::ALL
                .map(|provider| ClaimKind { kind: provider.job_kind().to_owned(), attempts_max: 1, jobs_max: 100 })
                .to_vec(),
            jobs_max: 100,
            worker: [7; 16],
            now: self.world.now(),
            lease_until: self.world.now().plus_ms(60_000),
        };
        let jobs = self.world.store.jobs();
        let done = |job: ClaimedJob| Finish {
            held: Held { id: job.id, worker: [7; 16], attempt: job.attempt },
            end: JobEnd::Done,
            next: Vec::new(),
        };
        let claimed = jobs.claim(claim).await.expect("jobs are claimed").into_iter().map(done).collect();
        jobs.finish(claimed, self.world.now()).await.expect("jobs are finished");
    }

    /// What a device tells to have got.
    pub fn got(&self, actor: UserId, conversation: ConversationId, seq: Seq, device: DeviceId) -> Write {
        Write::AdvanceWatermarks {
            conversation,
            actor,
            delivered: Some(seq),
            read: None,
            device: Some(device),
            now: self.world.now(),
        }
    }

    pub fn read_on(&self, actor: UserId, conversation: ConversationId, seq: Seq, device: DeviceId) -> Write {
        Write::AdvanceWatermarks {
            conversation,
            actor,
            delivered: None,
            read: Some(seq),
            device: Some(device),
            now: self.world.now(),
        }
    }

    pub async fn sign_in(&self, user: UserId) -> SessionId {
        let session = SessionId::from_bytes(self.world.id());
        let now = self.world.now();
        let expires_at = now.plus_ms(3_600_000);
        self.world.done(Write::OpenSession { session, user, user_agent: None, expires_at, now }).await;
        session
    }

    pub async fn sign_out(&self, user: UserId, session: SessionId) {
        let now = self.world.now();
        self.world.done(Write::EndSession { session, user, expires_at: now.plus_ms(3_600_000), now }).await;
    }
}

pub fn sorted<const N: usize>(mut ids: [RegistrationId; N]) -> Vec<RegistrationId> {
    ids.sort();
    ids.to_vec()
}
