//! Alice, Bob, a server, and a gate between them.

use anyhow::{Context as _, Result};
use tertulia_client::{Client, ConnectionState, Conversation, ConversationId, Message, Refusal};
use tertulia_testkit::{Api, Folder, Gate, Options, Person, Server, within};

pub struct World {
    pub server: Server,
    pub gate: Gate,
    pub folder: Folder,
}

impl World {
    pub async fn new() -> Result<Self> {
        Self::with(Options::built()?).await
    }

    pub async fn with(options: Options) -> Result<Self> {
        let server = Server::start(options).await?;
        let gate = Gate::open(server.url()).await?;
        Ok(Self { server, gate, folder: Folder::new()? })
    }

    /// Two people and their DM.
    pub async fn pair(&self) -> Result<(Person, Person, ConversationId)> {
        let (alice, bob) = (self.server.person("alice").await?, self.server.person("bob").await?);
        let dm = self.api(&alice).dm(&bob).await?.id;
        Ok((alice, bob, dm))
    }

    pub fn api(&self, person: &Person) -> Api {
        self.server.api(person)
    }

    /// On a device of this name, which has a file; not connected.
    pub fn open(&self, person: &Person, device: &str) -> Result<Client> {
        let file = self.folder.path().join(format!("{device}.db"));
        Ok(Client::builder(&self.gate.url()).token(person.token.as_str()).file(file).open()?)
    }

    /// Connected and caught up.
    pub async fn online(&self, person: &Person, device: &str) -> Result<Client> {
        let client = self.open(person, device)?;
        client.connect()?;
        caught_up(&client).await?;
        Ok(client)
    }

    /// Kills the server and starts it anew behind the same gate.
    pub async fn restart_server(&mut self) -> Result<()> {
        self.server.restart().await?;
        self.gate.lead_to(self.server.url())
    }
}

pub async fn caught_up(client: &Client) -> Result<()> {
    reaches(client, ConnectionState::Connected { caught_up: true }).await
}

pub async fn reaches(client: &Client, state: ConnectionState) -> Result<()> {
    within(&format!("{state:?}"), client.connection().until(|now| *now == state)).await??;
    Ok(())
}

/// The conversation is here and as wanted.
pub async fn conversation(
    client: &Client,
    id: ConversationId,
    mut wanted: impl FnMut(&Conversation) -> bool,
) -> Result<Conversation> {
    let mut watch = client.conversation(id);
    let here = within("the conversation", watch.until(|here| here.as_ref().is_some_and(&mut wanted))).await??;
    here.context("the conversation")
}

/// The timeline as it is, when it is as wanted.
pub async fn timeline(
    client: &Client,
    id: ConversationId,
    wanted: impl Fn(&[Message]) -> bool,
) -> Result<Vec<Message>> {
    let mut timeline = client.timeline(id);
    let mut rows = Vec::new();
    let waiting = async {
        while !wanted(&rows) {
            timeline.next().await?.into_iter().for_each(|step| step.apply(&mut rows));
        }
        anyhow::Ok(())
    };
    let came = within("the timeline", waiting).await;
    came.with_context(|| format!("{:?}", bodies(&rows)))??;
    Ok(rows)
}

/// The messages in the log are these, in this order.
pub async fn shows(client: &Client, id: ConversationId, wanted: &[&str]) -> Result<Vec<Message>> {
    timeline(client, id, |rows| rows.iter().all(|row| row.seq.is_some()) && bodies(rows) == wanted)
        .await
        .with_context(|| format!("waited for {wanted:?}"))
}

/// All messages of a conversation when there are so many in the log, as a reader who scrolls to its beginning sees them.
pub async fn whole(client: &Client, id: ConversationId, count: usize) -> Result<Vec<String>> {
    let mut timeline = client.timeline(id);
    let mut rows: Vec<Message> = Vec::new();
    let waiting = async {
        while rows.len() < count || rows.iter().any(|row| row.seq.is_none()) {
            timeline.next().await?.into_iter().for_each(|step| step.apply(&mut rows));
            if timeline.has_more() {
                timeline.load_more();
            }
        }
        anyhow::Ok(())
    };
    let came = within("the whole timeline", waiting).await;
    came.with_context(|| format!("{} of {count}", rows.len()))??;
    Ok(rows.into_iter().map(|row| row.body).collect())
}

pub fn bodies(rows: &[Message]) -> Vec<&str> {
    rows.iter().map(|row| row.body.as_str()).collect()
}

/// Nothing waits in the outbox.
pub async fn sent_all(client: &Client) -> Result<()> {
    within("an empty outbox", client.outbox().until(Vec::is_empty)).await??;
    Ok(())
}

pub fn refused_with(result: Result<(), tertulia_client::CommandError>, wanted: &Refusal) -> bool {
    matches!(result, Err(tertulia_client::CommandError::Refused(refusal)) if refusal == *wanted)
}
