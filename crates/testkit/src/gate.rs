//! A way to the server that can be led elsewhere, cut and shut, and that counts what goes through it.

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
        let way =
            Arc::new(Way { to: Mutex::new(Some(address_of(url)?)), up: AtomicU64::new(0), down: AtomicU64::new(0) });
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
            connections.spawn(carry(near, to, Arc::clone(&way), cuts));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(near: TcpStream, to: SocketAddr, way: Arc<Way>, mut cuts: watch::Receiver<u64>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    // Else what is measured is the delay of the gate.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_read, far_write, &way.up) => {}
        () = pump(far_read, near_write, &way.down) => {}
        _ = cuts.changed() => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        count.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
    }
}
