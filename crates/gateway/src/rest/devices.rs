//! Where one is notified.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use tertulia_proto::device::{
    NotificationSettings, NotificationSettingsPatch, PushOffer, RegisterDevice, UnregisterDevice,
};
use tertulia_proto::{Device, DeviceTest};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::user_agent;
use crate::App;
use crate::caller::Caller;
use crate::error::{Answer, Problems};
use crate::extract::Body;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(offer))
        .routes(routes!(devices))
        .routes(routes!(register))
        .routes(routes!(unregister))
        .routes(routes!(test))
        .routes(routes!(settings, change_settings))
}

/// Which providers this server notifies by, and what a browser subscribes with.
#[utoipa::path(get, path = "/push", tag = "devices", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = PushOffer), Problems))]
async fn offer(State(app): State<App>, Caller(_caller): Caller) -> Json<PushOffer> {
    Json(app.services.push_offer().clone())
}

#[derive(Serialize, ToSchema)]
struct Devices {
    /// The latest registration first.
    devices: Vec<Device>,
}

/// One's registered devices.
#[utoipa::path(get, path = "/devices", tag = "devices", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Devices), Problems))]
async fn devices(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<Devices>> {
    Ok(Json(Devices { devices: app.services.devices(&identity).await? }))
}

/// Registers a device for notifications, or renews it. Safe to repeat, and meant to be repeated whenever the app starts. The registration ends with the
/// sign-in that made it.
#[utoipa::path(post, path = "/devices/register", tag = "devices", request_body = RegisterDevice,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Device), Problems))]
async fn register(
    State(app): State<App>,
    Caller(identity): Caller,
    headers: HeaderMap,
    Body(request): Body<RegisterDevice>,
) -> Answer<Json<Device>> {
    Ok(Json(app.services.register_device(&identity, request, user_agent(&headers)).await?))
}

/// Nothing is sent there any more.
#[utoipa::path(post, path = "/devices/unregister", tag = "devices", request_body = UnregisterDevice,
    security(("bearer" = []), ("cookie" = [])), responses((status = 204, description = "unregistered"), Problems))]
async fn unregister(
    State(app): State<App>,
    Caller(identity): Caller,
    Body(request): Body<UnregisterDevice>,
) -> Answer<StatusCode> {
    app.services.unregister_device(&identity, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
struct Tested {
    results: Vec<DeviceTest>,
}

/// Sends a notification to each of one's devices that is switched on, and says what the providers answered.
#[utoipa::path(post, path = "/devices/test", tag = "devices", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Tested), Problems))]
async fn test(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<Tested>> {
    Ok(Json(Tested { results: app.services.test_devices(&identity).await? }))
}

/// How one is notified, on all one's devices.
#[utoipa::path(get, path = "/me/notifications", tag = "devices", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = NotificationSettings), Problems))]
async fn settings(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<NotificationSettings>> {
    Ok(Json(app.services.notification_settings(&identity).await?))
}

/// Changes it; what is absent stays.
#[utoipa::path(patch, path = "/me/notifications", tag = "devices", request_body = NotificationSettingsPatch,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = NotificationSettings), Problems))]
async fn change_settings(
    State(app): State<App>,
    Caller(identity): Caller,
    Body(patch): Body<NotificationSettingsPatch>,
) -> Answer<Json<NotificationSettings>> {
    Ok(Json(app.services.change_notification_settings(&identity, patch).await?))
}
