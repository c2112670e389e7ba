//! The signature of a request, by the Standard Webhooks specification (<https://www.standardwebhooks.com>, version 1, symmetric):
//! `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`, one for each secret, separated by spaces.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tertulia_store::webhooks::Secret;

/// `timestamp`: seconds since 1970.
pub fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let of_secret = |secret: &Secret| {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0));
        signing.update(id.as_bytes());
        signing.update(format!(".{timestamp}.").as_bytes());
        signing.update(body);
        format!("v1,{}", STANDARD.encode(signing.sign()))
    };
    secrets.iter().map(of_secret).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's `hmac`: `b64encode(hmac.new(bytes(range(32)), b"msg_1.1700000000.{}", sha256).digest())`.
    #[test]
    fn a_signature_is_as_the_specification_says() {
        let secret = Secret(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let one = "v1,fhksJF5ElKjlPoT/jtefCO5XjQPvhf7Dhf/8R1ad9yU=";
        assert_eq!(signatures(&[secret], "msg_1", 1_700_000_000, b"{}"), one);
        let other = Secret([7; 32]);
        assert_eq!(
            signatures(&[secret, other], "msg_1", 1_700_000_000, b"{}"),
            format!("{one} v1,nuLLyheCKcS2N8JNOFt5stk98R+umYWr26/ZTfdtGM8=")
        );
    }
}
