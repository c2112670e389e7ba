//! What the screen is about: everything that is shown, and what each key and each piece of news changes of it. Pure: news and keys go in, wishes come
//! out, the time is told.

pub mod dialog;
mod keys;
pub mod line;
pub mod room;
pub mod sign_in;

use jiff::tz::TimeZone;
use tertulia_client::{
    ConnectionState, Conversation, ConversationId, ListDiff, Message, MessageRef, PresenceState, Seq, Timestamp,
    TypingState, UserId, Waiting,
};

use crate::account::Account;
use crate::app::dialog::Dialog;
use crate::app::room::Room;
use crate::text::one_line;

/// How long a notice is shown.
const NOTICE_MS: i64 = 6000;

/// How long typing rests before the draft is kept.
const DRAFT_REST_MS: i64 = 700;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    List,
    Compose,
    Messages,
}

/// News.
#[derive(Debug)]
pub enum News {
    Key(crossterm::event::KeyEvent),
    Paste(String),
    Size(u16, u16),
    /// Whether somebody looks at the terminal.
    Looked(bool),
    Tick {
        next_try_in_ms: Option<u64>,
    },
    Conversations(Vec<ListDiff<Conversation>>),
    Outbox(Vec<Parcel>),
    Connection(ConnectionState),
    Timeline {
        room: ConversationId,
        steps: Vec<ListDiff<Message>>,
        has_more: bool,
        quoted: Vec<Message>,
    },
    Typing(ConversationId, Vec<TypingState>),
    Presence(UserId, Option<PresenceState>),
    /// A conversation that was asked for is here.
    Opened(ConversationId),
    Found {
        text: String,
        hits: Vec<Message>,
    },
    /// Something came to nothing.
    Failed(String),
    /// A text that was not taken.
    GivenBack {
        room: ConversationId,
        text: String,
        why: String,
    },
    SignedIn(Account),
    SignInFailed(String),
}

/// Something that waits, and the text it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub waiting: Waiting,
    pub text: String,
}

/// What the person wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Open { room: ConversationId, peer: Option<UserId> },
    MoreConversations,
    MoreMessages,
    Send { room: ConversationId, text: String, reply_to: Option<MessageRef> },
    Edit { room: ConversationId, message: MessageRef, text: String },
    Delete { room: ConversationId, message: MessageRef },
    React { room: ConversationId, message: MessageRef, emoji: String, remove: bool },
    MarkRead(ConversationId, Seq),
    Mute(ConversationId, Option<Timestamp>),
    Draft(ConversationId, String),
    Typing(ConversationId, bool),
    Retry(i64),
    Discard(i64),
    Search(String),
    OpenDm(String),
    OpenGroup { title: String, emails: Vec<String> },
    Connect,
    SignIn(sign_in::Wanted),
    LogOut,
    Quit,
}

#[derive(Debug)]
pub struct App {
    pub me: UserId,
    pub name: String,
    pub server: String,
    pub zone: TimeZone,
    pub now: Timestamp,
    pub size: (u16, u16),
    pub is_looked_at: bool,
    pub focus: Focus,
    pub conversations: Vec<Conversation>,
    pub at: Option<ConversationId>,
    pub room: Option<Room>,
    pub outbox: Vec<Parcel>,
    pub connection: ConnectionState,
    pub next_try_in_ms: Option<u64>,
    pub dialog: Option<Dialog>,
    pub notice: Option<(String, Timestamp)>,
    wishes: Vec<Wish>,
}

impl App {
    pub fn new(account: &Account, zone: TimeZone, now: Timestamp, size: (u16, u16)) -> Self {
        Self {
            me: account.user_id,
            name: account.name.clone(),
            server: account.server.clone(),
            zone,
            now,
            size,
            is_looked_at: true,
            focus: Focus::List,
            conversations: Vec::new(),
            at: None,
            room: None,
            outbox: Vec::new(),
            connection: ConnectionState::Paused,
            next_try_in_ms: None,
            dialog: None,
            notice: None,
            wishes: Vec::new(),
        }
    }

