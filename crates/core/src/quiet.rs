//! When people want to be left alone: hours of each day, in their own time zone.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use tertulia_proto::{ApiError, QuietHours, Timestamp};

struct Hours {
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// `invalid`, with the field's name.
pub fn check(hours: &QuietHours) -> Result<(), ApiError> {
    read(hours).map(drop)
}

/// When the quiet time ends in which `now` lies; `None` where it lies in none.
///
/// A day on which the clocks change has its hours all the same: an end that the clocks leave out is as long after midnight as on other days, and of an
/// end that comes twice the first one counts.
pub fn ends_at(hours: &QuietHours, now: Timestamp) -> Option<Timestamp> {
    // What was checked when it was set may name a zone that a later version of the database lacks: then nobody is kept from anything.
    let Hours { from, to, zone } = read(hours).ok()?;
    let here = jiff::Timestamp::from_millisecond(now.ms()).ok()?.to_zoned(zone);
    let time = here.time();
    let ends_tomorrow = match (from < to, time >= from, time < to) {
        (true, true, true) | (false, false, true) => false,
        (false, true, _) => true,
        _ => return None,
    };
    let day = if ends_tomorrow { here.date().checked_add(1.day()).ok()? } else { here.date() };
    let end: Zoned = day.to_datetime(to).to_zoned(here.time_zone().clone()).ok()?;
    Some(Timestamp::from_ms(end.timestamp().as_millisecond())).filter(|end| *end > now)
}

fn read(hours: &QuietHours) -> Result<Hours, ApiError> {
    let (from, to) = (time("doNotDisturb.from", &hours.from)?, time("doNotDisturb.to", &hours.to)?);
    if from == to {
        return Err(ApiError::invalid("doNotDisturb.to: must not be the same as from"));
    }
    let is_name = hours.time_zone.len() <= 64 && !hours.time_zone.is_empty();
    let zone = Some(&hours.time_zone).filter(|_| is_name).and_then(|name| TimeZone::get(name).ok());
    let zone = zone.ok_or_else(|| {
        ApiError::invalid("doNotDisturb.timeZone: must be a name of the IANA time zone database, such as Europe/Madrid")
    })?;
    Ok(Hours { from, to, zone })
}

fn time(field: &str, text: &str) -> Result<Time, ApiError> {
    let two = |digits: &[u8]| match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => i8::try_from((a - b'0') * 10 + (b - b'0')).ok(),
        _ => None,
    };
    let read = match text.as_bytes() {
        [hours @ .., b':', tens, ones] => two(hours).zip(two(&[*tens, *ones])),
        _ => None,
    };
    read.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok())
        .ok_or_else(|| ApiError::invalid(format!("{field}: must be a time from 00:00 to 23:59")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, to: &str, zone: &str) -> QuietHours {
        QuietHours { from: from.into(), to: to.into(), time_zone: zone.into() }
    }

    fn ends(hours: &QuietHours, now: &str) -> Option<String> {
        let now: Timestamp = now.parse().unwrap();
        ends_at(hours, now).map(|end| end.to_string())
    }

    #[test]
    fn a_night_ends_in_the_morning_of_its_zone() {
        let night = hours("22:00", "07:30", "Europe/Madrid");
        for (now, end) in [
            ("2026-11-20T20:59:59.999Z", None),
            ("2026-11-20T21:00:00.000Z", Some("2026-11-21T06:30:00.000Z")),
            ("2026-11-21T03:00:00.000Z", Some("2026-11-21T06:30:00.000Z")),
            ("2026-11-21T06:29:59.999Z", Some("2026-11-21T06:30:00.000Z")),
            ("2026-11-21T06:30:00.000Z", None),
            ("2026-11-21T12:00:00.000Z", None),
        ] {
            assert_eq!(ends(&night, now).as_deref(), end, "{now}");
        }
    }

    #[test]
    fn an_afternoon_is_within_one_day() {
        let siesta = hours("14:00", "16:00", "America/New_York");
        for (now, end) in [
            ("2026-07-01T17:59:00.000Z", None),
            ("2026-07-01T18:00:00.000Z", Some("2026-07-01T20:00:00.000Z")),
            ("2026-07-01T20:00:00.000Z", None),
        ] {
            assert_eq!(ends(&siesta, now).as_deref(), end, "{now}");
        }
    }

    #[test]
    fn hours_that_the_clocks_leave_out_or_repeat_still_end() {
        // 2026-03-29 in Berlin: from 02:00 to 03:00 there is nothing. 2026-10-25: from 02:00 to 03:00 twice.
        let spring = hours("23:00", "02:30", "Europe/Berlin");
        assert_eq!(ends(&spring, "2026-03-29T00:30:00.000Z").as_deref(), Some("2026-03-29T01:30:00.000Z"));
        let autumn = hours("23:00", "02:30", "Europe/Berlin");
        assert_eq!(ends(&autumn, "2026-10-24T23:00:00.000Z").as_deref(), Some("2026-10-25T00:30:00.000Z"));
        assert_eq!(ends(&autumn, "2026-10-25T01:10:00.000Z"), None, "the second 02:10 is after the end");
    }

    #[test]
    fn what_is_no_time_and_no_zone_is_refused_by_name() {
        for (bad, field) in [
            (hours("24:00", "07:00", "UTC"), "doNotDisturb.from"),
            (hours("7:00", "08:00", "UTC"), "doNotDisturb.from"),
            (hours("07:00", "08:60", "UTC"), "doNotDisturb.to"),
            (hours("07:00", "07:00", "UTC"), "doNotDisturb.to"),
            (hours("07:00", "é:00", "UTC"), "doNotDisturb.to"),
            (hours("07:00", "08:00", "Mars/Olympus"), "doNotDisturb.timeZone"),
            (hours("07:00", "08:00", ""), "doNotDisturb.timeZone"),
        ] {
            assert!(check(&bad).unwrap_err().detail.starts_with(field), "{bad:?}");
            assert_eq!(ends(&bad, "2026-11-20T20:59:59.999Z"), None);
        }
        check(&hours("22:00", "07:00", "Europe/Madrid")).unwrap();
    }
}
