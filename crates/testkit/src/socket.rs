//! A client of the plain WebSocket that hides nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tertulia_proto::{ApiError, DeviceId};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::deadline::within;

#[derive(Debug, Clone, Copy, Default)]
pub struct SocketOptions {
    /// Bytes the operating system receives for a reader that does not read; small ones make a reader slow soon.
    pub receive_buffer_bytes: Option<u32>,
    /// The local store that the connection is of.
    pub device: Option<DeviceId>,
}

#[derive(Debug, Clone)]
pub enum Frame {
    Event { kind: String, fields: Value },
    Answer { id: u64, result: Result<Value, ApiError> },
}

#[derive(Debug, Clone)]
pub enum Incoming {
    Frame(Frame),
    /// With the close code, or without one where the transport just ended.
    Closed(Option<u16>),
}

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    next_id: u64,
    /// Read and not yet asked for.
    waiting: VecDeque<Frame>,
    first: String,
    closed: Option<Option<u16>>,
}

impl Socket {
    /// Connects and waits for `connected`.
    pub async fn connect(url: &str, token: &str, options: SocketOptions) -> Result<Self> {
        let mut socket = Self::open(url, token, options).await?;
        match socket.greeted().await? {
            None => Ok(socket),
            Some(code) => bail!("closed with {code:?} before `connected`"),
        }
    }

    /// Waits for `connected`; or gives the close code, if one came, with which the connection ended before it.
    pub async fn greeted(&mut self) -> Result<Option<Option<u16>>> {
        loop {
            match self.read().await? {
                Incoming::Frame(frame) => {
                    let Frame::Event { kind, .. } = &frame else { bail!("an answer before `connected`") };
                    if self.first.is_empty() {
                        self.first.clone_from(kind);
                    }
                    if kind == "connected" {
                        return Ok(None);
                    }
                    self.waiting.push_back(frame);
                }
                Incoming::Closed(code) => return Ok(Some(code)),
            }
        }
    }

    /// Connects and reads nothing.
    pub async fn open(url: &str, token: &str, options: SocketOptions) -> Result<Self> {
        let host = url.strip_prefix("http://").context("the address of a test server begins with http://")?;
        let device = options.device.map(|device| format!("?device={device}")).unwrap_or_default();
        let mut request = format!("ws://{host}/messages/subscribe{device}").into_client_request()?;
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        let address: SocketAddr = host.parse()?;
        let tcp = TcpSocket::new_v4()?;
        if let Some(bytes) = options.receive_buffer_bytes {
            tcp.set_recv_buffer_size(bytes)?;
        }
        let tcp = within("a connection", tcp.connect(address)).await??;
        tcp.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
        let handshake = tokio_tungstenite::client_async_with_config(request, tcp, Some(config));
        let (stream, _) = within("the WebSocket's handshake", handshake).await??;
        Ok(Self { stream, next_id: 1, waiting: VecDeque::new(), first: String::new(), closed: None })
    }

    /// The kind of the first frame that came.
    pub fn first_kind(&self) -> &str {
        &self.first
    }

    /// Puts a request in the buffer; [`Socket::flush`] sends it. Gives the id that its answer will have.
    pub async fn feed(&mut self, kind: &str, mut fields: Value) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        fields["type"] = json!(kind);
        fields["id"] = json!(id);
        within("room to send", self.stream.feed(Message::text(fields.to_string()))).await??;
        Ok(id)
    }

    pub async fn flush(&mut self) -> Result<()> {
        Ok(within("room to send", self.stream.flush()).await??)
    }

    /// Sends a request and waits for nothing.
    pub async fn send(&mut self, kind: &str, fields: Value) -> Result<u64> {
        let id = self.feed(kind, fields).await?;
        self.flush().await?;
        Ok(id)
    }

    /// Sends a request and waits for its answer; events that come before it are kept. A refusal is an error that holds the [`ApiError`].
    pub async fn request(&mut self, kind: &str, fields: Value) -> Result<Value> {
        let id = self.send(kind, fields).await?;
        self.answer(id).await?.with_context(|| kind.to_owned())
    }

    pub async fn answer(&mut self, id: u64) -> Result<Result<Value, ApiError>> {
        let is_it = |frame: &Frame| matches!(frame, Frame::Answer { id: of, .. } if *of == id);
        loop {
            if let Some(at) = self.waiting.iter().position(is_it)
                && let Some(Frame::Answer { result, .. }) = self.waiting.remove(at)
            {
                return Ok(result);
            }
            let frame = self.read_frame().await.with_context(|| format!("waiting for the answer to request {id}"))?;
            self.waiting.push_back(frame);
        }
    }

    /// The next event of a kind; others that come before it are kept.
    pub async fn next_event<T: DeserializeOwned>(&mut self, kind: &str) -> Result<T> {
        let is_it = |frame: &Frame| matches!(frame, Frame::Event { kind: of, .. } if of == kind);
        loop {
            if let Some(at) = self.waiting.iter().position(is_it)
                && let Some(Frame::Event { fields, .. }) = self.waiting.remove(at)
            {
                let text = fields.to_string();
                return serde_json::from_value(fields).with_context(|| text);
            }
            let frame = self.read_frame().await.with_context(|| format!("waiting for the event {kind}"))?;
            self.waiting.push_back(frame);
        }
    }

    /// The next frame, whatever it is.
    pub async fn next(&mut self) -> Result<Incoming> {
        match self.waiting.pop_front() {
            Some(frame) => Ok(Incoming::Frame(frame)),
            None => self.read().await,
        }
    }

    async fn read_frame(&mut self) -> Result<Frame> {
        match self.read().await? {
            Incoming::Frame(frame) => Ok(frame),
            Incoming::Closed(code) => bail!("closed with {code:?}"),
        }
    }

    /// The next frame from the wire. Only what does not come in time, or can't be read, is an error.
    async fn read(&mut self) -> Result<Incoming> {
        loop {
            if let Some(code) = self.closed {
                return Ok(Incoming::Closed(code));
            }
            match within("a frame", self.stream.next()).await? {
                Some(Ok(Message::Text(text))) => return parse(&text).map(Incoming::Frame),
                Some(Ok(Message::Close(close))) => self.closed = Some(close.map(|close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(Error::Capacity(error))) => bail!("a frame that is too large: {error}"),
                Some(Err(_)) | None => self.closed = Some(None),
            }
        }
    }

    /// Reads whatever comes until the connection is closed; gives the close code and the number of frames before it.
    pub async fn drain(&mut self) -> Result<(Option<u16>, usize)> {
        let mut frames = 0;
        loop {
            match self.next().await? {
                Incoming::Frame(_) => frames += 1,
                Incoming::Closed(code) => return Ok((code, frames)),
            }
        }
    }

    /// Says goodbye and waits for the server's.
    pub async fn close(mut self) -> Result<()> {
        within("the goodbye", self.stream.close(None)).await??;
        self.drain().await.map(drop)
    }
}

fn parse(text: &str) -> Result<Frame> {
    let fields: Value = serde_json::from_str(text).with_context(|| text.to_owned())?;
    let kind = fields["type"].as_str().with_context(|| format!("no type: {text}"))?;
    match (kind, fields["id"].as_u64()) {
        ("ok", Some(id)) => Ok(Frame::Answer { id, result: Ok(fields) }),
        ("error", Some(id)) => Ok(Frame::Answer { id, result: Err(serde_json::from_value(fields)?) }),
        _ => Ok(Frame::Event { kind: kind.to_owned(), fields }),
    }
}
