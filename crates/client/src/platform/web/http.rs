//! HTTP, by `fetch`.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, Request, RequestCredentials, RequestInit, Response, WorkerGlobalScope};

use super::super::{HttpAnswer, Method, Proof, Unreachable};

/// How long a call may take.
const TIMEOUT_MS: u32 = 30_000;

#[derive(Debug, Clone)]
pub struct Http(WorkerGlobalScope);

impl Http {
    pub fn new() -> Result<Self, Unreachable> {
        let scope =
            js_sys::global().dyn_into().map_err(|_| Unreachable("this is no worker of a browser".to_owned()))?;
        Ok(Self(scope))
    }

    /// `body` is JSON.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        proof: &Proof,
        body: Option<String>,
    ) -> Result<HttpAnswer, Unreachable> {
        let request = request(method, url, proof, body.as_deref()).map_err(lost)?;
        let answer: Response =
            JsFuture::from(self.0.fetch_with_request(&request)).await.and_then(JsCast::dyn_into).map_err(lost)?;
        let retry_after_s = answer.headers().get("retry-after").ok().flatten().and_then(|value| value.parse().ok());
        let body = JsFuture::from(answer.text().map_err(lost)?).await.map_err(lost)?;
        Ok(HttpAnswer { status: answer.status(), retry_after_s, body: body.as_string().unwrap_or_default() })
    }
}

fn request(method: Method, url: &str, proof: &Proof, body: Option<&str>) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    if let Proof::Token(token) = proof {
        headers.set("authorization", &format!("Bearer {token}"))?;
    }
    let init = RequestInit::new();
    init.set_method(match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    });
    if let Some(body) = body {
        headers.set("content-type", "application/json")?;
        init.set_body(&JsValue::from_str(body));
    }
    init.set_headers(&headers);
    init.set_credentials(match proof {
        Proof::Token(_) | Proof::Nobody { takes_cookie: false } => RequestCredentials::Omit,
        Proof::Cookie | Proof::Nobody { takes_cookie: true } => RequestCredentials::SameOrigin,
    });
    init.set_signal(Some(&AbortSignal::timeout_with_u32(TIMEOUT_MS)));
    Request::new_with_str_and_init(url, &init)
}

/// The browser's own words do not say what was asked for.
fn lost(error: JsValue) -> Unreachable {
    let error = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    Unreachable(error.unwrap_or_else(|| "no answer".to_owned()))
}
