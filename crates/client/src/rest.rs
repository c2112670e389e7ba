//! What needs the server at once: signing in, opening conversations, members, people, searching all there is. Nothing here waits in the outbox; what a
//! call changes comes to the local store with the next event.

mod notify;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tertulia_proto::model::TokenAnswer;
use tertulia_proto::request::{
    ConversationPatch, LoginBody, NewGroupBody, PersonBody, ProfilePatch, RegisterBody, RoleBody,
};
use tertulia_proto::{
    ApiError, Conversation, ConversationId, ErrorCode, HistoryVisibility, Member, Message, MessageId, Role, Session,
    SessionId, User, UserId,
};

use crate::address::{Address, escaped};
use crate::error::{OpenError, RestError};
use crate::platform::{Http, HttpAnswer, Method, Proof};
use crate::token::{TokenError, Tokens};

type Rested<T> = Result<T, RestError>;

/// Somebody to be found by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    Id(UserId),
    Email(String),
}

impl From<UserId> for Person {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

impl Person {
    fn body(self) -> PersonBody {
        match self {
            Self::Id(id) => PersonBody { email: None, user_id: Some(id) },
            Self::Email(email) => PersonBody { email: Some(email), user_id: None },
        }
    }
}

/// Calls to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rest {
    http: Http,
    address: Address,
    tokens: Arc<Tokens>,
}

#[derive(Deserialize)]
struct Found {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct Hits {
    messages: Vec<Message>,
}

/// `application/problem+json`.
#[derive(Deserialize)]
struct Problem {
    code: ErrorCode,
    #[serde(default)]
    detail: String,
}

impl Rest {
    /// Without a token: for signing in.
    ///
    /// ```no_run
    /// # async fn sign_in() -> Result<(), Box<dyn std::error::Error>> {
    /// use tertulia_client::{Client, Rest};
    ///
    /// let signed_in = Rest::new("https://chat.example.org")?.login("alice@example.org", "correct horse").await?;
    /// let client = Client::builder("https://chat.example.org").token(signed_in.token).file("alice.db").open()?;
    /// client.connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(server: &str) -> Result<Self, OpenError> {
        Self::with(Address::parse(server)?, Arc::default())
    }

