//! Content that only the browser can read: RFC 8291, which is RFC 8188's `aes128gcm` with keys from an exchange.
//!
//! The primitives are aws-lc's; here is the order they are called in. It is held by the example of RFC 8291 and by a foreign library
//! (`e2e/python/test_webpush.py`).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;

use crate::webpush::subscription::Subscription;

/// What a push service has to take (RFC 8030, 7.2), and so the size of the one record.
const RECORD_SIZE: u32 = 4096;

const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 65;
const TAG_BYTES: usize = 16;

/// "The delimiter octet 0x02" of the last record (RFC 8188, 2): what follows it would be padding.
const LAST_RECORD: u8 = 2;

/// Salt, record size, length of the key's name, the name.
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + KEY_BYTES;

/// 3993 (RFC 8291, 4): 4096 with everything around it.
pub const CONTENT_MAX: usize = RECORD_SIZE as usize - HEADER_BYTES - TAG_BYTES - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    #[error("over {CONTENT_MAX} bytes")]
    TooLarge,
    #[error("the subscription's key is not of its curve")]
    Key,
    #[error("nothing could be encrypted")]
    Encryption,
}

impl From<Unspecified> for ContentError {
    fn from(_: Unspecified) -> Self {
        Self::Encryption
    }
}

/// The body of a push message. Key and salt are drawn by the library itself: one that somebody else could choose would be none.
pub fn encrypt(subscription: &Subscription, content: &[u8]) -> Result<Vec<u8>, ContentError> {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt)?;
    encrypt_with(subscription, content, &PrivateKey::generate(&ECDH_P256)?, salt)
}

fn encrypt_with(
    subscription: &Subscription,
    content: &[u8],
    own_key: &PrivateKey,
    salt: [u8; SALT_BYTES],
) -> Result<Vec<u8>, ContentError> {
    if content.len() > CONTENT_MAX {
        return Err(ContentError::TooLarge);
    }
    let own_public = own_key.compute_public_key()?;
    let (theirs, ours) = (subscription.public_key.as_slice(), own_public.as_ref());

    // RFC 8291, 3.4.
    let their_key = UnparsedPublicKey::new(&ECDH_P256, theirs);
    let input_key: [u8; 32] = agree(own_key, their_key, ContentError::Key, |secret| {
        let combined = Salt::new(HKDF_SHA256, &subscription.auth).extract(secret);
        Ok(expanded(&combined, &[b"WebPush: info\0", theirs, ours])?)
    })?;
    // RFC 8188, 2.2 and 2.3; of the first record, with whose number nothing changes.
    let keys = Salt::new(HKDF_SHA256, &salt).extract(&input_key);
    let key: [u8; 16] = expanded(&keys, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expanded(&keys, &[b"Content-Encoding: nonce\0"])?;

    let mut record = Vec::with_capacity(content.len() + 1 + TAG_BYTES);
    record.extend_from_slice(content);
    record.push(LAST_RECORD);
    // The key is used once: salt and key of the exchange are new for each message.
    let nonce = Nonce::assume_unique_for_key(nonce);
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?).seal_in_place_append_tag(
        nonce,
        Aad::empty(),
        &mut record,
    )?;

    // RFC 8188, 2.1; the key's name is our half of the exchange.
    let mut message = Vec::with_capacity(HEADER_BYTES + record.len());
    message.extend_from_slice(&salt);
    message.extend_from_slice(&RECORD_SIZE.to_be_bytes());
    message.push(KEY_BYTES as u8);
    message.extend_from_slice(ours);
    message.append(&mut record);
    Ok(message)
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expanded<const BYTES: usize>(key: &Prk, info: &[&[u8]]) -> Result<[u8; BYTES], Unspecified> {
    let mut out = [0; BYTES];
    key.expand(info, Bytes(BYTES))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes<const BYTES: usize>(text: &str) -> [u8; BYTES] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    fn subscription() -> Subscription {
        Subscription {
            endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV".parse().unwrap(),
            public_key: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        }
    }

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_example_of_the_rfc_comes_out_as_it_stands_there() {
        let own_key = bytes::<32>("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own_key = PrivateKey::from_private_key(&ECDH_P256, &own_key).unwrap();
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let message =
            encrypt_with(&subscription(), b"When I grow up, I want to be a watermelon", &own_key, salt).unwrap();
        let wanted = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(message), wanted);
    }

    #[test]
    fn the_largest_content_is_3993_bytes_and_fills_4096() {
        assert_eq!(CONTENT_MAX, 3993);
        assert_eq!(encrypt(&subscription(), &[b'a'; CONTENT_MAX]).unwrap().len(), 4096);
        assert_eq!(encrypt(&subscription(), &[b'a'; CONTENT_MAX + 1]), Err(ContentError::TooLarge));
    }

    #[test]
    fn a_key_that_is_no_point_of_the_curve_is_refused() {
        let mut public_key = [7; 65];
        public_key[0] = 4;
        let off = Subscription { public_key, ..subscription() };
        assert_eq!(encrypt(&off, b"a"), Err(ContentError::Key));
    }

    #[test]
    fn no_two_messages_share_salt_or_key() {
        let (one, other) = (encrypt(&subscription(), b"a").unwrap(), encrypt(&subscription(), b"a").unwrap());
        assert_ne!(one[..16], other[..16]);
        assert_ne!(one[21..86], other[21..86]);
    }
}
