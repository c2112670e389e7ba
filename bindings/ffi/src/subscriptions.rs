//! What there is to see: awaited step by step, or told to a listener.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, poll_fn, select};
use parking_lot::Mutex;
use tertulia_client::{
    Conversation, ListDiff, Member, Message, PresenceState, PushState, ReadError, TypingState, Waiting, Watch,
};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinSet, block_in_place};

use crate::error::TertuliaError;
use crate::listener::{Event, Listener};
use crate::model::{ConnectionState, ConversationDiff, MessageDiff, Refusal, TimelineWindow};
use crate::runtime::{Cancel, runtime};

/// A subscription of the client, asked without being held in between: so its other calls need not wait for `next`.
pub(crate) trait Source: Send + 'static {
    type Told: Send;

    /// A future made anew for each poll, which the client allows: what it waits for is remembered by the subscription.
    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::Told, ReadError>>;
}

macro_rules! sources {
    ($($source:ty => $told:ty;)*) => {$(
        impl Source for $source {
            type Told = $told;

            fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::Told, ReadError>> {
                pin!(self.next()).poll(context)
            }
        }
    )*};
}

sources! {
    tertulia_client::Conversations => Vec<ListDiff<Conversation>>;
    tertulia_client::Timeline => Vec<ListDiff<Message>>;
    tertulia_client::Refusals => tertulia_client::Refused;
}

impl<T: Clone + PartialEq + Send + 'static> Source for Watch<T> {
    type Told = T;

    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Result<T, ReadError>> {
        pin!(self.next()).poll(context)
    }
}

struct Reader<S> {
    source: Mutex<S>,
    /// A subscription wakes one reader; a second one waits here.
    turn: AsyncMutex<()>,
    over: Cancel,
    listening: Mutex<JoinSet<()>>,
}

impl<S: Source> Reader<S> {
    fn new(source: S) -> Self {
        Self {
            source: Mutex::new(source),
            turn: AsyncMutex::default(),
            over: Cancel::default(),
            listening: Mutex::default(),
        }
    }

    async fn next(&self) -> Result<S::Told, TertuliaError> {
        let told = pin!(async {
            let _turn = self.turn.lock().await;
            poll_fn(|context| self.source.lock().poll_told(context)).await
        });
        match select(pin!(self.over.cancelled()), told).await {
            Either::Left(_) => Err(TertuliaError::Cancelled),
            Either::Right((told, _)) => Ok(told?),
        }
    }

    /// Ends by itself, with the client or with `cancel`; until then it holds the reader, so that nobody need hold it.
    fn listen(
        self: &Arc<Self>,
        listener: Arc<dyn Listener>,
        event: impl Fn(S::Told) -> Event + Send + 'static,
    ) -> Result<(), TertuliaError> {
        let reader = Arc::clone(self);
        let telling = async move {
            loop {
                let event = match reader.next().await {
                    Ok(told) => event(told),
                    Err(TertuliaError::Cancelled | TertuliaError::Closed) => Event::Ended,
                    Err(why) => Event::Unreadable { why },
                };
                let is_over = matches!(event, Event::Ended);
                // Another language may take its time; other tasks of this thread go on elsewhere. What it throws, its own runtime has printed.
                let _ = block_in_place(|| listener.on_event(event));
                if is_over {
                    break;
                }
            }
        };
        self.listening.lock().spawn_on(telling, runtime()?.handle());
        Ok(())
    }
}

