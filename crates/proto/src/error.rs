//! The error codes, stable for ever: clients act on the code, never on the text.

use serde::{Deserialize, Serialize};

/// What went wrong, and with it what to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No token, or one that is bad, expired or ended. Sign in again.
    Unauthenticated,
    /// Known, seen and not allowed. Never again as it is.
    Forbidden,
    /// Not there, or not for you to see. Never again as it is.
    NotFound,
    /// The request breaks a rule that the detail names. Never again as it is.
    Invalid,
    /// Over a limit that the detail names. Never again as it is.
    TooLarge,
    /// Too often. Again after `retryAfterMs` or `Retry-After`.
    RateLimited,
    /// The state of things does not allow it now. Resync, then decide.
    Conflict,
    /// The message named in `afterClientMsgId` is not in the log yet. Send that one first.
    OutOfOrder,
    /// It was there and has been deleted. Never again as it is; resync.
    Gone,
    /// The server can't at the moment. Again after `retryAfterMs` or `Retry-After`.
    Unavailable,
}

/// The answer to "and now?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    NeverAgain,
    RetryAfter,
    SignIn,
    Resync,
}

impl ErrorCode {
    pub const ALL: [Self; 10] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Invalid,
        Self::TooLarge,
        Self::RateLimited,
        Self::Conflict,
        Self::OutOfOrder,
        Self::Gone,
        Self::Unavailable,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Conflict => "conflict",
            Self::OutOfOrder => "out_of_order",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
        }
    }

    pub const fn next_step(self) -> NextStep {
        match self {
            Self::Unauthenticated => NextStep::SignIn,
            Self::Forbidden | Self::NotFound | Self::Invalid | Self::TooLarge => NextStep::NeverAgain,
            Self::RateLimited | Self::Unavailable | Self::OutOfOrder => NextStep::RetryAfter,
            Self::Conflict | Self::Gone => NextStep::Resync,
        }
    }
}

/// What an acknowledgement or an `error` frame says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[error("{}: {detail}", code.as_str())]
pub struct ApiError {
    pub code: ErrorCode,
    /// For people: names the field and the limit. May change; never act on it.
    pub detail: String,
    /// Milliseconds to wait before the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ApiError {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after_ms: None }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, detail)
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("no such {what}, or not for you to see"))
    }

    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthenticated, detail)
    }

    pub fn too_large(field: &str, limit: usize, unit: &str) -> Self {
        Self::new(ErrorCode::TooLarge, format!("{field}: over the limit of {limit} {unit}"))
    }

    pub fn retry(code: ErrorCode, detail: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { code, detail: detail.into(), retry_after_ms: Some(retry_after_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_text_is_the_wires_text() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
