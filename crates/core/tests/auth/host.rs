use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tertulia_core::auth::AuthConfig;
use tertulia_proto::ErrorCode;

use crate::signing::{RSA_PUBLIC_PEM, SECRET, document, ec, ec_next, ed, encode, hmac, rsa};
use crate::world::{SHOP, World, published_keys, shared_secret};

const OTHER_SECRET: &[u8] = b"another shared secret of 32 bytes and more";

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn an_unknown_sub_becomes_a_user_and_stays_that_user() {
    let world = World::shop();
    let mut claims = world.claims("4711");
    claims["name"] = json!(" Alice ");
    claims["email"] = json!("Alice@Example.org");
    claims["picture"] = json!("https://shop.example/alice.png");
    let first = world.who(&hmac(SECRET).sign(&claims)).await;
    assert_eq!((first.name.as_str(), first.email.as_deref()), ("Alice", Some("alice@example.org")));
    assert_eq!((first.expires_at.ms() / 1000, first.scopes), (world.now_s() + 3600, None));
    let user = world.user(first.user).await;
    assert_eq!((user.name.as_str(), user.avatar_url.as_deref()), ("Alice", Some("https://shop.example/alice.png")));

    let later = world.who(&hmac(SECRET).sign(&with(world.claims("4711"), "jti", json!(2)))).await;
    assert_eq!((later.user, later.name, later.email), (first.user, first.name, first.email));
    assert_ne!(later.session, first.session);
    assert_ne!(world.who(&hmac(SECRET).sign(&world.claims("4712"))).await.user, first.user);
}

#[tokio::test]
async fn a_person_without_a_name_is_called_by_the_address_or_the_sub() {
    let world = World::shop();
    let name = async |sub: &str, more: Value| {
        let mut claims = world.claims(sub);
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.who(&hmac(SECRET).sign(&claims)).await.name
    };
    assert_eq!(name("1", json!({"email": "Bob.B@example.org"})).await, "bob.b");
    assert_eq!(name("2", json!({"email": "nonsense"})).await, "2");
    assert_eq!(name("3", json!({"name": "\u{7}\n ", "picture": "javascript:alert(1)"})).await, "3");
    assert_eq!(name("4", json!({"name": "x".repeat(300)})).await, "x".repeat(200));
}

#[tokio::test]
async fn name_and_picture_follow_the_host_app_where_it_says_them() {
    let world = World::shop();
    let first = world.who(&hmac(SECRET).sign(&with(world.claims("1"), "name", json!("Alice")))).await;
    world.who(&hmac(SECRET).sign(&with(world.claims("1"), "name", json!("Alicia")))).await;
    assert_eq!(world.user(first.user).await.name, "Alicia");
    let silent = world.who(&hmac(SECRET).sign(&world.claims("1"))).await;
    assert_eq!(silent.name, "Alicia", "silence changes nothing");
}

#[tokio::test]
async fn only_news_about_a_person_is_written() {
    let world = World::shop();
    let token = hmac(SECRET).sign(&with(world.claims("1"), "name", json!("Alice")));
    for _ in 0..5 {
        world.who(&token).await;
    }
    let next = hmac(SECRET).sign(&with(with(world.claims("1"), "name", json!("Alice")), "jti", json!(2)));
    world.who(&next).await;
    assert_eq!(world.commits(), 1);
}

#[tokio::test]
async fn the_address_of_somebody_else_is_not_taken_over() {
    let world = World::shop();
    let local = world.auth.register("alice@example.org", "correct horse battery", "Alice", None).await.unwrap();
    let claims = with(world.claims("1"), "email", json!("alice@example.org"));
    let stranger = world.who(&hmac(SECRET).sign(&claims)).await;
    assert_ne!(stranger.user, local.user.id);
    assert_eq!(stranger.email, None);
    let before = world.commits();
    assert_eq!(world.who(&hmac(SECRET).sign(&claims)).await, stranger);
    assert_eq!(world.commits(), before, "it is not tried again with every request");
    let unproven = with(with(world.claims("2"), "email", json!("bob@example.org")), "email_verified", json!(false));
    assert_eq!(world.who(&hmac(SECRET).sign(&unproven)).await.email, None);
}

