//! The client's subscriptions as news for the state. Each is a task that waits for its reader: nothing queues up.

use std::collections::BTreeSet;

use tertulia_client::{
    Client, ConversationId, ListDiff, Message, MessageRef, Op, ReadError, Timeline, UserId, Waiting,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::app::{News, Parcel};

/// News that wait to be looked at.
const NEWS_MAX: usize = 64;

/// What is told as long as the screen is there, and what of the open conversation.
pub struct Live {
    client: Client,
    news: Sender<News>,
    _tasks: JoinSet<()>,
    more_conversations: Sender<()>,
    room: Option<Open>,
}

struct Open {
    _tasks: JoinSet<()>,
    more: Sender<()>,
}

impl Live {
    pub fn start(client: &Client) -> (Self, Sender<News>, Receiver<News>) {
        let (news, coming) = channel(NEWS_MAX);
        let (more_conversations, more) = channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(ends(conversations(client.clone(), more, news.clone())));
        tasks.spawn(ends(outbox(client.clone(), news.clone())));
        tasks.spawn(ends(connection(client.clone(), news.clone())));
        tasks.spawn(ends(refusals(client.clone(), news.clone())));
        let live = Self { client: client.clone(), news: news.clone(), _tasks: tasks, more_conversations, room: None };
        (live, news, coming)
    }

    pub fn open(&mut self, room: ConversationId, peer: Option<UserId>) {
        let (more, wanted) = channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(ends(timeline(self.client.clone(), room, wanted, self.news.clone())));
        tasks.spawn(ends(typing(self.client.clone(), room, self.news.clone())));
        // Without a connection it is asked with the next one.
        let _ = self.client.watch_presence(peer.into_iter().collect());
        if let Some(peer) = peer {
            tasks.spawn(ends(presence(self.client.clone(), peer, self.news.clone())));
        }
        self.room = Some(Open { _tasks: tasks, more });
    }

    /// A wish that waits already is the same wish.
    pub fn more_messages(&self) {
        if let Some(room) = &self.room {
            let _ = room.more.try_send(());
        }
    }

    pub fn more_conversations(&self) {
        let _ = self.more_conversations.try_send(());
    }
}

/// Ends with the client, or with the screen.
async fn ends(task: impl Future<Output = Result<(), ReadError>>) {
    let _ = task.await;
}

async fn tell(to: &Sender<News>, news: News) -> Result<(), ReadError> {
    to.send(news).await.map_err(|_| ReadError::Closed)
}

async fn conversations(client: Client, mut more: Receiver<()>, to: Sender<News>) -> Result<(), ReadError> {
    let mut list = client.conversations();
    loop {
        tokio::select! {
            steps = list.next() => tell(&to, News::Conversations(steps?)).await?,
            Some(()) = more.recv() => list.load_more(),
        }
    }
}

async fn outbox(client: Client, to: Sender<News>) -> Result<(), ReadError> {
    let mut outbox = client.outbox();
    loop {
        let waiting = outbox.next().await?;
        let parcels = waiting.into_iter().map(|waiting| Parcel { text: text_of(&client, &waiting), waiting }).collect();
        tell(&to, News::Outbox(parcels)).await?;
    }
}

/// Only of what was refused: the rest is shown as a number.
fn text_of(client: &Client, waiting: &Waiting) -> String {
    if waiting.parked.is_none() {
        return String::new();
    }
    match &waiting.op {
        Op::Edit { body } => body.clone(),
        Op::React { emoji, .. } => emoji.as_str().to_owned(),
        Op::Send | Op::Delete => {
            let held = client.message(waiting.conversation, waiting.message.clone());
            held.ok().flatten().map(|message| message.body).unwrap_or_default()
        }
    }
}

async fn connection(client: Client, to: Sender<News>) -> Result<(), ReadError> {
    let mut connection = client.connection();
    loop {
        let state = connection.next().await?;
        tell(&to, News::Connection(state)).await?;
        tell(&to, News::Tick { next_try_in_ms: client.next_try_in_ms()? }).await?;
    }
}

async fn refusals(client: Client, to: Sender<News>) -> Result<(), ReadError> {
    let mut refusals = client.refusals();
    loop {
        let refused = refusals.next().await?;
        tell(&to, News::Failed(format!("The server said no: {}", refused.detail))).await?;
    }
}

async fn timeline(
    client: Client,
    room: ConversationId,
    mut more: Receiver<()>,
    to: Sender<News>,
) -> Result<(), ReadError> {
    let mut timeline: Timeline = client.timeline(room);
    let mut rows: Vec<Message> = Vec::new();
    loop {
        tokio::select! {
            steps = timeline.next() => {
                let steps: Vec<ListDiff<Message>> = steps?;
                steps.iter().cloned().for_each(|step| step.apply(&mut rows));
                let quoted = quoted(&client, room, &rows)?;
                tell(&to, News::Timeline { room, steps, has_more: timeline.has_more(), quoted }).await?;
            }
            Some(()) = more.recv() => timeline.load_more(),
        }
    }
}

/// What is answered in the window and stands above it.
fn quoted(client: &Client, room: ConversationId, rows: &[Message]) -> Result<Vec<Message>, ReadError> {
    let here: BTreeSet<_> = rows.iter().filter_map(|row| row.id).collect();
    let answered: BTreeSet<&MessageRef> = rows.iter().filter_map(|row| row.reply_to.as_ref()).collect();
    let mut quoted = Vec::new();
    for reference in answered {
        if let MessageRef::Log(id) = reference
            && !here.contains(id)
        {
            quoted.extend(client.message(room, *id)?);
        }
    }
    Ok(quoted)
}

async fn typing(client: Client, room: ConversationId, to: Sender<News>) -> Result<(), ReadError> {
    let mut typing = client.typing(room);
    loop {
        tell(&to, News::Typing(room, typing.next().await?)).await?;
    }
}

async fn presence(client: Client, user: UserId, to: Sender<News>) -> Result<(), ReadError> {
    let mut presence = client.presence(user);
    loop {
        tell(&to, News::Presence(user, presence.next().await?)).await?;
    }
}
