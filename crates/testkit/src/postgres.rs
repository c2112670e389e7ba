//! A throw-away PostgreSQL: a cluster of its own for each test that asks, so that nobody else's transactions are in it.
//!
//! The first test on a machine has `initdb` make a cluster; all others copy that. It listens on a socket in its folder, and on a free port where that is
//! asked for. It ends with its owner, and with the process of the test, however that ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal};

use crate::deadline::DEADLINE;
use crate::folder::Folder;

/// Of a replica it is "read-only connections" that it accepts.
const READY: &str = "database system is ready to accept";

/// Lines of the log kept for tests that read it.
const LINES_MAX: usize = 100_000;

/// The last of them are shown to whoever reads a failure.
const LINES_SHOWN: usize = 60;

/// The superuser of every cluster, and its operating system's user where the tests run as root, whom `initdb` refuses.
const USER: &str = "postgres";

/// The only database of a fresh cluster.
pub const ADMINISTRATION: &str = "template1";

/// How a cluster is started.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Also on 127.0.0.1, at a port that stays the same through restarts.
    pub tcp: bool,
    /// Waits for the disk, as in earnest.
    pub fsync: bool,
    settings: Vec<(String, String)>,
}

impl PostgresOptions {
    pub fn over_tcp() -> Self {
        Self { tcp: true, ..Self::default() }
    }

    pub fn durable() -> Self {
        Self { fsync: true, ..Self::default() }
    }

    /// As in `postgresql.conf`.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How a cluster is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are broken off, everything is written down.
    Fast,
    /// As if the power had gone.
    Immediate,
}

/// A cluster of one test. Dropping it ends it and deletes its folder.
pub struct Postgres {
    options: PostgresOptions,
    port: Option<u16>,
    folder: Folder,
    process: Option<Process>,
    log: Arc<Mutex<Vec<String>>>,
}

struct Process {
    pid: Pid,
    /// Ends with the process.
    thread: std::thread::JoinHandle<()>,
}

impl Postgres {
    /// A fresh cluster that takes connections.
    pub fn start(options: PostgresOptions) -> Result<Self> {
        let postgres = Self::new(options)?;
        let template = template()?;
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(postgres.data()))?;
        postgres.launched()
    }

    /// Another cluster, made from what `make` puts into its data folder: a base backup, or a copy.
    pub fn start_from(options: PostgresOptions, make: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let postgres = Self::new(options)?;
        make(&postgres.data())?;
        fs::set_permissions(postgres.data(), fs::Permissions::from_mode(0o700))?;
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").arg("-R").arg(USER).arg(postgres.data()))?;
        }
        postgres.launched()
    }

    fn launched(mut self) -> Result<Self> {
        self.launch()?;
        Ok(self)
    }

    fn new(options: PostgresOptions) -> Result<Self> {
        let folder = Folder::new()?;
        owned_by_user(folder.path())?;
        let port = if options.tcp { Some(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) } else { None };
        Ok(Self { options, port, folder, process: None, log: Arc::default() })
    }

    /// The cluster's files.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where its socket is, and where a test may put what belongs to it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Over the socket.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port())
    }

    /// Over TCP, where that was asked for.
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port())
    }

    /// Of the socket's name too.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(5432)
    }

    pub fn log(&self) -> String {
        self.log.lock().join("\n")
    }

    /// Starts the process and waits until it takes connections.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the cluster runs already");
        let mut command = as_user(program("postgres")?);
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path()).arg("-p").arg(self.port().to_string());
        let addresses = if self.options.tcp { "127.0.0.1" } else { "" };
        let on = |is: bool| if is { "on" } else { "off" };
        // No autovacuum: its transactions are somebody else's.
        let settings = [
            ("listen_addresses", addresses),
            ("fsync", on(self.options.fsync)),
            ("full_page_writes", on(self.options.fsync)),
            ("autovacuum", "off"),
            ("shared_buffers", "64MB"),
            ("max_connections", "100"),
            ("logging_collector", "off"),
            ("wal_keep_size", "64MB"),
        ];
        let chosen = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in settings.into_iter().chain(chosen) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        self.process = Some(Process::start(command, READY, &self.log)?);
        Ok(())
    }

    /// Ends the process and waits for its end; nothing where none runs.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        let signal = if how == Stop::Fast { Signal::INT } else { Signal::QUIT };
        self.process.take().map_or(Ok(()), |process| process.stop(signal))
    }

    /// Has a replica take over; it goes on with a timeline of its own.
    pub fn promote(&self) -> Result<()> {
        let mut command = as_user(program("pg_ctl")?);
        run(command.args(["promote", "-w", "-D"]).arg(self.data()))
    }

    /// Stops all its processes where they are; they keep their connections, until [`Postgres::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal_all(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        let main = self.process.as_ref().context("it does not run")?.pid;
        rustix::process::kill_process(main, signal)?;
        // Its children are one for each connection, and its helpers.
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
            if parent == Some(main.as_raw_nonzero().get()) {
                // It may be gone by now.
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
        Ok(())
    }

    /// A copy of the running cluster into a folder; with `replica` one that follows it.
    pub fn back_up(&self, to: &Path, replica: bool) -> Result<()> {
        let mut command = Command::new(program("pg_basebackup")?);
        command.args(["-h"]).arg(self.folder.path()).args(["-p", &self.port().to_string(), "-U", USER]);
        command.args(["--checkpoint=fast", "--no-sync", "-X", "stream", "-D"]).arg(to);
        if replica {
            command.arg("-R");
        }
        run(&mut command)
    }

    /// Makes an empty database.
    pub fn create(&self, database: &str) -> Result<()> {
        self.psql(ADMINISTRATION, &format!("CREATE DATABASE {database} STRATEGY file_copy")).map(drop)
    }

    /// What the statements print, a line a row, columns apart by `|`.
    pub fn psql(&self, database: &str, statements: &str) -> Result<String> {
        let mut command = Command::new(program("psql")?);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-h"]).arg(self.folder.path());
        command.args(["-p", &self.port().to_string(), "-d", database, "-c", statements]);
        let output = output(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log.lock();
            let shown = log.get(log.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default();
            eprintln!("PostgreSQL said:\n{}", shown.join("\n"));
        }
        // A test that failed may have left it paused, and then it does not end.
        let _ = self.resume();
        let _ = self.stop(Stop::Immediate);
    }
}

