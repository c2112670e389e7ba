//! Bodies, queries and path segments, with errors that name the field.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tertulia_proto::{ApiError, ErrorCode};

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
        Ok(Self(tertulia_proto::request::read_json(&bytes)?))
    }
}

/// A query string.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| ApiError::invalid(error.body_text()).into())
    }
}

/// Segments of the path; `invalid` for what is no identifier.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(ApiError::new(ErrorCode::Invalid, rejection.body_text()).into()),
        }
    }
}
