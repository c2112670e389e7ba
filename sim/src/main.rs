//! `tertulia-sim --seeds N [--from S]`, `--seed S [--trace]`, `--hours N`; with each `--theme T`, the number
//! of what people do all the time, `--deeds N`, after which all heals, and `--without-workers`: nobody works on jobs.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use tertulia_sim::{Outcome, Planted, run};

/// Seeds of worlds in which something was once wrong, and one line on what it was.
const REGRESSIONS: &str = include_str!("../regressions.txt");

struct Asked {
    seed: Option<u64>,
    seeds: u64,
    from: Option<u64>,
    hours: Option<f64>,
    trace: bool,
    without_workers: bool,
    theme: Option<usize>,
    deeds: Option<usize>,
}

const USAGE: &str = "tertulia-sim --seeds N [--from S] | --seed S [--trace] | --hours N, each with [--theme N] [--deeds N] [--without-workers]";

#[expect(clippy::print_stdout, reason = "a program's answer")]
fn asked() -> Result<Asked> {
    let mut asked = Asked {
        seed: None,
        seeds: 1000,
        from: None,
        hours: None,
        trace: false,
        without_workers: false,
        theme: None,
        deeds: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--help" {
            println!("{USAGE}");
            std::process::exit(0);
        }
        if word == "--trace" {
            asked.trace = true;
            continue;
        }
        if word == "--without-workers" {
            asked.without_workers = true;
            continue;
        }
        let value = words.next().with_context(|| format!("{word}: a number belongs to it\n{USAGE}"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{word}: {value} is no number"));
        match word.as_str() {
            "--seed" => asked.seed = Some(number()?),
            "--seeds" => asked.seeds = number()?,
            "--from" => asked.from = Some(number()?),
            "--theme" => asked.theme = Some(usize::try_from(number()?)?),
            "--deeds" => asked.deeds = Some(usize::try_from(number()?)?),
            "--hours" => asked.hours = Some(value.parse().with_context(|| format!("{word}: {value} is no number"))?),
            _ => bail!("{word}: not known\n{USAGE}"),
        }
    }
    Ok(asked)
}

fn main() -> Result<ExitCode> {
    // What the server would write into its log is of interest only with a trace.
    let asked = asked()?;
    if let Some(seed) = asked.seed {
        let (theme, deeds, without_workers) = (asked.theme, asked.deeds, asked.without_workers);
        let planted = Planted { theme, deeds, without_workers, ..Planted::default() };
        return Ok(one(seed, planted, asked.trace));
    }
    let fresh = asked.from.unwrap_or_else(fresh_seed);
    let known = REGRESSIONS.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let worlds = Worlds {
        known: known.collect(),
        fresh,
        theme: asked.theme,
        without_workers: asked.without_workers,
        count: if asked.hours.is_some() { u64::MAX } else { asked.seeds },
        ends: asked.hours.map(|hours| now() + Duration::from_secs_f64(hours * 3600.0)),
    };
    Ok(many(&worlds))
}

struct Worlds {
    known: Vec<u64>,
    fresh: u64,
    theme: Option<usize>,
    without_workers: bool,
    count: u64,
    ends: Option<Instant>,
}

impl Worlds {
    fn seed(&self, number: u64) -> Option<u64> {
        if let Some(seed) = usize::try_from(number).ok().and_then(|at| self.known.get(at)) {
            return Some(*seed);
        }
        let number = number - self.known.len() as u64;
        let goes_on = number < self.count && self.ends.is_none_or(|ends| now() < ends);
        goes_on.then(|| self.fresh.wrapping_add(number))
    }
}

#[expect(clippy::disallowed_methods, reason = "a program: how long it took is for people")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "other worlds each time; the seed is printed")]
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1_000_000
}

#[expect(clippy::print_stdout, reason = "a program's answer")]
fn one(seed: u64, planted: Planted, trace: bool) -> ExitCode {
    match run(seed, planted, trace) {
        Ok(Outcome { hash, steps, messages }) => {
            println!("seed {seed}: {steps} steps, {messages} messages\nhash {hash:016x}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("seed {seed} breaks a promise: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program's answer")]
fn many(worlds: &Worlds) -> ExitCode {
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let began = now();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = worlds.seed(next.fetch_add(1, Ordering::Relaxed)) {
                    let (theme, without_workers) = (worlds.theme, worlds.without_workers);
                    let planted = Planted { theme, without_workers, ..Planted::default() };
                    match run(seed, planted, false) {
                        Ok(outcome) => drop(steps.fetch_add(outcome.steps, Ordering::Relaxed)),
                        Err(error) => {
                            let mut theme = worlds.theme.map_or_else(String::new, |theme| format!(" --theme {theme}"));
                            theme.push_str(if without_workers { " --without-workers" } else { "" });
                            let deeds = tertulia_sim::shortest(seed, planted);
                            println!(
                                "seed {seed} breaks a promise: {error:#}\nagain: cargo xtask sim --seed {seed}{theme} --deeds {deeds} --trace\n"
                            );
                            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(seed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ran = next.load(Ordering::Relaxed).saturating_sub(cores as u64);
    let took = began.elapsed().as_secs_f64();
    println!(
        "{ran} worlds from seed {}, {} steps, {took:.1} s, {:.0} worlds a minute, {} failed",
        worlds.fresh,
        steps.load(Ordering::Relaxed),
        60.0 * f64::from(u32::try_from(ran).unwrap_or(u32::MAX)) / took,
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
