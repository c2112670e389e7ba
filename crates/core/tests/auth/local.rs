use serde_json::json;
use tertulia_core::auth::AuthConfig;
use tertulia_proto::ErrorCode;
use tokio::join;

use crate::signing::{SECRET, hmac};
use crate::world::{DAY_MS, START, World};

const PASSWORD: &str = "correct horse battery";

#[tokio::test]
async fn who_registers_is_signed_in_and_can_sign_in_again() {
    let world = World::local();
    let registered = world.auth.register(" Alice@Example.org ", PASSWORD, " Alice ", None).await.unwrap();
    assert_eq!(registered.user.email.as_deref(), Some("alice@example.org"));
    assert_eq!(registered.user.name, "Alice");
    assert_eq!(registered.expires_at, START.plus_ms(7 * DAY_MS));

    let signed_in = world.auth.login("ALICE@example.org", PASSWORD, None).await.unwrap();
    assert_eq!(signed_in.user, registered.user);
    let (one, two) = (world.who(&registered.token).await, world.who(&signed_in.token).await);
    assert_eq!((one.user, two.user), (registered.user.id, registered.user.id));
    assert_eq!((one.email.as_deref(), one.name.as_str()), (Some("alice@example.org"), "Alice"));
    assert_eq!((one.expires_at, one.scopes), (registered.expires_at, None));
    assert_ne!(one.session, two.session, "each sign-in is a session of its own");
}

#[tokio::test]
async fn the_answer_is_written_as_the_reference_says_and_its_token_in_no_log() {
    let answer = World::local().auth.register("alice@example.org", PASSWORD, "Alice", None).await.unwrap();
    let wire = serde_json::to_value(&answer).unwrap();
    assert_eq!(wire.as_object().unwrap().keys().collect::<Vec<_>>(), ["expiresAt", "token", "user"]);
    let log = format!("{answer:?}");
    assert!(!log.contains(&answer.token) && !log.contains("alice@"), "{log}");
}

#[tokio::test]
async fn an_address_is_registered_once() {
    let world = World::local();
    world.auth.register("alice@example.org", PASSWORD, "Alice", None).await.unwrap();
    let again = world.auth.register("Alice@example.org", "another password", "Mallory", None).await;
    assert_eq!(again.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(
        world.auth.login("alice@example.org", "another password", None).await.unwrap_err().code,
        ErrorCode::Unauthenticated
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_before_anything_is_written() {
    let world = World::local();
    for (email, password, name, code) in [
        ("alice", PASSWORD, "Alice", ErrorCode::Invalid),
        ("alice@example.org", "short", "Alice", ErrorCode::Invalid),
        ("alice@example.org", &"a".repeat(1025), "Alice", ErrorCode::TooLarge),
        ("alice@example.org", PASSWORD, " ", ErrorCode::Invalid),
        ("alice@example.org", PASSWORD, &"a".repeat(201), ErrorCode::TooLarge),
    ] {
        assert_eq!(world.auth.register(email, password, name, None).await.unwrap_err().code, code);
    }
    assert_eq!(world.commits(), 0);
}

#[tokio::test]
async fn a_failed_sign_in_does_not_tell_why() {
    let world = World::shop();
    world.auth.register("alice@example.org", PASSWORD, "Alice", None).await.unwrap();
    let mut claims = world.claims("bob");
    claims["email"] = json!("bob@example.org");
    world.who(&hmac(SECRET).sign(&claims)).await;

    let wrong_password = world.auth.login("alice@example.org", "wrong password", None).await.unwrap_err();
    assert_eq!(wrong_password.code, ErrorCode::Unauthenticated);
    for (email, password) in [
        ("nobody@example.org", PASSWORD),
        ("bob@example.org", PASSWORD),
        ("bob@example.org", ""),
        ("not an address", PASSWORD),
        ("alice@example.org", &"a".repeat(1025)),
    ] {
        assert_eq!(world.auth.login(email, password, None).await.unwrap_err(), wrong_password);
    }
}

#[tokio::test]
async fn an_unknown_address_takes_the_same_work_as_a_wrong_password() {
    let world = World::new(AuthConfig { hashes_parallel: 1, hashes_waiting_max: 0, ..AuthConfig::default() });
    world.auth.register("alice@example.org", PASSWORD, "Alice", None).await.unwrap();
    for email in ["alice@example.org", "nobody@example.org"] {
        // Where the first one occupies the only place, the second one is sent away.
        let (first, second) =
            join!(world.auth.login(email, "wrong password", None), world.auth.login(email, "wrong password", None));
        assert_eq!(first.unwrap_err().code, ErrorCode::Unauthenticated);
        let second = second.unwrap_err();
        assert_eq!(second.code, ErrorCode::Unavailable);
        assert!(second.retry_after_ms.is_some());
    }
}

#[tokio::test]
async fn without_local_accounts_nobody_registers_or_signs_in_with_a_password() {
    let world = World::new(AuthConfig { local_accounts: false, ..AuthConfig::default() });
    let register = world.auth.register("alice@example.org", PASSWORD, "Alice", None).await;
    let login = world.auth.login("alice@example.org", PASSWORD, None).await;
    assert_eq!(register.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(login.unwrap_err().code, ErrorCode::Forbidden);
    assert!(world.auth.issue_for_email("alice@example.org", None).await.is_ok(), "other ways in stay open");
}

#[tokio::test]
async fn a_token_for_an_address_makes_the_user_once_and_keeps_its_name() {
    let world = World::local();
    let made = world.auth.issue_for_email("Alice@example.org", None).await.unwrap();
    assert_eq!(made.user.name, "alice");
    let again = world.auth.issue_for_email("alice@example.org", Some("Alice")).await.unwrap();
    assert_eq!(again.user, made.user);
    assert_eq!(world.who(&again.token).await.user, made.user.id);
    let named = world.auth.issue_for_email("bob@example.org", Some(" Bob ")).await.unwrap();
    assert_eq!(named.user.name, "Bob");
    assert_eq!(world.auth.login("bob@example.org", "", None).await.unwrap_err().code, ErrorCode::Unauthenticated);
    assert_eq!(world.auth.issue_for_email("bob", None).await.unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(world.auth.issue_for_email("bob@example.org", Some("")).await.unwrap_err().code, ErrorCode::Invalid);
}
