//! A stand-in for Expo's service that takes notifications as its documentation says, answers as it is told, and remembers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tertulia_testkit::{Options, until};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// What is answered to the next request, instead of a ticket.
pub enum Instead {
    Busy {
        retry_after_s: u64,
    },
    Error(&'static str),
    /// A ticket, and not before this.
    Held(oneshot::Receiver<()>),
}

#[derive(Default)]
struct Desk {
    /// In the order in which they came, those that got a ticket.
    taken: Vec<Value>,
    /// All requests.
    asked: usize,
    instead: VecDeque<Instead>,
    /// What receipts say of tickets that were not brought.
    failed: BTreeMap<String, &'static str>,
    /// Of which receipts were asked for.
    looked_up: Vec<String>,
}

pub struct Expo {
    url: String,
    desk: Arc<Mutex<Desk>>,
    _serving: JoinSet<()>,
}

impl Expo {
    pub async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let desk = Arc::new(Mutex::new(Desk::default()));
        let router = axum::Router::new()
            .route("/--/api/v2/push/send", post(send))
            .route("/--/api/v2/push/getReceipts", post(receipts))
            .with_state(Arc::clone(&desk));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, desk, _serving: serving })
    }

    /// A server that notifies over this one, with a short grace and short leases.
    pub fn options(&self, binary: &str) -> Options {
        Options::new(binary)
            .env("TERTULIA_PUSH__EXPO", "on")
            .env("TERTULIA_PUSH__URLS__EXPO", &self.url)
            .env("TERTULIA_PUSH__GRACE_MS", "1000")
            .env("TERTULIA_JOBS__LEASE_MS", "1500")
            .env("TERTULIA_JOBS__POLL_MS", "50")
            .env("TERTULIA_JOBS__NOTIFICATION_WAITS_S", "1,1,1,1")
    }

    pub fn answer(&self, instead: Instead) {
        self.desk.lock().instead.push_back(instead);
    }

    /// What is told of a ticket when it is asked for its receipt.
    pub fn reports(&self, ticket: &str, error: &'static str) {
        self.desk.lock().failed.insert(ticket.to_owned(), error);
    }

    /// Tickets whose receipts were asked for.
    pub fn looked_up(&self) -> Vec<String> {
        self.desk.lock().looked_up.clone()
    }

    pub fn asked(&self) -> usize {
        self.desk.lock().asked
    }

    pub fn taken(&self) -> Vec<Value> {
        self.desk.lock().taken.clone()
    }

    /// What was taken, once there are so many.
    pub async fn once(&self, count: usize) -> Result<Vec<Value>> {
        until(&format!("{count} notifications"), || self.desk.lock().taken.len() >= count).await?;
        Ok(self.taken())
    }
}

async fn send(State(desk): State<Arc<Mutex<Desk>>>, Json(message): Json<Value>) -> Response {
    let instead = {
        let mut desk = desk.lock();
        desk.asked += 1;
        desk.instead.pop_front()
    };
    match instead {
        Some(Instead::Busy { retry_after_s }) => {
            let body = Json(json!({ "errors": [{ "code": "TOO_MANY_REQUESTS", "message": "busy" }] }));
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry_after_s.to_string())], body).into_response()
        }
        Some(Instead::Error(code)) => {
            let ticket = json!({ "status": "error", "message": "no", "details": { "error": code } });
            Json(json!({ "data": ticket })).into_response()
        }
        Some(Instead::Held(until)) => {
            let _ = until.await;
            take(&desk, message)
        }
        None => take(&desk, message),
    }
}

async fn receipts(State(desk): State<Arc<Mutex<Desk>>>, Json(asked): Json<Value>) -> Json<Value> {
    let mut desk = desk.lock();
    let ids: Vec<String> =
        asked["ids"].as_array().into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
    desk.looked_up.extend(ids.iter().cloned());
    let receipt = |id: &String| match desk.failed.get(id) {
        Some(error) => json!({ "status": "error", "message": "no", "details": { "error": error } }),
        None => json!({ "status": "ok" }),
    };
    let all: BTreeMap<&String, Value> = ids.iter().map(|id| (id, receipt(id))).collect();
    Json(json!({ "data": all }))
}

fn take(desk: &Mutex<Desk>, message: Value) -> Response {
    let mut desk = desk.lock();
    desk.taken.push(message);
    Json(json!({ "data": { "status": "ok", "id": format!("ticket-{}", desk.taken.len()) } })).into_response()
}
