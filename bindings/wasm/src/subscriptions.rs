//! What there is to see, told step by step.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{AbortHandle, abortable, poll_fn};
use gloo_timers::future::TimeoutFuture;
use js_sys::Function;
use serde::Serialize;
use tertulia_client::{CONVERSATIONS_PAGE, Client, ListDiff, ReadError, Timeline, UserId, Watch};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use crate::calls::Topic;
use crate::failure::Failure;
use crate::model::{self, ConnectionState, ListStep, TimelineChange};
use crate::worker::written;

/// So long whoever comes on the screen is gathered before the server is told whom to watch.
const WATCH_AFTER_MS: u32 = 20;

/// The size of the database changes with everything; it is looked at no oftener.
const KEPT_EVERY_MS: u32 = 2000;

const CONVERSATION_PAGES: usize = 10;

/// Of a conversation, in a page: each one costs it memory, and time with each change.
const MESSAGES: usize = 400;

type SharedTimeline = Rc<RefCell<Timeline>>;

struct Subscription {
    task: AbortHandle,
    timeline: Option<SharedTimeline>,
    watched: Option<UserId>,
}

/// All of all tabs.
pub struct Subscriptions {
    client: Client,
    live: Rc<RefCell<BTreeMap<String, Subscription>>>,
    is_watch_due: Rc<RefCell<bool>>,
}

/// Whoever is told, and how.
#[derive(Clone)]
struct Listener(Function);

impl Listener {
    fn tell<T: Serialize>(&self, value: &T) {
        // What it throws is the worker's own to handle.
        let _ = self.0.call1(&JsValue::NULL, &JsValue::from_str(&written(value)));
    }

    /// Whether anything can still come.
    fn tell_error(&self, error: ReadError) -> bool {
        let is_over = error == ReadError::Closed;
        let failure = JsValue::from_str(&written(&Failure::from(error)));
        let _ = self.0.call2(&JsValue::NULL, &JsValue::NULL, &failure);
        !is_over
    }
}

impl Subscriptions {
    pub fn new(client: Client) -> Self {
        Self { client, live: Rc::default(), is_watch_due: Rc::default() }
    }

    pub fn begin(&self, name: String, topic: Topic, told: Function) {
        let (client, to) = (&self.client, Listener(told));
        let (mut timeline, mut watched) = (None, None);
        let task = match topic {
            Topic::Connection => {
                let asked = client.clone();
                let shown = move |state| ConnectionState::of(state, asked.next_try_in_ms().ok().flatten());
                watch(client.connection(), to, shown)
            }
            Topic::Account => watch(client.profile(), to, |user| user.map(model::User::from)),
            Topic::Conversations => start(conversations(client.clone(), to)),
            Topic::UnreadTotal => watch(client.unread_total(), to, |count| count),
            Topic::Outbox => watch(client.outbox(), to, all::<_, model::Waiting>),
            Topic::Kept => start(kept(client.clone(), to)),
            Topic::Refusals => start(refusals(client.clone(), to)),
            Topic::Conversation { id } => {
                watch(client.conversation(id.0), to, |here| here.map(model::Conversation::from))
            }
            Topic::Members { id } => watch(client.members(id.0), to, all::<_, model::Member>),
            Topic::Typing { id } => watch(client.typing(id.0), to, all::<_, model::Typist>),
            Topic::Presence { user } => {
                watched = Some(user.0);
                watch(client.presence(user.0), to, |state| state.map(model::Presence::from))
            }
            Topic::Timeline { id, at, older, newer } => {
                let line = Rc::new(RefCell::new(client.timeline(id.0).bounded(MESSAGES)));
                if let Some(seq) = at {
                    // Where it can't be read, the timeline says so itself.
                    let _ = line.borrow_mut().jump_to(seq);
                }
                (0..newer).for_each(|_| drop(line.borrow_mut().load_newer()));
                (0..older).for_each(|_| line.borrow_mut().load_more());
                timeline = Some(Rc::clone(&line));
                start(messages(line, to))
            }
        };
        let replaced = self.live.borrow_mut().insert(name, Subscription { task, timeline, watched });
        self.ended(replaced);
        if watched.is_some() {
            self.watch_soon();
        }
    }

    pub fn end(&self, name: &str) {
        let ended = self.live.borrow_mut().remove(name);
        self.ended(ended);
    }

