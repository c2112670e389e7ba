//! A REST client that hides nothing.

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tertulia_proto::sync::Difference;
use tertulia_proto::{Conversation, ConversationId, History, Message, MessageId, Seq};

use crate::people::Person;

#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// What was asked for; anything but success is an error.
    pub fn take<T: DeserializeOwned>(self) -> Result<T> {
        if !(200..300).contains(&self.status) {
            bail!("status {}: {}", self.status, self.body);
        }
        let text = self.body.to_string();
        serde_json::from_value(self.body).with_context(|| text)
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Api {
    /// `base` is `http://host:port`; without a token (an empty one) nobody is signed in.
    pub fn new(http: reqwest::Client, base: &str, token: &str) -> Self {
        Self { http, base: base.to_owned(), token: token.to_owned() }
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).with_context(|| text)? };
        Ok(Answer { status, body })
    }

    /// What the server counts under this name.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let text = self.http.get(format!("{}/metrics", self.base)).send().await?.text().await?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = lines.find(|(known, _)| *known == name).with_context(|| name.to_owned())?;
        Ok(value.trim().parse()?)
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.call(Method::DELETE, path, None).await
    }

    pub async fn group(&self, title: &str, others: &[Person]) -> Result<Conversation> {
        let ids: Vec<_> = others.iter().map(|person| person.id).collect();
        self.post("/api/v1/conversations/group", &json!({ "title": title, "memberIds": ids })).await?.take()
    }

    pub async fn dm(&self, other: &Person) -> Result<Conversation> {
        self.post("/api/v1/conversations/dm", &json!({ "userId": other.id })).await?.take()
    }

    pub async fn conversation(&self, id: ConversationId) -> Result<Conversation> {
        self.get(&format!("/api/v1/conversations/{id}")).await?.take()
    }

    pub async fn send(&self, id: ConversationId, client_msg_id: &str, body: &str) -> Result<Message> {
        let new = json!({ "clientMsgId": client_msg_id, "body": body });
        self.post(&format!("/api/v1/conversations/{id}/messages"), &new).await?.take()
    }

    pub async fn edit(&self, id: ConversationId, message: MessageId, body: &str) -> Result<Message> {
        self.patch(&format!("/api/v1/conversations/{id}/messages/{message}"), &json!({ "body": body })).await?.take()
    }

    /// Everything after a `seq`, in order.
    pub async fn history_after(&self, id: ConversationId, after: Seq) -> Result<Vec<Message>> {
        let mut all: Vec<Message> = Vec::new();
        loop {
            let after = all.last().map_or(after, |message| message.seq);
            let path = format!("/api/v1/conversations/{id}/messages?afterSeq={after}&limit=200");
            let page: History = self.get(&path).await?.take()?;
            all.extend(page.messages);
            if !page.has_more {
                return Ok(all);
            }
        }
    }

    pub async fn difference(&self, cursor: Option<&str>) -> Result<Difference> {
        let path = cursor.map_or("/api/v1/sync".to_owned(), |cursor| format!("/api/v1/sync?cursor={cursor}"));
        self.get(&path).await?.take()
    }

    /// The pages of a difference up to its end.
    pub async fn differences(&self, cursor: Option<&str>) -> Result<Vec<Difference>> {
        let mut pages: Vec<Difference> = Vec::new();
        loop {
            let page = self.difference(pages.last().map(|page| page.cursor.as_str()).or(cursor)).await?;
            let more = page.has_more;
            pages.push(page);
            if !more {
                return Ok(pages);
            }
        }
    }
}
