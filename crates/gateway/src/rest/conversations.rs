//! Conversations: the list, opening, naming, hiding.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tertulia_proto::request::{ConversationPatch, NewGroupBody, PersonBody};
use tertulia_proto::{Conversation, ConversationId, ListCursor};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::Caller;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(open_dm))
        .routes(routes!(create_group))
        .routes(routes!(get, patch, hide))
}

#[derive(Deserialize, IntoParams)]
struct Page {
    /// 1 to 100; 20 where absent.
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    has_more: bool,
    next_cursor: Option<String>,
    limit: usize,
}

#[derive(Serialize, ToSchema)]
struct List {
    conversations: Vec<Conversation>,
    pagination: Pagination,
}

/// Newest activity first, with the last message and what is unread.
#[utoipa::path(get, path = "/conversations", tag = "conversations", params(Page), security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = List), Problems))]
async fn list(State(app): State<App>, Caller(identity): Caller, Query(query): Query<Page>) -> Answer<Json<List>> {
    let (page, limit) = app.services.conversations(&identity, query.cursor.as_deref(), query.limit).await?;
    let next_cursor = page.conversations.last().filter(|_| page.has_more).map(|last| {
        let activity_at = last.last_message_at.unwrap_or(last.created_at);
        ListCursor { activity_at_ms: activity_at.ms(), id: last.id }.encode()
    });
    Ok(Json(List {
        conversations: page.conversations,
        pagination: Pagination { has_more: page.has_more, next_cursor, limit },
    }))
}

/// The DM with a person; the same pair always gets the same one.
#[utoipa::path(post, path = "/conversations/dm", tag = "conversations", request_body = PersonBody, security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "it was there", body = Conversation), (status = 201, description = "it is new", body = Conversation), Problems))]
async fn open_dm(
    State(app): State<App>,
    Caller(identity): Caller,
    Body(person): Body<PersonBody>,
) -> Answer<(StatusCode, Json<Conversation>)> {
    let (conversation, fresh) = app.services.open_dm(&identity, &person).await?;
    Ok((if fresh { StatusCode::CREATED } else { StatusCode::OK }, Json(conversation)))
}

/// A group; the caller becomes its owner.
#[utoipa::path(post, path = "/conversations/group", tag = "conversations", request_body = NewGroupBody, security(("bearer" = []), ("cookie" = [])),
    responses((status = 201, body = Conversation), Problems))]
async fn create_group(
    State(app): State<App>,
    Caller(identity): Caller,
    Body(group): Body<NewGroupBody>,
) -> Answer<(StatusCode, Json<Conversation>)> {
    Ok((StatusCode::CREATED, Json(app.services.create_group(&identity, group).await?)))
}

/// One conversation whole: with its last message and all members.
#[utoipa::path(get, path = "/conversations/{id}", tag = "conversations", params(("id" = ConversationId, Path)),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Conversation), Problems))]
async fn get(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(id): Path<ConversationId>,
) -> Answer<Json<Conversation>> {
    Ok(Json(app.services.conversation(&identity, id).await?))
}

/// Renames it for everybody, or mutes it for oneself.
#[utoipa::path(patch, path = "/conversations/{id}", tag = "conversations", params(("id" = ConversationId, Path)), request_body = ConversationPatch,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Conversation), Problems))]
async fn patch(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(id): Path<ConversationId>,
    Body(patch): Body<ConversationPatch>,
) -> Answer<Json<Conversation>> {
    Ok(Json(app.services.patch_conversation(&identity, id, patch).await?))
}

/// Hides it for oneself until something new arrives.
#[utoipa::path(delete, path = "/conversations/{id}", tag = "conversations", params(("id" = ConversationId, Path)),
    security(("bearer" = []), ("cookie" = [])), responses((status = 204, description = "hidden"), Problems))]
async fn hide(State(app): State<App>, Caller(identity): Caller, Path(id): Path<ConversationId>) -> Answer<StatusCode> {
    app.services.hide(&identity, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
