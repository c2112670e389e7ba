//! Failures in a row, of a line and of its endpoint, and what the end of a request makes of them: the rule of both homes.

use std::time::Duration;

use tertulia_proto::Timestamp;

use super::{After, End, FAILURE_MAX_BYTES, TryResult};

/// In milliseconds: clocks of servers differ by less, and a request lasts no longer. What says that it was set further ahead than this was set by a clock that
/// has gone back since.
pub const CLOCKS_APART_MS: i64 = 120_000;

/// From so many failures in a row on, each answer may be about one of the events.
const IN_DOUBT: i64 = 3;

/// Failures in a row, since when, and when it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failing {
    pub failures: i64,
    pub since: Option<Timestamp>,
    /// When `retry_at` was set.
    pub retry_from: Option<Timestamp>,
    pub retry_at: Option<Timestamp>,
}

impl Failing {
    /// Without what a clock has put into it that has gone back since.
    fn believed(self, now: Timestamp) -> Self {
        let since = self.since.map(|at| at.min(now));
        match self.retry_from > Some(now.plus_ms(CLOCKS_APART_MS)) {
            true => Self { failures: self.failures, since, retry_from: None, retry_at: None },
            false => Self { since, ..self },
        }
    }

    /// Once more. `None`: that was the last.
    fn again(self, end: &End, not_before: Option<Timestamp>) -> Option<Self> {
        let wait = end.waits.get(usize::try_from(self.failures).ok()?)?;
        let since = self.since.unwrap_or(end.now);
        let retry_at = asked(since, end, not_before).max(Some(end.now.plus_ms(millis(*wait))));
        Some(Self { failures: self.failures + 1, since: Some(since), retry_from: Some(end.now), retry_at })
    }

    /// An endpoint's: those that were under way together fail together and count as one, but the longest that one of them asks for is kept.
    fn again_for_all(self, end: &End, not_before: Option<Timestamp>) -> Option<Self> {
        if self.retry_at <= Some(end.began_at) {
            return self.again(end, not_before);
        }
        let asked = asked(self.since.unwrap_or(end.now), end, not_before);
        Some(match asked > self.retry_at {
            true => Self { retry_from: Some(end.now), retry_at: asked, ..self },
            false => self,
        })
    }

    /// An endpoint's, when a request was taken. The latest failure is the first in a row where it came after that request began, and what was asked for with
    /// it stays.
    fn after_taken(self, end: &End) -> Self {
        let now = self.believed(end.now);
        match now.retry_from > Some(end.began_at) {
            true => Self { failures: 1, since: now.retry_from, ..now },
            false => Self::default(),
        }
    }
}

/// What an endpoint asks for, for as long as all waits together last, and a fifth, counted from the first failure.
fn asked(since: Timestamp, end: &End, not_before: Option<Timestamp>) -> Option<Timestamp> {
    not_before.min(Some(since.plus_ms(millis(end.waits.iter().sum::<Duration>() * 6 / 5))))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// How an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    pub failing: Failing,
    /// How often it was switched on.
    pub enabled_count: i64,
    pub last_taken_at: Option<Timestamp>,
}

/// How one of its lines does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineHealth {
    pub failing: Failing,
    /// It is passed over since then.
    pub parked_at: Option<Timestamp>,
    /// The endpoint's of then: what was before it was switched on is forgiven.
    pub enabled_count: i64,
}

impl LineHealth {
    fn counted(&self, endpoint: &Health) -> Failing {
        if self.enabled_count == endpoint.enabled_count { self.failing } else { Failing::default() }
    }

    /// Since when it is passed over.
    pub fn parked(&self, endpoint: &Health) -> Option<Timestamp> {
        self.parked_at.filter(|_| self.enabled_count == endpoint.enabled_count)
    }

    /// Nothing is sent before, as the rows say.
    pub fn retry_at(&self, endpoint: &Health) -> Option<Timestamp> {
        endpoint.failing.retry_at.max(self.counted(endpoint).retry_at)
    }

