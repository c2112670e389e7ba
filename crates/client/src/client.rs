//! The handle that apps hold.

use std::sync::Arc;

use tertulia_client_sqlite::{Keep, Pruned};
use tertulia_engine::{Command, CommandError as Refusal, ConnectionState, MessageRef, PresenceState, TypingState};
use tertulia_proto::{ClientMsgId, ConversationId, DeviceId, Emoji, Limits, Member, Seq, Timestamp, User, UserId};

use crate::board::Topic;
use crate::builder::Builder;
use crate::core::Input;
use crate::driver;
use crate::error::{CommandError, LogOutError, OpenError, ReadError};
use crate::live::{Conversations, Refusals, Watch};
use crate::model::{Conversation, Message, Waiting};
use crate::platform::{Task, wait_ms};
use crate::registrar;
use crate::rest::Rest;
use crate::shared::{Shared, new_device};
use crate::timeline::Timeline;

/// Entries of the outbox that [`Client::outbox`] shows; the rest counts in [`Conversation`]s alone.
pub const OUTBOX_SHOWN_MAX: usize = 1000;

/// How long signing out waits for the server to end the session.
const LOG_OUT_MS: u64 = 5000;

/// How long closing waits for the connection's goodbye.
pub const CLOSE_MS: u64 = 1500;

/// One account on one device. Cheap to clone; with the last clone the connection ends and the file is free.
///
/// Commands (`send`, `edit`, ...) run where they are called: they return when what they did is committed on this device, within milliseconds, with or
/// without a network. Everything there is to see is a subscription: a value ([`Watch`]) or a list of steps ([`Conversations`], [`Timeline`]).
///
/// ```
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # runtime.block_on(async {
/// use tertulia_client::{Client, ConnectionState};
///
/// let client = Client::builder("https://chat.example.org").token("...").open()?;
/// assert_eq!(client.connection().get()?, ConnectionState::Paused);
/// assert_eq!(client.unread_total().get()?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Client(Arc<Owner>);

