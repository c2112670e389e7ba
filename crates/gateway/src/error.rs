//! Codes on the wires: status and problem document (RFC 9457) for HTTP.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tertulia_proto::{ApiError, ErrorCode};
use utoipa::ToSchema;

pub const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Invalid => StatusCode::BAD_REQUEST,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Conflict | ErrorCode::OutOfOrder => StatusCode::CONFLICT,
        ErrorCode::Gone => StatusCode::GONE,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An error of the REST API. Act on `code`; `detail` is for people.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `about:blank`: the status says the kind (RFC 9457, 4.2.1).
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: ErrorCode,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// An [`ApiError`] as an HTTP answer.
#[derive(Debug)]
pub struct Refusal {
    error: ApiError,
    status: StatusCode,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { status: status(error.code), error }
    }
}

impl Refusal {
    pub fn with_status(status: StatusCode, error: ApiError) -> Self {
        Self { error, status }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { error, status } = self;
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: error.code,
            detail: error.detail,
            retry_after_ms: error.retry_after_ms,
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(ms) = error.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        if error.code == ErrorCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub type Answer<T> = Result<T, Refusal>;

/// Documents the refusals that every call of the REST API shares.
pub struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::response::Response>> {
        let problem = || {
            utoipa::openapi::ContentBuilder::new()
                .schema(Some(utoipa::openapi::Ref::from_schema_name("Problem")))
                .build()
        };
        let known = [
            ("400", "invalid"),
            ("401", "unauthenticated"),
            ("403", "forbidden"),
            ("404", "not_found"),
            ("405", "invalid: this path has other methods"),
            ("409", "conflict or out_of_order"),
            ("410", "gone"),
            ("413", "too_large"),
            ("429", "rate_limited"),
            ("503", "unavailable"),
        ];
        known
            .into_iter()
            .map(|(status, code)| {
                let response = utoipa::openapi::ResponseBuilder::new()
                    .description(code)
                    .content("application/problem+json", problem())
                    .build();
                (status.to_owned(), response.into())
            })
            .collect()
    }
}