macro_rules! subscriptions {
    ($($(#[$doc:meta])* $name:ident($source:ty) -> $told:ty, |$value:ident| $shown:expr, $event:ident.$field:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// One reader at a time: `next`, or a listener. Let go while it is read by `next` it ends; with a listener it goes on until it is cancelled.
        #[derive(uniffi::Object)]
        pub struct $name(Arc<Reader<$source>>);

        impl $name {
            pub(crate) fn new(source: $source) -> Arc<Self> {
                Arc::new(Self(Arc::new(Reader::new(source))))
            }
        }

        #[uniffi::export]
        impl $name {
            /// What there is at once the first time, then when there is something new. After a call that another language has given up begin a new
            /// subscription: what it had found may be lost with it.
            pub async fn next(&self) -> Result<$told, TertuliaError> {
                let $value = self.0.next().await?;
                Ok($shown)
            }

            /// From now on tells the listener instead of being awaited.
            pub fn listen(&self, listener: Arc<dyn Listener>) -> Result<(), TertuliaError> {
                self.0.listen(listener, |$value| Event::$event { $field: $shown })
            }

            /// Ends it, and whoever waits: `Cancelled`. A listener may still be told what is under way, and then `Ended`.
            pub fn cancel(&self) {
                self.0.over.cancel();
            }
        }
    )*};
}

subscriptions! {
    /// The list of conversations, newest activity first.
    Conversations(tertulia_client::Conversations) -> Vec<ConversationDiff>,
        |told| told.into_iter().map(ConversationDiff::from).collect(), Conversations.steps;
    /// The newest messages of a conversation, oldest first, what is pending at the end.
    Timeline(tertulia_client::Timeline) -> Vec<MessageDiff>,
        |told| told.into_iter().map(MessageDiff::from).collect(), Timeline.steps;
    /// What the server would not do and the device has taken back: to be told to the person. From when
    /// this is asked for; the last 64 wait for a reader.
    Refusals(tertulia_client::Refusals) -> Refusal,
        |told| Refusal::from(told), Refused.refusal;
    ConnectionWatch(Watch<tertulia_client::ConnectionState>) -> ConnectionState,
        |told| ConnectionState::from(told), Connection.state;
    /// The badge: what is unread in all conversations that are not muted.
    UnreadWatch(Watch<i64>) -> i64, |told| told, UnreadTotal.count;
    /// How the registration for notifications stands.
    PushWatch(Watch<PushState>) -> PushState, |told| told, Push.state;
    /// What waits to reach the log, in order, and what was refused.
    OutboxWatch(Watch<Vec<Waiting>>) -> Vec<Waiting>, |told| told, Outbox.waiting;
    /// One conversation; `None` where it is not on this device.
    ConversationWatch(Watch<Option<Conversation>>) -> Option<Conversation>,
        |told| told, OneConversation.conversation;
    /// The members, without those who left.
    MembersWatch(Watch<Vec<Member>>) -> Vec<Member>, |told| told, Members.members;
    /// Who else writes there now.
    TypingWatch(Watch<Vec<TypingState>>) -> Vec<TypingState>, |told| told, Typing.people;
    /// Whether somebody is here; `None`: not known.
    PresenceWatch(Watch<Option<PresenceState>>) -> Option<PresenceState>, |told| told, Presence.state;
}

macro_rules! snapshots {
    ($($name:ident -> $now:ty;)*) => {$(
        #[uniffi::export]
        impl $name {
            /// What there is now.
            pub fn get(&self) -> Result<$now, TertuliaError> {
                Ok(self.0.source.lock().get()?.into())
            }
        }
    )*};
}

snapshots! {
    Conversations -> Vec<Conversation>;
    Timeline -> TimelineWindow;
    ConnectionWatch -> ConnectionState;
    PushWatch -> PushState;
    UnreadWatch -> i64;
    OutboxWatch -> Vec<Waiting>;
    ConversationWatch -> Option<Conversation>;
    MembersWatch -> Vec<Member>;
    TypingWatch -> Vec<TypingState>;
    PresenceWatch -> Option<PresenceState>;
}

#[uniffi::export]
impl Conversations {
    /// A longer list, if there are more.
    pub fn load_more(&self) {
        self.0.source.lock().load_more();
    }
}

#[uniffi::export]
impl Timeline {
    /// Widens the window by a page: what is here comes at once, what is missing as soon as the server has told it.
    pub fn load_more(&self) {
        self.0.source.lock().load_more();
    }

    /// Whether there is more above what was told last.
    pub fn has_more(&self) -> bool {
        self.0.source.lock().has_more()
    }
}
