//! Devices of alice and bob: folders in which the real `tertulia-tui` runs, behind a gate that can be shut.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tertulia_testkit::{Folder, Gate, Options, Person, Server, within};
use tokio::sync::mpsc;

pub struct World {
    pub server: Server,
    pub gate: Gate,
    pub folder: Folder,
}

impl World {
    pub async fn new() -> Result<Self> {
        let server = Server::start(Options::built()?).await?;
        let gate = Gate::open(server.url()).await?;
        Ok(Self { server, gate, folder: Folder::new()? })
    }

    pub fn device(&self, name: &str) -> Device {
        Device(self.folder.path().join(name))
    }

    /// A device on which this person is signed in.
    pub async fn signed_in(&self, person: &Person) -> Result<Device> {
        let device = self.device(&person.name);
        device.run(&["sign-in", "--server", &self.gate.url(), "--token", &person.token], "").await?;
        Ok(device)
    }

    pub async fn restart_server(&mut self) -> Result<()> {
        self.server.restart().await?;
        self.gate.lead_to(self.server.url())
    }
}

#[derive(Debug, Clone)]
pub struct Device(pub PathBuf);

impl Device {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia-tui"));
        command.env_remove("TERTULIA_TUI_TOKEN").arg("--data").arg(&self.0).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub async fn output(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = self.command(arguments).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
        let what = arguments.join(" ");
        Ok(within(&what, tokio::task::spawn_blocking(move || child.wait_with_output())).await???)
    }

    /// Its standard output; anything but success is an error.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input).await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}: {complaint}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs until it is stopped; reads its lines.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        let mut child = self.command(arguments).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no standard output")?;
        let (to, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)).map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        Ok(Running { child, stdin, lines })
    }
}

pub struct Running {
    child: std::process::Child,
    pub stdin: Option<std::process::ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Running {
    /// The next line; `None` when the program has ended.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        let line = within("another line", self.lines.recv()).await?;
        line.map(|line| serde_json::from_str(&line).context(line)).transpose()
    }

    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let line = self.next().await?.context("the program has ended")?;
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    pub async fn connection(&mut self, state: &str, caught_up: bool) -> Result<()> {
        let wanted =
            |line: &Value| line["event"] == "connection" && line["state"] == state && line["caughtUp"] == caught_up;
        self.until(wanted).await?;
        Ok(())
    }

    pub fn write(&mut self, text: &str) -> Result<()> {
        Ok(self.stdin.as_mut().context("standard input is closed")?.write_all(text.as_bytes())?)
    }

    /// Asks it to stop; how it ended.
    pub async fn stop(mut self) -> Result<std::process::ExitStatus> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.ended().await
    }

    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        self.stdin.take();
        while within("the end", self.lines.recv()).await?.is_some() {}
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

pub fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
