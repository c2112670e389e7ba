//! A server's real listener, and sockets to it that hide nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderName;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Server;

pub type Stream = WebSocketStream<TcpStream>;

pub type Headers = Vec<(&'static str, String)>;

/// Far above what anything takes, so that a busy machine fails no test.
const DEADLINE: Duration = Duration::from_secs(90);

/// As little as the operating system may hold for somebody, so that who does not read is soon in the way.
const NARROW_BYTES: u32 = 4096;

pub fn bearer(token: &str) -> Headers {
    vec![("authorization", format!("Bearer {token}"))]
}

/// A listener for as long as this lives.
pub struct Door {
    pub address: SocketAddr,
    serving: JoinHandle<()>,
    narrow: bool,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Door {
    pub fn open(server: &Server) -> Self {
        Self::new(server, false)
    }

    /// Little fits between the server and who does not read.
    pub fn narrow(server: &Server) -> Self {
        Self::new(server, true)
    }

    #[expect(clippy::disallowed_methods, reason = "the task ends with this value")]
    fn new(server: &Server, narrow: bool) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if narrow {
            socket.set_send_buffer_size(NARROW_BYTES).unwrap();
        }
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener: TcpListener = socket.listen(128).unwrap();
        let address = listener.local_addr().unwrap();
        let router = server.router.clone();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, serving, narrow }
    }

    /// A WebSocket to a path. Nothing has been read from it.
    pub async fn upgrade(&self, path: &str, headers: Headers) -> Stream {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        request
            .headers_mut()
            .extend(headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())));
        let tcp = TcpSocket::new_v4().unwrap();
        if self.narrow {
            tcp.set_recv_buffer_size(NARROW_BYTES).unwrap();
        }
        let tcp = tcp.connect(self.address).await.unwrap();
        tokio_tungstenite::client_async(request, tcp).await.unwrap().0
    }

    /// The plain WebSocket.
    pub async fn subscribe(&self, headers: Headers) -> Stream {
        self.upgrade("/messages/subscribe", headers).await
    }

    /// The plain WebSocket of a token, after its first frame.
    pub async fn connected(&self, token: &str) -> Stream {
        let mut stream = self.subscribe(bearer(token)).await;
        assert_eq!(next(&mut stream).await.unwrap()["type"], "connected");
        stream
    }

    /// Socket.IO over a WebSocket (Engine.IO 4, Socket.IO 5), and the answer to its CONNECT packet.
    pub async fn socketio(&self, headers: Headers, auth: Value) -> (Stream, String) {
        let mut stream = self.upgrade("/socket.io/?EIO=4&transport=websocket", headers).await;
        assert!(packet(&mut stream).await.unwrap().starts_with("0{"));
        stream.send(Message::text(format!("40{auth}"))).await.unwrap();
        let answer = packet(&mut stream).await.unwrap();
        (stream, answer)
    }
}

/// Asks once and reads up to the answer.
pub async fn ask(stream: &mut Stream, kind: &str, mut fields: Value) -> Value {
    fields["type"] = json!(kind);
    fields["id"] = json!(7);
    stream.send(Message::text(fields.to_string())).await.unwrap();
    loop {
        let frame = next(stream).await.unwrap_or_else(|code| panic!("closed with {code} before the answer to {kind}"));
        if frame["id"] == 7 {
            return frame;
        }
    }
}

/// The next text frame, or the close code.
pub async fn next(stream: &mut Stream) -> Result<Value, u16> {
    text(stream).await.map(|text| serde_json::from_str(&text).unwrap())
}

/// The next packet of Engine.IO that is no ping, or the close code of what is beneath.
pub async fn packet(stream: &mut Stream) -> Result<String, u16> {
    loop {
        match text(stream).await?.as_str() {
            "2" => stream.send(Message::text("3")).await.unwrap(),
            other => return Ok(other.to_owned()),
        }
    }
}

async fn text(stream: &mut Stream) -> Result<String, u16> {
    within("a text frame or the end", async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(Message::Close(None)) | Err(Error::ConnectionClosed)) | None => return Err(1005),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    })
    .await
}

/// Reads up to the next ping of the protocol, and answers it.
pub async fn answer_a_ping(stream: &mut Stream) {
    within("a ping", async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Ping(_))) => return stream.flush().await.unwrap(),
                Some(Ok(Message::Text(_))) => {}
                other => panic!("{other:?} instead of a ping"),
            }
        }
    })
    .await;
}

/// Waits for what nobody announces.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    within(what, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