#[tokio::test]
async fn a_token_needs_its_time_its_issuer_and_its_audience() {
    let mut host = shared_secret(Some(SHOP), SECRET);
    host.audience = Some("chat".to_owned());
    let world = World::with_hosts(vec![host]);
    let good = with(world.claims("1"), "aud", json!("chat"));
    let now = world.now_s();
    for claims in [
        good.clone(),
        with(good.clone(), "aud", json!(["web", "chat"])),
        with(good.clone(), "nbf", json!(now + 30)),
        with(good.clone(), "iat", json!(now + 30)),
        with(good.clone(), "exp", json!(now + 1)),
    ] {
        world.who(&hmac(SECRET).sign(&claims)).await;
    }
    for claims in [
        with(good.clone(), "aud", json!("chat2")),
        with(good.clone(), "aud", json!([])),
        with(good.clone(), "aud", json!(null)),
        with(good.clone(), "iss", json!("https://shop.example/")),
        with(good.clone(), "iss", json!(null)),
        with(good.clone(), "exp", json!(now)),
        with(good.clone(), "exp", json!(null)),
        with(good.clone(), "nbf", json!(now + 31)),
        with(good.clone(), "sub", json!(null)),
        with(good.clone(), "sub", json!(" ")),
        with(good.clone(), "sub", json!("a\u{0}b")),
        with(good.clone(), "sub", json!("a".repeat(256))),
    ] {
        assert_eq!(world.refusal(&hmac(SECRET).sign(&claims)).await, ErrorCode::Unauthenticated, "{claims}");
    }
    assert_eq!(world.refusal(&hmac(OTHER_SECRET).sign(&good)).await, ErrorCode::Unauthenticated);
    assert_eq!(
        world.refusal(&format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&good))).await,
        ErrorCode::Unauthenticated
    );
    assert_eq!(
        World::local().refusal(&hmac(SECRET).sign(&good)).await,
        ErrorCode::Unauthenticated,
        "no host app is configured"
    );
}

#[tokio::test]
async fn a_host_apps_token_can_be_ended_here_but_not_renewed() {
    let world = World::shop();
    let token = hmac(SECRET).sign(&world.claims("1"));
    let identity = world.who(&token).await;
    let renewed = world.auth.refresh(&identity).await.unwrap_err();
    assert_eq!(renewed.code, ErrorCode::Forbidden);
    assert!(renewed.detail.contains("host app"), "{renewed}");
    world.auth.logout(&identity).await.unwrap();
    assert_eq!(world.refusal(&token).await, ErrorCode::Unauthenticated);
    let next = world.who(&hmac(SECRET).sign(&with(world.claims("1"), "jti", json!(2)))).await;
    assert_eq!(next.user, identity.user, "the host app may sign them in again");
}

