//! A way to the database that is cut at the worst moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tertulia_testkit::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

/// What a commit looks like on the wire.
const COMMIT: &[u8] = b"statement_timeout = 0; COMMIT";

/// When the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The database has committed, and its answer never comes.
    AfterCommit,
    /// The commit never arrives.
    BeforeCommit,
}

#[derive(Default)]
struct Way {
    armed: AtomicU8,
    cuts: AtomicU64,
}

impl Way {
    /// What was armed, once.
    fn disarm(&self) -> Option<Cut> {
        match self.armed.swap(0, Ordering::SeqCst) {
            1 => Some(Cut::AfterCommit),
            2 => Some(Cut::BeforeCommit),
            _ => None,
        }
    }
}

pub struct Proxy {
    port: u16,
    way: Arc<Way>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn open(postgres: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let socket = postgres.folder().join(format!(".s.PGSQL.{}", postgres.port()));
        let way = Arc::<Way>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, socket, Arc::clone(&way)));
        Self { port, way, _tasks: tasks }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Cuts the connection over which the next commit comes.
    pub fn arm(&self, cut: Cut) {
        self.way.armed.store(if cut == Cut::AfterCommit { 1 } else { 2 }, Ordering::SeqCst);
    }

    pub fn cuts(&self) -> u64 {
        self.way.cuts.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, socket: PathBuf, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (socket, way) = (socket.clone(), Arc::clone(&way));
        connections.spawn(async move {
            if let Ok(server) = UnixStream::connect(socket).await {
                carry(client, server, &way).await;
            }
        });
    }
}

async fn carry(client: TcpStream, server: UnixStream, way: &Way) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    };
    let mut down = Box::pin(down);
    let mut piece = vec![0; 256 * 1024];
    loop {
        let count = tokio::select! {
            read = from_client.read(&mut piece) => read.unwrap_or(0),
            () = &mut down => return,
        };
        let piece = &piece[..count];
        if piece.is_empty() {
            return;
        }
        let commit = piece.windows(COMMIT.len()).position(|window| window == COMMIT);
        match commit.and_then(|at| way.disarm().map(|cut| (at, cut))) {
            None => {
                if to_server.write_all(piece).await.is_err() {
                    return;
                }
            }
            Some((at, Cut::BeforeCommit)) => {
                way.cuts.fetch_add(1, Ordering::SeqCst);
                let _ = to_server.write_all(&piece[..at]).await;
                return;
            }
            Some((_, Cut::AfterCommit)) => {
                way.cuts.fetch_add(1, Ordering::SeqCst);
                drop(down);
                let _ = to_server.write_all(piece).await;
                // The database answers when it has committed; nobody hears it.
                let mut answer = vec![0; 64 * 1024];
                let mut heard = Vec::new();
                while !heard.windows(7).any(|window| window == b"COMMIT\0") {
                    let count = from_server.read(&mut answer).await.unwrap_or(0);
                    if count == 0 {
                        break;
                    }
                    heard.extend_from_slice(&answer[..count]);
                }
                return;
            }
        }
    }
}
