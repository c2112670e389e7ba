//! The test's world: one store, a clock that only tests move, and identifiers from a counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tertulia_proto::{ErrorCode, HistoryVisibility, Seq};

use super::Home;
use super::house::{House, Recorder};
use super::sink::{Pending, Promise, Sink, yield_now};
use super::writes::sending;
use crate::*;

/// 2026-01-01T00:00:00Z.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// How long a search index may take to catch up with a handful of messages.
const DEADLINE: Duration = Duration::from_secs(90);

/// All that one person can see, for "this changed nothing".
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    pub person: UserId,
    pub list: Vec<ConversationId>,
    pub conversations: Vec<(Conversation, Vec<Message>)>,
}

/// What some people see, what waits to be told them, and where the log stands.
#[derive(Debug, Clone)]
pub struct Still {
    sights: Vec<Sight>,
    jobs: i64,
    state: LogState,
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub rules: Arc<Recorder>,
    pub sink: Arc<Sink>,
    next_id: AtomicU64,
    now_ms: AtomicI64,
    step_ms: AtomicI64,
}

impl World {
    pub async fn open(home: &impl Home) -> Self {
        Self::open_with(home, House::default()).await
    }

    pub async fn open_with(home: &impl Home, house: House) -> Self {
        let (rules, sink) = (Arc::new(Recorder::new(house)), Arc::new(Sink::default()));
        let store = home.open(rules.clone(), sink.clone()).await;
        Self {
            store,
            rules,
            sink,
            next_id: AtomicU64::new(1),
            now_ms: AtomicI64::new(BEGINNING_MS),
            step_ms: AtomicI64::new(1000),
        }
    }

