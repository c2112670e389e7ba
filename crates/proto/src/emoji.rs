//! What may be a reaction: one emoji as a person sees it.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_properties::UnicodeEmoji;
use unicode_segmentation::UnicodeSegmentation;

use crate::id::IdError;

/// One extended grapheme cluster (UAX #29) of at most 64 bytes that has an emoji character (UTS #51) in it. Digits, `#` and `*` count as emoji
/// in Unicode's tables; here they need the keycap that makes them one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Emoji(Box<str>);

impl Emoji {
    pub const LEN_MAX_BYTES: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Emoji {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let pictures = |c: char| !c.is_ascii() && (c.is_emoji_char() || c == '\u{20e3}');
        if text.len() > Self::LEN_MAX_BYTES || text.graphemes(true).count() != 1 || !text.chars().any(pictures) {
            return Err(IdError("must be a single emoji of at most 64 bytes"));
        }
        Ok(Self(text.into()))
    }
}

impl Serialize for Emoji {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Emoji {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Emoji {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(Self::LEN_MAX_BYTES))
            .examples(["👍"])
            .build()
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Emoji {
    fn name() -> std::borrow::Cow<'static, str> {
        std::borrow::Cow::Borrowed("Emoji")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn emoji_of_every_kind_are_taken() {
        for good in ["👍", "❤️", "👍🏽", "🇪🇸", "👨‍👩‍👧‍👦", "1️⃣", "☺", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]
        {
            assert!(good.parse::<Emoji>().is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_single_emoji_is_refused() {
        for bad in ["", "a", "1", "#", "👍👍", "ok", " ", "é", "<b>", "\u{200d}"] {
            assert!(bad.parse::<Emoji>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<Emoji>();
        }
    }
}