    fn ended(&self, subscription: Option<Subscription>) {
        let Some(subscription) = subscription else { return };
        subscription.task.abort();
        if subscription.watched.is_some() {
            self.watch_soon();
        }
    }

    pub fn end_all(&self) {
        let all = std::mem::take(&mut *self.live.borrow_mut());
        all.into_values().for_each(|subscription| subscription.task.abort());
    }

    pub fn with_timeline<T>(&self, name: &str, work: impl FnOnce(&mut Timeline) -> T) -> Result<T, Failure> {
        let timeline = self.live.borrow().get(name).and_then(|subscription| subscription.timeline.clone());
        let timeline = timeline.ok_or_else(|| Failure::new("closed", "the timeline is closed"))?;
        let done = work(&mut timeline.borrow_mut());
        Ok(done)
    }

    /// Whoever is shown on any tab.
    fn watch_soon(&self) {
        if self.is_watch_due.replace(true) {
            return;
        }
        let (client, live, is_due) = (self.client.clone(), Rc::clone(&self.live), Rc::clone(&self.is_watch_due));
        spawn_local(async move {
            TimeoutFuture::new(WATCH_AFTER_MS).await;
            is_due.replace(false);
            let mut people: Vec<UserId> = live.borrow().values().filter_map(|live| live.watched).collect();
            people.sort_unstable();
            people.dedup();
            // A closed client watches nobody.
            let _ = client.watch_presence(people);
        });
    }
}

fn all<T, U: From<T>>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(U::from).collect()
}

fn start(telling: impl Future<Output = ()> + 'static) -> AbortHandle {
    let (telling, handle) = abortable(telling);
    spawn_local(async move {
        // Aborted or at its end, it is over.
        let _ = telling.await;
    });
    handle
}

fn watch<T: Clone + PartialEq + 'static, U: Serialize>(
    mut source: Watch<T>,
    to: Listener,
    shown: impl Fn(T) -> U + 'static,
) -> AbortHandle {
    start(async move {
        loop {
            match source.next().await {
                Ok(value) => to.tell(&shown(value)),
                Err(error) if to.tell_error(error.clone()) => {}
                Err(_) => break,
            }
        }
    })
}

/// The whole list: with room for most people's from the beginning, so that nobody sees it grow, and with more where that is full.
async fn conversations(client: Client, to: Listener) {
    let mut source = client.conversations();
    (1..CONVERSATION_PAGES).for_each(|_| source.load_more());
    let (mut length, mut room) = (0, CONVERSATION_PAGES * CONVERSATIONS_PAGE);
    loop {
        match source.next().await {
            Ok(steps) => {
                length = steps.iter().fold(length, length_after);
                to.tell(&all::<_, ListStep<model::Conversation>>(steps));
            }
            Err(error) if to.tell_error(error.clone()) => {}
            Err(_) => break,
        }
        if length >= room {
            room += CONVERSATIONS_PAGE;
            source.load_more();
        }
    }
}

fn length_after<T>(length: usize, step: &ListDiff<T>) -> usize {
    match step {
        ListDiff::Reset(values) => values.len(),
        ListDiff::Insert { .. } => length.saturating_add(1),
        ListDiff::Remove { .. } => length.saturating_sub(1),
        ListDiff::Set { .. } => length,
    }
}

async fn messages(line: SharedTimeline, to: Listener) {
    loop {
        // Asked without being held in between, so that it can be widened meanwhile.
        let told = poll_fn(|context| pin!(line.borrow_mut().next()).poll(context)).await;
        match told {
            Ok(steps) => {
                let steps = all(steps);
                let (has_older, has_newer) = (line.borrow().has_more(), line.borrow().has_newer());
                to.tell(&TimelineChange { steps, has_older, has_newer });
            }
            Err(error) if to.tell_error(error.clone()) => {}
            Err(_) => break,
        }
    }
}

async fn refusals(client: Client, to: Listener) {
    let mut source = client.refusals();
    while let Ok(refused) = source.next().await {
        to.tell(&model::Refused::from(refused));
    }
}

async fn kept(client: Client, to: Listener) {
    let mut told = None;
    while let (Ok(bytes), Ok(is_durable)) = (client.storage_bytes(), client.is_durable()) {
        let kept = model::Kept { bytes, is_durable };
        if told.as_ref() != Some(&kept) {
            to.tell(&kept);
            told = Some(kept);
        }
        TimeoutFuture::new(KEPT_EVERY_MS).await;
    }
}
