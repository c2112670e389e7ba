//! Several servers on one PostgreSQL and one Redis.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tertulia_proto::{ConversationId, Message};
use tertulia_testkit::{Api, Frame, Incoming, Options, Person, Postgres, PostgresOptions, Redis, Server, Socket};

pub struct Town {
    pub servers: Vec<Server>,
    pub redis: Redis,
    pub postgres: Postgres,
}

impl Town {
    pub async fn new(servers: usize) -> Result<Self> {
        let postgres = tokio::task::spawn_blocking(|| Postgres::start(PostgresOptions::default())).await??;
        postgres.create("chat")?;
        let redis = Redis::start().await?;
        let mut town = Self { servers: Vec::new(), redis, postgres };
        for _ in 0..servers {
            let server = town.server().await?;
            town.servers.push(server);
        }
        Ok(town)
    }

    pub async fn server(&self) -> Result<Server> {
        self.server_with(|options| options).await
    }

    pub async fn server_with(&self, more: impl FnOnce(Options) -> Options) -> Result<Server> {
        let options = Options::new(env!("CARGO_BIN_EXE_tertulia"))
            .env("TERTULIA_DATABASE_URL", self.postgres.url("chat"))
            .env("TERTULIA_DATABASE_PARTITIONS", 4)
            .env("TERTULIA_REDIS_URL", self.redis.url());
        Server::start(more(options)).await
    }

    pub fn api(&self, server: usize, person: &Person) -> Api {
        self.servers[server].api(person)
    }

    pub async fn connect(&self, server: usize, person: &Person) -> Result<Socket> {
        self.servers[server].connect(person).await
    }
}

pub fn message(conversation: ConversationId, client_msg_id: &str, body: &str) -> Value {
    json!({ "conversationId": conversation, "clientMsgId": client_msg_id, "body": body })
}

/// The next message of a live connection, and the rev of everything before it that has one.
pub async fn next_message(socket: &mut Socket, revs: &mut Vec<i64>) -> Result<Message> {
    loop {
        let Incoming::Frame(frame) = socket.next().await? else { anyhow::bail!("the connection ended") };
        let Frame::Event { kind, fields } = frame else { continue };
        if let Some(rev) = fields["rev"].as_i64() {
            revs.push(rev);
        }
        if kind == "message.new" {
            return serde_json::from_value(fields).context("a message");
        }
    }
}

/// `/health/ready`
pub async fn readiness(server: &Server) -> Result<Value> {
    Ok(reqwest::get(format!("{}/health/ready", server.url())).await?.json().await?)
}
