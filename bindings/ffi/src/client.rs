//! The object that apps hold.

use std::sync::Arc;

use tertulia_client::{
    Client as Inner, ClientMsgId, ConversationId, Emoji, HistoryVisibility, Key, Message, MessageId, MessageRef,
    Person, Seq, Timestamp, User, UserId,
};

use crate::account::TokenProvider;
use crate::error::TertuliaError;
use crate::runtime::{Cancel, run, runtime};
use crate::subscriptions::{
    ConnectionWatch, ConversationWatch, Conversations, MembersWatch, OutboxWatch, PresenceWatch, Refusals, Timeline,
    TypingWatch, UnreadWatch,
};

type Done<T = ()> = Result<T, TertuliaError>;

fn key_of(bytes: &[u8]) -> Done<Key> {
    let length = bytes.len();
    Key::try_from(bytes)
        .map_err(|_| TertuliaError::BadArgument { detail: format!("key: 32 bytes, these are {length}") })
}

/// One account on one device.
///
/// What the person does (`send`, `edit`, ...) is committed on this device when the call returns, with or without a network; it reaches the server later,
/// in the order it was done. What there is to see are subscriptions. What awaits needs the server.
#[derive(uniffi::Object)]
pub struct Client(pub(crate) Inner);

#[uniffi::export]
impl Client {
    /// `server`: `https://host`, with a port and a path where it has them. `file`: where the messages are kept, of this client alone; without it they end
    /// with the process. `token`: the one to begin with. `key`: 32 bytes that encrypt the file, where the library was built with encryption. Nothing is sent
    /// before `connect`.
    #[uniffi::constructor(default(file = None, token = None, provider = None, key = None))]
    pub fn new(
        server: String,
        file: Option<String>,
        token: Option<String>,
        provider: Option<Arc<dyn TokenProvider>>,
        key: Option<Vec<u8>>,
    ) -> Done<Arc<Self>> {
        let mut builder = Inner::builder(&server);
        if let Some(file) = file {
            builder = builder.file(file);
        }
        if let Some(key) = key {
            builder = builder.key(key_of(&key)?);
        }
        if let Some(token) = token {
            builder = builder.token(token);
        }
        if let Some(provider) = provider {
            builder = builder.token_provider(move || {
                let provider = Arc::clone(&provider);
                async move { Ok(provider.token().await?) }
            });
        }
        // The connection runs in the runtime that is entered here.
        let _entered = runtime()?.enter();
        Ok(Arc::new(Self(builder.open()?)))
    }

    /// Connects and stays connected, through whatever happens to network and server. Also when the app comes to the foreground.
    pub fn connect(&self) -> Done {
        Ok(self.0.connect()?)
    }

    /// Disconnects and stays so, as in the background of a phone. What is done meanwhile waits.
    pub fn pause(&self) -> Done {
        Ok(self.0.pause()?)
    }

    /// What the system says about the network. Where nobody says anything it is taken for up.
    pub fn set_network(&self, up: bool) -> Done {
        Ok(self.0.set_network(up)?)
    }

    /// Another token, after the person has signed in again; connects with it.
    pub fn set_token(&self, token: String) -> Done {
        Ok(self.0.set_token(token)?)
    }

    /// Writes a message; the name is this device's own for it, and stays.
    pub fn send(&self, conversation: ConversationId, body: String) -> Done<ClientMsgId> {
        Ok(self.0.send(conversation, body)?)
    }

    /// Writes an answer to a message, which may be pending itself.
    pub fn reply(&self, conversation: ConversationId, to: MessageRef, body: String) -> Done<ClientMsgId> {
        Ok(self.0.reply(conversation, to, body)?)
    }

    pub fn edit(&self, conversation: ConversationId, message: MessageRef, body: String) -> Done {
        Ok(self.0.edit(conversation, message, body)?)
    }

    /// For everybody. One that has not left this device is as if it had never been written.
    pub fn delete(&self, conversation: ConversationId, message: MessageRef) -> Done {
        Ok(self.0.delete(conversation, message)?)
    }

    /// Reacts, or with `remove` takes the reaction back.
    #[uniffi::method(default(remove = false))]
    pub fn react(&self, conversation: ConversationId, message: MessageRef, emoji: Emoji, remove: bool) -> Done {
        Ok(self.0.react(conversation, message, emoji, remove)?)
    }

    /// Everything up to `seq` has been seen; without it all there is.
    #[uniffi::method(default(seq = None))]
    pub fn mark_read(&self, conversation: ConversationId, seq: Option<Seq>) -> Done {
        Ok(self.0.mark_read(conversation, seq.unwrap_or(Seq::MAX))?)
    }

    /// For oneself; without `until` it ends.
    #[uniffi::method(default(until = None))]
    pub fn mute(&self, conversation: ConversationId, until: Option<Timestamp>) -> Done {
        Ok(self.0.mute(conversation, until)?)
    }

    /// What has been typed and not sent; cleared by sending.
    pub fn set_draft(&self, conversation: ConversationId, text: String) -> Done {
        Ok(self.0.set_draft(conversation, text)?)
    }

    /// The person writes, or stopped. With each key press: it is told as often as needed.
    pub fn set_typing(&self, conversation: ConversationId, typing: bool) -> Done {
        Ok(self.0.set_typing(conversation, typing)?)
    }

    /// Whose presence is shown; replaces whom it was before.
    pub fn watch_presence(&self, people: Vec<UserId>) -> Done {
        Ok(self.0.watch_presence(people)?)
    }