    /// Nothing is sent before. `None`: nothing has to be waited for.
    pub fn waits_until(&self, endpoint: &Health, now: Timestamp) -> Option<Timestamp> {
        let of = |failing: Failing| failing.believed(now).retry_at;
        of(endpoint.failing).max(of(self.counted(endpoint))).filter(|at| *at > now)
    }
}

/// What a failure makes of a line and its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Again { line: Failing, endpoint: Failing },
    Parked { endpoint: Failing },
    Off,
}

/// The endpoint counts for itself, so that where nobody answers not each of ten thousand lines has to find that out. An answer that is about what was sent
/// counts for the line alone. A line that is at its end switches the endpoint off only if that has taken nothing since the line began to fail: one event
/// that nobody can take must not keep all others from being told.
fn after_failure(line: &LineHealth, endpoint: &Health, end: &End, not_before: Option<Timestamp>) -> Verdict {
    let (line, all) = (line.counted(endpoint).believed(end.now), endpoint.failing.believed(end.now));
    let all = if end.is_about_events() { Some(all) } else { all.again_for_all(end, not_before) };
    let taken_at = endpoint.last_taken_at.filter(|at| *at <= end.now.plus_ms(CLOCKS_APART_MS));
    match (line.again(end, not_before), all) {
        (_, None) => Verdict::Off,
        (Some(line), Some(endpoint)) => Verdict::Again { line, endpoint },
        (None, Some(endpoint)) if line.since.is_some() && taken_at > line.since => Verdict::Parked { endpoint },
        (None, Some(_)) => Verdict::Off,
    }
}

/// What the rows say when a request has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The line moves, and its failures are over.
    Taken {
        up_to: i64,
        count: i64,
        endpoint: Failing,
    },
    Failed(Failed),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub line: LineHealth,
    /// The next try ends with this event. `None`: as it was.
    pub trying: Option<i64>,
    pub endpoint: Failing,
    pub is_off: bool,
    /// Within [`FAILURE_MAX_BYTES`].
    pub reason: String,
    pub after: After,
}

impl Ending {
    pub fn of(end: &End, line: LineHealth, endpoint: &Health) -> Self {
        let (reason, verdict) = match &end.result {
            TryResult::Taken { up_to, count } => {
                let endpoint = endpoint.failing.after_taken(end);
                return Self::Taken { up_to: *up_to, count: *count, endpoint };
            }
            TryResult::Failed { reason, not_before } => (reason, after_failure(&line, endpoint, end, *not_before)),
            TryResult::Gone { reason } => (reason, Verdict::Off),
        };
        let trying = end.half.filter(|_| end.is_half_tried(line.counted(endpoint).failures + 1));
        let (of_line, of_all, after) = match verdict {
            Verdict::Again { line, endpoint } => {
                (line, endpoint, After::Again(line.retry_at.max(endpoint.retry_at).unwrap_or(end.now)))
            }
            Verdict::Parked { endpoint } => (line.failing, endpoint, After::Parked),
            Verdict::Off => (line.counted(endpoint), endpoint.failing, After::Off),
        };
        let parked_at = (after == After::Parked).then_some(end.now);
        let line = LineHealth { failing: of_line, parked_at, enabled_count: endpoint.enabled_count };
        let (reason, is_off) = (kept_failure(reason), after == After::Off);
        Self::Failed(Failed { line, trying, endpoint: of_all, is_off, reason, after })
    }
}

impl End {
    /// Answers that tell of one of the events rather than of the endpoint.
    fn is_about_events(&self) -> bool {
        matches!(self.status, Some(400 | 406 | 409 | 411..=417 | 422))
    }

    /// With fewer events the one that is not taken is found; and others than it are taken. Who does not answer is not told by the number of events.
    fn is_half_tried(&self, failures: i64) -> bool {
        self.is_about_events() || (self.status.is_some() && failures >= IN_DOUBT)
    }
}

