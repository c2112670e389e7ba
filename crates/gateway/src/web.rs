//! The web app: files that are part of the program, at every path that nobody else answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tertulia_proto::ApiError;

use crate::App;
use crate::error::Refusal;

/// What a script of the app may do, such as its workers: run this origin's own scripts and WebAssembly, talk to this origin. Nothing inline, no `eval`, nothing
/// from elsewhere (CSP level 3; `'self'` in `connect-src` covers this origin's WebSocket).
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
    connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a page does not do either (<https://www.w3.org/TR/trusted-types/>): make elements or scripts of text. Addresses of its own scripts pass the one policy, which
/// the app's `boot.js` makes. For pages alone: workers have no elements, and the app's load no scripts by address.
const TRUSTED: &str = "; require-trusted-types-for 'script'; trusted-types default";

/// Folder whose files bear a hash of their content in their name, and so never change.
const HASHED: &str = "assets/";

/// Beginnings of paths that belong to the server: a wrong one is an error there, not a page.
const SERVER: [&str; 7] = ["api/", "auth/", "health/", "metrics", "messages/", "socket.io/", "docs"];

const INDEX: &str = "index.html";

/// One file, as it is and compressed.
#[derive(Debug, Clone)]
pub struct File {
    pub bytes: Bytes,
    /// The same in Brotli, where that is smaller.
    pub brotli: Option<Bytes>,
    /// Changes with the content.
    pub hash: String,
}

/// The files by their paths, without a slash before them. `index.html` is the page.
#[derive(Debug, Clone, Default)]
pub struct WebApp(Arc<BTreeMap<String, File>>);

impl WebApp {
    pub fn new(files: BTreeMap<String, File>) -> Self {
        Self(Arc::new(files))
    }

    /// There is none: the server is a server alone.
    pub fn is_empty(&self) -> bool {
        !self.0.contains_key(INDEX)
    }

    fn find(&self, path: &str, headers: &HeaderMap) -> Option<(&str, &File)> {
        if let Some((name, file)) = self.0.get_key_value(path) {
            return Some((name, file));
        }
        let is_page = !path.rsplit('/').next().is_some_and(|last| last.contains('.'))
            && !SERVER.iter().any(|prefix| path.starts_with(prefix) || path == prefix.trim_end_matches('/'));
        // Whoever only looks whether somebody is there asks for anything.
        let wanted = is_page && (path.is_empty() || accepts(headers, header::ACCEPT, "text/html"));
        self.0.get_key_value(INDEX).filter(|_| wanted).map(|(name, file)| (name.as_str(), file))
    }
}

/// For every path without a route.
pub async fn serve(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let found = app.settings.web.find(path, request.headers());
    let Some((name, file)) = found.filter(|_| [Method::GET, Method::HEAD].contains(request.method())) else {
        return Refusal::from(ApiError::not_found("path")).into_response();
    };
    answer(name, file, request.headers())
}

fn answer(name: &str, file: &File, asked: &HeaderMap) -> Response {
    let mut headers = HeaderMap::new();
    let fixed = [
        (header::CONTENT_TYPE, content_type(name)),
        (header::CACHE_CONTROL, cache(name)),
        (header::VARY, "accept-encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    let trusted = if name == INDEX { TRUSTED } else { "" };
    if let Ok(policy) = HeaderValue::try_from([POLICY, trusted].concat()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let packed = file.brotli.as_ref().filter(|_| accepts(asked, header::ACCEPT_ENCODING, "br"));
    let tag = format!("\"{}{}\"", file.hash, if packed.is_some() { "-br" } else { "" });
    let is_known = accepts(asked, header::IF_NONE_MATCH, &tag);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    if packed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    (headers, packed.unwrap_or(&file.bytes).clone()).into_response()
}

/// Whether one of the values in a list is this one, whatever its parameters say but `q=0`.
fn accepts(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        parts.next().is_some_and(|value| value.eq_ignore_ascii_case(wanted) || value.strip_prefix("W/") == Some(wanted))
            && !parts.any(|parameter| parameter == "q=0")
    })
}

/// The page and the service worker are asked for anew each time, so that a new version is seen; what they name never changes.
fn cache(name: &str) -> &'static str {
    if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
