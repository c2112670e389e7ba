use serde_json::{Value, json};
use tertulia_core::auth::{OWN_ISSUER, peek};
use tertulia_proto::model::TokenAnswer;
use tertulia_proto::{ErrorCode, SessionId};
use tertulia_store::{Store as _, Write};

use crate::signing::{SECRET, encode, hmac};
use crate::world::{DAY_MS, START, World};

async fn alice(world: &World) -> TokenAnswer {
    world.auth.issue_for_email("alice@example.org", Some("Alice")).await.unwrap()
}

#[tokio::test]
async fn a_token_says_who_and_until_when() {
    let world = World::local();
    let answer = alice(&world).await;
    let peeked = peek(&answer.token).unwrap();
    assert_eq!((peeked.iss.as_deref(), peeked.typ.as_deref()), (Some(OWN_ISSUER), Some("JWT")));
    assert_eq!(peeked.sub, Some(answer.user.id.to_string()));
    assert_eq!(peeked.exp, Some(answer.expires_at));
    assert_eq!(peeked.sid, Some(world.who(&answer.token).await.session.to_string()));
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let world = World::local();
    world.later(123);
    let answer = alice(&world).await;
    assert_eq!(answer.expires_at, START.plus_ms(7 * DAY_MS), "whole seconds");
    world.later(7 * DAY_MS - 124);
    assert_eq!(world.who(&answer.token).await.user, answer.user.id);
    world.later(1);
    assert_eq!(world.refusal(&answer.token).await, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_refresh_lengthens_the_same_session() {
    let world = World::local();
    let first = alice(&world).await;
    let identity = world.who(&first.token).await;
    world.later(6 * DAY_MS);
    let (user, now) = (first.user.id, START.plus_ms(6 * DAY_MS));
    let rename = Write::UpdateProfile { user, name: Some("Alicia".to_owned()), avatar_url: None, now };
    world.write(rename).unwrap();
    let second = world.auth.refresh(&identity).await.unwrap();
    assert_eq!(second.expires_at, START.plus_ms(13 * DAY_MS));
    assert_eq!(second.user.name, "Alicia");
    world.later(2 * DAY_MS);
    assert_eq!(world.refusal(&first.token).await, ErrorCode::Unauthenticated);
    let renewed = world.who(&second.token).await;
    assert_eq!((renewed.session, renewed.name.as_str()), (identity.session, "Alicia"));
}

#[tokio::test]
async fn signing_out_ends_every_token_of_the_session_and_of_no_other() {
    let world = World::local();
    let (phone, laptop) = (alice(&world).await, alice(&world).await);
    let identity = world.who(&phone.token).await;
    world.later(1000);
    let renewed = world.auth.refresh(&identity).await.unwrap();
    world.auth.logout(&identity).await.unwrap();
    for token in [&phone.token, &renewed.token] {
        assert_eq!(world.refusal(token).await, ErrorCode::Unauthenticated);
    }
    assert_eq!(world.auth.refresh(&identity).await.unwrap_err().code, ErrorCode::Unauthenticated);
    world.auth.logout(&identity).await.unwrap();
    assert_eq!(world.who(&laptop.token).await.user, laptop.user.id);
}

#[tokio::test]
async fn only_what_this_server_signed_is_its_token() {
    let world = World::shop();
    let answer = alice(&world).await;
    let session = world.who(&answer.token).await.session;
    let claims = |iss: &str| json!({"iss": iss, "sub": answer.user.id, "sid": session, "name": "Alice", "exp": world.now_s() + 60});
    let secret = world.store.token_secret().await.unwrap();
    let own = hmac(&secret);
    let typ = json!({"typ": "JWT", "alg": "HS256"});
    assert!(world.auth.authenticate(&own.sign_with(&typ, &claims(OWN_ISSUER))).await.is_ok(), "the claims are good");

    let unsigned = format!("{}.{}.", encode(&json!({"typ": "JWT", "alg": "none"})), encode(&claims(OWN_ISSUER)));
    for forged in [
        hmac(SECRET).sign_with(&typ, &claims(OWN_ISSUER)),
        hmac(b"").sign_with(&typ, &claims(OWN_ISSUER)),
        own.sign_with(&json!({"alg": "HS256"}), &claims(OWN_ISSUER)),
        own.sign_with(&json!({"typ": "at+jwt", "alg": "HS256"}), &claims(OWN_ISSUER)),
        own.sign_with(&json!({"typ": "JWT", "alg": "RS256"}), &claims(OWN_ISSUER)),
        own.sign_with(&typ, &claims("https://shop.example")),
        unsigned.clone(),
        format!("{unsigned}AAAA"),
        String::new(),
        "x".repeat(10_000),
    ] {
        assert_eq!(world.refusal(&forged).await, ErrorCode::Unauthenticated, "{forged}");
    }
}

#[tokio::test]
async fn a_signed_token_needs_a_session_that_is_open_and_its_own() {
    let world = World::local();
    let (alice, bob) = (alice(&world).await, world.auth.issue_for_email("bob@example.org", None).await.unwrap());
    let session = world.who(&alice.token).await.session;
    let own = hmac(&world.store.token_secret().await.unwrap());
    let token = |sub: &Value, sid: &Value, exp: i64| {
        let claims = json!({"iss": OWN_ISSUER, "sub": sub, "sid": sid, "name": "x", "exp": exp});
        own.sign_with(&json!({"typ": "JWT", "alg": "HS256"}), &claims)
    };
    let (exp, far) = (world.now_s() + 60, world.now_s() + 100 * 86_400);
    assert!(world.auth.authenticate(&token(&json!(alice.user.id), &json!(session), exp)).await.is_ok());
    for bad in [
        token(&json!(bob.user.id), &json!(session), exp),
        token(&json!(alice.user.id), &json!(SessionId::from_bytes([9; 16])), exp),
        token(&json!(alice.user.id), &json!("x"), exp),
        token(&json!(alice.user.id), &json!(null), exp),
        token(&json!("x"), &json!(session), exp),
        token(&json!(null), &json!(session), exp),
        token(&json!(alice.user.id), &json!(session), world.now_s()),
    ] {
        assert_eq!(world.refusal(&bad).await, ErrorCode::Unauthenticated, "{bad}");
    }
    let outlives_its_session = token(&json!(alice.user.id), &json!(session), far);
    world.later(7 * DAY_MS);
    assert_eq!(world.refusal(&outlives_its_session).await, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn an_identity_is_in_no_log_by_name() {
    let world = World::local();
    let log = format!("{:?}", world.who(&alice(&world).await.token).await);
    assert!(!log.contains("alice") && !log.contains("Alice"), "{log}");
}
