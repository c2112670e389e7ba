//! Who sends: RFC 8292.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use reqwest::Url;
use serde::Serialize;
use tertulia_proto::Timestamp;

use crate::provider::{Answer, ConfigError};
use crate::webpush::subscription::BASE64URL;

/// "The exp claim MUST NOT be more than 24 hours from the time of the request"; half of that, for clocks that differ.
const LIFE_S: i64 = 12 * 3600;

/// Signed anew while it is still good, for a request that is under way.
const SPARE_S: i64 = 3600;

/// Origins whose token is remembered. Clients name them, so there is an end; all browsers together have some four.
const ORIGINS_MAX: usize = 256;

/// A pair for [`WebPushConfig`](crate::WebPushConfig), both in base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct VapidKeys {
    /// 65 bytes: what browsers subscribe with.
    pub public: String,
    /// 32 bytes, secret.
    pub private: String,
}

impl fmt::Debug for VapidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapidKeys").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Made once and kept: a subscription is bound to the key it was made with.
pub fn generate_vapid_keys() -> Result<VapidKeys, ConfigError> {
    let pair = || -> Result<VapidKeys, Unspecified> {
        let key = PrivateKey::generate(&ECDH_P256)?;
        let private: EcPrivateKeyBin<'static> = key.as_be_bytes()?;
        Ok(VapidKeys {
            public: URL_SAFE_NO_PAD.encode(key.compute_public_key()?.as_ref()),
            private: URL_SAFE_NO_PAD.encode(private.as_ref()),
        })
    };
    pair().map_err(|_| ConfigError::new("private key", "none could be made"))
}

pub struct Vapid {
    key: EncodingKey,
    public_key: String,
    subject: String,
    /// By origin: the header's value, and until when it is used.
    signed: Mutex<BTreeMap<String, (Arc<str>, Timestamp)>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: i64,
    sub: &'a str,
}

impl Vapid {
    pub fn new(private_key: &str, subject: &str) -> Result<Self, ConfigError> {
        check_subject(subject).map_err(|why| ConfigError::new("subject", why))?;
        let wrong = || ConfigError::new("private key", "it is 32 bytes in base64url, of P-256");
        let bytes = BASE64URL.decode(private_key).map_err(|_| wrong())?;
        let key = PrivateKey::from_private_key(&ECDH_P256, &bytes).map_err(|_| wrong())?;
        let public_key = URL_SAFE_NO_PAD.encode(key.compute_public_key().map_err(|_| wrong())?.as_ref());
        let der: Pkcs8V1Der<'static> = key.as_der().map_err(|_| wrong())?;
        let vapid = Self {
            key: EncodingKey::from_ec_der(der.as_ref()),
            public_key,
            subject: subject.to_owned(),
            signed: Mutex::default(),
        };
        vapid.sign("", Timestamp::from_ms(0)).ok_or_else(wrong)?;
        Ok(vapid)
    }

    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// `vapid t=..., k=...` (RFC 8292, 3), the same for all of an origin: push services remember what they have verified.
    pub fn authorization(&self, endpoint: &Url, now: Timestamp) -> Result<String, Answer> {
        let origin = endpoint.origin().ascii_serialization();
        let mut signed = self.signed.lock();
        let known = signed.get(&origin).filter(|(_, used_until)| {
            // A clock that was set back leaves one of too far ahead.
            (0..=(LIFE_S - SPARE_S) * 1000).contains(&(used_until.ms() - now.ms()))
        });
        if let Some((header, _)) = known {
            return Ok(header.to_string());
        }
        let token = self.sign(&origin, now).ok_or_else(|| Answer::misconfigured("the VAPID key signs nothing"))?;
        let header: Arc<str> = format!("vapid t={token}, k={}", self.public_key).into();
        if signed.len() >= ORIGINS_MAX {
            signed.clear();
        }
        signed.insert(origin, (header.clone(), now.plus_ms((LIFE_S - SPARE_S) * 1000)));
        Ok(header.to_string())
    }

    fn sign(&self, aud: &str, now: Timestamp) -> Option<String> {
        let claims = Claims { aud, exp: now.ms().div_euclid(1000) + LIFE_S, sub: &self.subject };
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).ok()
    }
}

