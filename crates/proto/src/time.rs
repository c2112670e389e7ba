//! Instants: milliseconds in storage, RFC 3339 with milliseconds in UTC on the wire. Order never depends on them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// 0001-01-01 and 9999-12-31: what RFC 3339 can write.
const MIN_MS: i64 = -62_135_596_800_000;
const MAX_MS: i64 = 253_402_207_200_000;

impl Timestamp {
    /// Values outside the years 1 to 9999 are drawn to their edge, so that every `Timestamp` can be written.
    pub const fn from_ms(ms: i64) -> Self {
        if ms < MIN_MS {
            Self(MIN_MS)
        } else if ms > MAX_MS {
            Self(MAX_MS)
        } else {
            Self(ms)
        }
    }

    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Later by so many milliseconds (earlier if negative).
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self::from_ms(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = crate::id::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = read(text.as_bytes()).map(Self::from_ms);
        read.ok_or(crate::id::IdError("must be a time of RFC 3339, such as 2026-01-31T12:00:00.000Z"))
    }
}

// By hand, because a library of time would be a twentieth of what a browser downloads.

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;

/// Year, month and day, of the days since 1970-01-01; by Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years there begin
/// with March, so that the leap day is their last.
const fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400, if month < 10 { month + 3 } else { month - 9 });
    (if month <= 2 { year + 1 } else { year }, month, date)
}

/// The way back, `days_from_civil`.
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    era * ERA_DAYS + year * 365 + year / 4 - year / 100 + day - 719_468
}

/// Milliseconds, of `date-time` in RFC 3339, section 5.6; what is finer is cut off, a leap second is the one before it.
fn read(text: &[u8]) -> Option<i64> {
    let number = |at: usize, length: usize| -> Option<i64> {
        let digits = text.get(at..at + length)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let days = days_of(year, month, day);
    // A day that the month does not have is another day when it is read back.
    if date_of(days) != (year, month, day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = text.get(19..)?.strip_prefix(b".").unwrap_or_default();
    let fraction = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if is(19, b".") && !(1..=9).contains(&fraction) {
        return None;
    }
    let ms =
        [100, 10, 1].iter().zip(0..fraction).try_fold(0, |sum, (unit, at)| Some(sum + unit * number(20 + at, 1)?))?;
    let zone = if fraction > 0 { 20 + fraction } else { 19 };
    let offset = if is(zone, b"Zz") && text.len() == zone + 1 {
        0
    } else if is(zone, b"+-") && is(zone + 3, b":") && text.len() == zone + 6 {
        let (hours, minutes) = (number(zone + 1, 2)?, number(zone + 4, 2)?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        (hours * 60 + minutes) * if is(zone, b"-") { -60_000 } else { 60_000 }
    } else {
        return None;
    };
    Some(days * DAY_MS + (hour * 60 + minute) * 60_000 + second.min(59) * 1000 + ms - offset)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .build()
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Timestamp {
    fn name() -> std::borrow::Cow<'static, str> {
        std::borrow::Cow::Borrowed("Timestamp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_has_milliseconds_and_a_z() {
        assert_eq!(Timestamp::from_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_ms(1_790_000_000_007).to_string(), "2026-09-21T14:13:20.007Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-02-29T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+1:00",
            "2026-01-31T12:00:00Zx",
            "2026-13-01T12:00:00Z",
            "2026-00-10T12:00:00Z",
            "+026-01-31T12:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        let leap: Timestamp = "2016-12-31T23:59:60.5Z".parse().unwrap();
        assert_eq!(leap.to_string(), "2016-12-31T23:59:59.500Z");
        let elsewhere: Timestamp = "2024-02-29t23:30:00.123456-01:30".parse().unwrap();
        assert_eq!(elsewhere.to_string(), "2024-03-01T01:00:00.123Z");
    }

    proptest! {
        #[test]
        fn it_reads_and_writes_as_a_library_of_time_does(ms in MIN_MS..=MAX_MS, minutes in -1439_i32..1440) {
            let theirs = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(Timestamp::from_ms(ms).to_string(), format!("{theirs:.3}"));
            let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
            if let Ok(elsewhere) = std::panic::catch_unwind(|| theirs.display_with_offset(offset).to_string()) {
                if let Ok(read) = elsewhere.parse::<Timestamp>() {
                    prop_assert_eq!(read, Timestamp::from_ms(ms), "{}", elsewhere);
                } else {
                    prop_assert!(elsewhere.starts_with('-') || elsewhere.starts_with("0000"), "{}", elsewhere);
                }
            }
        }

        #[test]
        fn every_timestamp_survives_its_text(ms in any::<i64>()) {
            let time = Timestamp::from_ms(ms);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }
}
