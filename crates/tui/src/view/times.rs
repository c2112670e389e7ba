//! Times as people say them.

use jiff::Zoned;
use jiff::tz::TimeZone;
use tertulia_client::Timestamp;

fn zoned(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    Some(jiff::Timestamp::from_millisecond(time.ms()).ok()?.to_zoned(zone.clone()))
}

pub fn clock(time: Timestamp, zone: &TimeZone) -> String {
    zoned(time, zone).map(|at| at.strftime("%H:%M").to_string()).unwrap_or_default()
}

pub fn is_same_day(one: Timestamp, other: Timestamp, zone: &TimeZone) -> bool {
    zoned(one, zone).map(|at| at.date()) == zoned(other, zone).map(|at| at.date())
}

/// A day for a line between two days.
pub fn day(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (Some(at), Some(today)) = (zoned(time, zone), zoned(now, zone)) else { return String::new() };
    if at.date() == today.date() {
        "Today".to_owned()
    } else if at.date().tomorrow().is_ok_and(|next| next == today.date()) {
        "Yesterday".to_owned()
    } else if at.year() == today.year() {
        at.strftime("%A, %-d %B").to_string()
    } else {
        at.strftime("%-d %B %Y").to_string()
    }
}

/// As short as it can be said: the hour today, then the weekday, then the date.
pub fn short(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (Some(at), Some(today)) = (zoned(time, zone), zoned(now, zone)) else { return String::new() };
    let days = at.date().until(today.date()).map_or(0, |span| span.get_days());
    let format = match days {
        ..1 => "%H:%M",
        1..7 => "%a",
        _ if at.year() == today.year() => "%-d %b",
        _ => "%Y-%m-%d",
    };
    at.strftime(format).to_string()
}
