//! One line: who, and what happened.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A message by its sender's name for it: what stays the same wherever it is seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub sender: String,
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.name, self.sender)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub key: Key,
    pub seq: i64,
    pub id: Option<String>,
    pub body: String,
    pub edited: bool,
    pub deleted: bool,
    pub reactions: BTreeMap<String, BTreeSet<String>>,
}

/// Delivered and read, by user.
pub type Watermarks = BTreeMap<String, (i64, i64)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Send { name: String, body: String },
    Ack { name: String, seq: i64, id: Option<String> },
    Refused { name: Option<String>, code: String },
    Edit { name: String, body: String },
    Delete { name: String },
    React { key: Key, emoji: String, remove: bool },
    Read { seq: i64 },
    See(Message),
    Watermark { of: String, delivered: i64, read: i64 },
    Final { messages: Vec<Message>, watermarks: Watermarks },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub client: String,
    pub user: String,
    pub conversation: String,
    pub event: Event,
}

impl Entry {
    /// The user's own message of that name.
    pub fn own(&self, name: &str) -> Key {
        Key { sender: self.user.clone(), name: name.to_owned() }
    }

    /// Reads a line. The error says what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        number(&value, "at_ms")?;
        Ok(Self {
            client: text(&value, "client")?,
            user: text(&value, "user")?,
            conversation: text(&value, "conversation")?,
            event: event(&value)?,
        })
    }
}

fn event(value: &Value) -> Result<Event, String> {
    let name = || text(value, "name");
    Ok(match text(value, "event")?.as_str() {
        "send" => Event::Send { name: name()?, body: text(value, "body")? },
        "ack" => Event::Ack { name: name()?, seq: number(value, "seq")?, id: optional_text(value, "message")? },
        "refused" => Event::Refused { name: optional_text(value, "name")?, code: text(value, "code")? },
        "edit" => Event::Edit { name: name()?, body: text(value, "body")? },
        "delete" => Event::Delete { name: name()? },
        "react" => Event::React {
            key: Key { sender: text(value, "sender")?, name: name()? },
            emoji: text(value, "emoji")?,
            remove: flag(value, "remove")?,
        },
        "read" => Event::Read { seq: number(value, "seq")? },
        "see" => Event::See(message(value)?),
        "watermark" => Event::Watermark {
            of: text(value, "of")?,
            delivered: number(value, "delivered")?,
            read: number(value, "read")?,
        },
        "final" => {
            let messages = value["messages"].as_array().ok_or("messages: must be a list")?;
            Event::Final {
                messages: messages.iter().map(message).collect::<Result<_, _>>()?,
                watermarks: watermarks(&value["watermarks"])?,
            }
        }
        other => return Err(format!("event: there is no {other:?}")),
    })
}

fn message(value: &Value) -> Result<Message, String> {
    let mut reactions = BTreeMap::new();
    if let Some(given) = present(value, "reactions") {
        for (emoji, users) in given.as_object().ok_or("reactions: must be an object")? {
            let users = users.as_array().ok_or("reactions: must hold lists")?;
            let users = users.iter().map(|user| user.as_str().map(str::to_owned));
            reactions.insert(emoji.clone(), users.collect::<Option<_>>().ok_or("reactions: must name users")?);
        }
    }
    Ok(Message {
        key: Key { sender: text(value, "sender")?, name: text(value, "name")? },
        seq: number(value, "seq")?,
        id: optional_text(value, "message")?,
        body: text(value, "body")?,
        edited: flag(value, "edited")?,
        deleted: flag(value, "deleted")?,
        reactions,
    })
}

fn watermarks(value: &Value) -> Result<Watermarks, String> {
    let given = value.as_object().ok_or("watermarks: must be an object")?;
    let pair = |marks: &Value| Some((marks.get(0)?.as_i64()?, marks.get(1)?.as_i64()?));
    let of = |(user, marks): (&String, &Value)| Some((user.clone(), pair(marks)?));
    given.iter().map(of).collect::<Option<_>>().ok_or_else(|| "watermarks: must be [delivered, read]".to_owned())
}

fn present<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get(field).filter(|given| !given.is_null())
}

fn text(value: &Value, field: &str) -> Result<String, String> {
    value[field].as_str().map(str::to_owned).ok_or_else(|| format!("{field}: must be a text"))
}

fn optional_text(value: &Value, field: &str) -> Result<Option<String>, String> {
    present(value, field).map(|_| text(value, field)).transpose()
}

fn number(value: &Value, field: &str) -> Result<i64, String> {
    value[field].as_i64().ok_or_else(|| format!("{field}: must be a whole number"))
}

fn flag(value: &Value, field: &str) -> Result<bool, String> {
    present(value, field)
        .map_or(Ok(false), |given| given.as_bool().ok_or_else(|| format!("{field}: must be a boolean")))
}
