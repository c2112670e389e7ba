//! Named people: alice, bob, carol.

use anyhow::{Context as _, Result};
use serde_json::json;
use tertulia_proto::UserId;
use tertulia_proto::model::{TokenAnswer, User};

use crate::rest::Api;
use crate::server::Server;
use crate::socket::{Socket, SocketOptions};

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: UserId,
    pub name: String,
    pub email: String,
    pub token: String,
}

fn email_of(name: &str) -> String {
    format!("{name}@example.org")
}

impl Server {
    /// Somebody with a token of `tertulia token`, made beside the running server.
    pub async fn person(&self, name: &str) -> Result<Person> {
        let email = email_of(name);
        let said = self.run(&["token", "--email", &email, "--name", name]).await?;
        let token = said.lines().last().context("no token")?.to_owned();
        let api = Api::new(self.http.clone(), self.url(), &token);
        let me: User = api.get("/api/v1/me").await?.take()?;
        Ok(Person { id: me.id, name: name.to_owned(), email, token })
    }

    pub async fn people<const N: usize>(&self, names: [&str; N]) -> Result<Vec<Person>> {
        let mut people = Vec::new();
        for name in names {
            people.push(self.person(name).await?);
        }
        Ok(people)
    }

    /// Somebody with a local account.
    pub async fn register(&self, name: &str, password: &str) -> Result<Person> {
        let email = email_of(name);
        let body = json!({ "email": email, "password": password, "name": name });
        let answer: TokenAnswer =
            Api::new(self.http.clone(), self.url(), "").post("/auth/register", &body).await?.take()?;
        Ok(Person { id: answer.user.id, name: name.to_owned(), email, token: answer.token })
    }

    pub fn api(&self, person: &Person) -> Api {
        Api::new(self.http.clone(), self.url(), &person.token)
    }

    pub async fn connect(&self, person: &Person) -> Result<Socket> {
        Socket::connect(self.url(), &person.token, SocketOptions::default()).await
    }
}
