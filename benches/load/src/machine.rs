//! What the figures were measured on. A figure without its machine says nothing.

use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

const SYNCS: usize = 40;
const RAISED: &str = "TERTULIA_LOAD_OPEN_FILES_RAISED";

/// Date, processor, kernel and the disk under the server's folder. `work_dir` is made if it isn't there.
pub fn describe(work_dir: &Path) -> Value {
    let cpu = field_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    let memory_mib = field_of("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map(|kib| kib / 1024);
    let sync_us = sync_median_us(work_dir).ok();
    json!({
        "date": today(),
        "cpu": cpu,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "memoryMib": memory_mib,
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()).ok(),
        "filesystem": filesystem_of(work_dir),
        "fdatasyncP50Us": sync_us,
    })
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "unknown".into(), |now| now.to_string())
}

fn field_of(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn filesystem_of(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let (_, kind) = fields.filter(|(mount, _)| folder.starts_with(mount)).max_by_key(|(mount, _)| mount.len())?;
    Some(kind.to_owned())
}

/// What one durable write costs at least: median of `fdatasync` after 4 KiB.
fn sync_median_us(work_dir: &Path) -> Result<u64> {
    std::fs::create_dir_all(work_dir)?;
    let path = work_dir.join(format!("tertulia-load-sync-{}", crate::people::fresh_name()));
    let measure = || {
        let file = std::fs::File::create_new(&path)?;
        let mut times = Vec::with_capacity(SYNCS);
        for index in 0..SYNCS {
            let began = Instant::now();
            file.write_all_at(&[b'x'; 4096], index as u64 * 4096)?;
            file.sync_data()?;
            times.push(began.elapsed().as_micros() as u64);
        }
        times.sort_unstable();
        Ok(times[SYNCS / 2])
    };
    let result = measure();
    let _ = std::fs::remove_file(&path);
    result
}

/// Sees to it that this process may open `wanted` files; begins itself anew with a higher soft limit if need be.
pub fn ensure_open_files(wanted: usize) -> Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of open files")?;
    let mut fields = line.split_whitespace().skip(3);
    let mut limit = || fields.next().map(|text| text.parse().unwrap_or(usize::MAX)).context("no limit of open files");
    let (soft, hard) = (limit()?, limit()?);
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        bail!(
            "{wanted} open files are needed and the system allows {hard}; raise the hard limit (ulimit -H -n) or ask for fewer connections"
        );
    }
    if std::env::var_os(RAISED).is_some() {
        bail!("{wanted} open files are needed and the limit stays at {soft}");
    }
    let error = Command::new("sh")
        .arg("-c")
        .arg(r#"ulimit -n "$(ulimit -H -n)"; exec "$0" "$@""#)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(RAISED, "1")
        .exec();
    Err(error).context("can't raise the limit of open files")
}
