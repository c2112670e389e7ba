use proptest::prelude::*;
use serde_json::{Value, json};
use tertulia_proto::{ErrorCode, Timestamp};

use super::signing::{self, SECRET, encode, hmac};
use crate::auth::token::{Alg, TOKEN_MAX_BYTES, Unverified, VerifyKey, peek};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const NOW_S: i64 = NOW.ms() / 1000;

fn text(header: &str, claims: &str) -> String {
    let part = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    format!("{}.{}.c2ln", part(header), part(claims))
}

#[test]
fn a_token_says_what_it_says() {
    let token = text(
        r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#,
        r#"{"iss":"i","sub":"s","sid":"d","exp":1800000000,"aud":["x"],"name":null,"more":{"a":[1]}}"#,
    );
    let peeked = peek(&token).unwrap();
    assert_eq!((peeked.alg, peeked.kid.as_deref(), peeked.typ.as_deref()), (Alg::Es256, Some("a"), Some("JWT")));
    assert_eq!(
        (peeked.iss.as_deref(), peeked.sub.as_deref(), peeked.sid.as_deref()),
        (Some("i"), Some("s"), Some("d"))
    );
    assert_eq!(peeked.exp, Some(NOW));
}

#[test]
fn what_is_no_signed_token_of_a_known_kind_is_not_read() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"PS256"}"#,
        r#"{"alg":"ES256K"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","typ":"logout+jwt"}"#,
        r#"["HS256",null,null]"#,
        r#"{}"#,
        "",
    ] {
        assert_eq!(peek(&text(header, "{}")), None, "{header}");
    }
    for claims in [
        r#"{"sub":7}"#,
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"exp":"tomorrow"}"#,
        r#"{"exp":true}"#,
        r#"{"exp":1e400}"#,
        r#"{"aud":7}"#,
        r#"{"email":["a@b"]}"#,
        "[]",
        "[null,null,null,null,null,null,null,null,null,null,null]",
        "null",
        "{",
        "",
    ] {
        assert_eq!(peek(&text(r#"{"alg":"HS256"}"#, claims)), None, "{claims}");
    }
    for token in ["", ".", "..", "...", "a.b", "a.b.c", "e30.e30.e30", "e30.e30.e30.e30.e30"] {
        assert_eq!(peek(token), None, "{token}");
    }
}

#[test]
fn a_signature_must_be_there_and_the_length_has_an_end() {
    let good = text(r#"{"alg":"HS256"}"#, "{}");
    assert!(peek(&good).is_some());
    assert_eq!(peek(good.trim_end_matches("c2ln")), None);
    let long = |bytes: usize| format!("{good}{}", "A".repeat(bytes - good.len()));
    assert!(peek(&long(TOKEN_MAX_BYTES)).is_some());
    assert_eq!(peek(&long(TOKEN_MAX_BYTES + 1)), None);
}

#[test]
fn a_time_may_have_a_fraction_and_any_size() {
    let exp = |number: &str| peek(&text(r#"{"alg":"HS256"}"#, &format!("{{\"exp\":{number}}}"))).unwrap().exp.unwrap();
    assert_eq!(exp("1800000000.25"), NOW.plus_ms(250));
    assert_eq!(exp("-1"), Timestamp::from_ms(-1000));
    for far in ["18446744073709551615", "9223372036854775807", "1e300", "253402300800"] {
        assert_eq!(exp(far), Timestamp::from_ms(i64::MAX), "{far}");
    }
}

fn check(claims: &Value) -> Result<Timestamp, ErrorCode> {
    let token = hmac(SECRET).sign(claims);
    let token = Unverified::parse(&token).unwrap();
    let claims = VerifyKey::hs256(SECRET).verify(&token).unwrap();
    claims.check_times(NOW).map_err(|error| error.code)
}

#[test]
fn an_end_has_no_grace_and_a_beginning_has_half_a_minute() {
    assert_eq!(check(&json!({"exp": NOW_S + 1})), Ok(NOW.plus_ms(1000)));
    assert_eq!(check(&json!({"exp": NOW_S})), Err(ErrorCode::Unauthenticated));
    assert_eq!(check(&json!({})), Err(ErrorCode::Unauthenticated));
    for since in ["nbf", "iat"] {
        assert!(check(&json!({"exp": NOW_S + 60, since: NOW_S + 30})).is_ok());
        assert_eq!(check(&json!({"exp": NOW_S + 60, since: NOW_S + 31})), Err(ErrorCode::Unauthenticated));
    }
}

#[test]
fn an_address_that_was_not_verified_is_not_taken() {
    let email = |verified: Value| {
        let token = hmac(SECRET).sign(&json!({"email": "a@b", "email_verified": verified}));
        let token = Unverified::parse(&token).unwrap();
        VerifyKey::hs256(SECRET).verify(&token).unwrap().email().map(str::to_owned)
    };
    assert_eq!(email(json!(true)).as_deref(), Some("a@b"));
    assert_eq!(email(json!(null)).as_deref(), Some("a@b"));
    assert_eq!(email(json!("true")).as_deref(), Some("a@b"));
    assert_eq!(email(json!(false)), None);
    assert_eq!(email(json!("false")), None);
}

#[test]
fn one_changed_character_anywhere_is_noticed() {
    let token = hmac(SECRET).sign(&json!({"sub": "a"}));
    let key = VerifyKey::hs256(SECRET);
    assert!(key.verify(&Unverified::parse(&token).unwrap()).is_some());
    for at in 0..token.len() {
        for to in ["A", "B", "_"] {
            let mut changed = token.clone();
            changed.replace_range(at..=at, to);
            let stands = Unverified::parse(&changed).is_some_and(|token| key.verify(&token).is_some());
            assert!(!stands || changed == token, "{at} to {to}");
        }
    }
}

#[test]
fn a_key_checks_its_own_algorithm_alone() {
    let claims = json!({"sub": "a"});
    let public = VerifyKey::hs256(signing::RSA_PUBLIC_PEM);
    let honest = signing::rsa().sign(&claims);
    assert!(public.verify(&Unverified::parse(&honest).unwrap()).is_none());
    let renamed = hmac(SECRET).sign_with(&json!({"alg": "RS256"}), &claims);
    assert!(VerifyKey::hs256(SECRET).verify(&Unverified::parse(&renamed).unwrap()).is_none());
}

#[test]
fn the_session_of_a_token_does_not_hang_on_its_signature() {
    let claims = json!({"sub": "a"});
    let session = |token: &str| Unverified::parse(token).unwrap().derived_session();
    let (one, two) = (signing::ec().sign(&claims), signing::ec().sign(&claims));
    assert_ne!(one, two, "ECDSA signs with chance");
    assert_eq!(session(&one), session(&two));
    assert_ne!(session(&one), session(&signing::ec().sign(&json!({"sub": "b"}))));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in ".{0,300}") {
        let _ = peek(&text);
    }

    #[test]
    fn any_parts_are_read_or_refused_without_a_panic(
        header in "\\{\"(alg|typ|kid|crit)\":(\"(HS256|none|JWT)\"|null|7|\\[\\])(,\"(alg|kid)\":\"HS256\")?\\}",
        claims in "\\{\"(exp|nbf|iat|sub|aud|email|email_verified|sid)\":(\"x\"|null|-?[0-9]{1,25}|[0-9]\\.[0-9]e[0-9]{1,3}|\\[\"a\"\\]|\\{\\}|true)\\}",
        signature in "[A-Za-z0-9_=.-]{0,20}",
    ) {
        let token = format!("{}{signature}", text(&header, &claims).trim_end_matches("c2ln"));
        if let Some(token) = Unverified::parse(&token) {
            prop_assert!(VerifyKey::hs256(SECRET).verify(&token).is_none());
        }
    }

    #[test]
    fn any_json_in_its_place_is_read_or_refused_without_a_panic(header in any::<i64>(), claims in ".{0,60}") {
        let _ = peek(&format!("{}.{}.x", encode(&json!(header)), encode(&json!(claims))));
        let _ = peek(&format!("{}.{}.x", encode(&json!({"alg": "HS256", "kid": claims.clone()})), encode(&json!({"sub": claims, "exp": header}))));
    }
}
