use serde_json::{Value, json};

use super::signing::{Signer, ec, ec_next, ed, hmac, rsa};
use crate::auth::jwk::{JWKS_KEYS_MAX, PublicKey, Verdict, judge, read_document};
use crate::auth::token::Unverified;

fn keys(jwks: &[Value]) -> Vec<PublicKey> {
    read_document(&json!({ "keys": jwks }).to_string()).unwrap()
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn without(mut jwk: Value, name: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(name);
    jwk
}

#[derive(Debug, PartialEq)]
enum Said {
    Signed,
    Forged,
    Unknown,
}

fn said(keys: &[PublicKey], token: &str) -> Said {
    match judge(keys, &Unverified::parse(token).unwrap()) {
        Verdict::Signed(_) => Said::Signed,
        Verdict::Forged => Said::Forged,
        Verdict::Unknown => Said::Unknown,
    }
}

#[test]
fn each_kind_of_key_takes_its_own_tokens_and_no_others() {
    let signers = [rsa(), ec(), ed()];
    let all = keys(&signers.each_ref().map(Signer::jwk));
    for signer in &signers {
        let token = signer.sign(&json!({"sub": "a"}));
        assert_eq!(said(&all, &token), Said::Signed, "{}", signer.kid);
        for other in signers.iter().filter(|other| other.kid != signer.kid) {
            assert_eq!(said(&keys(&[other.jwk()]), &token), Said::Unknown);
        }
    }
}

#[test]
fn the_named_key_alone_is_asked() {
    let renamed = with(ec_next().jwk(), "kid", json!("ec-1"));
    assert_eq!(said(&keys(&[renamed, ec_next().jwk()]), &ec().sign(&json!({}))), Said::Forged);
    assert_eq!(said(&keys(&[ec_next().jwk()]), &ec().sign(&json!({}))), Said::Unknown);
}

#[test]
fn a_name_may_be_missing_on_either_side() {
    let nameless = ec().sign_with(&json!({"alg": "ES256"}), &json!({}));
    assert_eq!(said(&keys(&[ec_next().jwk(), ec().jwk()]), &nameless), Said::Signed);
    assert_eq!(said(&keys(&[ec_next().jwk()]), &nameless), Said::Unknown);
    assert_eq!(said(&keys(&[without(ec().jwk(), "kid")]), &ec().sign(&json!({}))), Said::Signed);
}

#[test]
fn keys_that_may_not_verify_are_left_out() {
    let small = with(rsa().jwk(), "n", json!("A".repeat(300)));
    for unusable in [
        hmac(b"x").jwk(),
        with(rsa().jwk(), "use", json!("enc")),
        with(without(rsa().jwk(), "use"), "key_ops", json!(["encrypt"])),
        with(rsa().jwk(), "alg", json!("RS512")),
        with(rsa().jwk(), "alg", json!("HS256")),
        with(rsa().jwk(), "kid", json!(7)),
        with(ec().jwk(), "crv", json!("P-384")),
        with(ec().jwk(), "kty", json!("RSA")),
        with(ec().jwk(), "y", json!("AAAA")),
        with(ed().jwk(), "crv", json!("Ed448")),
        without(ed().jwk(), "x"),
        small,
        json!({}),
        json!(7),
    ] {
        assert!(keys(std::slice::from_ref(&unusable)).is_empty(), "{unusable}");
        assert_eq!(keys(&[unusable, ec().jwk()]).len(), 1, "and the others still count");
    }
    assert_eq!(keys(&[without(without(rsa().jwk(), "use"), "alg")]).len(), 1);
    assert_eq!(keys(&[with(rsa().jwk(), "key_ops", json!(["verify"]))]).len(), 1);
}

#[test]
fn a_document_is_bounded_and_a_bad_one_is_an_error() {
    assert_eq!(keys(&vec![ed().jwk(); JWKS_KEYS_MAX + 10]).len(), JWKS_KEYS_MAX);
    for bad in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#] {
        assert!(read_document(bad).is_err(), "{bad}");
    }
    assert!(read_document(r#"{"keys":[],"more":1}"#).unwrap().is_empty());
}