    pub(crate) fn with(address: Address, tokens: Arc<Tokens>) -> Result<Self, OpenError> {
        let http = Http::new().map_err(|error| OpenError::Http(error.0))?;
        Ok(Self { http, address, tokens })
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// With a local account.
    pub async fn login(&self, email: &str, password: &str) -> Rested<TokenAnswer> {
        let body = LoginBody { email: email.to_owned(), password: password.to_owned() };
        read(&self.call(Method::Post, "/auth/login", &self.nobody(), Some(json(&body)?)).await?)
    }

    /// Makes a local account and signs it in.
    pub async fn register(&self, email: &str, password: &str, name: &str) -> Rested<TokenAnswer> {
        let body = RegisterBody { email: email.to_owned(), password: password.to_owned(), name: name.to_owned() };
        read(&self.call(Method::Post, "/auth/register", &self.nobody(), Some(json(&body)?)).await?)
    }

    /// The same session for longer: with another token, which is used from now on.
    pub async fn refresh(&self) -> Rested<TokenAnswer> {
        let answer: TokenAnswer = self.ask(Method::Post, "/auth/refresh", None).await?;
        self.tokens.set(Some(answer.token.clone()));
        Ok(answer)
    }

    /// Ends the session on the server alone; [`crate::Client::log_out`] clears the device too.
    pub async fn end_session(&self) -> Rested<()> {
        self.tell(Method::Post, "/auth/logout", None).await
    }

    pub async fn me(&self) -> Rested<User> {
        self.ask(Method::Get, "/api/v1/me", None).await
    }

    /// What is `None` stays; `Some(None)` takes the picture away.
    pub async fn update_me(&self, name: Option<String>, avatar_url: Option<Option<String>>) -> Rested<User> {
        self.ask(Method::Patch, "/api/v1/me", Some(json(&ProfilePatch { name, avatar_url })?)).await
    }

    pub async fn user(&self, id: UserId) -> Rested<User> {
        self.ask(Method::Get, &format!("/api/v1/users/{id}"), None).await
    }

    /// At most 20 people by e-mail: the whole of it, or at least three characters of its beginning.
    pub async fn search_users(&self, email: &str) -> Rested<Vec<User>> {
        let found: Found =
            self.ask(Method::Get, &format!("/api/v1/users/search?email={}", escaped(email)), None).await?;
        Ok(found.users)
    }

    /// From now on neither can write to the other directly.
    pub async fn block(&self, id: UserId) -> Rested<()> {
        self.tell(Method::Put, &format!("/api/v1/users/{id}/block"), None).await
    }

    pub async fn unblock(&self, id: UserId) -> Rested<()> {
        self.tell(Method::Delete, &format!("/api/v1/users/{id}/block"), None).await
    }

    /// Whom one has blocked, by name.
    pub async fn blocked(&self) -> Rested<Vec<User>> {
        let found: Found = self.ask(Method::Get, "/api/v1/users/blocked", None).await?;
        Ok(found.users)
    }

    /// One's sign-ins that stand, newest first, at most 200; none of them where a host app makes the tokens.
    pub async fn sessions(&self) -> Rested<Vec<Session>> {
        self.ask(Method::Get, "/api/v1/me/sessions", None).await
    }

    /// Ends one of one's sign-ins, with its connections; `not_found` for anybody else's.
    pub async fn end_session_of(&self, id: SessionId) -> Rested<()> {
        self.tell(Method::Delete, &format!("/api/v1/me/sessions/{id}"), None).await
    }

    /// The conversation with one person; the same pair always has the same one.
    pub async fn open_dm(&self, with: impl Into<Person>) -> Rested<Conversation> {
        self.ask(Method::Post, "/api/v1/conversations/dm", Some(json(&with.into().body())?)).await
    }

    /// Oneself becomes its owner.
    pub async fn create_group(
        &self,
        title: &str,
        members: Vec<impl Into<Person>>,
        history_visibility: HistoryVisibility,
    ) -> Rested<Conversation> {
        let (mut member_emails, mut member_ids) = (Vec::new(), Vec::new());
        for member in members {
            match member.into() {
                Person::Id(id) => member_ids.push(id),
                Person::Email(email) => member_emails.push(email),
            }
        }
        let body = NewGroupBody { title: title.to_owned(), member_emails, member_ids, history_visibility };
        self.ask(Method::Post, "/api/v1/conversations/group", Some(json(&body)?)).await
    }

    pub async fn conversation(&self, id: ConversationId) -> Rested<Conversation> {
        self.ask(Method::Get, &format!("/api/v1/conversations/{id}"), None).await
    }

    /// The group's title, for everybody.
    pub async fn rename(&self, id: ConversationId, title: &str) -> Rested<Conversation> {
        let patch = ConversationPatch { title: Some(title.to_owned()), muted_until: None };
        self.ask(Method::Patch, &format!("/api/v1/conversations/{id}"), Some(json(&patch)?)).await
    }

    /// For oneself, until something new arrives.
    pub async fn hide(&self, id: ConversationId) -> Rested<()> {
        self.tell(Method::Delete, &format!("/api/v1/conversations/{id}"), None).await
    }

    pub async fn add_member(&self, id: ConversationId, person: impl Into<Person>) -> Rested<Member> {
        let path = format!("/api/v1/conversations/{id}/members");
        self.ask(Method::Post, &path, Some(json(&person.into().body())?)).await
    }

    pub async fn set_role(&self, id: ConversationId, user: UserId, role: Role) -> Rested<Member> {
        let path = format!("/api/v1/conversations/{id}/members/{user}");
        self.ask(Method::Patch, &path, Some(json(&RoleBody { role })?)).await
    }

    /// Oneself to leave; `new_owner`: who owns the group from now on, where its last owner leaves.
    pub async fn remove_member(&self, id: ConversationId, user: UserId, new_owner: Option<UserId>) -> Rested<()> {
        let heir = new_owner.map(|heir| format!("?newOwner={heir}")).unwrap_or_default();
        self.tell(Method::Delete, &format!("/api/v1/conversations/{id}/members/{user}{heir}"), None).await
    }

    pub async fn message(&self, conversation: ConversationId, message: MessageId) -> Rested<Message> {
        self.ask(Method::Get, &format!("/api/v1/conversations/{conversation}/messages/{message}"), None).await
    }

    /// All that one may see, newest first, also what is not on this device; `text` has at least three characters, `limit` is 1 to 100.
    pub async fn search_messages(
        &self,
        text: &str,
        within: Option<ConversationId>,
        limit: usize,
    ) -> Rested<Vec<Message>> {
        let within = within.map(|id| format!("&conversationId={id}")).unwrap_or_default();
        let path = format!("/api/v1/search?q={}{within}&limit={limit}", escaped(text));
        let hits: Hits = self.ask(Method::Get, &path, None).await?;
        Ok(hits.messages)
    }

    async fn tell(&self, method: Method, path: &str, body: Option<String>) -> Rested<()> {
        self.signed(method, path, body).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<String>) -> Rested<T> {
        read(&self.signed(method, path, body).await?)
    }

    /// With the token or the cookie; where the server does not take it, once more with another.
    async fn signed(&self, method: Method, path: &str, body: Option<String>) -> Rested<HttpAnswer> {
        let proof = self.proof().await?;
        match self.call(method, path, &proof, body.clone()).await {
            Err(RestError::SignedOut) => self.tokens.refused(&proof),
            done => return done,
        }
        if !self.tokens.has_provider() {
            return Err(RestError::SignedOut);
        }
        let proof = self.proof().await?;
        self.call(method, path, &proof, body).await
    }

    fn nobody(&self) -> Proof {
        Proof::Nobody { takes_cookie: self.tokens.are_by_cookie() }
    }

    async fn proof(&self) -> Rested<Proof> {
        self.tokens.proof().await.map_err(|error| match error {
            TokenError::SignedOut => RestError::SignedOut,
            TokenError::Unavailable(why) => RestError::Unreachable(why),
        })
    }

    async fn call(&self, method: Method, path: &str, proof: &Proof, body: Option<String>) -> Rested<HttpAnswer> {
        let answer = self.http.call(method, &self.address.rest(path), proof, body).await;
        let answer = answer.map_err(|error| RestError::Unreachable(error.0))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        match serde_json::from_str::<Problem>(&answer.body) {
            // Where somebody signs in, it says that the password is wrong.
            Ok(problem) if problem.code == ErrorCode::Unauthenticated && !matches!(proof, Proof::Nobody { .. }) => {
                Err(RestError::SignedOut)
            }
            Ok(problem) => Err(RestError::Refused(ApiError {
                code: problem.code,
                detail: problem.detail,
                retry_after_ms: answer.retry_after_s.map(|seconds| seconds.saturating_mul(1000)),
            })),
            // Of a proxy, not of the server.
            Err(_) if answer.status >= 500 => Err(RestError::Unreachable(format!("status {}", answer.status))),
            Err(_) => Err(RestError::Unreadable(format!("status {}", answer.status))),
        }
    }
}

fn json<T: Serialize>(body: &T) -> Rested<String> {
    serde_json::to_string(body).map_err(|error| RestError::Unreadable(error.to_string()))
}

fn read<T: DeserializeOwned>(answer: &HttpAnswer) -> Rested<T> {
    serde_json::from_str(&answer.body).map_err(|error| RestError::Unreadable(error.to_string()))
}
