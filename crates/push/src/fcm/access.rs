//! The access token: fetched once for all who wait for it, kept until shortly before it ends.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tertulia_proto::Timestamp;

use crate::fcm::account::Account;
use crate::http;
use crate::provider::{Answer, Clock};

/// A token is not used so shortly before its end: it has to live until the request arrives, by a clock that is not ours.
const SPARE_S: i64 = 300;

/// Google's are good for an hour; who says more than a day is not believed.
const LIFE_MAX_S: i64 = 24 * 3600;

const BODY_MAX: usize = 16 * 1024;

/// What Google and RFC 6749 (5.2) call what is wrong with us.
const FAULTS: [&str; 6] =
    ["invalid_grant", "invalid_client", "invalid_request", "invalid_scope", "unauthorized_client", "access_denied"];

#[derive(Clone)]
pub struct Token {
    pub text: Arc<str>,
    good_until: Timestamp,
}

/// Under way, or what came of it.
type Flight = Shared<BoxFuture<'static, Result<Token, Answer>>>;

pub struct Access {
    source: Arc<Source>,
    flight: Mutex<Option<Flight>>,
}

struct Source {
    account: Account,
    client: reqwest::Client,
    clock: Clock,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

#[derive(Deserialize)]
struct Fault {
    error: String,
}

impl Access {
    pub fn new(account: Account, client: reqwest::Client, clock: Clock) -> Self {
        Self { source: Arc::new(Source { account, client, clock }), flight: Mutex::new(None) }
    }

    /// `rejected` is the one that did not do; who asks for another in its place while that is on its way, or there, gets that.
    pub async fn token(&self, rejected: Option<&Token>) -> Result<Token, Answer> {
        let flight = {
            let mut slot = self.flight.lock();
            match slot.as_ref() {
                Some(flight) if self.is_of_use(flight, rejected) => flight.clone(),
                _ => slot.insert(self.source.clone().fetch().boxed().shared()).clone(),
            }
        };
        flight.await
    }

    /// A failure is told to all who waited for it, and to nobody who comes later.
    fn is_of_use(&self, flight: &Flight, rejected: Option<&Token>) -> bool {
        match flight.peek() {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(token)) => {
                (self.source.clock)() < token.good_until && rejected.is_none_or(|rejected| rejected.text != token.text)
            }
        }
    }
}

impl Source {
    async fn fetch(self: Arc<Self>) -> Result<Token, Answer> {
        let now = (self.clock)();
        let Some(assertion) = self.account.assertion(now) else {
            return Err(Answer::misconfigured("the service account's key signs nothing"));
        };
        // Both values consist of characters that a form takes as they are, but for the colons.
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = self.client.post(&self.account.token_uri);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let reply = http::ask(request, BODY_MAX).await?;
        if reply.is_passing() {
            return Err(reply.later(now, None, format!("no access token: status {}", reply.status.as_u16())));
        }
        if !reply.status.is_success() {
            let said = reply.json::<Fault>().map(|fault| fault.error);
            let fault = FAULTS.into_iter().find(|known| said.as_deref() == Some(known)).unwrap_or("no known reason");
            return Err(Answer::misconfigured(format!("no access token: status {}, {fault}", reply.status.as_u16())));
        }
        // Visible ASCII (RFC 6749, A.12): anything else is no header.
        let granted = reply.json::<Granted>().filter(|granted| {
            granted.expires_in > 0
                && !granted.access_token.is_empty()
                && granted.access_token.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let Some(granted) = granted else {
            return Err(Answer::later("no access token: not an answer of an OAuth 2 server"));
        };
        let good_s = granted.expires_in.min(LIFE_MAX_S) - SPARE_S;
        Ok(Token { text: granted.access_token.into(), good_until: now.plus_ms(good_s * 1000) })
    }
}
