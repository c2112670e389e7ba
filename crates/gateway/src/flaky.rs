//! A network as bad as app developers want it, to see what their app makes of it. Never in production: what is not wanted costs nothing and does nothing.
//!
//! Latency and cuts befall the bytes of a socket, under whichever protocol: whoever accepts connections sees to them. Lost and doubled frames are the plain
//! WebSocket's ([`crate::frames`]); Socket.IO could not tell them from its own bookkeeping.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How bad: `latency=50..800,drop=2%,double=2%,cut=1%`, each part at most once, and what is left out does not happen; or `on` for what
/// [`Flaky::default`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Flaky {
    /// Of what is read and what is written, in milliseconds, from and to. Order is kept.
    latency_ms: (u64, u64),
    /// Of frames.
    drop: Share,
    /// Of frames.
    double: Share,
    /// Of what is read and what is written at once: it breaks off in the middle, and the connection with it, without a close frame.
    cut: Share,
}

/// In hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Share(u32);

const WHOLE: u32 = 10_000;

/// A day: more is a mistake.
const LATENCY_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// What can't be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlakyError(String);

impl std::fmt::Display for FlakyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FlakyError {}

impl Default for Flaky {
    fn default() -> Self {
        Self { latency_ms: (50, 800), drop: Share(200), double: Share(200), cut: Share(100) }
    }
}

impl FromStr for Flaky {
    type Err = FlakyError;

    fn from_str(text: &str) -> Result<Self, FlakyError> {
        if text == "on" {
            return Ok(Self::default());
        }
        let mut flaky = Self { latency_ms: (0, 0), drop: Share(0), double: Share(0), cut: Share(0) };
        let mut seen = Vec::new();
        for part in text.split(',') {
            let wrong = |why: &str| FlakyError(format!("flaky: {part:?}: {why}"));
            let (name, value) = part.split_once('=').ok_or_else(|| wrong("must be name=value, or all of it `on`"))?;
            match name {
                "latency" => {
                    flaky.latency_ms =
                        span(value).ok_or_else(|| wrong("must be milliseconds, such as latency=50..800"))?;
                }
                "drop" | "double" | "cut" => {
                    let share = share(value).ok_or_else(|| wrong("must be 0% to 100%, such as drop=2%"))?;
                    *match name {
                        "drop" => &mut flaky.drop,
                        "double" => &mut flaky.double,
                        _ => &mut flaky.cut,
                    } = share;
                }
                _ => return Err(wrong("there are latency, drop, double and cut")),
            }
            if seen.contains(&name) {
                return Err(wrong("is there twice"));
            }
            seen.push(name);
        }
        if flaky.drop.0 + flaky.double.0 > WHOLE {
            return Err(FlakyError("flaky: drop and double: more than 100% together".to_owned()));
        }
        Ok(flaky)
    }
}

/// `50..800`, or one number for both.
fn span(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to && to <= LATENCY_MS_MAX).then_some((from, to))
}

