//! The real binary on a folder of its own, on a free port.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit};

use crate::deadline::within;
use crate::folder::Folder;
use crate::process::Process;

/// How a server or a worker is started.
#[derive(Debug, Clone)]
pub struct Options {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    shell: String,
    /// 0: a free one, another after each start.
    port: u16,
}

impl Options {
    /// `binary` is `env!("CARGO_BIN_EXE_tertulia")` of the test. Rate limits are off.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let environment = vec![("TERTULIA_RATE_LIMITS".to_owned(), "off".to_owned())];
        Self { binary: binary.into(), environment, arguments: Vec::new(), shell: String::new(), port: 0 }
    }

    /// For tests of crates that do not make the binary: the one that `TERTULIA_BIN` names, or the one that the same build has put beside the test.
    pub fn built() -> Result<Self> {
        Ok(Self::new(program("tertulia", "TERTULIA_BIN", "tertulia-server")?))
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// A further argument of `serve` or `worker`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
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

/// A server of one test. Dropping it ends its [`Process`] and deletes the folder.
pub struct Server {
    pub options: Options,
    process: Process,
    folder: Folder,
    url: String,
    pub(crate) http: reqwest::Client,
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
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
            process: Process::new("server"),
            folder: Folder::new()?,
            url: String::new(),
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
        let mut command = self.options.command();
        command.arg("serve").arg("--listen").arg(format!("127.0.0.1:{}", self.options.port));
        command.arg("--data").arg(self.folder.path()).args(&self.options.arguments);
        self.process.spawn(command, |line| line.strip_prefix("listening on "))
    }

    /// Waits until the process serves.
    pub async fn ready(&mut self) -> Result<()> {
        self.url = self.process.said().await?;
        Ok(())
    }

    /// `http://127.0.0.1:PORT`; another one after each start.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
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
}

/// `tertulia worker`, on the database that its options name. Dropping it ends its [`Process`].
pub struct Worker {
    options: Options,
    process: Process,
}

impl Deref for Worker {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Worker {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Worker {
    pub async fn start(options: Options) -> Result<Self> {
        let mut worker = Self { options, process: Process::new("worker") };
        worker.launch().await?;
        Ok(worker)
    }

    /// Starts the process and waits until it works.
    pub async fn launch(&mut self) -> Result<()> {
        let mut command = self.options.command();
        command.arg("worker").args(&self.options.arguments);
        // The log's line of it, which begins with the time.
        self.process.spawn(command, |line| line.ends_with(": working").then_some(line))?;
        self.process.said().await.map(drop)
    }
}