    /// Takes news at a time; gives what is to be done.
    pub fn take(&mut self, now: Timestamp, news: News) -> Vec<Wish> {
        self.now = now;
        match news {
            News::Key(key) => self.key(key),
            News::Paste(text) => self.paste(&text),
            News::Size(width, height) => self.size = (width, height),
            News::Looked(looked) => self.is_looked_at = looked,
            News::Tick { next_try_in_ms } => self.next_try_in_ms = next_try_in_ms,
            News::Conversations(steps) => self.take_conversations(steps),
            News::Outbox(outbox) => self.outbox = outbox,
            News::Connection(state) => self.connection = state,
            News::Timeline { room, steps, has_more, quoted } => self.take_timeline(room, steps, has_more, quoted),
            News::Typing(id, typing) => self.with_room(id, |room| room.typing = typing),
            News::Presence(user, presence) => self.take_presence(user, presence),
            News::Opened(id) => {
                (self.dialog, self.notice) = (None, None);
                self.open(id, None);
            }
            News::Found { text, hits } => self.take_hits(&text, hits),
            News::Failed(why) => self.say(&why),
            News::GivenBack { room, text, why } => {
                self.say(&why);
                self.with_room(room, |room| {
                    if room.line.is_empty() {
                        room.line.set(&text);
                    }
                });
            }
            News::SignedIn(account) => {
                self.name = account.name;
                self.dialog = None;
            }
            News::SignInFailed(why) => match &mut self.dialog {
                Some(Dialog::SignIn(form)) => form.refused(why),
                _ => self.say(&why),
            },
        }
        self.settle();
        std::mem::take(&mut self.wishes)
    }

    fn wish(&mut self, wish: Wish) {
        self.wishes.push(wish);
    }

    pub fn say(&mut self, text: &str) {
        self.notice = Some((one_line(text), self.now.plus_ms(NOTICE_MS)));
    }

    fn with_room(&mut self, id: ConversationId, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.room.as_mut().filter(|room| room.id == id) {
            change(room);
        }
    }

    pub fn conversation(&self, id: ConversationId) -> Option<&Conversation> {
        self.conversations.iter().find(|of| of.id == id)
    }

    /// Those of the list: hidden ones come back when something new arrives.
    pub fn listed(&self) -> impl Iterator<Item = &Conversation> {
        let open = self.room.as_ref().map(|room| room.id);
        self.conversations.iter().filter(move |of| !of.is_hidden || Some(of.id) == open)
    }

    pub fn parked(&self) -> impl Iterator<Item = &Parcel> {
        self.outbox.iter().filter(|parcel| parcel.waiting.parked.is_some())
    }

    /// What goes by itself.
    pub fn waiting_count(&self) -> usize {
        self.outbox.len() - self.parked().count()
    }

    fn take_conversations(&mut self, steps: Vec<ListDiff<Conversation>>) {
        let before = self.conversations.len();
        steps.into_iter().for_each(|step| step.apply(&mut self.conversations));
        if self.conversations.len() > before {
            self.wish(Wish::MoreConversations);
        }
        if self.at.is_none_or(|at| self.listed().all(|of| of.id != at)) {
            let first = self.listed().next().map(|of| of.id);
            self.at = first;
        }
        let gone = self.room.as_ref().is_some_and(|room| self.conversation(room.id).is_none());
        if gone && before > 0 && !self.room.as_ref().is_some_and(|room| room.is_awaited) {
            self.room = None;
            self.focus = Focus::List;
            self.say("The conversation is gone");
        }
    }

    fn take_timeline(
        &mut self,
        id: ConversationId,
        steps: Vec<ListDiff<Message>>,
        has_more: bool,
        quoted: Vec<Message>,
    ) {
        let is_seen = self.is_end_seen();
        let read_seq = self.conversation(id).map(|of| of.read_seq);
        let me = self.me;
        self.with_room(id, |room| {
            room.take(steps, has_more, quoted);
            let is_news = |message: &Message| message.sender != me && message.seq > read_seq;
            if !is_seen && room.unread_after.is_none() && room.messages.iter().any(is_news) {
                room.unread_after = read_seq;
            }
        });
    }

