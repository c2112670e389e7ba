//! Accounts, sign-ins, keys, who knows whom and who wants nothing to do with whom.

use tertulia_proto::{ApiKeyId, ErrorCode};

use super::Home;
use super::world::{World, changed, unexpected};
use crate::*;

async fn ready(world: &World, write: Write) -> (User, bool) {
    match world.done(write).await {
        Effect::UserReady { user, created, .. } => (user, created),
        other => unexpected(&other),
    }
}

async fn account(world: &World, lookup: AccountLookup) -> Option<Account> {
    world.store.account(lookup).await.expect("the store reads")
}

async fn user_seen(world: &World, viewer: UserId, user: UserId) -> User {
    world.store.user(viewer, user).await.expect("the store reads").expect("the person is there")
}

pub async fn a_user_is_created_once_per_e_mail(home: &impl Home) {
    let world = World::open(home).await;
    let new = NewUser {
        password_hash: Some("$argon2id$v=19$hash".to_owned()),
        avatar_url: Some("https://example.org/a.png".to_owned()),
        ..world.newcomer("Alice")
    };
    let (user, created) = ready(&world, Write::CreateUser(new.clone())).await;
    assert!(created);
    let expected = User {
        id: new.id,
        email: Some("alice@example.org".to_owned()),
        name: "Alice".to_owned(),
        avatar_url: new.avatar_url.clone(),
        created_at: new.now,
        blocked: false,
    };
    assert_eq!(user, expected);
    for lookup in [AccountLookup::Id(new.id), AccountLookup::Email("alice@example.org".to_owned())] {
        let account = account(&world, lookup).await.expect("the account is there");
        assert_eq!((account.user, account.password_hash), (expected.clone(), new.password_hash.clone()));
    }
    assert_eq!(world.refused(Write::CreateUser(world.newcomer("ALICE"))).await, ErrorCode::Conflict);
    let unnamed = NewUser { email: None, ..world.newcomer("nobody") };
    assert!(ready(&world, Write::CreateUser(unnamed)).await.1);
    assert!(
        ready(&world, Write::CreateUser(NewUser { email: None, ..world.newcomer("nobody") })).await.1,
        "no e-mail is no conflict"
    );
    assert!(account(&world, AccountLookup::Email("bob@example.org".to_owned())).await.is_none());
    assert!(account(&world, AccountLookup::Id(UserId::from_bytes(world.id()))).await.is_none());
}

pub async fn a_user_who_must_be_there_is_made_or_found_and_keeps_the_name(home: &impl Home) {
    let world = World::open(home).await;
    let (user, created) = ready(&world, Write::EnsureUser(world.newcomer("alice"))).await;
    assert!(created);
    let again = NewUser { name: "Another Name".to_owned(), ..world.newcomer("alice") };
    assert_eq!(ready(&world, Write::EnsureUser(again)).await, (user.clone(), false));
    let results = world.burst((0..5).map(|_| Write::EnsureUser(world.newcomer("bob"))).collect()).await;
    let made: Vec<bool> = results.iter().map(|result| changed(result.as_ref().expect("bob is there"))).collect();
    assert_eq!(made, [true, false, false, false, false]);
}

