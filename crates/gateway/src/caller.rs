//! Who is asking: a Bearer token, or the session cookie where the page is of the same origin.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use tertulia_core::auth::{ApiKeyIdentity, Identity, is_api_key};
use tertulia_proto::{ApiError, DeviceId};

use crate::error::Refusal;
use crate::{App, Settings};

pub const COOKIE: &str = "tertulia_session";

/// A person, or an API key that acts for one.
pub struct Caller(pub Identity);

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let token = token(&parts.headers, &parts.method, &app.settings)?;
        let acts_as = parts.headers.get("tertulia-user").and_then(|value| value.to_str().ok());
        Ok(Self(app.services.identify(&token, acts_as).await?))
    }
}

/// Another server, as itself.
pub struct KeyHolder(pub ApiKeyIdentity);

impl FromRequestParts<App> for KeyHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let token = bearer(&parts.headers).ok_or_else(missing)?;
        if !is_api_key(token) {
            app.services.auth().authenticate(token).await?;
            return Err(ApiError::forbidden("this call is for API keys").into());
        }
        Ok(Self(app.services.auth().authenticate_api_key(token).await?))
    }
}

fn missing() -> ApiError {
    ApiError::unauthenticated("no token: send Authorization: Bearer, or sign in")
}

pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The token of a request over HTTP. A browser sends the cookie whoever made the page, so with it whatever changes something must come from here.
fn token(headers: &HeaderMap, method: &Method, settings: &Settings) -> Result<String, ApiError> {
    if let Some(token) = bearer(headers) {
        return Ok(token.to_owned());
    }
    let token = cookie(headers).ok_or_else(missing)?;
    if !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !is_same_origin(headers, settings) {
        return Err(ApiError::forbidden(
            "Origin: with the session cookie, changes must come from a page of this server (behind TLS: set public_url)",
        ));
    }
    Ok(token.to_owned())
}

/// Whether the page that sent this is ours.
pub fn is_same_origin(headers: &HeaderMap, settings: &Settings) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else { return false };
    if let Some(public_url) = &settings.public_url {
        return origin == public_url.trim_end_matches('/');
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    // Plain HTTP is all this server speaks itself; behind a proxy with TLS the public address has to be known.
    let authority = origin.strip_prefix("http://");
    authority.is_some() && authority == host
}

/// The token of a socket's handshake: Bearer header, query, subprotocol `bearer.<token>`, or the cookie from a page of this server.
pub fn handshake_token(headers: &HeaderMap, query: Option<&str>, settings: &Settings) -> Result<String, ApiError> {
    if let Some(token) = bearer(headers).or(query) {
        return Ok(token.to_owned());
    }
    if let Some(protocol) = bearer_protocol(headers) {
        return Ok(protocol["bearer.".len()..].to_owned());
    }
    let token = cookie(headers).ok_or_else(missing)?;
    // A browser names the origin of every upgrade and of every request to another site, but not of a page's own polling; and to another site's
    // requests it does not add this cookie (SameSite=Lax).
    let polls_at_home = !headers.contains_key(header::ORIGIN) && !headers.contains_key(header::UPGRADE);
    if !polls_at_home && !is_same_origin(headers, settings) {
        return Err(ApiError::forbidden(
            "Origin: with the session cookie, sockets must come from a page of this server",
        ));
    }
    Ok(token.to_owned())
}

/// The device that a socket's handshake names.
pub fn device_id(text: &str) -> Result<DeviceId, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(format!("device: {error}")))
}

/// The subprotocol that carries a token, as offered.
pub fn bearer_protocol(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).map(str::trim).find(|protocol| protocol.starts_with("bearer."))
}

/// `Set-Cookie` for a session of so many seconds; 0 ends it.
pub fn session_cookie(token: &str, max_age_seconds: i64, settings: &Settings) -> String {
    let secure = settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_seconds}{secure}")
}