/// At most two digits behind the point.
fn share(text: &str) -> Option<Share> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_suffix('%')?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(part) || !(1..=2).contains(&part.len()) {
        return None;
    }
    let hundredths = part.parse::<u32>().ok()? * if part.len() == 1 { 10 } else { 1 };
    let share = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
    (share <= WHOLE).then_some(Share(share))
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, to) = self.latency_ms;
        write!(f, "latency={from}..{to}")?;
        for (name, Share(share)) in [("drop", self.drop), ("double", self.double), ("cut", self.cut)] {
            let (whole, part) = (share / 100, share % 100);
            match part {
                0 => write!(f, ",{name}={whole}%")?,
                _ => write!(f, ",{name}={whole}.{part:02}%")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Flaky {
    type Error = FlakyError;

    fn try_from(text: String) -> Result<Self, FlakyError> {
        text.parse()
    }
}

impl From<Flaky> for String {
    fn from(flaky: Flaky) -> Self {
        flaky.to_string()
    }
}

/// What makes a server flaky: the rules, and a source of chance for each connection.
#[derive(Debug)]
pub struct Trouble {
    flaky: Flaky,
    seeds: AtomicU64,
}

impl Trouble {
    pub const fn new(flaky: Flaky, seed: u64) -> Self {
        Self { flaky, seeds: AtomicU64::new(seed) }
    }

    /// For one more connection.
    pub fn chance(&self) -> Chance {
        let mut seed = Chance { flaky: self.flaky, state: self.seeds.fetch_add(1, Ordering::Relaxed) };
        Chance { flaky: self.flaky, state: seed.next() }
    }
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    Once,
    Twice,
    Lost,
}

/// The dice of one connection.
#[derive(Debug, Clone)]
pub struct Chance {
    flaky: Flaky,
    state: u64,
}

impl Chance {
    /// SplitMix64 (Steele, Lea and Flood, 2014): nothing here has to be unpredictable.
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn percentile(&mut self) -> u32 {
        u32::try_from(self.next() % u64::from(WHOLE)).unwrap_or(0)
    }

    pub fn latency(&mut self) -> Duration {
        let (from, to) = self.flaky.latency_ms;
        Duration::from_millis(from + self.next() % (to - from + 1))
    }

    pub fn frame(&mut self) -> Frame {
        let at = self.percentile();
        let (Share(drop), Share(double)) = (self.flaky.drop, self.flaky.double);
        if at < drop {
            Frame::Lost
        } else if at < drop + double {
            Frame::Twice
        } else {
            Frame::Once
        }
    }

    pub fn cuts(&mut self) -> bool {
        self.percentile() < self.flaky.cut.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_left_out_does_not_happen() {
        let read = |text: &str| text.parse::<Flaky>().unwrap().to_string();
        assert_eq!(read("latency=50..800,drop=2%,double=2%,cut=1%"), read("on"));
        assert_eq!(read("cut=0.5%"), "latency=0..0,drop=0%,double=0%,cut=0.50%");
        assert_eq!(read("double=100%,latency=20"), "latency=20..20,drop=0%,double=100%,cut=0%");
        assert_eq!(read("drop=1.25%").parse::<Flaky>(), "drop=1.25%".parse());
    }

    #[test]
    fn an_error_names_the_part_that_is_wrong() {
        let error = |text: &str| text.parse::<Flaky>().unwrap_err().to_string();
        for (text, part) in [
            ("latancy=50", "\"latancy=50\""),
            ("drop=2%,latency=800..50", "\"latency=800..50\""),
            ("drop=2", "\"drop=2\""),
            ("drop=101%", "\"drop=101%\""),
            ("cut=+1%", "\"cut=+1%\""),
            ("cut=1.%", "\"cut=1.%\""),
            ("drop=1%,drop=2%", "\"drop=2%\": is there twice"),
            ("drop=60%,double=60%", "drop and double"),
            ("off", "\"off\""),
            ("", "\"\""),
            ("drop=1%,", "\"\""),
        ] {
            assert!(error(text).contains(part), "{text}: {}", error(text));
        }
    }

    #[test]
    fn chance_keeps_the_shares_and_differs_between_connections() {
        let trouble = Trouble::new("latency=5..9,drop=10%,double=20%,cut=50%".parse().unwrap(), 1);
        let mut chance = trouble.chance();
        let frames: Vec<Frame> = (0..10_000).map(|_| chance.frame()).collect();
        let share = |of: Frame| frames.iter().filter(|frame| **frame == of).count();
        assert!((900..1100).contains(&share(Frame::Lost)) && (1900..2100).contains(&share(Frame::Twice)));
        assert!((4500..5500).contains(&(0..10_000).filter(|_| chance.cuts()).count()));
        assert!((0..1000).all(|_| (5..=9).contains(&u64::try_from(chance.latency().as_millis()).unwrap())));
        let mut other = trouble.chance();
        assert_ne!(frames, (0..10_000).map(|_| other.frame()).collect::<Vec<_>>());
    }
}
