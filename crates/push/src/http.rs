//! One request and what comes back, bounded in time and size.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, ClientBuilder, RequestBuilder, StatusCode};
use tertulia_proto::Timestamp;

use crate::guard::{Forbidden, NameError, Names};
use crate::provider::{Answer, ConfigError};

/// Who is asked to wait longer than this comes back after it all the same: by then somebody may have mended it.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// How providers are reached.
#[derive(Debug, Clone)]
pub struct Network {
    pub connect_timeout: Duration,
    /// From the beginning to the last byte of the answer.
    pub timeout: Duration,
    /// Certificate authorities beside the system's, in PEM: a server on a LAN has its own.
    pub roots_pem: Option<String>,
}

impl Default for Network {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), timeout: Duration::from_secs(10), roots_pem: None }
    }
}

impl Network {
    /// Follows no redirect: it would carry tokens and content to somebody else.
    pub fn client(&self) -> Result<ClientBuilder, ConfigError> {
        let roots = match &self.roots_pem {
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()),
            None => Ok(Vec::new()),
        };
        let roots = roots.map_err(|_| ConfigError::new("roots", "these are no certificates in PEM"))?;
        let builder = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Names::All));
        Ok(if roots.is_empty() { builder } else { builder.tls_certs_merge(roots) })
    }
}

pub fn build(builder: ClientBuilder) -> Result<reqwest::Client, ConfigError> {
    builder.build().map_err(|_| ConfigError::new("roots", "no TLS can be made of these certificates and the system's"))
}

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// No more than was asked for; less where the connection broke.
    pub body: Vec<u8>,
}

/// Asks once. Of the body no more than `body_max` bytes are read: who sends more has not understood us.
pub async fn ask(request: RequestBuilder, body_max: usize) -> Result<Reply, Answer> {
    let mut response = request.send().await.map_err(|error| unanswered(&error))?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    // What breaks in here is told by the status already.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = body_max - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() >= room {
            break;
        }
    }
    Ok(Reply { status, headers, body })
}

/// The error's own text is never shown: it holds the address, and with it the token.
fn unanswered(error: &reqwest::Error) -> Answer {
    if causes(error).any(|cause| cause.is::<Forbidden>()) {
        // As with an address that is one already: the setting decides.
        return Answer::misconfigured(Forbidden::REASON);
    }
    if error.is_timeout() {
        return Answer::later(if error.is_connect() { "no connection in time" } else { "no answer in time" });
    }
    if error.is_builder() {
        return Answer::refused("no request can be made of this");
    }
    let what = if error.is_connect() { "no connection" } else { "the connection broke" };
    Answer::later(why(error).map_or_else(|| what.to_owned(), |why| format!("{what}: {why}")))
}

/// In fixed words, where it is known.
fn why(error: &reqwest::Error) -> Option<String> {
    if let Some(name) = causes(error).find_map(|cause| cause.downcast_ref::<NameError>()) {
        return Some(name.to_string());
    }
    if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return Some(of_tls(tls).to_owned());
    }
    let kind = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)?;
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::TimedOut
    )
    .then(|| kind.to_string())
}

const fn of_tls(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Why;
    match error {
        rustls::Error::InvalidCertificate(
            Why::Expired | Why::ExpiredContext { .. } | Why::NotValidYet | Why::NotValidYetContext { .. },
        ) => "TLS failed, the certificate is not valid now",
        rustls::Error::InvalidCertificate(Why::NotValidForName | Why::NotValidForNameContext { .. }) => {
            "TLS failed, the certificate is for another name"
        }
        rustls::Error::InvalidCertificate(_) => "TLS failed, the certificate is not trusted",
        _ => "TLS failed",
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // An `io::Error` shows its own error's source as its source, not that error.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

impl Reply {
    /// Not now; the wait is what the provider says, or else `default`.
    pub fn later(&self, now: Timestamp, default: Option<Duration>, reason: impl Into<String>) -> Answer {
        Answer::Later { after: retry_after(&self.headers, now).or(default), reason: reason.into() }
    }

    /// 408, 429 and 5xx: what is over sooner or later (RFC 9110, 15.5.9 and 15.6; RFC 6585, 4).
    pub fn is_passing(&self) -> bool {
        self.status == StatusCode::REQUEST_TIMEOUT
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status.is_server_error()
    }

    /// What is left is an answer for good: 401 and 403 are about who asks (RFC 9110, 15.5.2 and 15.5.4), and that is we.
    pub fn for_good(&self, reason: impl Into<String>) -> Answer {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Answer::misconfigured(reason),
            _ => Answer::refused(reason),
        }
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Seconds or a date (RFC 9110, 10.2.3). `None` for what is neither, and for what is over already: the caller's own schedule is better than at once.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are many seconds.
        if text.is_empty() { Duration::ZERO } else { Duration::from_secs(text.parse().unwrap_or(u64::MAX)) }
    } else {
        let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let now = Duration::from_millis(u64::try_from(now.ms()).unwrap_or(0));
        since_1970.saturating_sub(now)
    };
    (!wait.is_zero()).then_some(wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date_and_is_a_day_at_most() {
        // 1994-11-06T08:49:37Z, the example of RFC 9110, and a minute before it.
        let now = Timestamp::from_ms(784_111_777_000 - 60_000);
        let cases = [
            ("120", Some(120)),
            ("0", None),
            ("31536000", Some(24 * 3600)),
            ("99999999999999999999999999", Some(24 * 3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(60)),
            ("Sun Nov  6 08:49:37 1994", Some(60)),
            ("Mon, 06 Nov 1995 08:49:37 GMT", Some(24 * 3600)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), wanted.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