/// Names that are nobody's (RFC 2606, RFC 6761, RFC 6762).
const NOBODYS: [&str; 5] = ["localhost", "local", "example", "invalid", "test"];
const NOBODYS_DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];

/// "A contact URI for the application server as either a mailto: or an https: URI" (RFC 8292, 2.1). Apple answers 403 `BadJwtToken` where the domain is not
/// a real one: <https://github.com/web-push-libs/web-push/issues/947>; that is better known at the start than on the first iPhone.
fn check_subject(subject: &str) -> Result<(), &'static str> {
    let url = Url::parse(subject).map_err(|_| "it begins with mailto: or https: and says whom to write to")?;
    let domain = match url.scheme() {
        "mailto" => url.path().rsplit_once('@').filter(|(person, _)| !person.is_empty()).map(|(_, domain)| domain),
        "https" => url.domain(),
        _ => return Err("it begins with mailto: or https:"),
    };
    let domain = domain.unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let last = domain.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    if !domain.bytes().all(is_name) || !domain.contains('.') || domain.starts_with('.') || is_number {
        return Err("it has no domain that somebody could be reached at");
    }
    let is_nobodys = |name: &&str| domain == **name || domain.ends_with(&format!(".{name}"));
    if NOBODYS.contains(&last) || NOBODYS_DOMAINS.iter().any(is_nobodys) {
        return Err("its domain is nobody's; Apple refuses that");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_somebody_who_can_be_reached() {
        for subject in ["mailto:push@tertulia.dev", "https://chat.tertulia.dev/contact", "mailto:a@b.c.ts.net"] {
            assert_eq!(check_subject(subject), Ok(()), "{subject}");
        }
        let wrong = [
            "",
            "push@tertulia.dev",
            "http://tertulia.dev",
            "mailto:",
            "mailto:push",
            "mailto:@tertulia.dev",
            "mailto:push@localhost",
            "mailto:push@chat.localhost",
            "mailto:push@example.com",
            "mailto:push@mail.example.org",
            "mailto:push@printer.local",
            "mailto:push@192.168.1.1",
            "mailto:push@a b.de",
            "https://localhost",
            "https://localhost:8080",
            "https://example.net/contact",
            "https://127.0.0.1",
            "https://[::1]",
            "https://intranet",
        ];
        for subject in wrong {
            assert!(check_subject(subject).is_err(), "{subject}");
        }
    }

    #[test]
    fn a_generated_pair_is_taken_and_belongs_together() {
        let keys = generate_vapid_keys().unwrap();
        let vapid = Vapid::new(&keys.private, "mailto:push@tertulia.dev").unwrap();
        assert_eq!(vapid.public_key(), keys.public);
        assert_eq!(URL_SAFE_NO_PAD.decode(&keys.public).unwrap().len(), 65);
        assert!(!format!("{keys:?}").contains(&keys.private));
        assert_ne!(generate_vapid_keys().unwrap(), keys);
        // No key at all, one that is too short, zero, the order of the curve.
        let order = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
        for wrong in ["", "AAAA", &"A".repeat(43), order, &keys.public] {
            assert!(Vapid::new(wrong, "mailto:push@tertulia.dev").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_kept_per_origin_and_signed_anew_before_its_end() {
        let keys = generate_vapid_keys().unwrap();
        let vapid = Vapid::new(&keys.private, "mailto:push@tertulia.dev").unwrap();
        let now = Timestamp::from_ms(1_767_225_600_000);
        let header =
            |url: &str, hours: i64| vapid.authorization(&url.parse().unwrap(), now.plus_ms(hours * 3_600_000)).unwrap();
        let first = header("https://a.example.net/1", 0);
        assert_eq!(header("https://a.example.net:443/2", 10), first);
        assert_ne!(header("https://a.example.net:444/2", 0), first);
        let next = header("https://a.example.net/1", 12);
        assert_ne!(next, first);
        // The clock is set back.
        assert_ne!(header("https://a.example.net/1", -24), next);
        for number in 0..1000 {
            header(&format!("https://{number}.example.net/"), 0);
        }
        assert!(vapid.signed.lock().len() <= ORIGINS_MAX);
    }
}
