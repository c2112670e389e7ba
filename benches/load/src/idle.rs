//! Connections that do nothing: what each costs in the server's memory, and whether all of them are alive in the end.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::connection::{self, Connection, Flusher, Reader};
use crate::crowd::OwnedTask;
use crate::http::HttpClient;
use crate::people::{self, Person};
use crate::protocol::{Encoder, Incoming, Protocol};
use crate::report::{CpuWindow, Outcome, Row, histogram_us, percentiles_json, percentiles_ms, rounded};
use crate::scan;
use crate::server::Server;

/// One local address has some 28,000 ports to come from.
const CONNECTIONS_PER_SOURCE: usize = 20_000;
const CONNECTIONS_PER_PERSON: usize = 10;
const PEOPLE_MAX: usize = 1000;
const CONNECTING_AT_ONCE: usize = 32;
const BUFFER_BYTES: usize = 2048;
const ALIVE_MAX: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct IdleOptions {
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=60_000))]
    pub connections: u32,
    #[arg(long, value_enum, default_value = "ws")]
    pub protocol: Protocol,
    /// How long they stay idle before memory is read; over 25 s every Socket.IO connection has had a heartbeat.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub hold_seconds: u64,
}

impl IdleOptions {
    /// Files this process opens for it.
    pub fn open_files(&self) -> usize {
        self.connections as usize + 256
    }
}

/// The tasks that read, one for each connection; they end with the last owner.
type Readers = Rc<RefCell<Vec<OwnedTask>>>;

#[derive(Debug)]
struct Pool {
    connections: RefCell<Vec<Option<Rc<Connection>>>>,
    /// Messages each connection has seen.
    seen: RefCell<Vec<u32>>,
    open: Cell<usize>,
    next: Cell<usize>,
    failure: RefCell<Option<String>>,
    flusher: Rc<Flusher>,
    run: Vec<u8>,
    delivery_us: RefCell<hdrhistogram::Histogram<u64>>,
    sent_at: Cell<Option<Instant>>,
}

/// The server's resident memory as the run goes on, in KiB.
#[derive(Debug)]
struct Memory {
    at_start: Option<u64>,
    /// With all people and conversations made, before the first connection.
    before: Option<u64>,
    connected: Option<u64>,
    after_hold: Option<u64>,
    after_messages: Option<u64>,
}

/// Runs it against a server.
pub async fn run(server: &Server, options: &IdleOptions) -> Result<Outcome> {
    let count = options.connections as usize;
    let mut memory = Memory {
        at_start: server.resident_kib(),
        before: None,
        connected: None,
        after_hold: None,
        after_messages: None,
    };
    let mut http = HttpClient::new(server.address());
    let people_count = (count / CONNECTIONS_PER_PERSON).clamp(2, PEOPLE_MAX) / 2 * 2;
    let people = Rc::new(people::make(server, &mut http, people_count).await?);
    let mut conversations = Vec::with_capacity(people.len() / 2);
    for pair in people.chunks_exact(2) {
        conversations.push(people::open_dm(&mut http, &pair[0], &pair[1]).await?.id);
    }
    memory.before = server.resident_kib();

    let mut outcome = Outcome::new("idle");
    let run = people::fresh_name();
    let pool = Rc::new(Pool::new(count, &run)?);
    let began = Instant::now();
    let readers = connect_all(server, options.protocol, &people, &pool).await?;
    let connect_seconds = rounded(began.elapsed().as_secs_f64(), 2);
    outcome.set("people", people.len());
    outcome.set("connectSeconds", json!(connect_seconds));

    memory.connected = server.resident_kib();
    let cpu = CpuWindow::open(server);
    tokio::time::sleep(Duration::from_secs(options.hold_seconds)).await;
    let (server_cores, _) = cpu.close();
    memory.after_hold = server.resident_kib();
    outcome.set("openAfterHold", pool.open.get());
    outcome.set("serverCoresIdle", server_cores.clone());

    let templates = conversations.iter().map(String::as_str);
    let alive = ask_all(&pool, Encoder::new(options.protocol, &run, templates, people::bodies()), people.len()).await?;
    memory.after_messages = server.resident_kib();
    readers.borrow_mut().clear();

    let note = format!("{alive} of {count} alive; idle at {server_cores} cores; {connect_seconds} s to connect");
    report(&mut outcome, options, &pool, &memory, alive, note);
    outcome.set("serverErrorsLogged", server.errors_logged());
    Ok(outcome)
}

fn report(outcome: &mut Outcome, options: &IdleOptions, pool: &Pool, memory: &Memory, alive: usize, note: String) {
    let count = options.connections as usize;
    let per_connection = |before: u64, after: u64| rounded((after as f64 - before as f64) / count as f64, 2);
    let kib_each = memory.before.zip(memory.after_hold).map(|(before, after)| per_connection(before, after));
    let doubled: u32 = pool.seen.borrow().iter().map(|seen| seen.saturating_sub(1)).sum();
    let delivery_us = pool.delivery_us.borrow();
    outcome.set("protocol", options.protocol.name());
    outcome.set("connections", count);
    outcome.set("holdSeconds", options.hold_seconds);
    outcome.set("alive", alive);
    outcome.set("residentKibAtStart", memory.at_start);
    outcome.set("residentKibBefore", memory.before);
    outcome.set("residentKibConnected", memory.connected);
    outcome.set("residentKibAfterHold", memory.after_hold);
    outcome.set("residentKibAfterMessages", memory.after_messages);
    outcome.set("kibPerConnection", kib_each);
    outcome.set("deliveryToAll", percentiles_json(&delivery_us));
    outcome.set("violations", json!({ "notAlive": count - alive, "doubled": doubled }));
    outcome.violations = (count - alive) as u64 + u64::from(doubled);
    outcome.rows.push(Row {
        what: format!("idle {}", options.protocol.name()),
        value: kib_each.map_or_else(|| "?".into(), |kib| format!("{kib:.1} KiB/conn")),
        percentiles: Some(percentiles_ms(&delivery_us)),
        note,
    });
}

