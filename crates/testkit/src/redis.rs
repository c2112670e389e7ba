//! A Redis of one test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};

use crate::deadline::until;
use crate::folder::Folder;

/// `redis-server` on a free loopback port, without files. Dropping it kills the process.
pub struct Redis {
    port: u16,
    folder: Folder,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// With more of its options, such as `["--cluster-enabled", "yes"]`.
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        let mut redis = Self { port, folder: Folder::new()?, arguments, child: None };
        redis.launch().await?;
        Ok(redis)
    }

    /// Starts the process again, empty, on the same port.
    pub async fn launch(&mut self) -> Result<()> {
        self.kill()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        command.arg("--port").arg(self.port.to_string()).arg("--dir").arg(self.folder.path()).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().context("can't start redis-server")?);
        self.answers().await
    }

    async fn answers(&self) -> Result<()> {
        until("redis-server answers", || self.command(&["PING"]).is_ok_and(|said| said == "PONG")).await
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` says.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("can't start redis-cli")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// From now on it answers nothing and keeps its connections, until [`Redis::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("no redis-server runs")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("no process has the number 0")?;
        rustix::process::kill_process(pid, signal).context("can't send a signal")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A port of 127.0.0.1 that nobody listens on now. Below 10,000 less than the highest, because a Cluster's nodes listen on a second one 10,000 above.
pub fn free_port() -> Result<u16> {
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if port < u16::MAX - 10_000 {
            return Ok(port);
        }
    }
}
