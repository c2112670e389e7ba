//! Tokens as host apps make them, with the test keys in `../keys`. Shared by the unit tests and the tests with a store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

pub const SECRET: &[u8] = b"a shared secret of more than 32 bytes";
pub const RSA_PUBLIC_PEM: &[u8] = include_bytes!("../keys/rsa.pub.pem");

/// A key of a host app: its name in the document, what it signs with.
pub struct Signer {
    pub kid: &'static str,
    alg: Algorithm,
    key: EncodingKey,
}

pub fn rsa() -> Signer {
    let key = EncodingKey::from_rsa_pem(include_bytes!("../keys/rsa.pem")).unwrap();
    Signer { kid: "rsa-1", alg: Algorithm::RS256, key }
}

pub fn ec() -> Signer {
    let key = EncodingKey::from_ec_pem(include_bytes!("../keys/ec.pem")).unwrap();
    Signer { kid: "ec-1", alg: Algorithm::ES256, key }
}

/// What [`ec`] is replaced by.
pub fn ec_next() -> Signer {
    let key = EncodingKey::from_ec_pem(include_bytes!("../keys/ec-next.pem")).unwrap();
    Signer { kid: "ec-2", alg: Algorithm::ES256, key }
}

pub fn ed() -> Signer {
    let key = EncodingKey::from_ed_pem(include_bytes!("../keys/ed.pem")).unwrap();
    Signer { kid: "ed-1", alg: Algorithm::EdDSA, key }
}

pub fn hmac(secret: &[u8]) -> Signer {
    Signer { kid: "hmac", alg: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
}

impl Signer {
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"typ": "JWT", "alg": self.alg, "kid": self.kid}), claims)
    }

    /// The header says what it likes; the signature is this key's.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.alg).unwrap();
        format!("{signed}.{signature}")
    }

    pub fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.alg).unwrap()).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }
}

pub fn document(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

pub fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
