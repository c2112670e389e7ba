//! Tokens as text: what one says before anybody believes it, and the check that makes it believed.
//!
//! A key knows the one algorithm it is for; the token's `alg` can only agree. There is no way from a token's header to a choice of algorithm, so a
//! public key never serves as an HMAC secret and "none" is no algorithm at all (RFC 8725, sections 2.1 and 3.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tertulia_proto::{ApiError, SessionId, Timestamp};

/// Longer ones are not looked at.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// How far the clock of who made a token may be ahead of ours, for `nbf` and `iat`. `exp` has no such grace: a token ends when it says.
const LEEWAY_MS: i64 = 30_000;

/// All the algorithms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Alg {
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Alg {
    const fn outside(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// What a token says about itself. Nobody has checked it: good for choosing who checks, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    pub alg: Alg,
    pub kid: Option<String>,
    pub typ: Option<String>,
    pub iss: Option<String>,
    pub sub: Option<String>,
    pub sid: Option<String>,
    pub exp: Option<Timestamp>,
}

/// Reads a token without checking it. `None` for what is no signed JWT of ours or of a host app: too long, another algorithm, a name said twice, a
/// value of another type, an extension that must be understood (`crit`).
pub fn peek(token: &str) -> Option<Peeked> {
    let Unverified { header, claims, .. } = Unverified::parse(token)?;
    Some(Peeked {
        alg: header.alg,
        kid: header.kid,
        typ: header.typ,
        iss: claims.iss,
        sub: claims.sub,
        sid: claims.sid,
        exp: claims.exp.map(|date| date.0),
    })
}

#[derive(Deserialize)]
struct Header {
    alg: Alg,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_said")]
    crit: bool,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    pub iss: Option<String>,
    pub sub: Option<String>,
    pub sid: Option<String>,
    aud: Option<Audience>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    pub name: Option<String>,
    email: Option<String>,
    email_verified: Option<Verified>,
    pub picture: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Some issuers write the truth value as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Verified {
    Value(bool),
    Text(String),
}

/// Seconds since 1970, possibly with a fraction (RFC 7519, section 2).
#[derive(Clone, Copy)]
struct NumericDate(Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl Visitor<'_> for Seconds {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<NumericDate, E> {
                Ok(NumericDate(Timestamp::from_ms(seconds.saturating_mul(1000))))
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
                // `as` saturates, and JSON has neither infinity nor NaN.
                Ok(NumericDate(Timestamp::from_ms((seconds * 1000.0) as i64)))
            }
        }

        deserializer.deserialize_any(Seconds)
    }
}

fn is_said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Claims {
    pub(super) fn email(&self) -> Option<&str> {
        match &self.email_verified {
            Some(Verified::Value(false)) => None,
            Some(Verified::Text(text)) if text == "false" => None,
            Some(_) | None => self.email.as_deref(),
        }
    }

    pub(super) fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            Some(Audience::One(one)) => one == audience,
            Some(Audience::Many(many)) => many.iter().any(|one| one == audience),
            None => false,
        }
    }

    /// When the token ends, if now is inside the time it is for.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<Timestamp, ApiError> {
        let Some(NumericDate(expires_at)) = self.exp else {
            return Err(ApiError::unauthenticated("the token has no exp"));
        };
        if expires_at <= now {
            return Err(ApiError::unauthenticated("the token has expired"));
        }
        let tolerated = now.plus_ms(LEEWAY_MS);
        if [self.nbf, self.iat].into_iter().flatten().any(|NumericDate(since)| since > tolerated) {
            return Err(ApiError::unauthenticated("the token is not valid yet"));
        }
        Ok(expires_at)
    }
}

/// A token nobody has checked. Its claims come out through [`VerifyKey::verify`] alone.
pub(super) struct Unverified<'a> {
    header: Header,
    claims: Claims,
    /// Header and claims as they were sent: what the signature is over.
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = part(header)?;
        let is_plain = !header.crit && header.typ.as_deref().is_none_or(is_access_token);
        (is_plain && !signature.is_empty()).then_some(Self { header, claims: part(claims)?, signed, signature })
    }

    pub(super) fn alg(&self) -> Alg {
        self.header.alg
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    pub(super) fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    pub(super) fn iss(&self) -> Option<&str> {
        self.claims.iss.as_deref()
    }

    /// The session of a token that no session was opened for: a digest of what was signed. Not of the signature, since from one ECDSA signature
    /// everybody can make a second good one, which would be another session after the first was ended.
    pub(super) fn derived_session(&self) -> SessionId {
        let digest: [u8; 32] = Sha256::digest(self.signed).into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        SessionId::from_bytes(id)
    }
}

/// Not a token of another purpose that the same key signed, such as `logout+jwt` (RFC 8725, section 3.11).
fn is_access_token(typ: &str) -> bool {
    let typ = typ.strip_prefix("application/").unwrap_or(typ);
    ["JWT", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    // serde reads a struct from an array too; a JWT's parts are objects.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(&json).ok()
}

/// A key with the one algorithm it is for.
pub(super) struct VerifyKey {
    alg: Alg,
    key: DecodingKey,
}

impl VerifyKey {
    pub(super) fn hs256(secret: &[u8]) -> Self {
        Self { alg: Alg::Hs256, key: DecodingKey::from_secret(secret) }
    }

    pub(super) fn rs256(modulus: &[u8], exponent: &[u8]) -> Self {
        Self { alg: Alg::Rs256, key: DecodingKey::from_rsa_raw_components(modulus, exponent) }
    }

    /// `point` is uncompressed: 4, x, y (SEC 1, section 2.3.3).
    pub(super) fn es256(point: &[u8]) -> Self {
        Self { alg: Alg::Es256, key: DecodingKey::from_ec_der(point) }
    }

    pub(super) fn ed25519(public: &[u8; 32]) -> Self {
        Self { alg: Alg::EdDsa, key: DecodingKey::from_ed_der(public) }
    }

    pub(super) fn alg(&self) -> Alg {
        self.alg
    }

    /// The claims, if this key signed them. Says nothing about times, issuer or audience.
    pub(super) fn verify<'t>(&self, token: &'t Unverified<'_>) -> Option<&'t Claims> {
        if token.header.alg != self.alg {
            return None;
        }
        // The library's `decode` would ask the machine's clock; its bare check of a signature does not.
        let good =
            jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), &self.key, self.alg.outside());
        good.unwrap_or(false).then_some(&token.claims)
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({:?}, ..)", self.alg)
    }
}
