//! Accepting connections: bounded in number and in how long a client may take for the head of its request, which `axum::serve` does not offer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// From the connection, or the last answer, to the end of the next request's head. An idle keep-alive connection ends with it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a request's head, which hyper holds in memory: tokens are at most 8 KiB.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// How long to wait after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub struct Server {
    builder: Builder,
    router: Router,
    permits: Arc<Semaphore>,
    connections: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// At most so many TCP connections at once; further ones wait to be accepted.
    pub fn new(router: Router, connections_max: usize) -> Self {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX_BYTES);
        Self {
            builder,
            router,
            permits: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
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
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
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
