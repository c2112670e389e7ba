//! The references: OpenAPI for REST, AsyncAPI for the sockets, both from the types in use, and a page that shows them.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::{Value, json};
use tertulia_proto::{event, model, request, sync};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{OpenApi, ToSchema};

use crate::App;
use crate::error::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tertulia",
        description = "Self-hosted chat: the REST API. Errors are problem documents (RFC 9457) with a stable `code`."
    ),
    components(schemas(Problem))
)]
struct Base;

static OPENAPI: LazyLock<String> = LazyLock::new(|| pretty(&openapi()));
static ASYNCAPI: LazyLock<String> = LazyLock::new(|| pretty(&asyncapi()));

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The OpenAPI document of the routes as they are.
pub fn openapi() -> Value {
    let mut document = Base::openapi();
    document.merge(crate::rest::routes().into_openapi());
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT or tk_ API key").build(),
        ),
    );
    components
        .add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(crate::caller::COOKIE))));
    serde_json::to_value(&document).unwrap_or_default()
}

/// A frame without fields of its own.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Nothing {}

struct Frames {
    schemas: serde_json::Map<String, Value>,
    messages: serde_json::Map<String, Value>,
}

impl Frames {
    fn schema<T: ToSchema>(&mut self) -> String {
        let name = T::name().into_owned();
        let mut with = vec![(name.clone(), T::schema())];
        T::schemas(&mut with);
        for (name, schema) in with {
            self.schemas.entry(name).or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
        }
        name
    }

    /// A frame by its name with dots; Socket.IO has colons.
    fn add<T: ToSchema>(&mut self, name: &str, summary: &str) {
        let schema = self.schema::<T>();
        let message = json!({
            "name": name,
            "summary": summary,
            "x-socket-io-event": name.replace('.', ":"),
            "payload": { "allOf": [
                { "type": "object", "properties": { "type": { "const": name } } },
                { "$ref": format!("#/components/schemas/{schema}") }
            ] }
        });
        self.messages.insert(name.to_owned(), message);
    }
}

/// The AsyncAPI document (3.0) of the frames.
pub fn asyncapi() -> Value {
    let mut asked = Frames { schemas: serde_json::Map::new(), messages: serde_json::Map::new() };
    asked.add::<request::SendMessage>("message.send", "answered with MessageAck after the commit");
    asked.add::<request::EditMessage>("message.edit", "answered with {messageId, rev}");
    asked.add::<request::DeleteMessage>("message.delete", "answered with {messageId, rev}");
    asked.add::<request::ReactToMessage>("message.react", "answered with {messageId, rev}");
    asked.add::<request::Receipt>("receipt", "answered with {rev}");
    asked.add::<request::MuteConversation>("conversation.mute", "answered with {}");
    asked.add::<request::SyncRequest>("sync.request", "answered with {}, and by sync.batch");
    asked.add::<request::HistoryRequest>("history.request", "answered with History");
    asked.schema::<model::History>();
    asked.add::<request::TypingIn>("typing.start", "answered with {}");
    asked.add::<request::TypingIn>("typing.stop", "answered with {}");
    asked.add::<request::WatchPresence>("presence.watch", "answered with {presence: [Presence]}");
    asked.add::<request::RefreshAuth>("auth.refresh", "answered with {expiresAt}");
    asked.add::<Nothing>("ping", "answered with {}");
    let mut told = Frames { schemas: std::mem::take(&mut asked.schemas), messages: serde_json::Map::new() };
    told.add::<event::Connected>("connected", "the first frame of a plain WebSocket");
    told.add::<event::MessageAck>("message.ack", "to the sending connection");
    told.add::<model::Message>("message.new", "to every connection of every member");
    told.add::<model::Message>("message.updated", "edited");
    told.add::<event::MessageDeleted>("message.deleted", "a tombstone took its place");
    told.add::<event::ReactionUpdated>("reaction.updated", "all reactions of the message");
    told.add::<event::ReceiptUpdated>("receipt.updated", "a member's watermarks moved");
    told.add::<event::ConversationUpdated>("conversation.updated", "renamed; or whole, when one was just added");
    told.add::<event::ConversationRemoved>("conversation.removed", "one is no longer a member");
    told.add::<event::MemberUpdated>("member.updated", "came, left, another role or name");
    told.add::<event::Typing>("typing.start", "never to oneself");
    told.add::<event::Typing>("typing.stop", "stopped, or expired");
    told.add::<event::Presence>("presence.update", "to those who watch");
    told.add::<sync::Difference>("sync.batch", "the difference; for one conversation a ConversationBatch");
    told.schema::<event::ConversationBatch>();
    told.add::<Nothing>("sync.needed", "something may have been missed: ask for the difference");
    told.add::<tertulia_proto::ApiError>("error", "a request was refused; with the request's id where it had one");
    let names = |messages: &serde_json::Map<String, Value>, channel: &str| -> Vec<Value> {
        messages
            .keys()
            .map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{}", name.replace('.', "_")) }))
            .collect()
    };
    let (ask, tell) = (names(&asked.messages, "requests"), names(&told.messages, "events"));
    let channel = |messages: serde_json::Map<String, Value>| -> Value {
        let messages: serde_json::Map<String, Value> =
            messages.into_iter().map(|(name, message)| (name.replace('.', "_"), message)).collect();
        json!({ "address": "/messages/subscribe", "messages": messages })
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tertulia sockets",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Plain WebSocket at /messages/subscribe: text frames {type, id?, ...}. Socket.IO at /socket.io/: the same with colons; \
                acknowledgements carry the answers. A client that keeps its state names its device, a UUID of its own (?device=, or auth.device with \
                Socket.IO): before the new connection is told that it is connected, the older one of the same person and device is retired, and nothing \
                more that comes over it is done. Close codes: 4401 sign in again, 4408 too slow, 4409 replaced by a newer connection of the same device, 4429 rate limited, 1009 frame too large, 1012 restarting."
        },
        "channels": { "requests": channel(asked.messages), "events": channel(told.messages) },
        "operations": {
            "ask": { "action": "receive", "channel": { "$ref": "#/channels/requests" }, "messages": ask },
            "tell": { "action": "send", "channel": { "$ref": "#/channels/events" }, "messages": tell }
        },
        "components": { "schemas": told.schemas }
    })
}

pub(crate) fn routes() -> Router<App> {
    let json = |text: &'static LazyLock<String>| {
        get(async move || ([(header::CONTENT_TYPE, "application/json")], text.as_str()))
    };
    Router::new()
        .route("/api/v1/openapi.json", json(&OPENAPI))
        .route("/api/v1/asyncapi.json", json(&ASYNCAPI))
        .route("/docs", get(page))
        .route(
            "/docs/page.js",
            get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("docs/page.js"))),
        )
        .route(
            "/docs/page.css",
            get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("docs/page.css"))),
        )
}

async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("docs/page.html")))
}
