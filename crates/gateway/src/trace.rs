//! What every HTTP answer bears: a trace id, safe headers, and a line in the log without content.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tertulia_core::journal::{Origin, TraceId};
use tertulia_proto::trace::Door;
use tracing::Instrument as _;

use crate::App;

static TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The trace id of W3C Trace Context (version 00): `00-<32 hex>-<16 hex>-<2 hex>`.
fn traceparent(request: &Request) -> Option<TraceId> {
    let mut parts = request.headers().get("traceparent")?.to_str().ok()?.split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_set = |text: &str| text.bytes().any(|b| b != b'0');
    let readable = is_hex(version, 2) && is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    (readable && version != "ff" && is_set(id) && is_set(parent)).then(|| TraceId::parse(id)).flatten()
}

/// The trace id that [`trace`] gave the request; of a connection, that of its handshake.
pub fn trace_id(extensions: &Extensions) -> TraceId {
    extensions.get().copied().unwrap_or_default()
}

/// By which trace id a handshake is followed.
pub struct Followed(pub TraceId);

impl<S: Sync> FromRequestParts<S> for Followed {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(trace_id(&parts.extensions)))
    }
}

/// How a request over HTTP came.
pub struct Came(TraceId);

impl Came {
    /// Of a request that has been read whole just now; where it is to be noted.
    pub fn origin(&self, app: &App) -> Option<Origin> {
        app.services.journal().map(|journal| Origin {
            door: Door::Rest,
            at: journal.now(),
            trace: self.0,
            connection: None,
            request: None,
            device: None,
        })
    }
}

impl FromRequestParts<App> for Came {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(trace_id(&parts.extensions)))
    }
}

pub async fn trace(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let trace_id = traceparent(&request).unwrap_or_else(|| app.services.new_trace_id());
    request.extensions_mut().insert(trace_id);
    let trace_id = trace_id.to_string();
    let route = request.extensions().get::<axum::extract::MatchedPath>().map_or("-", |path| path.as_str()).to_owned();
    let span = tracing::info_span!("http", trace.id = trace_id, method = %request.method(), route);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    app.metrics.answered(response.status().as_u16());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&trace_id) {
        headers.insert(TRACE_ID.clone(), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("DENY"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