pub async fn a_user_of_an_issuer_follows_it_and_takes_nobodys_e_mail(home: &impl Home) {
    let world = World::open(home).await;
    world.person("local").await;
    let external = |subject: &str, name: &str, email: &str| Write::EnsureExternalUser {
        issuer: "https://issuer.example".to_owned(),
        subject: subject.to_owned(),
        user: NewUser { email: Some(email.to_owned()), ..world.newcomer(name) },
    };
    let (first, created) = ready(&world, external("1", "Alice", "alice@example.org")).await;
    assert!(created);
    assert_eq!(first.email.as_deref(), Some("alice@example.org"));
    let (again, created) = ready(&world, external("1", "Alicia", "alicia@example.org")).await;
    assert!(!created);
    assert_eq!(
        (again.id, again.name.as_str(), again.email.as_deref()),
        (first.id, "Alicia", Some("alicia@example.org"))
    );

    let (second, created) = ready(&world, external("2", "Not Local", "local@example.org")).await;
    assert!(created);
    assert_eq!(second.email, None, "the e-mail of a local account is not taken over");
    let (second, _) = ready(&world, external("2", "Not Alicia", "alicia@example.org")).await;
    assert_ne!(second.email.as_deref(), Some("alicia@example.org"), "nor that of anybody else");

    let other = Write::EnsureExternalUser {
        issuer: "https://other.example".to_owned(),
        subject: "1".to_owned(),
        user: world.newcomer("other"),
    };
    assert_ne!(ready(&world, other).await.0.id, first.id, "a subject is somebody only together with its issuer");
    let lookup = |issuer: &str| AccountLookup::External { issuer: issuer.to_owned(), subject: "1".to_owned() };
    assert_eq!(account(&world, lookup("https://issuer.example")).await.expect("alicia").user, again);
    assert!(account(&world, lookup("https://unknown.example")).await.is_none());
}

pub async fn a_name_that_follows_the_issuer_is_shown_in_every_conversation(home: &impl Home) {
    let world = World::open(home).await;
    let bob = world.person("bob").await;
    let external = |name: &str| Write::EnsureExternalUser {
        issuer: "https://issuer.example".to_owned(),
        subject: "1".to_owned(),
        user: NewUser { name: name.to_owned(), ..world.newcomer("alice") },
    };
    let alice = ready(&world, external("Alice")).await.0.id;
    let dm = world.dm(alice, bob).await;
    let mut replica = super::replica::Replica::caught_up(&world, bob).await;
    ready(&world, external("Alicia")).await;
    assert_eq!(world.member(bob, dm, alice).await.name, "Alicia");
    assert_eq!(world.view(bob, dm).await.peer.expect("the other").name, "Alicia");
    replica.catch_up(&world, 10, 10).await;
    replica.assert_fresh(&world, "after another name at the issuer").await;
}

pub async fn people_are_found_by_the_beginning_of_their_e_mail_only(home: &impl Home) {
    let world = World::open(home).await;
    let viewer = world.person("viewer").await;
    for email in [
        "ana@a.example",
        "ana@b.example",
        "anabel@a.example",
        "an_a@a.example",
        "an%a@a.example",
        "añil@a.example",
        "bob\\@a.example",
    ] {
        let new = NewUser { email: Some(email.to_owned()), ..world.newcomer("somebody") };
        ready(&world, Write::CreateUser(new)).await;
    }
    let found = async |prefix: &str, limit| -> Vec<String> {
        let users = world.store.users_by_email(viewer, prefix.to_owned(), limit).await.expect("the store reads");
        users.into_iter().map(|user| user.email.expect("who is found by the e-mail is shown with it")).collect()
    };
    assert_eq!(found("ana@", 20).await, ["ana@a.example", "ana@b.example"]);
    assert_eq!(found("ana@b.example", 20).await, ["ana@b.example"]);
    let mut ana = found("ana", 20).await;
    ana.sort();
    assert_eq!(ana, ["ana@a.example", "ana@b.example", "anabel@a.example"]);
    for limit in [1, 2] {
        assert_eq!(found("ana", limit).await.len(), limit);
    }
    assert_eq!(found("an_", 20).await, ["an_a@a.example"]);
    assert_eq!(found("an%", 20).await, ["an%a@a.example"]);
    assert_eq!(found("bob\\", 20).await, ["bob\\@a.example"]);
    assert_eq!(found("añ", 20).await, ["añil@a.example"]);
    for nobody in ["%", "_", "example", "na@", "ana@a.example2", "\u{10ffff}", "'", "ana\u{10ffff}"] {
        assert_eq!(found(nobody, 20).await, [""; 0], "{nobody}");
    }
}

