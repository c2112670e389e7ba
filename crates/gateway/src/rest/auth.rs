//! Signing in and out.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::{Extension, Json};
use serde::Serialize;
use tertulia_core::auth::Scope;
use tertulia_proto::model::TokenAnswer;
use tertulia_proto::request::{LoginBody, RegisterBody, TokenBody};
use tertulia_proto::{ApiError, SessionId, Timestamp, User};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::{Caller, KeyHolder, is_same_origin, session_cookie};
use crate::error::{Answer, Problems};
use crate::extract::Body;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(verify))
}

/// Under `/api/v1`: what only API keys call.
pub fn key_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(mint_token))
}

type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;

async fn count_attempt(app: &App, peer: &Peer, headers: &HeaderMap, email: &str) -> Result<(), ApiError> {
    let forwarded = headers.get_all("x-forwarded-for").into_iter().next_back().and_then(|value| value.to_str().ok());
    let told =
        forwarded.filter(|_| app.settings.behind_proxy).and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
    let from = told.or_else(|| peer.as_ref().map(|Extension(ConnectInfo(address))| address.ip()));
    app.services.count_sign_in(email, from).await
}

fn signed_in(app: &App, status: StatusCode, answer: TokenAnswer) -> impl IntoResponse + use<> {
    // Up to the next whole second: the token's own end has no finer one.
    let seconds = (answer.expires_at.ms() - app.services.now().ms() + 999).div_euclid(1000);
    let cookie = session_cookie(&answer.token, seconds, &app.settings);
    (status, AppendHeaders([(header::SET_COOKIE, cookie)]), Json(answer))
}

/// A page of another site may not sign its visitor in as somebody else: where a browser says where the page is from, it must be from here.
fn own_page(app: &App, headers: &HeaderMap) -> Result<bool, ApiError> {
    let listed = headers
        .get(header::ORIGIN)
        .is_some_and(|origin| app.settings.cors_origins.iter().any(|known| known.as_bytes() == origin.as_bytes()));
    if headers.contains_key(header::ORIGIN) && !listed && !is_same_origin(headers, &app.settings) {
        return Err(ApiError::forbidden("Origin: sign in from a page of this server"));
    }
    Ok(true)
}

/// Makes a local account and signs it in.
#[utoipa::path(post, path = "/auth/register", tag = "auth", request_body = RegisterBody,
    responses((status = 201, description = "signed in; also sets the session cookie", body = TokenAnswer), Problems))]
async fn register(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Body(body): Body<RegisterBody>,
) -> Answer<impl IntoResponse> {
    own_page(&app, &headers)?;
    count_attempt(&app, &peer, &headers, &body.email).await?;
    let answer = app.services.auth().register(&body.email, &body.password, &body.name, user_agent(&headers)).await?;
    Ok(signed_in(&app, StatusCode::CREATED, answer))
}

/// Signs in with e-mail and password.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "signed in; also sets the session cookie", body = TokenAnswer), Problems))]
async fn login(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Body(body): Body<LoginBody>,
) -> Answer<impl IntoResponse> {
    own_page(&app, &headers)?;
    count_attempt(&app, &peer, &headers, &body.email).await?;
    let answer = app.services.auth().login(&body.email, &body.password, user_agent(&headers)).await?;
    Ok(signed_in(&app, StatusCode::OK, answer))
}

/// The same session for longer, with a new token.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = TokenAnswer), Problems))]
async fn refresh(State(app): State<App>, Caller(identity): Caller) -> Answer<impl IntoResponse> {
    identity.require_person()?;
    let answer = app.services.auth().refresh(&identity).await?;
    Ok(signed_in(&app, StatusCode::OK, answer))
}

/// Ends the session: its tokens are refused from now on and its open connections are closed.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "ended"), Problems))]
async fn logout(State(app): State<App>, Caller(identity): Caller) -> Answer<impl IntoResponse> {
    identity.require_person()?;
    app.services.auth().logout(&identity).await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, session_cookie("", 0, &app.settings))])))
}

pub fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::USER_AGENT)?.to_str().ok()
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Verified {
    user: User,
    session_id: SessionId,
    expires_at: Timestamp,
}

/// Whose token this is and until when it is good.
#[utoipa::path(get, path = "/auth/verify", tag = "auth", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Verified), Problems))]
async fn verify(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<Verified>> {
    let user = app.services.me(&identity).await?;
    Ok(Json(Verified { user, session_id: identity.session, expires_at: identity.expires_at }))
}

/// A token for a person of the host app, who is made where needed. For API keys with `tokens:write`.
#[utoipa::path(post, path = "/tokens", tag = "auth", request_body = TokenBody, security(("bearer" = [])),
    responses((status = 201, body = TokenAnswer), Problems))]
async fn mint_token(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Body(body): Body<TokenBody>,
) -> Answer<impl IntoResponse> {
    key.require(Scope::TokensWrite)?;
    let answer = app.services.mint_token(&body.email, body.name.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}
