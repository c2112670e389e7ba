//! The people of a run, their tokens and their conversations.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::http::HttpClient;
use crate::server::Server;

/// Length of a message's text.
pub const BODY_BYTES: usize = 80;
const BODIES: usize = 1024;
const WORDS: [&str; 48] = [
    "agua", "table", "letter", "summer", "window", "coffee", "bridge", "market", "paper", "garden", "river", "station",
    "yellow", "music", "winter", "answer", "orange", "silver", "friend", "corner", "street", "moment", "people",
    "number", "travel", "kitchen", "evening", "ticket", "morning", "circle", "pocket", "island", "blanket", "library",
    "mountain", "harbour", "theatre", "village", "question", "weather", "sunday", "present", "picture", "holiday",
    "journey", "candle", "bottle", "lemon",
];

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub token: String,
}

/// A conversation as it was when it was made.
#[derive(Debug, Clone)]
pub struct Dm {
    pub id: String,
    pub last_seq: u64,
}

/// xorshift64: the same texts and the same places on every run.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

/// A name no other run of this machine has, of letters and digits.
pub fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{now:x}p{}r{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Texts of 80 bytes, made of common words and one rare one that [`rare_word`] names.
pub fn bodies() -> Vec<Vec<u8>> {
    let mut dice = Dice::new(7);
    let body = |index: usize| {
        let mut text = rare_word(index);
        while text.len() < BODY_BYTES {
            text.push(' ');
            text.push_str(WORDS[dice.below(WORDS.len() as u64) as usize]);
        }
        text.truncate(BODY_BYTES);
        text.into_bytes()
    };
    (0..BODIES).map(body).collect()
}

/// Which text a flow's send has. Neighbouring flows draw different ones: a prime apart.
pub fn body_index(flow: usize, counter: u64) -> usize {
    (counter as usize + flow * 7919) % BODIES
}

/// In one text of 1024.
pub fn rare_word(index: usize) -> String {
    format!("q{:x}z", 0x10000 + index * 61)
}

/// In about one text of five.
pub fn common_word() -> &'static str {
    WORDS[20]
}

/// Makes people and their tokens: with an API key, and where there is none by registering, which takes a password hash for each.
pub async fn make(server: &Server, http: &mut HttpClient, count: usize) -> Result<Vec<Person>> {
    let run = fresh_name();
    let key = server.api_key();
    if let Err(error) = &key {
        eprintln!("no API key ({error:#}); registering people one by one");
    }
    let mut people = Vec::with_capacity(count);
    for index in 0..count {
        let (email, name) = (format!("{run}u{index}@load.example"), format!("Person {index}"));
        let answer = match &key {
            Ok(key) => http.post_json(key, "/api/v1/tokens", &json!({ "email": email, "name": name })).await,
            Err(_) => {
                let body = json!({ "email": email, "name": name, "password": "correct horse battery" });
                http.post_json("", "/auth/register", &body).await
            }
        };
        let answer = answer.with_context(|| format!("making person {index}"))?;
        people.push(Person { id: text(&answer["user"], "id")?, token: text(&answer, "token")? });
    }
    Ok(people)
}

/// Opens the DM of two people.
pub async fn open_dm(http: &mut HttpClient, from: &Person, to: &Person) -> Result<Dm> {
    let answer = http.post_json(&from.token, "/api/v1/conversations/dm", &json!({ "userId": to.id })).await?;
    Ok(Dm { id: text(&answer, "id")?, last_seq: answer["lastSeq"].as_u64().unwrap_or(0) })
}

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("the answer has no {field}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_of_80_plain_bytes_and_the_same_every_time() {
        let bodies = bodies();
        assert_eq!(bodies.len(), BODIES);
        assert!(
            bodies.iter().all(|body| body.len() == BODY_BYTES
                && body.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' '))
        );
        assert_eq!(bodies, super::bodies());
    }

    #[test]
    fn a_rare_word_is_in_one_body_alone() {
        let holds = |body: &&Vec<u8>| body.windows(7).any(|window| window == rare_word(33).as_bytes());
        let (rare, common) = (rare_word(33), common_word());
        assert_eq!(rare.len(), 7);
        assert_eq!(bodies().iter().filter(holds).count(), 1);
        let common = bodies().iter().filter(|body| String::from_utf8_lossy(body).contains(common)).count();
        assert!((100..400).contains(&common), "{common}");
    }

    #[test]
    fn names_are_fresh_and_fit_into_a_client_msg_id() {
        let (first, second) = (fresh_name(), fresh_name());
        assert_ne!(first, second);
        assert!(first.len() <= 30 && first.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
