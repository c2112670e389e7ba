use tertulia_core::auth::{Scope, Scopes, is_api_key};
use tertulia_proto::{ApiKeyId, ErrorCode};

use crate::world::World;

fn chat() -> Scopes {
    "chat:read,chat:write".parse().unwrap()
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say() {
    let world = World::local();
    let key = world.auth.create_api_key(" shop ", chat()).await.unwrap();
    assert!(is_api_key(&key.token));
    assert_eq!(key.token.len(), 3 + 43, "32 bytes in base64url");
    let identity = world.auth.authenticate_api_key(&key.token).await.unwrap();
    assert_eq!((identity.id, identity.name.as_str(), identity.scopes), (key.id, "shop", chat()));
    assert!(identity.require(Scope::ChatWrite).is_ok());
    let refusal = identity.require(Scope::TokensWrite).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    assert!(refusal.detail.contains("tokens:write"), "{refusal}");
}

#[tokio::test]
async fn a_key_is_no_persons_token_and_the_other_way_round() {
    let world = World::local();
    let key = world.auth.create_api_key("shop", chat()).await.unwrap();
    let person = world.auth.issue_for_email("alice@example.org", None).await.unwrap();
    assert_eq!(world.refusal(&key.token).await, ErrorCode::Unauthenticated);
    assert_eq!(world.auth.authenticate_api_key(&person.token).await.unwrap_err().code, ErrorCode::Unauthenticated);
    assert!(!is_api_key(&person.token));
}

#[tokio::test]
async fn another_text_is_another_key() {
    let world = World::local();
    let (one, two) = (
        world.auth.create_api_key("one", chat()).await.unwrap(),
        world.auth.create_api_key("two", chat()).await.unwrap(),
    );
    assert_ne!(one.token, two.token);
    let token = &one.token;
    let swapped = if token.as_bytes()[10] == b'A' { "B" } else { "A" };
    let mut changed = token.clone();
    changed.replace_range(10..11, swapped);
    for bad in [
        changed.as_str(),
        &token[..45],
        &format!("{token}A"),
        &token[3..],
        "tk_",
        "",
        &format!("tk_{}", "é".repeat(22)),
    ] {
        assert_eq!(world.auth.authenticate_api_key(bad).await.unwrap_err().code, ErrorCode::Unauthenticated, "{bad}");
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let world = World::local();
    let key = world.auth.create_api_key("shop", chat()).await.unwrap();
    world.auth.revoke_api_key(key.id).await.unwrap();
    assert_eq!(world.auth.authenticate_api_key(&key.token).await.unwrap_err().code, ErrorCode::Unauthenticated);
    let nobodys = world.auth.revoke_api_key(ApiKeyId::from_bytes([9; 16])).await;
    assert_eq!(nobodys.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_key_is_in_no_log() {
    let world = World::local();
    let key = world.auth.create_api_key("shop", chat()).await.unwrap();
    assert!(!format!("{key:?}").contains(&key.token));
    assert_eq!(world.auth.create_api_key("", chat()).await.unwrap_err().code, ErrorCode::Invalid);
}