/// From an ECDSA signature (r, s) everybody can make (r, n - s), which is as good.
fn other_signature(token: &str) -> String {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = false;
    for (s, n) in bytes[32..].iter_mut().zip(N).rev() {
        let (less, one) = n.overflowing_sub(*s);
        let (less, two) = less.overflowing_sub(u8::from(borrow));
        (*s, borrow) = (less, one || two);
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test]
async fn a_second_signature_made_from_the_first_revives_no_session() {
    let world = World::with_hosts(vec![published_keys(Some(SHOP), None)]);
    world.publish(Ok(document(&[&ec()])));
    let token = ec().sign(&world.claims("1"));
    let twin = other_signature(&token);
    assert_ne!(twin, token);
    let identity = world.who(&token).await;
    assert_eq!(world.who(&twin).await, identity, "the signature is good");
    world.auth.logout(&identity).await.unwrap();
    assert_eq!(world.refusal(&twin).await, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_nameless_host_app_speaks_for_nobody_elses_people() {
    let world = World::with_hosts(vec![shared_secret(Some(SHOP), SECRET), shared_secret(None, OTHER_SECRET)]);
    let shopper = world.who(&hmac(SECRET).sign(&world.claims("1"))).await;
    assert_eq!(world.refusal(&hmac(OTHER_SECRET).sign(&world.claims("1"))).await, ErrorCode::Unauthenticated);
    let mut nameless = Vec::new();
    for iss in [json!(null), json!("https://elsewhere.example"), json!("host")] {
        nameless.push(world.who(&hmac(OTHER_SECRET).sign(&with(world.claims("1"), "iss", iss))).await.user);
    }
    assert!(nameless.iter().all(|user| *user == nameless[0] && *user != shopper.user), "{nameless:?}");
    let unnamed = with(world.claims("1"), "iss", json!(null));
    assert_eq!(world.refusal(&hmac(SECRET).sign(&unnamed)).await, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn two_secrets_of_one_app_serve_while_one_replaces_the_other() {
    let world = World::with_hosts(vec![shared_secret(Some(SHOP), OTHER_SECRET), shared_secret(Some(SHOP), SECRET)]);
    let old = world.who(&hmac(SECRET).sign(&world.claims("1"))).await;
    let new = world.who(&hmac(OTHER_SECRET).sign(&world.claims("1"))).await;
    assert_eq!(old.user, new.user);
}

#[tokio::test]
async fn a_doubt_about_one_key_outweighs_the_no_of_another() {
    let hosts = vec![published_keys(Some(SHOP), None), shared_secret(Some(SHOP), SECRET)];
    let world = World::with_hosts(hosts);
    assert_eq!(world.refusal(&ec().sign(&world.claims("1"))).await, ErrorCode::Unavailable);
    world.who(&hmac(SECRET).sign(&world.claims("1"))).await;
}

#[tokio::test]
async fn published_keys_of_each_kind_are_taken_and_may_change() {
    let world = World::with_hosts(vec![published_keys(Some(SHOP), Some("chat"))]);
    let claims = with(world.claims("1"), "aud", json!("chat"));
    assert_eq!(world.refusal(&ec().sign(&claims)).await, ErrorCode::Unavailable, "the host app is not up yet");
    world.publish(Ok(document(&[&rsa(), &ec(), &ed()])));
    world.later(30_000);
    let user = world.who(&rsa().sign(&claims)).await.user;
    for signer in [ec(), ed()] {
        assert_eq!(world.who(&signer.sign(&claims)).await.user, user);
    }
    assert_eq!(
        world.refusal(&rsa().sign(&with(claims.clone(), "aud", json!("web")))).await,
        ErrorCode::Unauthenticated
    );
    assert_eq!(
        world.refusal(&rsa().sign(&with(claims.clone(), "exp", json!(world.now_s())))).await,
        ErrorCode::Unauthenticated
    );
    assert_eq!(world.refusal(&hmac(RSA_PUBLIC_PEM).sign(&claims)).await, ErrorCode::Unauthenticated);

    world.publish(Ok(document(&[&ec_next()])));
    assert_eq!(world.refusal(&ec_next().sign(&claims)).await, ErrorCode::Unauthenticated, "asked a moment ago");
    world.later(30_000);
    assert_eq!(world.who(&ec_next().sign(&claims)).await.user, user);
    assert_eq!(world.refusal(&ec().sign(&claims)).await, ErrorCode::Unauthenticated);
    assert_eq!(world.times_asked(), 3);
}

#[tokio::test]
async fn entries_with_the_same_address_share_its_keys() {
    let hosts = vec![published_keys(Some(SHOP), Some("chat")), published_keys(Some(SHOP), Some("web"))];
    let world = World::with_hosts(hosts);
    world.publish(Ok(document(&[&ed()])));
    for audience in ["chat", "web"] {
        world.who(&ed().sign(&with(world.claims("1"), "aud", json!(audience)))).await;
    }
    assert_eq!(world.times_asked(), 1);
}

#[tokio::test]
async fn nothing_that_was_not_signed_reaches_the_store() {
    let world = World::new(AuthConfig { hosts: vec![shared_secret(Some(SHOP), SECRET)], ..AuthConfig::default() });
    for sub in 0..100 {
        world.refusal(&hmac(OTHER_SECRET).sign(&world.claims(&sub.to_string()))).await;
    }
    assert_eq!(world.commits(), 0);
}