pub async fn an_e_mail_is_shown_to_those_who_share_a_conversation(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let email = Some("alice@example.org".to_owned());
    assert_eq!(user_seen(&world, alice, alice).await.email, email);
    assert_eq!(user_seen(&world, bob, alice).await.email, None);
    let group = world.group(alice, &[bob]).await;
    assert_eq!(user_seen(&world, bob, alice).await.email, email);
    assert_eq!(user_seen(&world, carol, alice).await.email, None);
    world.done(world.leaving(bob, group, None)).await;
    assert_eq!(user_seen(&world, bob, alice).await.email, None);
    let nobody = UserId::from_bytes(world.id());
    assert_eq!(world.store.user(alice, nobody).await.expect("the store reads"), None);
}

pub async fn a_session_is_opened_extended_and_ended(home: &impl Home) {
    let world = World::open(home).await;
    let alice = world.person("alice").await;
    let (session, foreign, unknown) =
        (SessionId::from_bytes(world.id()), SessionId::from_bytes(world.id()), SessionId::from_bytes(world.id()));
    let read = async |session| world.store.session(session).await.expect("the store reads");
    let (soon, late, later) = (world.now().plus_ms(60_000), world.now().plus_ms(120_000), world.now().plus_ms(180_000));
    assert_eq!(read(session).await, None);
    world.done(Write::OpenSession { session, user: alice, user_agent: None, expires_at: soon, now: world.now() }).await;
    assert_eq!(read(session).await, Some(SessionRecord { user: alice, expires_at: soon, ended: false }));
    world.done(Write::ExtendSession { session, expires_at: late, now: world.now() }).await;
    assert_eq!(read(session).await, Some(SessionRecord { user: alice, expires_at: late, ended: false }));
    match world.done(Write::EndSession { session, user: alice, expires_at: late, now: world.now() }).await {
        Effect::SessionEnded { session: told } => assert_eq!(told, session),
        other => unexpected(&other),
    }
    assert!(read(session).await.expect("an ended session is known").ended);
    assert_eq!(
        world.refused(Write::ExtendSession { session, expires_at: later, now: world.now() }).await,
        ErrorCode::Unauthenticated
    );
    assert!(read(session).await.expect("an ended session is known").ended, "what has ended stays so");
    world.done(Write::EndSession { session, user: alice, expires_at: late, now: world.now() }).await;

    world.done(Write::EndSession { session: foreign, user: alice, expires_at: late, now: world.now() }).await;
    assert_eq!(read(foreign).await, Some(SessionRecord { user: alice, expires_at: late, ended: true }));
    assert_eq!(
        world.refused(Write::ExtendSession { session: unknown, expires_at: later, now: world.now() }).await,
        ErrorCode::Unauthenticated
    );
    assert_eq!(read(unknown).await, None);
}

pub async fn a_person_sees_the_sessions_that_stand(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, eve] = world.people(["alice", "eve"]).await;
    let begin = world.now();
    let mut ids = Vec::new();
    for (user, agent, ttl) in [
        (alice, Some("phone"), 90_000),
        (alice, None, 90_000),
        (eve, None, 90_000),
        (alice, None, 10),
        (alice, None, 90_000),
    ] {
        let (session, user_agent) = (SessionId::from_bytes(world.id()), agent.map(str::to_owned));
        let now = begin.plus_ms(i64::try_from(ids.len()).expect("a few"));
        world.done(Write::OpenSession { session, user, user_agent, expires_at: begin.plus_ms(ttl), now }).await;
        ids.push(session);
    }
    let end = Write::EndSession { session: ids[4], user: alice, expires_at: begin.plus_ms(90_000), now: world.now() };
    world.done(end).await;
    let seen = async |user, limit| {
        let found = world.store.sessions(user, begin.plus_ms(1000), limit).await.expect("the store reads");
        found.into_iter().map(|session| (session.id, session.last_seen_at, session.user_agent)).collect::<Vec<_>>()
    };
    let phone = Some("phone".to_owned());
    assert_eq!(seen(alice, 9).await, [(ids[1], None, None), (ids[0], None, phone.clone())], "newest first");
    assert_eq!(seen(alice, 1).await.len(), 1);
    let at = begin.plus_ms(500);
    world.done(Write::TouchLastSeen { user: alice, session: ids[0], at }).await;
    world.done(Write::TouchLastSeen { user: alice, session: ids[0], at: begin }).await;
    world.done(Write::ExtendSession { session: ids[1], expires_at: begin.plus_ms(95_000), now: at }).await;
    assert_eq!(seen(alice, 9).await, [(ids[1], Some(at), None), (ids[0], Some(at), phone)]);
    assert_eq!(seen(eve, 9).await, [(ids[2], None, None)]);
}

