//! Connections to Redis that come back by themselves.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, TlsMode, Value,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::address::Address;

/// How long an answer may take. Redis answers within a millisecond or is not there.
const ANSWER_MAX: Duration = Duration::from_millis(1000);

/// After a failure nobody tries again for so long, so that callers fall back at once instead of waiting one after the other.
const REST: Duration = Duration::from_millis(250);

/// For one command after the other, from many at once.
#[derive(Clone)]
pub enum Commands {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Commands {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

#[derive(Default)]
struct State {
    commands: Option<Commands>,
    rests_until: Option<Instant>,
}

/// The way to one Redis.
pub struct Link {
    address: Address,
    state: Mutex<State>,
}

impl Link {
    pub fn new(address: Address) -> Self {
        if address.is_encrypted() {
            // The program's, unless it has chosen one already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        Self { address, state: Mutex::default() }
    }

    /// Asks over the connection that there is, or a new one. One that failed is not used again.
    pub async fn ask<T>(&self, question: impl AsyncFnOnce(&mut Commands) -> RedisResult<T>) -> RedisResult<T> {
        let mut commands = self.commands().await?;
        let answer = match tokio::time::timeout(2 * ANSWER_MAX, question(&mut commands)).await {
            Ok(answer) => answer,
            Err(_) => Err(RedisError::from((ErrorKind::Io, "no answer in time"))),
        };
        if let Err(error) = &answer
            && (error.is_unrecoverable_error()
                || error.is_timeout()
                || error.is_io_error()
                || error.is_cluster_error()
                || is_of_a_replica(error))
        {
            let mut state = self.state.lock().await;
            state.commands = None;
            state.rests_until = Some(now() + REST);
        }
        answer
    }

    async fn commands(&self) -> RedisResult<Commands> {
        let mut state = self.state.lock().await;
        if let Some(commands) = &state.commands {
            return Ok(commands.clone());
        }
        if state.rests_until.is_some_and(|until| now() < until) {
            return Err(RedisError::from((ErrorKind::Io, "Redis can't be reached")));
        }
        let commands = match tokio::time::timeout(2 * ANSWER_MAX, self.connect()).await {
            Ok(commands) => commands,
            Err(_) => Err(RedisError::from((ErrorKind::Io, "no connection in time"))),
        };
        match commands {
            Ok(commands) => Ok(state.commands.insert(commands).clone()),
            Err(error) => {
                state.rests_until = Some(now() + REST);
                Err(error)
            }
        }
    }

    async fn connect(&self) -> RedisResult<Commands> {
        if let Address::Cluster(nodes) = &self.address {
            let client = ClusterClient::builder(nodes.clone())
                .connection_timeout(ANSWER_MAX)
                .response_timeout(ANSWER_MAX)
                .retries(2)
                .build()?;
            return Ok(Commands::Cluster(client.get_async_connection().await?));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_MAX))
            .set_response_timeout(Some(ANSWER_MAX));
        let client = self.client().await?;
        Ok(Commands::One(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    /// A connection that hears. In a Cluster every node passes publications on to all others, so any will do.
    pub async fn ear(&self) -> RedisResult<PubSub> {
        match tokio::time::timeout(2 * ANSWER_MAX, async { self.client().await?.get_async_pubsub().await }).await {
            Ok(ear) => ear,
            Err(_) => Err(RedisError::from((ErrorKind::Io, "no connection in time"))),
        }
    }

    async fn client(&self) -> RedisResult<Client> {
        match &self.address {
            Address::One(info) => Client::open(info.clone()),
            Address::Cluster(nodes) => {
                let mut last = RedisError::from((ErrorKind::Io, "a cluster without nodes"));
                for node in nodes {
                    let client = Client::open(node.clone())?;
                    match client.get_multiplexed_async_connection().await {
                        Ok(_) => return Ok(client),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Address::Sentinel { sentinels, master, sign_in, tls } => {
                let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(sign_in.clone());
                let node = if *tls { node.set_tls_mode(TlsMode::Secure) } else { node };
                let kind = SentinelServerType::Master;
                let mut sentinel = SentinelClient::build(sentinels.clone(), master.clone(), Some(node), kind)?;
                sentinel.async_get_client().await
            }
        }
    }
}

/// A master that has become a replica: the connection leads to the wrong one now.
fn is_of_a_replica(error: &RedisError) -> bool {
    error.code() == Some("READONLY")
}

/// Waiting and silence are told by the runtime's clock, which tests can stop; nothing that is kept depends on it.
#[expect(clippy::disallowed_methods, reason = "time limits of the network")]
pub fn now() -> Instant {
    Instant::now()
}