    /// A time of its own for each call, unless the clock's step says otherwise.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms.fetch_add(self.step_ms.load(Ordering::SeqCst), Ordering::SeqCst))
    }

    /// From now on the clock moves by so much at each look: 0 stands still, less goes back.
    pub fn step_clock_by(&self, ms: i64) {
        self.step_ms.store(ms, Ordering::SeqCst);
    }

    /// The form of UUIDv7, with a counter instead of chance.
    pub fn id(&self) -> [u8; 16] {
        let n = self.next_id.fetch_add(1, Ordering::SeqCst);
        let ms = self.now_ms.load(Ordering::SeqCst).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&ms[2..]);
        bytes[6] = 0x70;
        bytes[8..].copy_from_slice(&((1 << 63) | n).to_be_bytes());
        bytes
    }

    /// Queues a write and comes back at once.
    pub fn submit(&self, write: Write) -> Pending {
        self.submit_then(write, |_| ())
    }

    /// As [`Self::submit`]; `then` runs inside the completion.
    pub fn submit_then(&self, write: Write, then: impl FnOnce(&WriteResult) + Send + 'static) -> Pending {
        let (promise, pending) = Promise::new();
        let done = move |result: &WriteResult| {
            then(result);
            promise.keep(result);
        };
        self.store.submit(write, Box::new(done));
        pending
    }

    /// Submits all, one right after the other, and waits for all.
    pub async fn burst(&self, writes: Vec<Write>) -> Vec<WriteResult> {
        let pending: Vec<Pending> = writes.into_iter().map(|write| self.submit(write)).collect();
        let mut results = Vec::new();
        for one in pending {
            results.push(one.await);
        }
        results
    }

    /// What came of a write that must succeed.
    pub async fn done(&self, write: Write) -> Effect {
        let what = format!("{write:?}");
        self.submit(write).await.unwrap_or_else(|error| panic!("{what}\ncame to {error:?}"))
    }

    /// The code of a write that must be refused.
    pub async fn refused(&self, write: Write) -> ErrorCode {
        let what = format!("{write:?}");
        let result = self.submit(write).await;
        code_of(&result).unwrap_or_else(|| panic!("{what}\nwas not refused but came to {result:?}"))
    }

    pub async fn person(&self, name: &str) -> UserId {
        match self.done(Write::CreateUser(self.newcomer(name))).await {
            Effect::UserReady { user, .. } => user.id,
            other => unexpected(&other),
        }
    }

    pub async fn people<const N: usize>(&self, names: [&str; N]) -> [UserId; N] {
        let mut people = Vec::new();
        for name in names {
            people.push(self.person(name).await);
        }
        people.try_into().expect("as many people as names")
    }

    /// Has the DM of the two opened.
    pub async fn dm(&self, actor: UserId, peer: UserId) -> ConversationId {
        opened(&self.done(self.opening_dm(actor, peer)).await)
    }

    /// A group whose new members see what came after they joined.
    pub async fn group(&self, owner: UserId, members: &[UserId]) -> ConversationId {
        opened(&self.done(self.creating_group(owner, members, HistoryVisibility::Joined)).await)
    }

    /// A group whose new members see everything.
    pub async fn open_group(&self, owner: UserId, members: &[UserId]) -> ConversationId {
        opened(&self.done(self.creating_group(owner, members, HistoryVisibility::All)).await)
    }

    pub async fn send(&self, sender: UserId, conversation: ConversationId, body: &str) -> Message {
        message_of(self.done(sending(&self.message(sender, conversation, body))).await)
    }

    pub async fn send_many(&self, sender: UserId, conversation: ConversationId, count: Seq) -> Vec<Message> {
        let writes =
            (1..=count).map(|n| sending(&self.message(sender, conversation, &format!("message {n}")))).collect();
        self.burst(writes).await.into_iter().map(|result| message_of(result.expect("a message goes through"))).collect()
    }

    /// The conversation as a member sees it.
    pub async fn view(&self, person: UserId, conversation: ConversationId) -> Conversation {
        let view = self.store.conversation(person, conversation).await.expect("the store reads");
        view.expect("a member sees the conversation")
    }

    pub async fn member(&self, viewer: UserId, conversation: ConversationId, person: UserId) -> Member {
        let members = self.view(viewer, conversation).await.members.expect("the single call brings the members");
        members.iter().find(|member| member.user_id == person).cloned().expect("the person is a member")
    }

    pub async fn unread(&self, person: UserId, conversation: ConversationId) -> i64 {
        self.view(person, conversation).await.unread_count
    }

    pub async fn page(
        &self,
        person: UserId,
        conversation: ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> HistoryPage {
        let page = self.store.history(person, conversation, range, limit).await.expect("the store reads");
        page.expect("a member has a history")
    }

    /// Everything the member may see of the conversation.
    pub async fn history(&self, person: UserId, conversation: ConversationId) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let after = messages.last().map_or(0, |message| message.seq);
            let page = self.page(person, conversation, HistoryRange::After(after), 50).await;
            assert!(page.has_more <= !page.messages.is_empty(), "a page that has more brings something");
            messages.extend(page.messages);
            if !page.has_more {
                return messages;
            }
        }
    }

    pub async fn message_seen(&self, person: UserId, message: &Message) -> Option<Message> {
        self.store.message(person, message.conversation_id, message.message_id).await.expect("the store reads")
    }

    /// The whole list, fetched in pages of `limit`.
    pub async fn list(&self, person: UserId, limit: usize) -> Vec<Conversation> {
        let mut all: Vec<Conversation> = Vec::new();
        loop {
            let after = all.last().map(cursor_of);
            let page = self.store.conversations(person, after, limit).await.expect("the store reads");
            assert!(
                page.conversations.len() <= limit,
                "a page of {} where {limit} were asked",
                page.conversations.len()
            );
            assert!(!page.has_more || page.conversations.len() == limit, "a page with more behind it is full");
            all.extend(page.conversations);
            assert!(all.len() < 1000, "a list that does not end");
            if !page.has_more {
                return all;
            }
        }
    }

    pub async fn log_state(&self) -> LogState {
        self.store.log_state().await.expect("the store reads")
    }

    /// What these people see now.
    pub async fn sights(&self, people: &[UserId]) -> Vec<Sight> {
        let mut sights = Vec::new();
        for &person in people {
            let mut conversations = Vec::new();
            let mut ids = self.store.memberships(person).await.expect("the store reads");
            ids.sort();
            for id in ids {
                conversations.push((by_id(self.view(person, id).await), self.history(person, id).await));
            }
            let list = self.list(person, 50).await.into_iter().map(|conversation| conversation.id).collect();
            sights.push(Sight { person, list, conversations });
        }
        sights
    }

    /// How things are for these people, to be held against how they are later.
    pub async fn still(&self, people: &[UserId]) -> Still {
        let (sights, jobs) = (self.sights(people).await, self.jobs_ready().await);
        Still { sights, jobs, state: self.log_state().await }
    }

    /// Whether nothing has changed since, and nothing that a difference would tell. How far a position moves by itself is the home's own affair.
    pub async fn assert_still(&self, before: &Still, when: &str) {
        let people: Vec<UserId> = before.sights.iter().map(|sight| sight.person).collect();
        assert_eq!(self.sights(&people).await, before.sights, "{when}");
        assert_eq!(self.jobs_ready().await, before.jobs, "{when}: jobs");
        let state = self.log_state().await;
        assert_eq!(state.epoch, before.state.epoch, "{when}: the epoch");
        assert!(state.position >= before.state.position, "{when}: a position does not go back");
        for person in people {
            let from = SyncFrom { base: before.state.position, within: None };
            // Not from the very beginning, from where there is always something to tell.
            if from != SyncFrom::BEGINNING {
                let page = self.store.difference(person, from, None, 10, 10).await.expect("the store reads");
                assert!(page.conversations.is_empty() && page.removed.is_empty(), "{when}: {page:?}");
            }
        }
    }

    /// The bodies that a search finds once the index has caught up.
    pub async fn found(&self, person: UserId, text: &str) -> Vec<String> {
        self.search(person, text, None, 50).await.into_iter().map(|message| message.body).collect()
    }

    pub async fn search(
        &self,
        person: UserId,
        text: &str,
        within: Option<ConversationId>,
        limit: usize,
    ) -> Vec<Message> {
        self.search_caught_up().await;
        self.store.search(person, text.to_owned(), within, limit).await.expect("the store reads")
    }

    pub async fn search_caught_up(&self) {
        self.soon("the search index catches up", async || self.store.search_lag().conversations == 0).await;
    }

    /// For what a home gets to by itself. The end of the log is one such thing: a home that works on its index at the moment may say that what was
    /// just acknowledged is not yet below it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a deadline for a home with threads of its own; no result depends on it"
    )]
    pub async fn soon(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < DEADLINE, "not so: {what}");
            std::thread::yield_now();
            yield_now().await;
        }
    }

    pub async fn jobs_ready(&self) -> i64 {
        self.store.job_counts().await.expect("the store reads").ready
    }
}