pub async fn nobody_ends_the_session_of_another(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, eve] = world.people(["alice", "eve"]).await;
    let (session, expires_at) = (SessionId::from_bytes(world.id()), world.now().plus_ms(60_000));
    world.done(Write::OpenSession { session, user: alice, user_agent: None, expires_at, now: world.now() }).await;
    let write = Write::EndSession { session, user: eve, expires_at, now: world.now() };
    assert_eq!(world.refused(write).await, ErrorCode::NotFound);
    let record = world.store.session(session).await.expect("the store reads");
    assert_eq!(record, Some(SessionRecord { user: alice, expires_at, ended: false }));
}

pub async fn an_api_key_is_known_by_its_hash_until_it_is_revoked(home: &impl Home) {
    let world = World::open(home).await;
    let (id, other) = (ApiKeyId::from_bytes(world.id()), ApiKeyId::from_bytes(world.id()));
    let create = |id, byte: u8, scopes: &[&str]| Write::CreateApiKey {
        id,
        hash: [byte; 32],
        name: format!("key {byte}"),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        user: (byte == 2).then_some(UserId::from_bytes([9; 16])),
        bot: None,
        now: world.now(),
    };
    world.done(create(id, 1, &["messages:write", "users:read"])).await;
    world.done(create(other, 2, &[])).await;
    let read = async |byte: u8| world.store.api_key([byte; 32]).await.expect("the store reads");
    let key = read(1).await.expect("the key is there");
    assert_eq!((key.id, key.name.as_str()), (id, "key 1"));
    assert_eq!(key.scopes, ["messages:write", "users:read"]);
    assert_eq!(key.user, None);
    assert_eq!(read(2).await.expect("the other one as well").user, Some(UserId::from_bytes([9; 16])));
    assert_eq!(read(2).await.expect("the key is there").scopes, [""; 0]);
    assert!(read(3).await.is_none());
    world.done(Write::RevokeApiKey { id, now: world.now() }).await;
    assert!(read(1).await.is_none());
    assert_eq!(world.refused(Write::RevokeApiKey { id, now: world.now() }).await, ErrorCode::NotFound);
    assert!(read(2).await.is_some());
}

pub async fn the_keys_that_stand_are_listed_in_pages(home: &impl Home) {
    let world = World::open(home).await;
    let mut made = Vec::new();
    for byte in 1..=5_u8 {
        let key = KeptApiKey {
            // Not in the order in which they are made.
            id: ApiKeyId::from_bytes([40 - byte; 16]),
            name: format!("key {byte}"),
            scopes: (byte > 1).then(|| "chat:read".to_owned()).into_iter().collect(),
            user: (byte == 2).then_some(UserId::from_bytes([9; 16])),
            created_at: world.now(),
        };
        let KeptApiKey { id, name, scopes, user, created_at: now } = key.clone();
        world.done(Write::CreateApiKey { id, hash: [byte; 32], name, scopes, user, bot: None, now }).await;
        made.push(key);
    }
    world.done(Write::RevokeApiKey { id: made.remove(2).id, now: world.now() }).await;
    made.reverse();
    let page = async |above, limit| world.store.api_keys(above, limit).await.expect("the store reads");
    assert_eq!(page(None, 100).await, made);
    assert_eq!(page(None, 3).await, made[..3]);
    assert_eq!(page(Some(made[2].id), 3).await, made[3..]);
    assert_eq!(page(Some(made[3].id), 3).await, []);
}

