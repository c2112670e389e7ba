//! Another program that is told: it checks every signature with code of its own, and answers as a test wants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Default)]
pub enum Mood {
    #[default]
    Takes,
    /// Takes them after so long.
    Slow(Duration),
    Answers(u16),
    AsksToWait(u64),
    /// The same, so long after it was asked.
    AsksSlowlyToWait(u64, Duration),
    Redirects,
    Hangs,
    /// Takes them, but not before it has another mood.
    Holds,
    /// Answers so to a request with this text in it, and takes all others.
    Chokes(&'static str, u16),
}

#[derive(Debug, Clone)]
pub struct Request {
    pub id: String,
    /// How many of the known secrets have signed it.
    pub signatures: usize,
    pub events: Vec<Value>,
    pub was_taken: bool,
    /// When it came, and when it was answered.
    pub came: Instant,
    pub answered: Instant,
}

#[derive(Default)]
struct Inside {
    mood: Mood,
    secrets: Vec<Vec<u8>>,
    requests: Vec<Request>,
    complaints: Vec<String>,
    under_way: usize,
    most: usize,
    changed: Arc<Notify>,
}

/// One request, until it is answered or given up.
struct UnderWay(Arc<Mutex<Inside>>);

impl UnderWay {
    fn new(inside: &Arc<Mutex<Inside>>) -> Self {
        let mut now = inside.lock();
        now.under_way += 1;
        now.most = now.most.max(now.under_way);
        Self(Arc::clone(inside))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

pub struct Receiver {
    inside: Arc<Mutex<Inside>>,
    address: String,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub async fn start() -> Result<Self> {
        let inside = Arc::<Mutex<Inside>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new().route("/told", post(told)).route("/elsewhere", post(elsewhere));
        let router = router.with_state(Arc::clone(&inside));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { inside, address, _serving: serving })
    }

    pub fn url(&self) -> String {
        format!("http://{}/told", self.address)
    }

    pub fn is(&self, mood: Mood) {
        let mut inside = self.inside.lock();
        inside.mood = mood;
        inside.changed.notify_waiters();
    }

    /// `whsec_...`, beside those it knows.
    pub fn knows(&self, secret: &str) -> Result<()> {
        let key = secret.strip_prefix("whsec_").context("a secret of Standard Webhooks")?;
        let key = STANDARD.decode(key)?;
        ensure!(key.len() == 32, "a secret of {} bytes", key.len());
        self.inside.lock().secrets.push(key);
        Ok(())
    }

    pub fn requests(&self) -> Vec<Request> {
        self.inside.lock().requests.clone()
    }

    /// How many there were at the same time.
    pub fn most_at_a_time(&self) -> usize {
        self.inside.lock().most
    }

    /// What was wrong with any of them.
    pub fn complaints(&self) -> Vec<String> {
        self.inside.lock().complaints.clone()
    }

    /// Events that were taken, each the first time that it came.
    pub fn taken(&self) -> Vec<Value> {
        let mut known = std::collections::BTreeSet::new();
        let requests = self.inside.lock().requests.clone();
        let all = requests.into_iter().filter(|request| request.was_taken).flat_map(|request| request.events);
        all.filter(|event| known.insert(event["id"].to_string())).collect()
    }
}

async fn told(State(inside): State<Arc<Mutex<Inside>>>, headers: HeaderMap, body: Bytes) -> Response {
    let _under_way = UnderWay::new(&inside);
    let came = now();
    let (mood, changed) = {
        let inside = inside.lock();
        (inside.mood.clone(), Arc::clone(&inside.changed).notified_owned())
    };
    match mood {
        Mood::Slow(time) | Mood::AsksSlowlyToWait(_, time) => {
            let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
        }
        Mood::Holds => changed.await,
        _ => (),
    }
    {
        let mut inside = inside.lock();
        let was_taken = match mood {
            Mood::Takes | Mood::Slow(_) | Mood::Holds => true,
            Mood::Chokes(text, _) => !chokes(text, &body),
            _ => false,
        };
        match read(&inside.secrets, &headers, &body) {
            Ok(request) => inside.requests.push(Request { was_taken, came, answered: now(), ..request }),
            Err(error) => inside.complaints.push(format!("{error:#}")),
        }
    }
    match mood {
        Mood::Takes | Mood::Slow(_) | Mood::Holds => StatusCode::NO_CONTENT.into_response(),
        // More than anybody should read.
        Mood::Answers(status) => {
            (StatusCode::from_u16(status).unwrap_or_default(), "no".repeat(100_000)).into_response()
        }
        Mood::AsksToWait(seconds) | Mood::AsksSlowlyToWait(seconds, _) => {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", HeaderValue::from(seconds))]).into_response()
        }
        Mood::Redirects => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Mood::Hangs => std::future::pending().await,
        Mood::Chokes(text, status) if chokes(text, &body) => {
            StatusCode::from_u16(status).unwrap_or_default().into_response()
        }
        Mood::Chokes(..) => StatusCode::NO_CONTENT.into_response(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the receiver is a program of its own")]
fn now() -> Instant {
    Instant::now()
}

fn chokes(text: &str, body: &[u8]) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

async fn elsewhere(State(inside): State<Arc<Mutex<Inside>>>) -> StatusCode {
    inside.lock().complaints.push("a redirect was followed".to_owned());
    StatusCode::NO_CONTENT
}

fn read(secrets: &[Vec<u8>], headers: &HeaderMap, body: &[u8]) -> Result<Request> {
    let header = |name: &str| -> Result<&str> { Ok(headers.get(name).with_context(|| name.to_owned())?.to_str()?) };
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    ensure!(timestamp.parse::<i64>()? > 1_700_000_000, "a time in seconds: {timestamp}");
    ensure!(header("content-type")? == "application/json" && header("user-agent")?.starts_with("Tertulia"), "headers");
    let told: Vec<&str> = header("webhook-signature")?.split(' ').collect();
    let own = |key: &Vec<u8>| {
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        format!("v1,{}", STANDARD.encode(hmac(key, &signed)))
    };
    let signatures = secrets.iter().filter(|key| told.contains(&own(key).as_str())).count();
    ensure!(signatures > 0, "no signature of {} verifies", told.len());
    let body: Value = serde_json::from_slice(body)?;
    let events = body["events"].as_array().context("events")?.clone();
    ensure!((1..=100).contains(&events.len()) && !id.contains('.'), "{} events in {id}", events.len());
    let first = events[0]["id"].as_str().context("an id")?;
    ensure!(id.starts_with(first), "{id} begins with {first}");
    let (id, came) = (id.to_owned(), now());
    Ok(Request { id, signatures, events, was_taken: false, came, answered: came })
}

/// RFC 2104, with SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}
