//! The document in which a host app publishes its keys (RFC 7517, 7518 and 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::token::{Claims, Unverified, VerifyKey};

/// Keys of one document that are kept, first come first.
pub const JWKS_KEYS_MAX: usize = 64;

/// Keys tried for one token: more than one only where the token or the keys bear no name.
const TRIES_MAX: usize = 4;

/// RSA below 2048 bits is refused (RFC 7518, section 3.3).
const RSA_MIN_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct PublicKey {
    kid: Option<String>,
    key: VerifyKey,
}

/// What the keys at hand say about a token.
pub(super) enum Verdict<'t> {
    Signed(&'t Claims),
    /// The key it names is here and did not sign it.
    Forged,
    /// No key here signed it; a newer document may have one that did.
    Unknown,
}

pub(super) fn judge<'t>(keys: &[PublicKey], token: &'t Unverified<'_>) -> Verdict<'t> {
    let wanted = token.kid();
    let candidates = || keys.iter().filter(|public| public.key.alg() == token.alg());
    let named = |public: &&PublicKey| wanted.is_some() && public.kid.as_deref() == wanted;
    if candidates().any(|public| named(&public)) {
        let signed = candidates().filter(named).take(TRIES_MAX).find_map(|public| public.key.verify(token));
        return signed.map_or(Verdict::Forged, Verdict::Signed);
    }
    let nameless = |public: &&PublicKey| wanted.is_none() || public.kid.is_none();
    let signed = candidates().filter(nameless).take(TRIES_MAX).find_map(|public| public.key.verify(token));
    signed.map_or(Verdict::Unknown, Verdict::Signed)
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a document. Keys of other kinds and purposes are normal there and left out; shared secrets (`oct`) are among them, whatever
/// the document says.
pub(super) fn read_document(text: &str) -> Result<Vec<PublicKey>, String> {
    let document: Document<'_> = serde_json::from_str(text).map_err(|error| format!("not a set of keys: {error}"))?;
    let usable = document.keys.iter().filter_map(|raw| serde_json::from_str::<Jwk>(raw.get()).ok()?.usable());
    Ok(usable.take(JWKS_KEYS_MAX).collect())
}

impl Jwk {
    fn usable(self) -> Option<PublicKey> {
        let verifies = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !verifies {
            return None;
        }
        let (key, alg) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => (self.rsa()?, "RS256"),
            ("EC", Some("P-256")) => (self.p256()?, "ES256"),
            ("OKP", Some("Ed25519")) => (VerifyKey::ed25519(&sized(self.x.as_deref())?), "EdDSA"),
            _ => return None,
        };
        let agrees = self.alg.as_deref().is_none_or(|said| said == alg);
        agrees.then_some(PublicKey { kid: self.kid, key })
    }

    fn rsa(&self) -> Option<VerifyKey> {
        let modulus = bytes(self.n.as_deref())?;
        (modulus.len() >= RSA_MIN_BYTES).then_some(VerifyKey::rs256(&modulus, &bytes(self.e.as_deref())?))
    }

    fn p256(&self) -> Option<VerifyKey> {
        let x: [u8; 32] = sized(self.x.as_deref())?;
        let y: [u8; 32] = sized(self.y.as_deref())?;
        Some(VerifyKey::es256(&[&[4], x.as_slice(), &y].concat()))
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

fn sized<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    bytes(text)?.try_into().ok()
}
