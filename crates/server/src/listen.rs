//! Accepting connections: bounded in number and in how long a client may take for the head of its request, which `axum::serve` does not offer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use tertulia_gateway::flaky::Trouble;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::line::Line;

/// From the connection, or the last answer, to the end of the next request's head. An idle keep-alive connection ends with it too.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a request's head, which hyper holds in memory: tokens are at most 8 KiB.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// How long to wait after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a bad network befalls: calls are made anew by whoever makes them, sockets are what apps forget to test.
const SOCKETS: [&str; 2] = ["/socket.io/", "/messages/subscribe"];

pub struct Server {
    builder: Builder,
    router: Router,
    permits: Arc<Semaphore>,
    trouble: Option<Arc<Trouble>>,
    connections: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// At most so many TCP connections at once; further ones wait to be accepted.
    pub fn new(router: Router, connections_max: usize, head_timeout: Duration, trouble: Option<Arc<Trouble>>) -> Self {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(HEAD_MAX_BYTES);
        Self {
            builder,
            router,
            permits: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            trouble,
            connections: JoinSet::new(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Accepts until dropped.
    pub async fn run(&mut self, listener: &TcpListener) {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // Finished connections are taken out as they end, so that the set holds the open ones only.
                Some(_) = self.connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer, permit),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr, permit: tokio::sync::OwnedSemaphorePermit) {
        // Frames are small and wait for nobody: without this each would wait for the last one's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        match self.trouble.as_ref().map(|trouble| trouble.chance()) {
            None => self.carry(stream, peer, permit, |_| {}),
            Some(chance) => {
                let line = Line::new(stream, chance);
                let is_bad = line.switch();
                self.carry(line, peer, permit, move |request| {
                    if SOCKETS.iter().any(|path| request.uri().path().starts_with(path)) {
                        is_bad.store(true, Ordering::Relaxed);
                    }
                });
            }
        }
    }

    fn carry(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        permit: tokio::sync::OwnedSemaphorePermit,
        look: impl Fn(&Request) + Send + 'static,
    ) {
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            look(&request);
            router.clone().oneshot(request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut stopping = self.stopping.subscribe();
        self.connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }

    /// Answers the requests under way and lets nobody ask more.
    pub async fn finish(mut self) {
        self.stopping.send_replace(true);
        while self.connections.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::extract::ws::{WebSocket, WebSocketUpgrade};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;

    use super::*;

    /// Far above what anything takes, so that a busy machine fails no test.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Short enough to be waited for.
    const SHORT: Duration = Duration::from_millis(100);

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    /// Serves as long as the client runs.
    async fn serving(router: Router, connections_max: usize, head_timeout: Duration, client: impl AsyncFnOnce(Client)) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(Client(listener.local_addr().unwrap()));
        let mut server = Server::new(router, connections_max, head_timeout, None);
        let served = async {
            tokio::select! {
                () = server.run(&listener) => panic!("the server ended"),
                () = client => {}
            }
        };
        tokio::time::timeout(DEADLINE, served).await.unwrap();
    }

    fn plain() -> Router {
        Router::new().route("/", get(async || "hello"))
    }

    struct Client(SocketAddr);

    impl Client {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.0).await.unwrap()
        }

        async fn say(&self, bytes: &[u8]) -> TcpStream {
            let mut stream = self.connect().await;
            stream.write_all(bytes).await.unwrap();
            stream
        }

        /// Until a connection that was opened now, and says nothing, has been cut.
        async fn until_the_silent_are_cut(&self) {
            ends(self.connect().await).await;
        }
    }

    /// Reads up to a text.
    async fn hears(stream: &mut TcpStream, text: &str) {
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(text) {
            let count = stream.read_buf(&mut heard).await.unwrap();
            assert_ne!(count, 0, "the end instead of {text:?}: {}", String::from_utf8_lossy(&heard));
        }
    }

    /// Reads up to the end, and gives what came before it.
    async fn ends(mut stream: TcpStream) -> String {
        let mut heard = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    }

    #[tokio::test]
    async fn who_says_nothing_or_never_ends_a_head_is_cut() {
        serving(plain(), 10, SHORT, async |client| {
            for beginning in ["", "GET", "GET / HTTP/1.1\r\nhost: here\r\n"] {
                let heard = ends(client.say(beginning.as_bytes()).await).await;
                assert!(!heard.contains("200"), "{beginning:?}: {heard}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_connection_that_was_answered_and_is_idle_is_cut() {
        serving(plain(), 10, SHORT, async |client| {
            let mut stream = client.say(REQUEST).await;
            hears(&mut stream, "hello").await;
            stream.write_all(REQUEST).await.unwrap();
            hears(&mut stream, "hello").await;
            ends(stream).await;
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_may_take_longer_than_a_head() {
        let ready = Arc::new(Notify::new());
        let theirs = Arc::clone(&ready);
        let router = Router::new().route(
            "/",
            get(async move || {
                theirs.notified().await;
                "at last"
            }),
        );
        serving(router, 10, SHORT, async |client| {
            let mut slow = client.say(REQUEST).await;
            client.until_the_silent_are_cut().await;
            ready.notify_one();
            hears(&mut slow, "at last").await;
        })
        .await;
    }

    async fn echo(mut socket: WebSocket) {
        while let Some(Ok(frame)) = socket.recv().await {
            let _ = socket.send(frame).await;
        }
    }

    #[tokio::test]
    async fn an_open_socket_is_not_cut_for_its_silence() {
        let router = Router::new().route("/", get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)));
        serving(router, 10, SHORT, async |client| {
            // The example of RFC 6455, section 1.3.
            let upgrade = "GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            let mut socket = client.say(upgrade.as_bytes()).await;
            hears(&mut socket, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").await;
            client.until_the_silent_are_cut().await;
            socket.write_all(b"\x81\x85\0\0\0\0hello").await.unwrap();
            hears(&mut socket, "hello").await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_head_over_its_limit_is_refused() {
        serving(plain(), 10, DEADLINE, async |client| {
            let head = format!("GET / HTTP/1.1\r\nhost: here\r\nx: {}\r\n\r\n", "x".repeat(4 * HEAD_MAX_BYTES));
            let mut stream = client.connect().await;
            // The server hangs up in the middle of it.
            let _ = stream.write_all(head.as_bytes()).await;
            let heard = ends(stream).await;
            assert!(!heard.contains("hello"), "{heard}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_waits_until_another_has_ended() {
        let is_full = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&is_full);
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/turn", get(async move || if theirs.load(Ordering::SeqCst) { "too early" } else { "in turn" }));
        serving(router, 2, DEADLINE, async |client| {
            let (mut first, mut second) = (client.say(REQUEST).await, client.say(REQUEST).await);
            hears(&mut first, "hello").await;
            hears(&mut second, "hello").await;
            is_full.store(true, Ordering::SeqCst);
            let mut third = client.say(b"GET /turn HTTP/1.1\r\nhost: here\r\n\r\n").await;
            // Whoever is served has had a turn by then.
            for _ in 0..20 {
                first.write_all(REQUEST).await.unwrap();
                hears(&mut first, "hello").await;
            }
            is_full.store(false, Ordering::SeqCst);
            drop(second);
            hears(&mut third, "in turn").await;
        })
        .await;
    }
}