/// Where a page of the list ends: its last conversation's newest activity.
pub fn cursor_of(conversation: &Conversation) -> ListCursor {
    let at = conversation.last_message_at.unwrap_or(conversation.created_at);
    ListCursor { activity_at_ms: at.ms(), id: conversation.id }
}

/// The same conversation with its members in order of id: nobody promises another.
pub fn by_id(mut conversation: Conversation) -> Conversation {
    if let Some(members) = &mut conversation.members {
        let mut sorted = members.to_vec();
        sorted.sort_by_key(|member| member.user_id);
        *members = sorted.into();
    }
    conversation
}

/// The code of a refusal.
pub fn code_of(result: &WriteResult) -> Option<ErrorCode> {
    match result {
        Err(WriteError::Refused(error)) => Some(error.code),
        _ => None,
    }
}

#[track_caller]
pub fn unexpected(effect: &Effect) -> ! {
    panic!("another effect than this write has: {effect:?}")
}

#[track_caller]
pub fn message_of(effect: Effect) -> Message {
    match effect {
        Effect::MessageAppended { message, .. }
        | Effect::MessageEdited { message, .. }
        | Effect::MessageDeleted { message, .. } => message,
        other => unexpected(&other),
    }
}

#[track_caller]
pub fn opened(effect: &Effect) -> ConversationId {
    match effect {
        Effect::ConversationOpened { views, .. } => views.first().expect("the actor's view is the first").1.id,
        other => unexpected(other),
    }
}

/// Whether the write changed something, where its effect says so.
#[track_caller]
pub fn changed(effect: &Effect) -> bool {
    match effect {
        Effect::MessageAppended { fresh, .. } | Effect::ConversationOpened { fresh, .. } => *fresh,
        Effect::MessageEdited { changed, .. }
        | Effect::MessageDeleted { changed, .. }
        | Effect::ReactionsChanged { changed, .. }
        | Effect::WatermarksAdvanced { changed, .. }
        | Effect::TitleChanged { changed, .. }
        | Effect::MemberAdded { changed, .. }
        | Effect::RoleChanged { changed, .. } => *changed,
        Effect::UserReady { created, .. } => *created,
        other => unexpected(other),
    }
}