pub async fn a_bot_and_its_key_are_made_together_or_not_at_all(home: &impl Home) {
    let world = World::open(home).await;
    let create = |byte: u8, bot: NewUser| Write::CreateApiKey {
        id: ApiKeyId::from_bytes(world.id()),
        hash: [byte; 32],
        name: "key".to_owned(),
        scopes: Vec::new(),
        user: Some(bot.id),
        bot: Some(Box::new(bot)),
        now: world.now(),
    };
    let read = async |byte: u8| world.store.api_key([byte; 32]).await.expect("the store reads");
    let there = async |id| world.store.account(AccountLookup::Id(id)).await.expect("the store reads").is_some();
    let bot = NewUser { email: None, ..world.newcomer("helper") };
    world.done(create(1, bot.clone())).await;
    assert_eq!(read(1).await.map(|key| key.user), Some(Some(bot.id)));
    assert!(there(bot.id).await);
    let [alice] = world.people(["alice"]).await;
    let taken = NewUser { name: "Helper".to_owned(), ..world.newcomer("alice") };
    assert_ne!(taken.id, alice);
    assert_eq!(world.refused(create(2, taken.clone())).await, ErrorCode::Conflict);
    assert!(read(2).await.is_none() && !there(taken.id).await);
}

pub async fn a_log_has_one_epoch_and_one_secret(home: &impl Home) {
    let world = World::open(home).await;
    let secret = world.store.token_secret().await.expect("the store reads");
    let epoch = world.log_state().await.epoch;
    world.person("alice").await;
    assert_eq!(world.store.token_secret().await.expect("the store reads"), secret);
    assert_eq!(world.log_state().await.epoch, epoch);
    let another = World::open(home).await;
    assert_ne!(another.store.token_secret().await.expect("the store reads"), secret, "each log has its own");
    assert_ne!(another.log_state().await.epoch, epoch);
}

async fn known(world: &World, viewer: UserId, others: &[UserId]) -> Vec<UserId> {
    let found = world.store.acquaintances(viewer, others.to_vec()).await.expect("the store reads");
    let mut people: Vec<UserId> = found.into_iter().map(|acquaintance| acquaintance.user).collect();
    people.sort();
    people
}

pub async fn acquaintances_are_neither_strangers_nor_those_who_blocked_me(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, eve] = world.people(["alice", "bob", "carol", "eve"]).await;
    let (group, others) = (world.group(alice, &[bob, carol]).await, [bob, carol, eve, UserId::from_bytes(world.id())]);
    assert_eq!(known(&world, alice, &others).await, [bob, carol]);
    assert_eq!(known(&world, alice, &[carol]).await, [carol], "of those asked about");
    world.done(world.blocking(carol, alice)).await;
    assert_eq!(known(&world, alice, &others).await, [bob]);
    assert_eq!(known(&world, carol, &[alice]).await, [alice], "who blocks still sees");
    world.done(world.unblocking(carol, alice)).await;
    world.dm(alice, bob).await;
    world.done(world.leaving(bob, group, None)).await;
    assert_eq!(known(&world, alice, &others).await, [bob, carol], "the DM is enough");
    world.done(world.removing(alice, group, carol)).await;
    assert_eq!(known(&world, alice, &others).await, [bob]);

    let at = world.now();
    let last_seen = async || {
        let found = world.store.acquaintances(alice, vec![bob]).await.expect("the store reads");
        found.first().map(|acquaintance| acquaintance.last_seen_at)
    };
    assert_eq!(last_seen().await, Some(None));
    let (before, session) = (world.still(&[alice, bob, carol]).await, SessionId::from_bytes(world.id()));
    world.done(Write::TouchLastSeen { user: bob, session, at }).await;
    assert_eq!(last_seen().await, Some(Some(at)));
    world.done(Write::TouchLastSeen { user: bob, session, at: at.plus_ms(-1) }).await;
    assert_eq!(last_seen().await, Some(Some(at)), "nobody was here last before they were");
    world.assert_still(&before, "a sign of life is no change of the log").await;
}