impl Process {
    /// Starts it and waits until a line of its log holds the text.
    fn start(mut command: Command, ready_text: &'static str, log: &Arc<Mutex<Vec<String>>>) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (is_ready, ready) = channel();
        let (started, start) = channel();
        let their_log = Arc::clone(log);
        // The process is told when the thread that started it ends: so this one lives as long as the process.
        let thread = std::thread::spawn(move || {
            let spawned = command.spawn().map(|mut child| {
                let stderr = child.stderr.take();
                let _ = started.send(child.id());
                (child, stderr)
            });
            if let Ok((child, Some(stderr))) = spawned {
                drop(started);
                follow(child, stderr, ready_text, &their_log, &is_ready);
            }
        });
        let pid = start.recv().context("it can't be started")?;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process without a number")?;
        let process = Self { pid, thread };
        if ready.recv_timeout(DEADLINE).is_err() {
            let _ = process.stop(Signal::QUIT);
            bail!("it does not take connections:\n{}", log.lock().join("\n"));
        }
        Ok(process)
    }

    fn stop(self, signal: Signal) -> Result<()> {
        let _ = rustix::process::kill_process(self.pid, signal);
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread that follows a process panicked"))
    }
}

fn follow(
    mut child: Child,
    stderr: ChildStderr,
    ready_text: &str,
    log: &Mutex<Vec<String>>,
    is_ready: &std::sync::mpsc::Sender<()>,
) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains(ready_text) {
            let _ = is_ready.send(());
        }
        let mut log = log.lock();
        if log.len() == LINES_MAX {
            log.remove(0);
        }
        log.push(line);
    }
    let _ = child.wait();
}

/// PgBouncer before a cluster, in transaction mode: each transaction may have another connection.
pub struct Pooler {
    port: u16,
    process: Option<Process>,
}

impl Pooler {
    pub fn start(postgres: &Postgres) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = postgres.folder();
        let settings = format!(
            "[databases]\n* = host={} port={} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n",
            folder.display(),
            postgres.port()
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, settings)?;
        let mut command = as_user("pgbouncer");
        command.env("PATH", "/usr/sbin:/usr/bin:/bin").arg(file);
        let process = Process::start(command, "process up", &Arc::default())
            .context("PgBouncer (on Debian: `apt-get install pgbouncer`)")?;
        Ok(Self { port, process: Some(process) })
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = process.stop(Signal::QUIT);
        }
    }
}

/// One of PostgreSQL's programs, of the newest version that is here.
fn program(name: &str) -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    let on_path =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let mut places = folders.into_iter().rev().chain(on_path).map(|folder| folder.join(name));
    places.find(|path| path.is_file()).with_context(|| {
        format!("{name} is missing: install PostgreSQL 15 or newer (on Debian: `apt-get install postgresql`)")
    })
}

/// Runs it as somebody whom `initdb` accepts, and has it end when the thread ends that starts it.
fn as_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::getuid().is_root() {
        command.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command
}

fn owned_by_user(folder: &Path) -> Result<()> {
    if rustix::process::getuid().is_root() {
        let id = output(Command::new("id").args(["-u", USER])).context("there is no user `postgres`")?;
        let id: u32 = String::from_utf8_lossy(&id.stdout).trim().parse()?;
        chown(folder, Some(id), None)?;
    }
    Ok(())
}

/// An empty cluster that nobody runs, to be copied.
fn template() -> Result<PathBuf> {
    let initdb = program("initdb")?;
    let version = initdb.parent().and_then(Path::parent).and_then(Path::file_name).map(|name| name.to_string_lossy());
    let name = format!("tertulia-postgres-{}-{}", version.unwrap_or_default(), rustix::process::getuid().as_raw());
    let place = std::env::temp_dir().join(name);
    fs::create_dir_all(&place)?;
    owned_by_user(&place)?;
    let lock = fs::File::create(place.join("lock"))?;
    // Others may be at it; it is let go with the file.
    lock.lock()?;
    let done = place.join("data");
    if !done.join("PG_VERSION").exists() {
        let making = place.join("making");
        let _ = fs::remove_dir_all(&making);
        let mut command = as_user(initdb);
        command.args(["-N", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "-U", USER, "-D"]);
        run(command.arg(&making).stdout(Stdio::null()))?;
        only_one_database(&making)?;
        fs::rename(&making, &done)?;
    }
    Ok(done)
}

/// Each database is a third of what has to be copied for every test.
fn only_one_database(data: &Path) -> Result<()> {
    let mut command = as_user(program("postgres")?);
    command.args(["--single", "-F", "-D"]).arg(data).arg(ADMINISTRATION);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let statements = "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'\nDROP DATABASE template0\nDROP DATABASE postgres\n";
    child.stdin.take().context("no standard input")?.write_all(statements.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "PostgreSQL alone ended with {status}");
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("can't start {}", command.get_program().display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {complaint}", output.status);
    Ok(output)
}
