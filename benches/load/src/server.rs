//! The server under load: started here in a folder of its own and gone afterwards, or one that runs already.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::people::fresh_name;

const START_MAX: Duration = Duration::from_secs(30);
const LOG_LINES_KEPT: usize = 20;
/// Clock ticks of a second in /proc (USER_HZ), 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where the server comes from.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerOptions {
    /// The server's program.
    #[arg(long, global = true, default_value = "target/release/tertulia")]
    pub server_bin: PathBuf,
    /// A server that runs already, on the loopback address and with rate limits off, instead of starting one: http://127.0.0.1:PORT.
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// API key with the scope tokens:write, for --url.
    #[arg(long, global = true, env = "TERTULIA_LOAD_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// So many servers, over which the people are spread; several need TERTULIA_DATABASE_URL and TERTULIA_REDIS_URL in the environment.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16), conflicts_with = "url")]
    pub servers: u16,
    /// Process id of the server, for --url: without it neither memory nor CPU time is measured.
    #[arg(long, global = true)]
    pub server_pid: Option<u32>,
    /// Where the server's folder is made; it must be on the disk that is to be measured.
    #[arg(long, global = true)]
    pub work_dir: Option<PathBuf>,
}

/// A server that answers, or several of one log.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    pid: Option<u32>,
    given_api_key: Option<String>,
    started: Option<Started>,
    others: Vec<(SocketAddr, Started)>,
}

/// Ends with its owner: process and folder.
#[derive(Debug)]
struct Started {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    last_lines: Mutex<VecDeque<String>>,
    errors: AtomicU64,
}

impl ServerOptions {
    /// The folder in which the servers' folders are made.
    pub fn work_dir(&self) -> PathBuf {
        self.work_dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Server {
    /// Starts servers, or takes the one of `--url`.
    pub fn start(options: &ServerOptions) -> Result<Self> {
        if let Some(url) = &options.url {
            return Ok(Self {
                address: loopback_address(url)?,
                pid: options.server_pid,
                given_api_key: options.api_key.clone(),
                started: None,
                others: Vec::new(),
            });
        }
        let (address, started) = Started::start(options)?;
        let others = (1..options.servers).map(|_| Started::start(options)).collect::<Result<_>>()?;
        Ok(Self { address, pid: Some(started.child.id()), given_api_key: None, started: Some(started), others })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where this person goes: neighbours to different servers.
    pub fn address_of(&self, person: usize) -> SocketAddr {
        match person % (1 + self.others.len()) {
            0 => self.address,
            other => self.others[other - 1].0,
        }
    }

    /// A key that may make people and tokens. The error says why there is none.
    pub fn api_key(&self) -> Result<String> {
        if let Some(key) = &self.given_api_key {
            return Ok(key.clone());
        }
        let started = self.started.as_ref().context("--api-key was not given")?;
        let output = command(&started.program)
            .args(["apikey", "create", "--name", "load", "--scopes", "tokens:write", "--data"])
            .arg(&started.folder)
            .stdin(Stdio::null())
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let key = printed.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        if !output.status.success() || !key.starts_with("tk_") {
            let complaint = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
            bail!("apikey create: {}: {complaint}", output.status);
        }
        Ok(key.to_owned())
    }

    /// Resident memory in KiB; `None` if the process isn't known.
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// CPU time used so far, in user and system mode together, of all servers.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let others = self.others.iter().map(|(_, other)| other.child.id());
        std::iter::once(self.pid?).chain(others).map(|pid| cpu_seconds_of(&pid.to_string())).sum()
    }

    /// The files in the server's folder and their bytes, by name.
    pub fn data_files(&self) -> Option<Vec<(String, u64)>> {
        let mut files = Vec::new();
        let mut folders = vec![self.started.as_ref()?.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).ok()?.flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len())),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        Some(files)
    }

    /// Lines of the server's log at level ERROR.
    pub fn errors_logged(&self) -> u64 {
        let all = self.started.iter().chain(self.others.iter().map(|(_, other)| other));
        all.map(|started| started.log.errors.load(Ordering::Relaxed)).sum()
    }
}

impl Started {
    fn start(options: &ServerOptions) -> Result<(SocketAddr, Self)> {
        let folder = options.work_dir().join(format!("tertulia-load-{}", fresh_name()));
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        let child = command(&options.server_bin)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                let _ = std::fs::remove_dir_all(&folder);
                return Err(error).context("can't start the server");
            }
        };
        let mut started = Self { child, program: options.server_bin.clone(), folder, log: Arc::default() };
        let address = started.wait_until_it_listens()?;
        Ok((address, started))
    }

    fn wait_until_it_listens(&mut self) -> Result<SocketAddr> {
        let stderr = self.child.stderr.take().context("no stderr")?;
        let (found, listening) = mpsc::channel();
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    let _ = found.send(url.trim().to_owned());
                }
                log.add(line);
            }
        });
        match listening.recv_timeout(START_MAX) {
            Ok(url) => loopback_address(&url),
            Err(_) => bail!("the server did not begin to listen; its last lines:\n{}", self.log.text()),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.log.errors.load(Ordering::Relaxed) > 0 {
            eprintln!("the server's last lines:\n{}", self.log.text());
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} remains: {error}", self.folder.display());
        }
    }
}

impl Log {
    fn add(&self, line: String) {
        if line.contains("ERROR") {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(mut lines) = self.last_lines.lock() {
            if lines.len() == LOG_LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    fn text(&self) -> String {
        self.last_lines.lock().map(|lines| lines.iter().cloned().collect::<Vec<_>>().join("\n")).unwrap_or_default()
    }
}

/// CPU time of a process (`self` is this one).
pub fn cpu_seconds_of(process: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold blanks; the fields are counted behind it (proc_pid_stat(5): utime is 14, stime 15).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// The program without rate limits and with as many open files as the system gives; `exec` keeps the process id.
fn command(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#"ulimit -n "$(ulimit -H -n)"; exec "$0" "$@""#)
        .arg(program)
        .env("TERTULIA_RATE_LIMITS", "off");
    command
}

fn loopback_address(url: &str) -> Result<SocketAddr> {
    let authority = url.strip_prefix("http://").context("the address must begin with http://")?.trim_end_matches('/');
    let address: SocketAddr =
        authority.replace("localhost", "127.0.0.1").parse().with_context(|| format!("{url} has no host and port"))?;
    if !address.ip().is_loopback() {
        bail!("{url} is not on the loopback address; load is for one's own machine only");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_goes_to_the_loopback_address_only() {
        assert_eq!(loopback_address("http://127.0.0.1:80/").unwrap().port(), 80);
        assert!(loopback_address("http://localhost:80").is_ok());
        assert!(loopback_address("http://[::1]:80").is_ok());
        for bad in ["http://10.0.0.1:80", "https://127.0.0.1:80", "http://127.0.0.1", "http://chat.example:80"] {
            assert!(loopback_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpu_time_of_this_process_is_known() {
        assert!(cpu_seconds_of("self").is_some_and(|seconds| seconds >= 0.0));
    }

    #[test]
    fn a_program_that_does_not_listen_is_an_error_and_leaves_nothing() {
        let work_dir = std::env::temp_dir().join(format!("load-test-{}", fresh_name()));
        let options = ServerOptions {
            server_bin: "false".into(),
            url: None,
            api_key: None,
            servers: 1,
            server_pid: None,
            work_dir: Some(work_dir.clone()),
        };
        assert!(Server::start(&options).is_err());
        assert_eq!(std::fs::read_dir(&work_dir).unwrap().count(), 0);
        std::fs::remove_dir(&work_dir).unwrap();
    }
}