pub async fn a_block_is_known_to_both_sides_of_a_dm_and_shown_to_one(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let blocked = async |person, conversation| {
        let membership = world.store.membership(person, conversation).await.expect("the store reads");
        membership.expect("a member").blocked
    };
    let by_email = async |viewer, name: &str| {
        let users = world.store.users_by_email(viewer, name.to_owned(), 5).await.expect("the store reads");
        users.into_iter().map(|user| user.blocked).collect::<Vec<_>>()
    };
    for round in [true, false] {
        // Twice each: what is so already is a success.
        for _ in 0..2 {
            let write = if round { world.blocking(alice, bob) } else { world.unblocking(alice, bob) };
            assert!(matches!(world.done(write).await, Effect::BlockChanged { .. }));
        }
        assert_eq!((blocked(alice, dm).await, blocked(bob, dm).await), (round, round));
        assert!(!blocked(alice, group).await && !blocked(bob, group).await, "in a group nobody is kept apart");
        assert_eq!(user_seen(&world, alice, bob).await.blocked, round);
        assert!(!user_seen(&world, bob, alice).await.blocked);
        assert_eq!(world.view(alice, dm).await.peer.expect("the other").blocked, round);
        assert!(!world.view(bob, dm).await.peer.expect("the other").blocked);
        assert_eq!(by_email(alice, "bob@").await, [round]);
        let expected: &[bool] = if round { &[] } else { &[false] };
        assert_eq!(by_email(bob, "alice@").await, expected, "who blocked me is not found");
    }
}

pub async fn one_sees_whom_one_has_blocked(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, eve] = world.people(["alice", "bob", "carol", "eve"]).await;
    world.dm(alice, carol).await;
    for (actor, target) in [(alice, carol), (alice, bob), (eve, alice)] {
        world.done(world.blocking(actor, target)).await;
    }
    let seen = async |user, limit| world.store.blocked(user, limit).await.expect("the store reads");
    let found = seen(alice, 9).await;
    assert_eq!(found.iter().map(|user| user.id).collect::<Vec<_>>(), [bob, carol], "by name");
    assert!(found.iter().all(|user| user.blocked));
    assert_eq!((found[0].email.is_some(), found[1].email.is_some()), (false, true), "as one sees them elsewhere");
    assert_eq!(seen(alice, 1).await.len(), 1);
    assert!(seen(bob, 9).await.is_empty());
    world.done(world.unblocking(alice, bob)).await;
    assert_eq!(seen(alice, 9).await.len(), 1);
}

pub async fn more_blocks_than_one_may_have_are_too_large(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]).await;
    let block = |actor, target, blocked| Write::SetBlocked { actor, target, blocked, blocks_max: 2 };
    world.done(block(alice, bob, true)).await;
    world.done(block(alice, carol, true)).await;
    assert_eq!(world.refused(block(alice, dave, true)).await, ErrorCode::TooLarge);
    assert!(!user_seen(&world, alice, dave).await.blocked);
    world.done(block(alice, bob, true)).await;
    world.done(block(dave, alice, true)).await;
    world.done(block(alice, bob, false)).await;
    assert_eq!(world.refused(block(alice, alice, true)).await, ErrorCode::Invalid, "nobody blocks themselves");
    world.done(block(alice, dave, true)).await;
    assert!(user_seen(&world, alice, dave).await.blocked);
}
