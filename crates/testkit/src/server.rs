//! The real binary on a folder of its own, on a free port.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::sync::oneshot;

use crate::deadline::within;
use crate::folder::Folder;

const LISTENING: &str = "listening on ";

/// Lines kept for whoever reads a failure; complaints are kept beside them, all.
const LINES_MAX: usize = 200;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    shell: String,
    /// 0: a free one, another after each start.
    port: u16,
}

impl Options {
    /// `binary` is `env!("CARGO_BIN_EXE_tertulia")` of the test. Rate limits are off.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let environment = vec![("TERTULIA_RATE_LIMITS".to_owned(), "off".to_owned())];
        Self { binary: binary.into(), environment, shell: String::new(), port: 0 }
    }

    /// For tests of crates that do not make the binary: the one that `TERTULIA_BIN` names, or the one that the same build has put beside the test.
    pub fn built() -> Result<Self> {
        Ok(Self::new(program("tertulia", "TERTULIA_BIN", "tertulia-server")?))
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Listens there, after each start.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A limit by its name in the configuration, such as `lane_max_bytes`.
    pub fn limit(self, name: &str, value: u64) -> Self {
        let name = format!("TERTULIA_LIMITS__{}", name.to_uppercase());
        self.env(&name, value)
    }

    /// Shell commands that prepare the process the server will be, such as `ulimit -f 100;`.
    pub fn after_shell(mut self, commands: &str) -> Self {
        commands.clone_into(&mut self.shell);
        self
    }

    fn command(&self) -> Command {
        let mut command = if self.shell.is_empty() {
            Command::new(&self.binary)
        } else {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("{} exec \"$0\" \"$@\"", self.shell)).arg(&self.binary);
            shell
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TERTULIA_")) {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1").envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A program of this workspace: the one that the variable names, or the one that the same build has put beside the test.
pub fn program(name: &str, variable: &str, package: &str) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os(variable) {
        return Ok(binary.into());
    }
    let test = std::env::current_exe()?;
    let binary = test.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    binary.with_context(|| {
        format!("no {name} beside the test: `cargo build -p {package}` makes one, {variable} names another")
    })
}

#[derive(Default)]
struct Log {
    last: VecDeque<String>,
    complaints: Vec<String>,
}

impl Log {
    fn add(&mut self, line: String) {
        if line.contains("ERROR") || line.contains("panicked") {
            self.complaints.push(line.clone());
        }
        if self.last.len() == LINES_MAX {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn text(&self) -> String {
        self.last.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}

struct Process {
    child: Child,
    /// Reads the log until the process has ended.
    reader: Option<std::thread::JoinHandle<()>>,
    url: oneshot::Receiver<String>,
    ended: oneshot::Receiver<()>,
}

/// A server of one test. Dropping it kills the process, deletes the folder and fails the test where the log complains.
pub struct Server {
    pub options: Options,
    folder: Folder,
    process: Option<Process>,
    url: String,
    log: Arc<Mutex<Log>>,
    allowed: Vec<String>,
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub async fn start(options: Options) -> Result<Self> {
        let mut server = Self::new(options)?;
        server.launch().await?;
        Ok(server)
    }

    /// A folder without a process.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self {
            options,
            folder: Folder::new()?,
            process: None,
            url: String::new(),
            log: Arc::default(),
            allowed: Vec::new(),
            http: reqwest::Client::builder().no_proxy().timeout(crate::deadline::DEADLINE).build()?,
        })
    }

    /// Starts the process and waits until it serves.
    pub async fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready().await
    }

    /// Starts the process and waits for nothing.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "a server runs already");
        let mut command = self.options.command();
        command.arg("serve").arg("--listen").arg(format!("127.0.0.1:{}", self.options.port));
        command.arg("--data").arg(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("can't start {}", self.options.binary.display()))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (url_is, url) = oneshot::channel();
        let (has_ended, ended) = oneshot::channel();
        let log = Arc::clone(&self.log);
        let reader = std::thread::spawn(move || {
            let mut url_is = Some(url_is);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(found) = line.strip_prefix(LISTENING)
                    && let Some(url_is) = url_is.take()
                {
                    let _ = url_is.send(found.to_owned());
                }
                log.lock().add(line);
            }
            let _ = has_ended.send(());
        });
        self.process = Some(Process { child, reader: Some(reader), url, ended });
        Ok(())
    }

    /// Waits until the process serves.
    pub async fn ready(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("no server runs")?;
        match within("the server says where it listens", &mut process.url).await? {
            Ok(url) => self.url = url,
            Err(_) => bail!("the server ended before it served:\n{}", self.log.lock().text()),
        }
        Ok(())
    }

    /// `http://127.0.0.1:PORT`; another one after each start.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn log(&self) -> String {
        self.log.lock().text()
    }

    /// From now on lines of the log that hold this text are no complaints.
    pub fn allow(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.child.try_wait(), Ok(None)))
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("no server runs")?.child.id())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(self.rustix_pid()?, signal).context("can't send a signal")
    }

    fn rustix_pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.pid()?)?).context("no process has the number 0")
    }

    /// SIGKILL: nothing is written, nobody is told. Returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.child.kill()?;
        process.end()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// SIGTERM, and waits for nothing.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let process = self.process.as_mut().context("no server runs")?;
        let _ = within("the server ends", &mut process.ended).await?;
        self.process.take().context("no server runs")?.end()
    }

    /// Kills what runs and starts anew on the same folder.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch().await
    }

    /// Bytes that a file of the running server may have; `None` for no bound.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> Result<()> {
        let pid = self.rustix_pid()?;
        let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
        rustix::process::prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum })
            .context("can't set a limit")?;
        Ok(())
    }

    /// SIGSTOP: it keeps everything and does nothing, until [`Server::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Another command of the binary, on this folder.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Options { shell: String::new(), ..self.options.clone() }.command();
        command.args(arguments).arg("--data").arg(self.folder.path()).stdin(Stdio::null());
        let what = format!("tertulia {}", arguments.join(" "));
        let output = within(&what, tokio::task::spawn_blocking(move || command.output())).await??;
        Ok(output?)
    }

    /// The same, where anything but success is an error; gives standard output.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).await?;
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "tertulia {}: {}\n{said}{complained}", arguments.join(" "), output.status);
        Ok(said.trim().to_owned())
    }

    fn complaints(&self) -> Vec<String> {
        let is_allowed = |line: &&String| !self.allowed.iter().any(|text| line.contains(text));
        self.log.lock().complaints.iter().filter(is_allowed).cloned().collect()
    }
}

impl Process {
    fn end(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok(status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
        if std::thread::panicking() {
            eprintln!("the server's log ends so:\n{}", self.log.lock().text());
            return;
        }
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the server's log complains:\n{}", complaints.join("\n"));
    }
}

/// How a process ended, for people: its exit code or the signal.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
