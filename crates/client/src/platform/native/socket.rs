//! The WebSocket.

use std::sync::Arc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tertulia_engine::Closed;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::super::{Incoming, Proof};

/// A page of the difference is one frame: a hundred conversations with a hundred messages each, of the longest.
const FRAME_MAX_BYTES: usize = 64 << 20;

const UNAUTHENTICATED: u16 = 4401;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Writer(SplitSink<Stream, Message>);

pub struct Reader(SplitStream<Stream>);

/// Connects. The server says by its first frame, or by a close code, whether it takes the token.
pub async fn open(url: &str, proof: &Proof) -> Result<(Writer, Reader), Closed> {
    // A cookie is a browser's.
    let Proof::Token(token) = proof else { return Err(Closed::Code(UNAUTHENTICATED)) };
    let mut request = url.into_client_request().map_err(|_| Closed::Lost)?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Closed::Code(UNAUTHENTICATED))?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    let config =
        WebSocketConfig::default().max_message_size(Some(FRAME_MAX_BYTES)).max_frame_size(Some(FRAME_MAX_BYTES));
    let tls = if url.starts_with("wss://") { Some(tls().ok_or(Closed::Lost)?) } else { None };
    match tokio_tungstenite::connect_async_tls_with_config(request, Some(config), true, tls).await {
        Ok((stream, _)) => {
            let (sink, stream) = stream.split();
            Ok((Writer(sink), Reader(stream)))
        }
        // Said by a proxy that looks at tokens itself.
        Err(Error::Http(answer)) if answer.status() == StatusCode::UNAUTHORIZED => Err(Closed::Code(UNAUTHENTICATED)),
        Err(_) => Err(Closed::Lost),
    }
}

/// With the system's certificates. The library is named, for an app may have several of them in it, and then none is chosen by itself.
fn tls() -> Option<Connector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_platform_verifier().ok()?.with_no_client_auth();
    Some(Connector::Rustls(Arc::new(config)))
}

impl Writer {
    /// All of them, and then one flush. An error: the connection is lost.
    pub async fn send(&mut self, frames: Vec<String>) -> Result<(), Closed> {
        for frame in frames {
            self.0.feed(Message::text(frame)).await.map_err(|_| Closed::Lost)?;
        }
        self.0.flush().await.map_err(|_| Closed::Lost)
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // Nobody waits for the answer.
        let _ = self.0.close().await;
    }
}

impl Reader {
    pub async fn next(&mut self) -> Incoming {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Incoming::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(close)))) => return Incoming::Closed(Closed::Code(close.code.into())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Incoming::Closed(Closed::Lost),
                Some(Ok(_)) => {}
            }
        }
    }

    /// What has come already.
    pub fn next_now(&mut self) -> Option<Incoming> {
        self.next().now_or_never()
    }
}
