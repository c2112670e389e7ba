//! One socket: the handshake, a reader that hands out frames, and a writer that gathers what is sent until all that was received is dealt with.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::frame::{self, Frame, Opcode};
use crate::protocol::{Incoming, Protocol};
use crate::socketio;

const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
const BUFFER_MAX_BYTES: usize = 8 * 1024 * 1024;
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// What was read and not yet consumed.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity.max(256)], start: 0, end: 0 }
    }

    fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    async fn fill(&mut self, reader: &mut (impl AsyncReadExt + Unpin)) -> Result<()> {
        if self.bytes.len() - self.end < self.bytes.len() / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.bytes.len() - self.end < self.bytes.len() / 4 {
                if self.bytes.len() >= BUFFER_MAX_BYTES {
                    bail!("a frame does not fit in {BUFFER_MAX_BYTES} bytes");
                }
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
        match reader.read(&mut self.bytes[self.end..]).await? {
            0 => bail!("the server closed the connection without a close frame"),
            count => self.end += count,
        }
        Ok(())
    }
}

/// The sending side, shared by all that may send on it.
#[derive(Debug)]
pub struct Connection {
    writer: OwnedWriteHalf,
    pending: RefCell<Vec<u8>>,
    queued: Cell<bool>,
    protocol: Protocol,
}

/// Writes what connections gathered, each with one system call. Its task runs after the readers that were ready at the same time, and so
/// batches by itself: nothing waits when there is nothing to wait for.
#[derive(Debug, Default)]
pub struct Flusher {
    dirty: RefCell<Vec<Rc<Connection>>>,
    wake: Notify,
}

impl Flusher {
    /// Lets `write` append frames and sees to it that they go out.
    pub fn send(&self, connection: &Rc<Connection>, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut connection.pending.borrow_mut());
        if !connection.queued.replace(true) {
            self.dirty.borrow_mut().push(Rc::clone(connection));
            self.wake.notify_one();
        }
    }

    /// Runs until dropped.
    pub async fn run(self: Rc<Self>) {
        let mut batch = Vec::new();
        loop {
            self.wake.notified().await;
            std::mem::swap(&mut batch, &mut *self.dirty.borrow_mut());
            for connection in batch.drain(..) {
                connection.queued.set(false);
                if !connection.write_pending() {
                    let flusher = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        if connection.writer.writable().await.is_ok() {
                            flusher.send(&connection, |_| ());
                        }
                    });
                }
            }
        }
    }
}

impl Connection {
    /// False if the socket takes no more for now. A broken socket counts as done: its reader says why.
    fn write_pending(&self) -> bool {
        let mut pending = self.pending.borrow_mut();
        let mut written = 0;
        let done = loop {
            if written == pending.len() {
                break true;
            }
            match self.writer.try_write(&pending[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break false,
                Err(_) => {
                    written = pending.len();
                }
            }
        };
        pending.drain(..written);
        done
    }
}

/// The receiving side, which one task owns.
#[derive(Debug)]
pub struct Reader {
    half: OwnedReadHalf,
    buffer: ReadBuffer,
}

impl Reader {
    /// Hands every text frame that is no heartbeat to `on_text`, with the instant it was read. Returns the reason why the connection ended.
    pub async fn run(
        mut self,
        connection: &Rc<Connection>,
        flusher: &Flusher,
        mut on_text: impl FnMut(Incoming, &[u8], Instant),
    ) -> String {
        loop {
            let now = Instant::now();
            loop {
                let used = match frame::decode(self.buffer.data()) {
                    Ok(None) => break,
                    Ok(Some((Frame::Text(text), used))) => {
                        match connection.protocol.classify(text) {
                            Incoming::Heartbeat => {
                                flusher.send(connection, |out| frame::push(out, Opcode::Text, socketio::PONG))
                            }
                            incoming => on_text(incoming, text, now),
                        }
                        used
                    }
                    Ok(Some((Frame::Ping(payload), used))) => {
                        flusher.send(connection, |out| frame::push(out, Opcode::Pong, payload));
                        used
                    }
                    Ok(Some((Frame::Pong, used))) => used,
                    Ok(Some((Frame::Close(code, reason), _))) => {
                        return format!("closed by the server with {code} {}", String::from_utf8_lossy(reason));
                    }
                    Err(error) => return error.to_string(),
                };
                self.buffer.consume(used);
            }
            if let Err(error) = self.buffer.fill(&mut self.half).await {
                return error.to_string();
            }
        }
    }
}

/// Connects, upgrades and waits until events flow. `source` is the local address to come from.
pub async fn connect(
    server: SocketAddr,
    protocol: Protocol,
    token: &str,
    source: Option<IpAddr>,
    buffer_bytes: usize,
) -> Result<(Rc<Connection>, Reader)> {
    let handshake = async {
        let mut stream = open(server, source).await?;
        let mut buffer = ReadBuffer::new(buffer_bytes);
        upgrade(&mut stream, &mut buffer, server, protocol, token).await?;
        join(&mut stream, &mut buffer, protocol, token).await?;
        anyhow::Ok((stream, buffer))
    };
    let (stream, buffer) =
        tokio::time::timeout(HANDSHAKE_MAX, handshake).await.context("the handshake took too long")??;
    let (half, writer) = stream.into_split();
    let connection = Connection { writer, pending: RefCell::default(), queued: Cell::new(false), protocol };
    Ok((Rc::new(connection), Reader { half, buffer }))
}

async fn open(server: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).with_context(|| format!("no local port left on {source}"))?;
    }
    let stream = socket.connect(server).await.with_context(|| format!("can't connect to {server}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn upgrade(
    stream: &mut TcpStream,
    buffer: &mut ReadBuffer,
    server: SocketAddr,
    protocol: Protocol,
    token: &str,
) -> Result<()> {
    // The key is RFC 6455's example: it proves nothing to a server that speaks no other protocol on this path.
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n",
        protocol.path()
    );
    stream.write_all(request.as_bytes()).await?;
    loop {
        if let Some(end) = buffer.data().windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer.data()[..end]).into_owned();
            let status = head.lines().next().unwrap_or_default();
            if !status.starts_with("HTTP/1.1 101") {
                bail!("the upgrade was answered by {status}");
            }
            buffer.consume(end + 4);
            return Ok(());
        }
        if buffer.data().len() > HEAD_MAX_BYTES {
            bail!("the answer to the upgrade has no end");
        }
        buffer.fill(stream).await?;
    }
}

async fn join(stream: &mut TcpStream, buffer: &mut ReadBuffer, protocol: Protocol, token: &str) -> Result<()> {
    loop {
        let mut answer = Vec::new();
        let (used, ready) = match frame::decode(buffer.data())? {
            None => {
                buffer.fill(stream).await?;
                continue;
            }
            Some((Frame::Text(text), used)) => match protocol.classify(text) {
                Incoming::Ready => (used, true),
                Incoming::Refused => bail!("refused: {}", String::from_utf8_lossy(text)),
                Incoming::Opened => {
                    frame::push(&mut answer, Opcode::Text, socketio::join(token).as_bytes());
                    (used, false)
                }
                Incoming::Heartbeat => {
                    frame::push(&mut answer, Opcode::Text, socketio::PONG);
                    (used, false)
                }
                _ => (used, false),
            },
            Some((Frame::Close(code, reason), _)) => bail!("closed with {code} {}", String::from_utf8_lossy(reason)),
            Some((_, used)) => (used, false),
        };
        buffer.consume(used);
        stream.write_all(&answer).await?;
        if ready {
            return Ok(());
        }
    }
}
