//! HTTP.

use std::time::Duration;

use super::super::{HttpAnswer, Method, Proof, Unreachable};

/// What a person reads in the list of their sign-ins.
const NAME: &str = concat!("tertulia-client/", env!("CARGO_PKG_VERSION"));

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Http {
    pub fn new() -> Result<Self, Unreachable> {
        let client = reqwest::Client::builder().user_agent(NAME).timeout(TIMEOUT).build();
        client.map(Self).map_err(|error| Unreachable(error.to_string()))
    }

    /// `body` is JSON.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        proof: &Proof,
        body: Option<String>,
    ) -> Result<HttpAnswer, Unreachable> {
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.0.request(method, url);
        if let Proof::Token(token) = proof {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        // The address may hold what was searched for.
        let lost = |error: reqwest::Error| Unreachable(error.without_url().to_string());
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let retry_after_s = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.text().await.map_err(lost)?;
        Ok(HttpAnswer { status, retry_after_s, body })
    }
}
