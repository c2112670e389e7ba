//! A way to the server that can be led elsewhere, cut and shut, that holds back what is on its way, and counts what goes through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug)]
struct Way {
    /// `None`: shut.
    to: Mutex<Option<SocketAddr>>,
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    /// What goes to the server over connections with a number below this waits.
    held_below: watch::Sender<u64>,
    /// Bytes that wait.
    held: watch::Sender<usize>,
}

/// Its own address stays, whatever it leads to. It is gone when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    way: Arc<Way>,
    cuts: watch::Sender<u64>,
    _task: JoinSet<()>,
}

pub(crate) fn address_of(url: &str) -> Result<SocketAddr> {
    url.strip_prefix("http://")
        .context("the address of a test server begins with http://")?
        .parse()
        .context(url.to_owned())
}

impl Gate {
    pub async fn open(url: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let way = Arc::new(Way {
            to: Mutex::new(Some(address_of(url)?)),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            held_below: watch::Sender::new(0),
            held: watch::Sender::new(0),
        });
        let (cuts, seen) = watch::channel(0);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::clone(&way), seen));
        Ok(Self { address, way, cuts, _task: task })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// New connections go there; those that are open stay.
    pub fn lead_to(&self, url: &str) -> Result<()> {
        *self.way.to.lock() = Some(address_of(url)?);
        Ok(())
    }

    /// New connections are closed at once; those that are open are cut.
    pub fn shut(&self) {
        *self.way.to.lock() = None;
        self.cut();
    }

    /// Ends all connections without a word.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// From now on what goes to the server over the connections that are open is held back; new ones are not concerned.
    pub fn hold(&self) {
        self.way.held_below.send_replace(self.way.connections.load(Ordering::Relaxed));
    }

    /// Waits until something is held back.
    pub async fn holds_something(&self) {
        let _ = self.way.held.subscribe().wait_for(|held| *held > 0).await;
    }

    /// What was held back goes on; waits until it is on its last stretch.
    pub async fn let_go(&self) {
        self.way.held_below.send_replace(0);
        let _ = self.way.held.subscribe().wait_for(|held| *held == 0).await;
    }

    /// Bytes to the server and from it, all connections together.
    pub fn bytes(&self) -> (u64, u64) {
        (self.way.up.load(Ordering::Relaxed), self.way.down.load(Ordering::Relaxed))
    }
}

async fn serve(listener: TcpListener, way: Arc<Way>, cuts: watch::Receiver<u64>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let to = *way.to.lock();
        if let Some(to) = to {
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            let number = way.connections.fetch_add(1, Ordering::Relaxed);
            connections.spawn(carry(near, to, Arc::clone(&way), number, cuts));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(near: TcpStream, to: SocketAddr, way: Arc<Way>, number: u64, mut cuts: watch::Receiver<u64>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    // Else what is measured is the delay of the gate.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_read, far_write, &way, &way.up, Some(number)) => {}
        () = pump(far_read, near_write, &way, &way.down, None) => {}
        _ = cuts.changed() => {}
    }
}

/// Counts what waits, for as long as it does.
struct Waiting<'a>(&'a Way, usize);

impl<'a> Waiting<'a> {
    fn new(way: &'a Way, bytes: usize) -> Self {
        way.held.send_modify(|held| *held += bytes);
        Self(way, bytes)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= self.1);
    }
}

/// `number`: of a connection whose bytes may be held back.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: &Way, count: &AtomicU64, number: Option<u64>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut held_below = way.held_below.subscribe();
    let mut is_gone = false;
    while let Ok(read) = from.read(&mut buffer).await {
        let is_free = |below: &u64| number.is_none_or(|number| number >= *below);
        let waiting = (!is_free(&held_below.borrow())).then(|| Waiting::new(way, read));
        let _ = held_below.wait_for(is_free).await;
        if read == 0 {
            return;
        }
        if !is_gone && to.write_all(&buffer[..read]).await.is_err() {
            // A client that has hung up: what it had sent may still be held back.
            is_gone = true;
            if number.is_some() {
                return;
            }
        }
        drop(waiting);
        count.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
    }
}
