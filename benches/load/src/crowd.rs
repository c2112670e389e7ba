//! Connected people who send to each other by a plan, and the pace at which they do it.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinHandle;

use crate::connection::{self, Connection, Flusher};
use crate::people::{self, Person};
use crate::protocol::{Encoder, Incoming, Protocol};
use crate::scan;
use crate::server::Server;
use crate::traffic::{Measured, Plan, Traffic, Violations};

const BUFFER_BYTES: usize = 32 * 1024;
/// Nothing at all for so long, with sends under way, ends a run.
const STALL_MAX: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(20);

/// A task that ends with its owner.
#[derive(Debug)]
pub struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    pub fn spawn(task: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(task))
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everybody who is connected, and all that is under way between them.
#[derive(Debug)]
pub struct Crowd {
    stage: Rc<Stage>,
    _tasks: Vec<OwnedTask>,
}

#[derive(Debug)]
struct Stage {
    connections: Vec<Rc<Connection>>,
    flusher: Rc<Flusher>,
    traffic: RefCell<Traffic>,
    encoder: RefCell<Encoder>,
    failures: RefCell<Vec<String>>,
    run: Vec<u8>,
    began: Instant,
    /// Whether a completed send is followed by the next one.
    closed_loop: bool,
}

impl Crowd {
    /// Connects one socket per person, in the order of the plan's indices.
    pub async fn connect(
        server: &Server,
        protocol: Protocol,
        crowd: &[Person],
        plan: &Plan,
        closed_loop: bool,
    ) -> Result<Self> {
        let run = people::fresh_name();
        let mut connections = Vec::with_capacity(crowd.len());
        let mut readers = Vec::with_capacity(crowd.len());
        for (number, person) in crowd.iter().enumerate() {
            let (connection, reader) =
                connection::connect(server.address_of(number), protocol, &person.token, None, BUFFER_BYTES)
                    .await
                    .with_context(|| format!("connecting person {} of {}", connections.len() + 1, crowd.len()))?;
            connections.push(connection);
            readers.push(reader);
        }
        let conversation_of_flow = plan.flows.iter().map(|flow| plan.conversations[flow.conversation].id.as_str());
        let stage = Rc::new(Stage {
            encoder: RefCell::new(Encoder::new(protocol, &run, conversation_of_flow, people::bodies())),
            traffic: RefCell::new(Traffic::new(plan, connections.len())),
            connections,
            flusher: Rc::default(),
            failures: RefCell::default(),
            run: run.into_bytes(),
            began: Instant::now(),
            closed_loop,
        });
        let mut tasks = vec![OwnedTask::spawn(Rc::clone(&stage.flusher).run())];
        for (index, reader) in readers.into_iter().enumerate() {
            let stage = Rc::clone(&stage);
            tasks.push(OwnedTask::spawn(async move {
                let connection = Rc::clone(&stage.connections[index]);
                let reason = reader
                    .run(&connection, &stage.flusher, |incoming, text, now| stage.on_text(index, incoming, text, now))
                    .await;
                stage.failures.borrow_mut().push(format!("connection {index}: {reason}"));
            }));
        }
        Ok(Self { stage, _tasks: tasks })
    }

    /// Fills every sender's window; each completed send is then followed by the next.
    pub fn start_closed_loop(&self, in_flight: usize) {
        let senders = self.stage.traffic.borrow().senders();
        let now_ns = self.stage.since_began(Instant::now());
        for _ in 0..in_flight {
            for sender in &senders {
                self.stage.send_next(*sender, now_ns);
            }
        }
    }

    /// Sends one message of a connection, whose latency counts from `due`.
    pub fn send_due(&self, sender: usize, due: Instant) {
        self.stage.send_next(sender, self.stage.since_began(due));
    }

    /// Lets time pass, unless a connection breaks or nothing moves any more.
    pub async fn run_for(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.run_until(|_| Instant::now() >= end).await
    }

    /// Waits for every send of the quota to complete; tells the count now and then.
    pub async fn run_to_the_end(&self, mut progress: impl FnMut(u64)) -> Result<()> {
        self.run_until(|traffic| {
            progress(traffic.completed());
            traffic.all_seen()
        })
        .await
    }

    /// Stops sending and waits for what is under way. What has not come by then is lost, not an error.
    pub async fn drain(&self, time: Duration) -> Result<()> {
        self.stage.traffic.borrow_mut().stop_sending();
        let end = Instant::now() + time;
        self.run_until(|traffic| traffic.all_seen() || Instant::now() >= end).await
    }

    pub fn start_measuring(&self) {
        let now_ns = self.stage.since_began(Instant::now());
        self.stage.traffic.borrow_mut().start_measuring(now_ns);
    }

    pub fn stop_measuring(&self) -> Result<Measured> {
        self.stage.traffic.borrow_mut().take_measured().context("nothing was being measured")
    }

    pub fn verdict(&self) -> Violations {
        self.stage.traffic.borrow().verdict()
    }

    /// Sends that are not both acknowledged and delivered.
    pub fn under_way(&self) -> u64 {
        self.stage.traffic.borrow().under_way()
    }

    /// The newest `seq` seen in each of the plan's conversations.
    pub fn last_seqs(&self) -> Vec<u64> {
        self.stage.traffic.borrow().last_seqs()
    }

    async fn run_until(&self, mut done: impl FnMut(&Traffic) -> bool) -> Result<()> {
        let (mut arrivals, mut moved_at) = (u64::MAX, Instant::now());
        loop {
            if let Some(failure) = self.stage.failures.borrow().first() {
                bail!("{failure}");
            }
            {
                let traffic = self.stage.traffic.borrow();
                if done(&traffic) {
                    return Ok(());
                }
                if traffic.arrivals() != arrivals || traffic.all_seen() {
                    (arrivals, moved_at) = (traffic.arrivals(), Instant::now());
                } else if moved_at.elapsed() > STALL_MAX {
                    bail!(
                        "nothing arrived for {STALL_MAX:?} with {} sends under way: {:?}",
                        traffic.under_way(),
                        traffic.verdict()
                    );
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

impl Stage {
    fn since_began(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.began).as_nanos() as u64
    }

    fn on_text(&self, connection: usize, incoming: Incoming, text: &[u8], now: Instant) {
        let acknowledged = match incoming {
            Incoming::Acknowledged => true,
            Incoming::New => false,
            Incoming::Refused => {
                let text = String::from_utf8_lossy(text);
                self.failures.borrow_mut().push(format!("connection {connection}: refused: {text}"));
                return;
            }
            _ => return,
        };
        let Some(reference) = scan::reference(text, &self.run) else { return };
        let now_ns = self.since_began(now);
        let completed = {
            let mut traffic = self.traffic.borrow_mut();
            if acknowledged {
                traffic.on_acknowledged(reference, now_ns)
            } else {
                traffic.on_new(connection, reference, now_ns)
            }
        };
        if let Some(sender) = completed.filter(|_| self.closed_loop) {
            self.send_next(sender, now_ns);
        }
    }

    fn send_next(&self, sender: usize, due_ns: u64) {
        if let Some(send) = self.traffic.borrow_mut().issue(sender, due_ns) {
            self.flusher.send(&self.connections[sender], |out| {
                self.encoder.borrow_mut().push_send(out, send.request_id, send.flow, send.counter);
            });
        }
    }
}