    fn take_presence(&mut self, user: UserId, presence: Option<PresenceState>) {
        if let Some(room) = self.room.as_mut().filter(|room| room.peer == Some(user)) {
            room.presence = presence;
        }
    }

    fn take_hits(&mut self, text: &str, hits: Vec<Message>) {
        if let Some(Dialog::Search(search)) = &mut self.dialog {
            search.take(text, hits);
        }
    }

    /// Opens a conversation, at a message if one is named.
    fn open(&mut self, id: ConversationId, seek: Option<Seq>) {
        self.at = Some(id);
        self.focus = if seek.is_some() { Focus::Messages } else { Focus::Compose };
        if self.room.as_ref().is_some_and(|room| room.id == id) {
            self.with_room(id, |room| room.seek = seek);
            return;
        }
        self.keep_draft();
        let held = self.conversation(id);
        let peer = held.and_then(|of| Some(of.peer.as_ref()?.id));
        let mut room = Room::new(id, held, peer);
        room.seek = seek;
        self.room = Some(room);
        self.wish(Wish::Open { room: id, peer });
    }

    /// The end of the open conversation is before somebody's eyes.
    fn is_end_seen(&self) -> bool {
        let shown = crate::view::Places::of(self).timeline.is_some();
        shown
            && self.is_looked_at
            && self.dialog.is_none()
            && self.room.as_ref().is_some_and(|room| room.anchor.is_none())
    }

    /// What follows from everything else.
    fn settle(&mut self) {
        if self.notice.as_ref().is_some_and(|(_, until)| *until <= self.now) {
            self.notice = None;
        }
        self.late_peer();
        self.seek();
        self.read_what_is_seen();
        let rest = self.now.plus_ms(-DRAFT_REST_MS);
        if self.room.as_ref().is_some_and(|room| room.typed_at.is_some_and(|typed| typed <= rest)) {
            self.keep_draft();
        }
    }

    /// A conversation may have been opened before the list had it.
    fn late_peer(&mut self) {
        let Some(room) = self.room.as_ref().filter(|room| room.is_awaited) else { return };
        let Some(held) = self.conversation(room.id) else { return };
        let (id, peer) = (held.id, held.peer.as_ref().map(|peer| peer.id));
        self.with_room(id, |room| (room.is_awaited, room.peer) = (false, peer));
        self.wish(Wish::Open { room: id, peer });
    }

    /// On to the message that a search found, through as many pages as it takes.
    fn seek(&mut self) {
        let Some(room) = self.room.as_mut() else { return };
        let Some(seek) = room.seek else { return };
        let Some(first) = room.messages.iter().find_map(|message| message.seq) else { return };
        if first > seek && room.has_more {
            if !std::mem::replace(&mut room.is_loading, true) {
                self.wish(Wish::MoreMessages);
            }
            return;
        }
        room.seek = None;
        let found = room.messages.iter().find(|message| message.seq >= Some(seek)).map(|message| message.key);
        room.selected = found;
        self.show_selected();
    }

    fn read_what_is_seen(&mut self) {
        if !self.is_end_seen() {
            return;
        }
        let Some(room) = self.room.as_mut() else { return };
        let Some(newest) = room.messages.iter().rev().find_map(|message| message.seq) else { return };
        let read = self.conversations.iter().find(|of| of.id == room.id).map_or(0, |of| of.read_seq);
        if newest > read && newest > room.read_told {
            room.read_told = newest;
            let id = room.id;
            self.wish(Wish::MarkRead(id, newest));
        }
    }

    fn keep_draft(&mut self) {
        let Some(room) = self.room.as_mut().filter(|room| room.typed_at.is_some()) else { return };
        room.typed_at = None;
        let wish = Wish::Draft(room.id, room.draft().to_owned());
        self.wish(wish);
    }
}

#[cfg(test)]
mod tests;
