//! A life of four people and who comes along, the same from the same number; and what they see.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "each test uses its part, and a broken expectation is to stop it"
)]

use std::future::{Future, ready};
use std::sync::Arc;

use tertulia_proto::{DeviceId, Platform, PushProvider, QuietHours, RegistrationId};
use tertulia_store::conformance::Home;
use tertulia_store::conformance::world::{World, by_id};
use tertulia_store::conformance::writes::{emoji, sending};
use tertulia_store::push::*;
use tertulia_store::*;
use tertulia_store_sqlite::SqliteStore;

use crate::database::seed;

pub struct InMemory;

impl Home for InMemory {
    fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> impl Future<Output = Arc<dyn Store>> {
        ready(SqliteStore::open_in_memory(&seed(), rules, sink).expect("an empty log opens in memory") as Arc<dyn Store>)
    }
}

/// A linear congruential generator (Knuth's MMIX constants).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }

    pub fn of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

const BODIES: [&str; 6] =
    ["Mañana café", "日本語のテスト文章", "100% of_it \\ all", "plain words here", "ÀÉÎ straße ǅ", "🎉🎉🎉 party"];
const SEARCHES: [&str; 12] =
    ["man", "CAFE", "café", "日本語", "0% of_", "\\ a", "words", "aei", "straße", "🎉🎉🎉", "no", "はありません"];

/// What has been made so far, to choose from.
#[derive(Default)]
pub struct Things {
    pub people: Vec<UserId>,
    pub groups: Vec<ConversationId>,
    pub said: Vec<(ConversationId, MessageId)>,
    pub sent: Vec<AppendMessage>,
    pub sessions: Vec<SessionId>,
    /// Clients' own, and those that were registered.
    pub devices: Vec<DeviceId>,
    pub registrations: Vec<RegistrationId>,
}

pub fn write(world: &World, things: &mut Things, chance: &mut Chance) -> Write {
    let (actor, target, group) = (chance.of(&things.people), chance.of(&things.people), chance.of(&things.groups));
    let (conversation, message) = match things.said.is_empty() {
        true => (group, MessageId::from_bytes(world.id())),
        false => chance.of(&things.said),
    };
    let (now, seq) = (world.now(), i64::try_from(chance.below(40)).unwrap_or(0) - 2);
    match chance.below(100) {
        0..=39 => {
            let mut append = world.message(actor, group, chance.of(&BODIES));
            if chance.below(4) == 0 {
                append.reply_to = Some(message);
            }
            if chance.below(5) == 0 && !things.sent.is_empty() {
                append.after = Some(things.sent[chance.below(things.sent.len())].client_msg_id.clone());
            }
            things.said.push((group, append.id));
            things.sent.push(append.clone());
            sending(&append)
        }
        40..=46 if !things.sent.is_empty() => sending(&world.again(&things.sent[chance.below(things.sent.len())])),
        40..=50 => Write::EditMessage { conversation, message, actor, body: chance.of(&BODIES).to_owned(), now },
        51..=54 => Write::DeleteMessage { conversation, message, actor, now },
        55..=61 => {
            let (emoji, present) = (emoji(chance.of(&["👍", "❤️", "😀"])), chance.below(3) > 0);
            Write::SetReaction { conversation, message, actor, emoji, present, per_message_max: 3 }
        }
        62..=69 => {
            let device = (chance.below(3) > 0).then(|| chance.of(&things.devices));
            let (delivered, read) = if chance.below(3) > 0 { (None, Some(seq)) } else { (Some(seq), None) };
            Write::AdvanceWatermarks { conversation: group, actor, delivered, read, device, now }
        }
        70..=71 => world.hiding(actor, group),
        72 => world.muting(actor, group, (seq > 0).then_some(now)),
        73..=74 => world.titling(actor, group, chance.of(&["One", "Two"])),
        75..=80 => world.adding(actor, group, target),
        81..=84 => world.removing(actor, group, target),
        85 => world.leaving(actor, group, Some(target)),
        86..=87 => world.giving_role(actor, group, target, chance.of(&[Role::Member, Role::Admin, Role::Owner])),
        88..=89 => world.opening_dm(actor, target),
        90 => world.blocking(actor, target),
        91 => world.unblocking(actor, target),
        92..=93 => world.renaming(actor, chance.of(&["Ada", "Bo"])),
        94 => Write::TouchLastSeen { user: actor, session: chance.of(&things.sessions), at: now },
        95 => Write::EndSession { session: chance.of(&things.sessions), user: actor, expires_at: now, now },
        96 => Write::EnsureUser(world.newcomer("twin")),
        97 => Write::EnsureExternalUser {
            issuer: "them".to_owned(),
            subject: chance.of(&["x", "y"]).to_owned(),
            user: NewUser { name: chance.of(&["Cy", "Di"]).to_owned(), ..world.newcomer("external") },
        },
        98 => Write::Fence,
        _ => {
            let session = SessionId::from_bytes(world.id());
            things.sessions.push(session);
            Write::OpenSession {
                session,
                user: actor,
                user_agent: Some("twin".to_owned()),
                expires_at: now.plus_ms(1_000_000),
                now,
            }
        }
    }
}

