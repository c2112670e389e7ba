//! What a browser gives out: where to, and for whose eyes (`PushSubscription.toJSON()` of the Push API).

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reqwest::Url;
use serde::Deserialize;

use crate::guard::{self, Refusal};

/// A whole one is some 500 bytes.
const BYTES_MAX: usize = 4096;

/// With and without padding: libraries differ.
pub(super) const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    #[error("this is no subscription")]
    Form,
    /// 65 bytes, uncompressed (RFC 8291, 3.1).
    #[error("its p256dh is no public key")]
    Key,
    /// 16 bytes (RFC 8291, 3.2).
    #[error("its auth is no secret of 16 bytes")]
    Auth,
    #[error("its endpoint: {0}")]
    Endpoint(Refusal),
}

/// Secret as a whole: who has it can notify the device.
#[derive(Clone)]
pub struct Subscription {
    pub(super) endpoint: Url,
    pub(super) public_key: [u8; 65],
    pub(super) auth: [u8; 16],
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription(..)")
    }
}

#[derive(Deserialize)]
struct Form {
    endpoint: String,
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

impl Subscription {
    /// `{"endpoint", "keys": {"p256dh", "auth"}}`; whether the key is a point of the curve shows when it is used.
    pub fn read(token: &str, allow_private: bool) -> Result<Self, SubscriptionError> {
        if token.len() > BYTES_MAX {
            return Err(SubscriptionError::Form);
        }
        let form: Form = serde_json::from_str(token).map_err(|_| SubscriptionError::Form)?;
        let public_key = decoded::<65>(&form.keys.p256dh).filter(|key| key.first() == Some(&4));
        let public_key = public_key.ok_or(SubscriptionError::Key)?;
        let auth = decoded::<16>(&form.keys.auth).ok_or(SubscriptionError::Auth)?;
        let endpoint = guard::check(&form.endpoint, allow_private).map_err(SubscriptionError::Endpoint)?;
        Ok(Self { endpoint, public_key, auth })
    }
}

fn decoded<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    BASE64URL.decode(text).ok()?.try_into().ok()
}