/// What all clones own together. Subscriptions do not: they end with it.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    /// Ends with its owner.
    _driver: Task,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Client {
    /// `server`: `https://host`, with a port and a path where it has them.
    pub fn builder(server: &str) -> Builder {
        Builder::new(server)
    }

    pub(crate) fn start(shared: Shared, keep: Keep) -> Result<Self, OpenError> {
        let shared = Arc::new(shared);
        let (driving, registering) =
            (driver::drive(Arc::clone(&shared), keep), registrar::keep_registered(Arc::clone(&shared)));
        let work = async {
            futures_util::future::join(driving, registering).await;
        };
        let driver = Task::start(work).ok_or(OpenError::NoRuntime)?;
        Ok(Self(Arc::new(Owner { shared, _driver: driver })))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        self.shared().step(Input::Command(command))
    }

    /// Connects and stays connected, through whatever happens to network and server.
    pub fn connect(&self) -> Result<(), CommandError> {
        self.rest().tokens().ask_again();
        self.shared().want_connection(true)
    }

    /// Disconnects and stays so, as in the background of a phone. What is done meanwhile waits.
    pub fn pause(&self) -> Result<(), CommandError> {
        self.shared().want_connection(false)
    }

    /// What the system says about the network. Where nobody says anything it is taken for up.
    pub fn set_network(&self, up: bool) -> Result<(), CommandError> {
        self.shared().step(Input::Network(up))
    }

    /// Another token, after the person has signed in again; connects with it.
    pub fn set_token(&self, token: impl Into<String>) -> Result<(), CommandError> {
        self.rest().tokens().set(Some(token.into()));
        self.connect()
    }

    /// Writes a message; the name is this device's own for it, and stays.
    ///
    /// ```no_run
    /// # fn write(client: tertulia_client::Client, with_bob: tertulia_client::ConversationId) -> Result<(), tertulia_client::CommandError> {
    /// let name = client.send(with_bob, "I'm on the train, no network")?;
    /// client.edit(with_bob, name, "I'm on the train, hardly any network")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, conversation: ConversationId, body: impl Into<String>) -> Result<ClientMsgId, CommandError> {
        self.write(conversation, body.into(), None)
    }

    /// Writes an answer to a message, which may be pending itself.
    pub fn reply(
        &self,
        conversation: ConversationId,
        to: impl Into<MessageRef>,
        body: impl Into<String>,
    ) -> Result<ClientMsgId, CommandError> {
        self.write(conversation, body.into(), Some(to.into()))
    }

    /// Writes a message under a name that the caller has made: unique among everything this person ever sends, such as a UUID of version 7. Called again
    /// with the same name it does nothing, so a caller that does not know whether the first call came through may repeat it.
    pub fn send_as(
        &self,
        conversation: ConversationId,
        name: ClientMsgId,
        body: impl Into<String>,
        reply_to: Option<MessageRef>,
    ) -> Result<(), CommandError> {
        let named = MessageRef::Mine(name.clone());
        if self.shared().read(|core| core.store().message(conversation, &named)).is_ok_and(|held| held.is_some()) {
            return Ok(());
        }
        match self.command(Command::Send { conversation, name, body: body.into(), reply_to }) {
            Err(CommandError::Refused(Refusal::NameTaken)) => Ok(()),
            done => done,
        }
    }

    fn write(
        &self,
        conversation: ConversationId,
        body: String,
        reply_to: Option<MessageRef>,
    ) -> Result<ClientMsgId, CommandError> {
        let name = self.shared().new_name()?;
        self.command(Command::Send { conversation, name: name.clone(), body, reply_to })?;
        Ok(name)
    }

    pub fn edit(
        &self,
        conversation: ConversationId,
        message: impl Into<MessageRef>,
        body: impl Into<String>,
    ) -> Result<(), CommandError> {
        self.command(Command::Edit { conversation, message: message.into(), body: body.into() })
    }

    /// For everybody. One that has not left this device is as if it had never been written.
    pub fn delete(&self, conversation: ConversationId, message: impl Into<MessageRef>) -> Result<(), CommandError> {
        self.command(Command::Delete { conversation, message: message.into() })
    }

    /// Reacts, or with `remove` takes the reaction back.
    pub fn react(
        &self,
        conversation: ConversationId,
        message: impl Into<MessageRef>,
        emoji: Emoji,
        remove: bool,
    ) -> Result<(), CommandError> {
        self.command(Command::React { conversation, message: message.into(), emoji, remove })
    }

    /// Everything up to `seq` has been seen; [`Seq::MAX`] for all there is.
    pub fn mark_read(&self, conversation: ConversationId, seq: Seq) -> Result<(), CommandError> {
        self.command(Command::MarkRead { conversation, seq })
    }

    /// For oneself; `None` ends it.
    pub fn mute(&self, conversation: ConversationId, until: Option<Timestamp>) -> Result<(), CommandError> {
        self.command(Command::Mute { conversation, until })
    }

    /// What has been typed and not sent; cleared by sending.
    pub fn set_draft(&self, conversation: ConversationId, text: impl Into<String>) -> Result<(), CommandError> {
        self.command(Command::SetDraft { conversation, text: text.into() })
    }

    /// Tries again what was refused: [`Waiting::entry`] or [`crate::Status::Failed`].
    pub fn retry(&self, entry: i64) -> Result<(), CommandError> {
        self.command(Command::Retry { entry })
    }

    /// Gives up what was refused; what waits behind it may go.
    pub fn discard(&self, entry: i64) -> Result<(), CommandError> {
        self.command(Command::Discard { entry })
    }

    /// The person writes, or stopped. With each key press: it is told as often as needed.
    pub fn set_typing(&self, conversation: ConversationId, typing: bool) -> Result<(), CommandError> {
        self.command(Command::SetTyping { conversation, typing })
    }

    /// Whose presence is shown; replaces whom it was before.
    pub fn watch_presence(&self, people: Vec<UserId>) -> Result<(), CommandError> {
        self.command(Command::Watch { people })
    }

    /// The list of conversations.
    pub fn conversations(&self) -> Conversations {
        Conversations::new(self.shared())
    }

    /// One conversation; `None` where it is not on this device.
    pub fn conversation(&self, id: ConversationId) -> Watch<Option<Conversation>> {
        let look = move |core: &crate::core::Core| Ok(core.store().conversation(id)?.map(Conversation::of_shown));
        Watch::new(self.shared(), Topic::Conversation(id), Box::new(look))
    }

    /// A conversation's messages.
    ///
    /// ```no_run
    /// # async fn show(client: tertulia_client::Client, with_bob: tertulia_client::ConversationId) {
    /// let mut timeline = client.timeline(with_bob);
    /// let mut rows = Vec::new();
    /// while let Ok(steps) = timeline.next().await {
    ///     for step in steps {
    ///         step.apply(&mut rows);
    ///     }
    ///     println!("{} messages", rows.len());
    /// }
    /// # }
    /// ```
    pub fn timeline(&self, conversation: ConversationId) -> Timeline {
        Timeline::new(self.shared(), conversation)
    }

    /// The members, those who left are left out.
    pub fn members(&self, conversation: ConversationId) -> Watch<Vec<Member>> {
        let look = move |core: &crate::core::Core| core.store().members(conversation);
        Watch::new(self.shared(), Topic::Conversation(conversation), Box::new(look))
    }

    /// The badge: what is unread in all conversations that are not muted.
    pub fn unread_total(&self) -> Watch<i64> {
        let clock = self.shared().clock.clone();
        let look = move |core: &crate::core::Core| core.store().unread_total(clock.now().wall.ms());
        Watch::new(self.shared(), Topic::Conversations, Box::new(look))
    }

    /// What waits to reach the log, in order, and what was refused; at most [`OUTBOX_SHOWN_MAX`].
    pub fn outbox(&self) -> Watch<Vec<Waiting>> {
        let look = |core: &crate::core::Core| {
            Ok(core.store().outbox(OUTBOX_SHOWN_MAX)?.into_iter().map(Waiting::of_row).collect())
        };
        Watch::new(self.shared(), Topic::Conversations, Box::new(look))
    }

    pub fn connection(&self) -> Watch<ConnectionState> {
        Watch::new(
            self.shared(),
            Topic::Connection,
            Box::new(|core: &crate::core::Core| Ok(core.engine().connection())),
        )
    }

    /// How long until the next try to connect; `None` where none is planned.
    pub fn next_try_in_ms(&self) -> Result<Option<u64>, ReadError> {
        Ok(match self.connection().get()? {
            ConnectionState::Waiting { until_ms } => Some(until_ms.saturating_sub(self.shared().now().mono_ms)),
            _ => None,
        })
    }

    /// Who else writes there now.
    pub fn typing(&self, conversation: ConversationId) -> Watch<Vec<TypingState>> {
        let look = move |core: &crate::core::Core| Ok(core.engine().typing(conversation));
        Watch::new(self.shared(), Topic::Typing(conversation), Box::new(look))
    }

    /// Of somebody in [`Client::watch_presence`]; `None`: not known, as without a connection.
    pub fn presence(&self, user: UserId) -> Watch<Option<PresenceState>> {
        let look = move |core: &crate::core::Core| Ok(core.engine().presence(user));
        Watch::new(self.shared(), Topic::Presence, Box::new(look))
    }

    /// What came to nothing and was taken back.
    pub fn refusals(&self) -> Refusals {
        Refusals::new(self.shared())
    }

    /// One message, if it is on this device.
    pub fn message(
        &self,
        conversation: ConversationId,
        message: impl Into<MessageRef>,
    ) -> Result<Option<Message>, ReadError> {
        let message = message.into();
        let shown = self.shared().read(|core| core.store().message(conversation, &message))?;
        Ok(shown.map(Message::of_shown))
    }

    /// Messages on this device that hold the text, newest first; at least three characters. All there are: [`Rest::search_messages`].
    pub fn search(&self, text: &str, within: Option<ConversationId>, limit: usize) -> Result<Vec<Message>, ReadError> {
        let found = self.shared().read(|core| core.store().search(text, within, limit))?;
        Ok(found.into_iter().map(Message::of_row).collect())
    }

    /// Whose data these are; `None` before the first connection.
    pub fn account(&self) -> Result<Option<UserId>, ReadError> {
        self.shared().read(|core| Ok(core.engine().account()))
    }

    /// The person whose data these are, as the server said last; `None` before the first connection.
    pub fn profile(&self) -> Watch<Option<User>> {
        Watch::new(self.shared(), Topic::Profile, Box::new(|core: &crate::core::Core| core.store().profile()))
    }

    /// What the server has said of this person through [`Client::rest`], to be shown at once.
    pub fn keep_profile(&self, user: &User) {
        self.shared().keep_profile(user);
    }

    /// The server's limits; `None` before the first connection of this process.
    pub fn limits(&self) -> Result<Option<Limits>, ReadError> {
        self.shared().read(|core| Ok(core.engine().limits().cloned()))
    }

    /// Bytes that the data take on this device.
    pub fn storage_bytes(&self) -> Result<i64, ReadError> {
        self.shared().read(|core| core.store().size_bytes())
    }

    /// Whether they outlive the process.
    pub fn is_durable(&self) -> Result<bool, ReadError> {
        self.shared().read(|core| Ok(core.store().is_durable()))
    }

    /// Lets go of older messages now; the driver does it by itself once a day. What goes can be fetched again.
    pub fn prune(&self, keep: Keep) -> Result<Pruned, ReadError> {
        let now_ms = self.shared().now().wall.ms();
        let pruned =
            self.shared().with_core(|core| core.store_mut().prune(keep, now_ms)).ok_or(ReadError::Closed)??;
        self.shared().board.raise_everything();
        Ok(pruned)
    }

    /// How the local store names itself when it connects, which a registration for notifications says too; another after [`Client::log_out`]. `None` where
    /// that could not be kept.
    pub fn device_id(&self) -> Result<Option<DeviceId>, ReadError> {
        self.shared().read(|core| Ok(core.device()))
    }

    /// What needs the server at once.
    pub fn rest(&self) -> &Rest {
        &self.shared().rest
    }

    /// Ends the session on the server, where it can be reached, and clears this device: not a word stays in the file. The client may be used for another
    /// account then ([`Client::set_token`]).
    pub async fn log_out(&self) -> Result<(), LogOutError> {
        self.pause().map_err(|_| LogOutError::Closed)?;
        // The device first: whoever gives up waiting for the network has logged out here all the same.
        let now = self.shared().now();
        let wiped = self.shared().with_core(|core| core.wipe(now, new_device())).ok_or(LogOutError::Closed)?;
        self.shared().forget_profile();
        self.shared().board.raise_everything();
        // Without a network the session ends by itself some day.
        let ending = std::pin::pin!(self.rest().end_session());
        futures_util::future::select(ending, std::pin::pin!(wait_ms(LOG_OUT_MS))).await;
        self.rest().tokens().set(None);
        Ok(wiped?)
    }

    /// Says goodbye to the server and lets go of the file, whatever clones there are. Dropping the last one does the same without the goodbye.
    pub async fn close(self) {
        if self.pause().is_ok() {
            self.said_goodbye(CLOSE_MS).await;
        }
        self.shared().end();
    }

    /// Waits for the end of connections that are not wanted any more.
    pub(crate) async fn said_goodbye(&self, patience_ms: u64) {
        let ended = self.shared().flag(Topic::WireEnded);
        let gone = std::pin::pin!(async { while self.shared().has_wires() && ended.raised().await.is_ok() {} });
        futures_util::future::select(gone, std::pin::pin!(wait_ms(patience_ms))).await;
    }
}