    /// Tries again what was refused: the outbox's `entry`, or a failed message's.
    pub fn retry(&self, entry: i64) -> Done {
        Ok(self.0.retry(entry)?)
    }

    /// Gives up what was refused; what waits behind it may go.
    pub fn discard(&self, entry: i64) -> Done {
        Ok(self.0.discard(entry)?)
    }

    pub fn conversations(&self) -> Arc<Conversations> {
        Conversations::new(self.0.conversations())
    }

    pub fn timeline(&self, conversation: ConversationId) -> Done<Arc<Timeline>> {
        Ok(Timeline::new(self.0.timeline(conversation)))
    }

    pub fn conversation(&self, conversation: ConversationId) -> Done<Arc<ConversationWatch>> {
        Ok(ConversationWatch::new(self.0.conversation(conversation)))
    }

    pub fn members(&self, conversation: ConversationId) -> Done<Arc<MembersWatch>> {
        Ok(MembersWatch::new(self.0.members(conversation)))
    }

    pub fn typing(&self, conversation: ConversationId) -> Done<Arc<TypingWatch>> {
        Ok(TypingWatch::new(self.0.typing(conversation)))
    }

    /// Of somebody in `watch_presence`.
    pub fn presence(&self, user: UserId) -> Done<Arc<PresenceWatch>> {
        Ok(PresenceWatch::new(self.0.presence(user)))
    }

    pub fn unread_total(&self) -> Arc<UnreadWatch> {
        UnreadWatch::new(self.0.unread_total())
    }

    pub fn outbox(&self) -> Arc<OutboxWatch> {
        OutboxWatch::new(self.0.outbox())
    }

    pub fn connection(&self) -> Arc<ConnectionWatch> {
        ConnectionWatch::new(self.0.connection())
    }

    /// How long until the next try to connect; `None` where none is planned.
    pub fn next_try_in_ms(&self) -> Done<Option<u64>> {
        Ok(self.0.next_try_in_ms()?)
    }

    pub fn refusals(&self) -> Arc<Refusals> {
        Refusals::new(self.0.refusals())
    }

    /// One message, if it is on this device.
    pub fn message(&self, conversation: ConversationId, message: MessageRef) -> Done<Option<Message>> {
        Ok(self.0.message(conversation, message)?)
    }

    /// Messages on this device that hold the text, newest first; at least three characters.
    #[uniffi::method(default(within = None, limit = 50))]
    pub fn search(&self, text: String, within: Option<ConversationId>, limit: u32) -> Done<Vec<Message>> {
        Ok(self.0.search(&text, within, usize::try_from(limit).unwrap_or(usize::MAX))?)
    }

    /// Whose data these are; `None` before the first connection.
    pub fn account(&self) -> Done<Option<UserId>> {
        Ok(self.0.account()?)
    }

    /// Waits until a message that a notification spoke of is on this device. Connects where that was not asked for before, also right after the app was
    /// started by the tap, and stays connected.
    #[uniffi::method(default(deadline_ms = 10000, cancel = None))]
    pub async fn sync_until(
        &self,
        conversation: ConversationId,
        message: MessageId,
        deadline_ms: u64,
        cancel: Option<Arc<Cancel>>,
    ) -> Done<Message> {
        let client = self.0.clone();
        run(cancel, async move { Ok(client.sync_until(conversation, message, deadline_ms).await?) }).await
    }

    /// The conversation with one person; the same pair always has the same one. It is on this device as soon as `conversation` shows it.
    #[uniffi::method(default(cancel = None))]
    pub async fn open_dm(&self, person: Person, cancel: Option<Arc<Cancel>>) -> Done<ConversationId> {
        let rest = self.0.rest().clone();
        run(cancel, async move { Ok(rest.open_dm(person).await?.id) }).await
    }

    /// Oneself becomes its owner.
    #[uniffi::method(default(cancel = None))]
    pub async fn create_group(
        &self,
        title: String,
        members: Vec<UserId>,
        history: HistoryVisibility,
        cancel: Option<Arc<Cancel>>,
    ) -> Done<ConversationId> {
        let rest = self.0.rest().clone();
        run(cancel, async move { Ok(rest.create_group(&title, members, history).await?.id) }).await
    }

    /// Of a group.
    pub async fn add_member(&self, conversation: ConversationId, person: Person) -> Done {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.add_member(conversation, person).await.map(drop)?) }).await
    }

    /// Oneself to leave; `new_owner`: who owns the group from now on, where its last owner leaves.
    #[uniffi::method(default(new_owner = None))]
    pub async fn remove_member(&self, conversation: ConversationId, user: UserId, new_owner: Option<UserId>) -> Done {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.remove_member(conversation, user, new_owner).await?) }).await
    }

    /// At most 20 people by e-mail: the whole of it, or at least three characters of its beginning.
    #[uniffi::method(default(cancel = None))]
    pub async fn search_users(&self, email: String, cancel: Option<Arc<Cancel>>) -> Done<Vec<User>> {
        let rest = self.0.rest().clone();
        run(cancel, async move { Ok(rest.search_users(&email).await?) }).await
    }

    /// Ends the session on the server, where it can be reached, and clears this device: not a word stays in the file. Another account may sign in then.
    pub async fn log_out(&self) -> Done {
        let client = self.0.clone();
        run(None, async move { Ok(client.log_out().await?) }).await
    }

    /// Says goodbye to the server and lets go of the file, though the object is still there. All calls fail from now on.
    pub async fn shut_down(&self) -> Done {
        let client = self.0.clone();
        run(None, async move {
            client.close().await;
            Ok(())
        })
        .await
    }
}