/// The beginning of a reason, cut at a character within [`FAILURE_MAX_BYTES`].
fn kept_failure(reason: &str) -> String {
    let mut end = reason.len().min(FAILURE_MAX_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    // Text of PostgreSQL can't hold it.
    reason[..end].replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn end(began_at: i64, now: i64) -> End {
        End {
            holder: [0; 16],
            events: (1, 1),
            status: None,
            result: TryResult::Gone { reason: String::new() },
            began_at: at(began_at),
            now: at(now),
            waits: [10, 30].map(Duration::from_millis).to_vec(),
            half: None,
        }
    }

    fn failing(failures: i64, since: i64, retry_from: i64, retry_at: i64) -> Failing {
        Failing { failures, since: Some(at(since)), retry_from: Some(at(retry_from)), retry_at: Some(at(retry_at)) }
    }

    fn health(failing: Failing) -> Health {
        Health { failing, ..Health::default() }
    }

    fn line(failing: Failing) -> LineHealth {
        LineHealth { failing, ..LineHealth::default() }
    }

    fn asking(of_line: Failing, endpoint: Failing, end: &End, not_before: Option<Timestamp>) -> (Failing, Failing) {
        match after_failure(&line(of_line), &health(endpoint), end, not_before) {
            Verdict::Again { line, endpoint } => (line, endpoint),
            other => panic!("it is tried again, and not {other:?}"),
        }
    }

    fn again(line: Failing, endpoint: Failing, end: &End) -> (Failing, Failing) {
        asking(line, endpoint, end, None)
    }

    #[test]
    fn what_fails_together_counts_once_for_the_endpoint() {
        let none = Failing::default();
        let (one, endpoint) = again(none, none, &end(100, 105));
        assert_eq!((one, endpoint), (failing(1, 105, 105, 115), failing(1, 105, 105, 115)));
        let (other, same) = again(none, endpoint, &end(101, 107));
        assert_eq!((other, same), (failing(1, 107, 107, 117), endpoint));
        let (one, endpoint) = again(one, endpoint, &end(115, 120));
        assert_eq!((one, endpoint), (failing(2, 105, 120, 150), failing(2, 105, 120, 150)));
        let off = |of_line| after_failure(&line(of_line), &health(endpoint), &end(150, 151), None);
        assert_eq!(off(one), Verdict::Off, "the schedule has ended");
        assert_eq!(off(other), Verdict::Off, "also where another line fails");
    }

    #[test]
    fn of_several_that_ask_for_more_time_the_longest_is_kept_and_what_began_before_does_not_end_it() {
        let none = Failing::default();
        let (_, endpoint) = again(none, none, &end(100, 105));
        let (_, longer) = asking(none, endpoint, &end(101, 106), Some(at(140)));
        assert_eq!(longer, failing(1, 105, 106, 140));
        let (_, same) = asking(none, longer, &end(101, 107), Some(at(130)));
        assert_eq!(same, longer, "no shorter");
        let (_, longest) = asking(none, longer, &end(101, 107), Some(at(5000)));
        assert_eq!(longest, failing(1, 105, 107, 153), "no longer than all waits and a fifth");
        assert_eq!(failing(5, 20, 106, 140).after_taken(&end(105, 110)), failing(1, 106, 106, 140));
        assert_eq!(longer.after_taken(&end(106, 110)), none);
        assert_eq!(none.after_taken(&end(1, 2)), none);
    }

    #[test]
    fn an_endpoint_that_asks_for_more_time_has_it_and_for_less_does_not_but_not_for_ever() {
        let none = Failing::default();
        let ask =
            |of_line, now, until| after_failure(&line(of_line), &Health::default(), &end(now, now), Some(at(until)));
        let tried = |verdict| match verdict {
            Verdict::Again { line, .. } => line,
            other => panic!("it is tried again, and not {other:?}"),
        };
        assert_eq!(tried(ask(none, 100, 130)), failing(1, 100, 100, 130));
        assert_eq!(tried(ask(none, 100, 101)), failing(1, 100, 100, 110));
        // All waits together are 40, and a fifth more.
        let long = tried(ask(none, 100, 5000));
        assert_eq!(long, failing(1, 100, 100, 148));
        assert_eq!(tried(ask(long, 148, 5000)), failing(2, 100, 148, 178), "from then on the waits alone");
        assert_eq!(ask(failing(2, 100, 148, 178), 178, 5000), Verdict::Off);
    }

    #[test]
    fn however_long_nobody_tried_all_tries_are_made() {
        let (once, late) = (failing(1, 100, 100, 110), end(1_000_000, 1_000_001));
        let twice = failing(2, 100, 1_000_001, 1_000_031);
        assert_eq!(again(once, once, &late), (twice, twice));
    }

    #[test]
    fn a_line_at_its_end_is_parked_where_others_were_taken_since_and_what_was_forgiven_counts_no_more() {
        let of_line = line(failing(2, 100, 110, 140));
        let of = |last_taken_at, enabled_count| {
            let health = Health { last_taken_at, enabled_count, ..Health::default() };
            after_failure(&of_line, &health, &end(140, 141), None)
        };
        assert_eq!(of(None, 0), Verdict::Off);
        assert_eq!(of(Some(at(100)), 0), Verdict::Off);
        assert_eq!(of(Some(at(101)), 0), Verdict::Parked { endpoint: failing(1, 141, 141, 151) });
        let once = failing(1, 141, 141, 151);
        assert_eq!(of(Some(at(101)), 1), Verdict::Again { line: once, endpoint: once });
    }

    #[test]
    fn an_answer_about_what_was_sent_counts_for_the_line_alone() {
        let none = Failing::default();
        for status in [400, 406, 409, 411, 417, 422] {
            let end = End { status: Some(status), ..end(100, 105) };
            assert_eq!(asking(none, none, &end, Some(at(130))), (failing(1, 105, 105, 130), none), "{status}");
        }
        for status in [401, 404, 410, 418, 429, 500] {
            let end = End { status: Some(status), ..end(100, 105) };
            assert_eq!(again(none, none, &end).1, failing(1, 105, 105, 115), "{status}");
        }
        let (end, health) = (End { status: Some(422), ..end(150, 151) }, health(failing(1, 140, 145, 155)));
        let (last, taken) = (line(failing(2, 100, 110, 140)), Health { last_taken_at: Some(at(101)), ..health });
        assert_eq!(after_failure(&last, &taken, &end, None), Verdict::Parked { endpoint: health.failing });
        assert_eq!(after_failure(&last, &health, &end, None), Verdict::Off);
    }

    #[test]
    fn half_is_tried_after_an_answer_about_what_was_sent_and_after_the_third_of_any() {
        let trying = |failures, status| {
            let result = TryResult::Failed { reason: String::new(), not_before: None };
            let end = End { status, result, half: Some(7), ..end(100, 105) };
            match Ending::of(&end, line(failing(failures, 1, 2, 3)), &Health::default()) {
                Ending::Failed(failed) => failed.trying,
                other => panic!("it fails, and not {other:?}"),
            }
        };
        assert_eq!((trying(0, Some(422)), trying(0, Some(500)), trying(1, Some(500))), (Some(7), None, None));
        assert_eq!((trying(2, Some(500)), trying(2, None)), (Some(7), None));
    }

    #[test]
    fn what_a_clock_has_set_that_went_back_keeps_nobody_waiting() {
        let (now, hours) = (1_000_000, 3 * 3_600_000);
        let ahead = failing(1, now + hours, now + hours, now + hours + 10);
        let waits = |failing| {
            (line(failing).waits_until(&Health::default(), at(now)), {
                LineHealth::default().waits_until(&health(failing), at(now))
            })
        };
        assert_eq!(waits(ahead), (None, None));
        // Clocks of servers do differ.
        let near = failing(1, now + CLOCKS_APART_MS, now + CLOCKS_APART_MS, now + hours);
        assert_eq!(waits(near), (near.retry_at, near.retry_at));
        let next = failing(2, now, now, now + 30);
        assert_eq!(again(ahead, ahead, &end(now, now)), (next, next), "it counts from now on");
        assert_eq!(ahead.after_taken(&end(now - 1, now)), Failing::default());
        let last = line(failing(2, now - 9, now - 5, now));
        let taken = Health { last_taken_at: Some(at(now + hours)), ..Health::default() };
        assert_eq!(after_failure(&last, &taken, &end(now, now), None), Verdict::Off, "not taken since");
    }
}