/// Opens all connections, a few at a time, and leaves a task with each that answers heartbeats.
async fn connect_all(
    server: &Server,
    protocol: Protocol,
    people: &Rc<Vec<Person>>,
    pool: &Rc<Pool>,
) -> Result<Readers> {
    let count = pool.connections.borrow().len();
    let address = server.address();
    let readers: Readers = Rc::new(RefCell::new(vec![OwnedTask::spawn(Rc::clone(&pool.flusher).run())]));
    let connectors: Vec<OwnedTask> = (0..CONNECTING_AT_ONCE)
        .map(|_| {
            let (people, pool, readers) = (Rc::clone(people), Rc::clone(pool), Rc::clone(&readers));
            OwnedTask::spawn(async move {
                while pool.failure.borrow().is_none() {
                    let index = pool.next.replace(pool.next.get() + 1);
                    if index >= count {
                        return;
                    }
                    let token = &people[index % people.len()].token;
                    let source = source_address(address.ip(), index);
                    match connection::connect(address, protocol, token, source, BUFFER_BYTES).await {
                        Ok((connection, reader)) => {
                            pool.connections.borrow_mut()[index] = Some(Rc::clone(&connection));
                            pool.open.set(pool.open.get() + 1);
                            let task = OwnedTask::spawn(keep(Rc::clone(&pool), index, connection, reader));
                            readers.borrow_mut().push(task);
                        }
                        Err(error) => pool.fail(format!("connection {index}: {error:#}")),
                    }
                }
            })
        })
        .collect();
    loop {
        if let Some(failure) = pool.failure.borrow().as_ref() {
            bail!("{failure} ({} are open)", pool.open.get());
        }
        if pool.open.get() == count {
            break;
        }
        if pool.next.get() >= count + CONNECTING_AT_ONCE {
            bail!("only {} of {count} connections stayed open while the others were made", pool.open.get());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(connectors);
    Ok(readers)
}

/// Answers heartbeats and counts what arrives, until the connection ends.
async fn keep(pool: Rc<Pool>, index: usize, connection: Rc<Connection>, reader: Reader) {
    let on_text = |incoming, text: &[u8], now| pool.on_text(index, incoming, text, now);
    let reason = reader.run(&connection, &pool.flusher, on_text).await;
    pool.open.set(pool.open.get() - 1);
    pool.connections.borrow_mut()[index] = None;
    eprintln!("connection {index} ended: {reason}");
}

/// One message in every conversation: each connection of both people must see it, and so shows that it is alive. Returns how many are.
async fn ask_all(pool: &Pool, mut encoder: Encoder, people: usize) -> Result<usize> {
    pool.sent_at.set(Some(Instant::now()));
    for conversation in 0..people / 2 {
        let sender = pool.connections.borrow()[conversation * 2].clone();
        if let Some(sender) = sender {
            pool.flusher.send(&sender, |out| encoder.push_send(out, 1, conversation, 0));
        }
    }
    let end = Instant::now() + ALIVE_MAX;
    loop {
        if let Some(failure) = pool.failure.borrow().as_ref() {
            bail!("{failure}");
        }
        let alive = pool.seen.borrow().iter().filter(|seen| **seen > 0).count();
        // One turn more after the last one was seen, in case something comes twice.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if alive == pool.seen.borrow().len() || Instant::now() > end {
            return Ok(alive);
        }
    }
}

impl Pool {
    fn new(count: usize, run: &str) -> Result<Self> {
        Ok(Self {
            connections: RefCell::new(vec![None; count]),
            seen: RefCell::new(vec![0; count]),
            open: Cell::new(0),
            next: Cell::new(0),
            failure: RefCell::new(None),
            flusher: Rc::default(),
            run: run.as_bytes().to_vec(),
            delivery_us: RefCell::new(histogram_us()?),
            sent_at: Cell::new(None),
        })
    }

    fn fail(&self, what: String) {
        self.failure.borrow_mut().get_or_insert(what);
    }

    fn on_text(&self, index: usize, incoming: Incoming, text: &[u8], now: Instant) {
        match incoming {
            Incoming::New if scan::reference(text, &self.run).is_some() => {
                self.seen.borrow_mut()[index] += 1;
                if let Some(sent_at) = self.sent_at.get() {
                    let took_us = now.saturating_duration_since(sent_at).as_micros() as u64;
                    self.delivery_us.borrow_mut().saturating_record(took_us.max(1));
                }
            }
            Incoming::Refused => {
                self.fail(format!("connection {index}: refused: {}", String::from_utf8_lossy(text)));
            }
            _ => {}
        }
    }
}

/// Where connection number `index` comes from: the whole of 127/8 is one's own on Linux.
fn source_address(server: IpAddr, index: usize) -> Option<IpAddr> {
    let block = u8::try_from(index / CONNECTIONS_PER_SOURCE).ok()?;
    server.is_ipv4().then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + block)))
}
