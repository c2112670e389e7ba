//! Bodies, queries and path segments, with errors that name the field.

use std::error::Error as _;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tertulia_proto::ApiError;

use crate::App;
use crate::error::Refusal;

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let read = tokio::time::timeout(app.settings.times.body, Bytes::from_request(request, app)).await;
        let read = read.map_err(|_| ApiError::invalid("body: took too long to arrive"))?;
        let bytes = read.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::too_large("request body", app.services.limits().request_max_bytes, "bytes")
            }
            _ => ApiError::invalid("body: ended early"),
        })?;
        Ok(Self(tertulia_proto::request::read_json(&bytes, "body")?))
    }
}

/// A query string.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| ApiError::invalid(of_query(&error)).into())
    }
}

/// Characters of an error that may come from what was sent.
const DETAIL_MAX_CHARS: usize = 200;

/// What the standard library says of text that is no number, and what it means.
const NO_NUMBERS: [(&str, &str); 4] = [
    ("invalid digit found in string", "must be a whole number"),
    ("cannot parse integer from empty string", "must be a whole number"),
    ("number too large to fit in target type", "too large a number"),
    ("number too small to fit in target type", "too small a number"),
];

/// The parameter and what is wrong with it, without what the library says before them.
fn of_query(error: &QueryRejection) -> String {
    let text = error.source().map_or_else(|| error.body_text(), ToString::to_string);
    let text = NO_NUMBERS.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours));
    text.chars().take(DETAIL_MAX_CHARS).collect()
}

/// Segments of the path; `invalid` for what is no identifier.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => {
                let names = RawPathParams::from_request_parts(parts, app).await.ok();
                let names: Vec<&str> = names.iter().flatten().map(|(name, _)| name).collect();
                Err(ApiError::invalid(of_path(&rejection, &names)).into())
            }
        }
    }
}

/// Which segments may be meant, where the library does not know it, and what is wrong.
fn of_path(rejection: &PathRejection, names: &[&str]) -> String {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else { return rejection.body_text() };
    match failed.kind() {
        ErrorKind::DeserializeError { key, message, .. } => format!("{key}: {message}"),
        ErrorKind::InvalidUtf8InPathParam { key } => format!("{key}: must be UTF-8"),
        ErrorKind::Message(message) => format!("{}: {message}", names.join(" or ")),
        other => other.to_string(),
    }
}
