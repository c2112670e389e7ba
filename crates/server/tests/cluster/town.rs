//! Several servers on one PostgreSQL and one Redis.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tertulia_proto::{ConversationId, Message};
use tertulia_testkit::{Api, Frame, Incoming, Options, Person, Postgres, PostgresOptions, Redis, Server, Socket};

pub struct Town {
    pub servers: Vec<Server>,
    pub redis: Redis,
    pub postgres: Postgres,
    /// Follows the other; made by [`Town::with_replica`].
    pub replica: Option<Postgres>,
}

impl Town {
    pub async fn new(servers: usize) -> Result<Self> {
        Self::on(Postgres::start(PostgresOptions::default())?, None, servers).await
    }

    /// Whose database another one can stand in for.
    pub async fn with_replica(servers: usize) -> Result<Self> {
        let postgres = Postgres::start(PostgresOptions::default())?;
        let replica = Postgres::start_from(PostgresOptions::default(), |to| postgres.back_up(to, true))?;
        Self::on(postgres, Some(replica), servers).await
    }

    async fn on(postgres: Postgres, replica: Option<Postgres>, servers: usize) -> Result<Self> {
        postgres.create("chat")?;
        let redis = Redis::start().await?;
        let mut town = Self { servers: Vec::new(), redis, postgres, replica };
        for _ in 0..servers {
            let server = town.server().await?;
            town.servers.push(server);
        }
        Ok(town)
    }

    /// Of the database that takes writes, whichever that is.
    fn database(&self) -> String {
        let place = |postgres: &Postgres| {
            let url = postgres.url("");
            url.trim_start_matches("postgres://postgres@").trim_end_matches('/').to_owned()
        };
        let places: Vec<String> = std::iter::once(&self.postgres).chain(&self.replica).map(place).collect();
        format!("postgres://postgres@{}/chat", places.join(","))
    }

    pub async fn server(&self) -> Result<Server> {
        self.server_with(|options| options).await
    }

    pub async fn server_with(&self, more: impl FnOnce(Options) -> Options) -> Result<Server> {
        let options = Options::new(env!("CARGO_BIN_EXE_tertulia"))
            .env("TERTULIA_DATABASE_URL", self.database())
            .env("TERTULIA_DATABASE_PARTITIONS", 4)
            .env("TERTULIA_REDIS_URL", self.redis.url());
        let mut server = Server::start(more(options)).await?;
        // On a busy machine Redis may take its second to answer: everybody is served all the same, and that is what is judged.
        server.allow("the other servers can't be told");
        server.allow("redis_url: can't be reached");
        Ok(server)
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
