//! Typed identifiers. All but [`ClientMsgId`] are UUIDs; the server makes its own as version 7 (RFC 9562, time-ordered), and clients
//! make [`DeviceId`] as version 4.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A string that is not what the field wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(pub &'static str);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The 16 bytes in network order, the form kept in storage.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            pub const fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Only the hyphenated form of 36 characters: one text per identifier, so that text compares like the identifier.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError("must be a UUID of 36 characters");
                if text.len() != 36 {
                    return Err(error);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Uuid)))
                    .build()
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed(stringify!($name))
            }
        }
    };
}

uuid_id!(
    /// A person.
    UserId
);
uuid_id!(
    /// A DM or a group.
    ConversationId
);
uuid_id!(
    /// A message of the log.
    MessageId
);
uuid_id!(
    /// A sign-in of a person; tokens carry it as `sid`.
    SessionId
);
uuid_id!(
    /// A server-to-server key.
    ApiKeyId
);
uuid_id!(
    /// One local store of a client, which makes it at random: a device has one connection, and the newest is it.
    DeviceId
);

uuid_id!(
    /// A device that is registered for notifications.
    RegistrationId
);

uuid_id!(
    /// One run of one server, made at its start.
    ServerId
);

uuid_id!(
    /// Another program's address that events are sent to.
    WebhookId
);

/// The sender's own name for a message: 1 to 64 of `[A-Za-z0-9_-]` (a UUID or a ULID fits). `(sender, clientMsgId)` is unique for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientMsgId(Box<str>);

impl ClientMsgId {
    pub const LEN_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientMsgId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(allowed) {
            return Err(IdError("must be 1 to 64 characters of A-Z a-z 0-9 _ -"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ClientMsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ClientMsgId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClientMsgId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ClientMsgId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(Self::LEN_MAX))
            .pattern(Some("^[A-Za-z0-9_-]+$"))
            .build()
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ClientMsgId {
    fn name() -> std::borrow::Cow<'static, str> {
        std::borrow::Cow::Borrowed("ClientMsgId")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_without_a_panic(text in ".{0,80}") {
            let _ = text.parse::<ClientMsgId>();
            let _ = text.parse::<MessageId>();
        }

        #[test]
        fn an_id_survives_its_text(bytes in any::<[u8; 16]>()) {
            let id = UserId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<UserId>().unwrap(), id);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<UserId>(&json).unwrap(), id);
        }

        #[test]
        fn a_client_msg_id_of_the_alphabet_is_taken_as_it_is(text in "[A-Za-z0-9_-]{1,64}") {
            prop_assert_eq!(text.parse::<ClientMsgId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_outside_the_alphabet_or_the_length_is_refused() {
        for bad in ["", "a b", "é", "a/b", &"a".repeat(65)] {
            assert!(bad.parse::<ClientMsgId>().is_err(), "{bad:?}");
        }
        assert!("0190a1b2-0000-7000-8000-00000000000".parse::<MessageId>().is_err());
        assert!("{190a1b2-0000-7000-8000-00000000000}".parse::<MessageId>().is_err());
    }
}