/// Something about devices, and what came of it.
pub async fn notify(world: &World, things: &mut Things, chance: &mut Chance) -> String {
    let (push, now) = (world.store.push(), world.now());
    let (user, conversation) = (chance.of(&things.people), chance.of(&things.groups));
    let (token, provider) = (chance.of(&["a", "b", "c", "d", "e", "f"]), chance.of(&PushProvider::ALL[..2]));
    let id = RegistrationId::from_bytes(world.id());
    if chance.below(10) < 3 || things.registrations.is_empty() {
        let new = NewRegistration {
            id,
            user,
            session: (chance.below(2) == 0).then(|| chance.of(&things.sessions)),
            device: (chance.below(3) > 0).then(|| chance.of(&things.devices)),
            provider,
            platform: chance.of(&[Platform::Ios, Platform::Android, Platform::Web]),
            token: token.to_owned(),
            app_version: (chance.below(2) == 0).then(|| "1.2".to_owned()),
            user_agent: (chance.below(2) == 0).then(|| "twin".to_owned()),
            shows_content: chance.below(2) == 0,
            per_user_max: 3,
            now,
        };
        let device = push.register(new).await.expect("a device is registered");
        things.registrations.push(device.id);
        return format!("{device:?}");
    }
    let registration = chance.of(&things.registrations);
    match chance.below(10) {
        0 => format!("{:?}", push.unregister(user, WhichDevice::Token(token.to_owned())).await),
        1 => format!("{:?}", push.switch_off(registration, token_hash(provider, token), "gone".into(), now).await),
        2 => {
            let hours = QuietHours { from: "22:00".into(), to: "07:00".into(), time_zone: "Europe/Madrid".into() };
            format!("{:?}", push.set_quiet_hours(user, (chance.below(3) > 0).then_some(hours)).await)
        }
        3 => format!("{:?}", push.forget_attempts(now.plus_ms(-200_000), 5).await),
        _ => {
            let outcomes = [PushOutcome::Accepted, PushOutcome::Accepted, PushOutcome::Withdrawn, PushOutcome::Failed];
            let seq = i64::try_from(chance.below(40)).unwrap_or(0) + 1;
            let outcome = chance.of(&outcomes);
            let note = PushNote { registration, conversation, seq, outcome, detail: "so".into(), at: now };
            format!("{:?}", push.note_pushes(vec![note.clone(), note]).await)
        }
    }
}

/// What is known of a person's devices.
async fn notified(world: &World, person: UserId, things: &Things, now: Timestamp) -> Vec<String> {
    let push = world.store.push();
    let mut known = vec![
        format!("{:?}", push.devices(person).await.expect("the store reads")),
        format!("{:?}", push.targets(person).await.expect("the store reads")),
        format!("{:?}", push.quiet_hours(person).await.expect("the store reads")),
    ];
    for group in &things.groups {
        known.push(format!("{:?}", push.audience(*group, None).await.expect("the store reads")));
        known.push(format!("{:?}", push.push_attempts(*group, 1).await.expect("the store reads")));
        for target in push.targets(person).await.expect("the store reads") {
            let occasion = push.occasion(target.registration, *group, now).await.expect("the store reads");
            known.push(format!("{occasion:?}"));
        }
    }
    known
}

/// What came of it, without what nobody promises: the order of members, and a home's own words for a row that can't be.
pub fn told(result: &WriteResult) -> String {
    let mut result = result.clone();
    match &mut result {
        Err(WriteError::Store(StoreError::Corrupt(_))) => return "corrupt".to_owned(),
        Ok(Effect::ConversationOpened { views, .. }) => {
            views.iter_mut().for_each(|(_, view)| *view = by_id(view.clone()));
            views.sort_by_key(|(user, _)| *user);
        }
        Ok(Effect::MemberAdded { view, .. } | Effect::PersonalChanged { view, .. }) => **view = by_id((**view).clone()),
        Ok(Effect::BlockChanged { view: Some(view), .. }) => **view = by_id((**view).clone()),
        Ok(Effect::ProfileChanged { rows, .. } | Effect::UserReady { rows, .. }) => rows.sort_by_key(|(id, _)| *id),
        _ => {}
    }
    format!("{result:?}")
}

pub async fn seen(world: &World, person: UserId, things: &Things, now: Timestamp) -> Vec<String> {
    let store = &world.store;
    let mut seen = vec![format!("{:?}", world.sights(&[person]).await)];
    for text in SEARCHES {
        let hits = world.search(person, text, None, 20).await;
        seen.push(format!("{text}: {hits:?}"));
    }
    for other in &things.people {
        seen.push(format!("{:?}", store.user(person, *other).await.expect("the store reads")));
    }
    let blocked = store.blocked(person, 10).await.expect("the store reads");
    let known = store.acquaintances(person, things.people.clone()).await.expect("the store reads");
    let sessions = store.sessions(person, now, 10).await.expect("the store reads");
    seen.push(format!("{blocked:?}\n{known:?}\n{sessions:?}"));
    let mut page = store.difference(person, SyncFrom::BEGINNING, None, 100, 7).await.expect("the store reads");
    page.conversations.sort_by_key(|changed| changed.conversation.id);
    for changed in &mut page.conversations {
        changed.conversation = by_id(changed.conversation.clone());
    }
    seen.push(format!("{:?}\n{:?}", page.conversations, page.removed));
    seen.extend(notified(world, person, things, now).await);
    seen
}

pub async fn begin(world: &World) -> Things {
    let mut things = Things::default();
    for name in ["alice", "bob", "carol", "dave"] {
        things.people.push(world.person(name).await);
    }
    let [alice, bob, carol, dave] = things.people[..] else { panic!("four people") };
    things.groups.push(world.group(alice, &[bob, carol]).await);
    things.groups.push(world.open_group(bob, &[carol, dave]).await);
    things.groups.push(world.dm(alice, dave).await);
    let session = SessionId::from_bytes(world.id());
    let (now, expires_at) = (world.now(), world.now().plus_ms(1_000_000));
    world.done(Write::OpenSession { session, user: alice, user_agent: None, expires_at, now }).await;
    things.sessions.push(session);
    things.devices = (0..3).map(|_| DeviceId::from_bytes(world.id())).collect();
    things
}
