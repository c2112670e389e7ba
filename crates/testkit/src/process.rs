//! A process of the binary: started and ended in every way, with what it says kept for whoever reads a failure.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use tokio::sync::oneshot;

use crate::deadline::within;

/// Lines kept for whoever reads a failure; complaints are kept beside them, all.
const LINES_MAX: usize = 200;

/// What of a line says that the process is ready, where it does.
pub type Sign = fn(&str) -> Option<&str>;

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

struct Running {
    child: Child,
    /// Reads the log until the process has ended.
    reader: Option<std::thread::JoinHandle<()>>,
    ready: oneshot::Receiver<String>,
    ended: oneshot::Receiver<()>,
}

/// One process after the other, with one log. Dropping it kills what runs, and fails the test where the log complains.
pub struct Process {
    /// For people: `server`, `worker`.
    what: &'static str,
    running: Option<Running>,
    log: Arc<Mutex<Log>>,
    allowed: Vec<String>,
}

impl Process {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, running: None, log: Arc::default(), allowed: Vec::new() }
    }

    pub(crate) fn spawn(&mut self, mut command: Command, sign: Sign) -> Result<()> {
        ensure!(self.running.is_none(), "a {} runs already", self.what);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let program = command.get_program().to_owned();
        let mut child = command.spawn().with_context(|| format!("can't start {}", program.display()))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (is_ready, ready) = oneshot::channel();
        let (has_ended, ended) = oneshot::channel();
        let log = Arc::clone(&self.log);
        let reader = std::thread::spawn(move || {
            let mut is_ready = Some(is_ready);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(found) = sign(&line)
                    && let Some(is_ready) = is_ready.take()
                {
                    let _ = is_ready.send(found.to_owned());
                }
                log.lock().add(line);
            }
            let _ = has_ended.send(());
        });
        self.running = Some(Running { child, reader: Some(reader), ready, ended });
        Ok(())
    }

    /// Waits for the sign, and gives what was found in it.
    pub(crate) async fn said(&mut self) -> Result<String> {
        let what = self.what;
        let running = self.running.as_mut().with_context(|| format!("no {what} runs"))?;
        match within(&format!("the {what} is ready"), &mut running.ready).await? {
            Ok(found) => Ok(found),
            Err(_) => bail!("the {what} ended before it was ready:\n{}", self.log()),
        }
    }

    fn running(&self) -> Result<&Running> {
        self.running.as_ref().with_context(|| format!("no {} runs", self.what))
    }

    pub fn log(&self) -> String {
        self.log.lock().text()
    }

    /// From now on lines of the log that hold this text are no complaints.
    pub fn allow(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| matches!(running.child.try_wait(), Ok(None)))
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.child.id())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(self.rustix_pid()?, signal).context("can't send a signal")
    }

    pub(crate) fn rustix_pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.pid()?)?).context("no process has the number 0")
    }

    /// SIGKILL: nothing is written, nobody is told. Returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.child.kill()?;
        running.end()?;
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
        let what = self.what;
        let running = self.running.as_mut().with_context(|| format!("no {what} runs"))?;
        let _ = within(&format!("the {what} ends"), &mut running.ended).await?;
        self.running.take().with_context(|| format!("no {what} runs"))?.end()
    }

    /// SIGSTOP: it keeps everything and does nothing, until [`Process::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn complaints(&self) -> Vec<String> {
        let is_allowed = |line: &&String| !self.allowed.iter().any(|text| line.contains(text));
        self.log.lock().complaints.iter().filter(is_allowed).cloned().collect()
    }
}

impl Running {
    fn end(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
        if std::thread::panicking() {
            eprintln!("the {}'s log ends so:\n{}", self.what, self.log.lock().text());
            return;
        }
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the {}'s log complains:\n{}", self.what, complaints.join("\n"));
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
