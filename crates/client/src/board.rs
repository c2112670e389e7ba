//! Who waits for what kind of change. A change raises a flag and nothing else: whoever waits looks at the store again, so nothing queues up.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::future::poll_fn;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tertulia_engine::{Notice, Refused};
use tertulia_proto::ConversationId;

/// Refusals kept for a reader that does not read; of more the oldest go.
const REFUSALS_MAX: usize = 64;

/// Conversations told one by one to a reader that does not read; of more it looks at all.
const CHANGED_MAX: usize = 64;

/// Which conversations are other than they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    All,
    These(BTreeSet<ConversationId>),
}

impl Changed {
    fn add(&mut self, id: ConversationId) {
        if let Self::These(ids) = self {
            ids.insert(id);
            if ids.len() > CHANGED_MAX {
                *self = Self::All;
            }
        }
    }
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Any conversation, in any way. [`Flag::take_changed`] says which.
    Conversations,
    /// One conversation's title, counts, members, draft or existence.
    Conversation(ConversationId),
    /// One conversation's messages.
    Timeline(ConversationId),
    Connection,
    /// Whose data these are.
    Profile,
    /// How the registration for notifications stands.
    Push,
    /// The app wants other notifications than before.
    Wish,
    Typing(ConversationId),
    Presence,
    Refusals,
    /// The driver has something to do.
    Driver,
    /// There is something to write, or the connection is to end.
    Wire,
    /// A connection has said goodbye.
    WireEnded,
}

/// A change that has not been looked at. One task waits for it at a time.
#[derive(Debug)]
pub struct Flag {
    raised: AtomicBool,
    over: AtomicBool,
    waker: AtomicWaker,
    changed: Mutex<Changed>,
    refused: Mutex<VecDeque<Refused>>,
}

/// Nothing will change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

impl Flag {
    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), Over>> {
        self.waker.register(context.waker());
        if self.over.load(Ordering::Acquire) {
            Poll::Ready(Err(Over))
        } else if self.raised.swap(false, Ordering::AcqRel) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Waits until something has changed since the last time.
    pub async fn raised(&self) -> Result<(), Over> {
        poll_fn(|context| self.poll(context)).await
    }

    /// What one waits for may have come already.
    pub fn look_again(&self) {
        self.look_at_all();
        self.raise();
    }

    /// When it is raised next.
    pub fn look_at_all(&self) {
        *self.changed.lock() = Changed::All;
    }

    /// What changed since the last call. A flag that was told nothing in particular says all.
    pub fn take_changed(&self) -> Changed {
        std::mem::replace(&mut *self.changed.lock(), Changed::These(BTreeSet::new()))
    }

    pub fn next_refusal(&self) -> Option<Refused> {
        self.refused.lock().pop_front()
    }
}

#[derive(Debug, Default)]
struct Waiters {
    flags: Vec<(Topic, Weak<Flag>)>,
    is_over: bool,
}

#[derive(Debug, Default)]
pub struct Board(Mutex<Waiters>);

impl Board {
    /// A flag that is raised with each change of that kind; to begin with too, since nothing has been looked at. Dropped with its last owner.
    pub fn flag(&self, topic: Topic) -> Arc<Flag> {
        let mut waiters = self.0.lock();
        let flag = Arc::new(Flag {
            raised: AtomicBool::new(true),
            over: AtomicBool::new(waiters.is_over),
            waker: AtomicWaker::new(),
            changed: Mutex::new(Changed::All),
            refused: Mutex::default(),
        });
        waiters.flags.retain(|(_, flag)| flag.strong_count() > 0);
        waiters.flags.push((topic, Arc::downgrade(&flag)));
        flag
    }

    pub fn tell(&self, notice: Notice) {
        match notice {
            Notice::Conversation(id) => self.each(|topic, flag| match topic {
                Topic::Conversations => {
                    flag.changed.lock().add(id);
                    flag.raise();
                }
                topic if topic == Topic::Conversation(id) => flag.raise(),
                _ => {}
            }),
            Notice::Timeline(id) => self.each(|topic, flag| match topic {
                // Looked at with the conversation's next news.
                Topic::Conversations => flag.changed.lock().add(id),
                topic if topic == Topic::Timeline(id) => flag.raise(),
                _ => {}
            }),
            Notice::Connection => self.raise_all(&[Topic::Connection, Topic::Profile, Topic::Push]),
            Notice::Typing(id) => self.raise_all(&[Topic::Typing(id)]),
            Notice::Presence => self.raise_all(&[Topic::Presence]),
            Notice::Refused(refused) => self.each(|topic, flag| {
                if topic == Topic::Refusals {
                    let mut waiting = flag.refused.lock();
                    waiting.push_back(refused.clone());
                    if waiting.len() > REFUSALS_MAX {
                        waiting.pop_front();
                    }
                    drop(waiting);
                    flag.raise();
                }
            }),
        }
    }

    pub fn raise_all(&self, topics: &[Topic]) {
        self.each(|topic, flag| {
            if topics.contains(&topic) {
                flag.raise();
            }
        });
    }

    /// Everything is other than it was.
    pub fn raise_everything(&self) {
        self.each(|_, flag| flag.look_again());
    }

    /// Whoever waits, now or later, waits for nothing.
    pub fn end(&self) {
        self.0.lock().is_over = true;
        self.each(|_, flag| {
            flag.over.store(true, Ordering::Release);
            flag.raise();
        });
    }

    fn each(&self, mut visit: impl FnMut(Topic, &Flag)) {
        // Wakers are somebody else's code: none runs under the lock.
        let flags: Vec<(Topic, Weak<Flag>)> = self.0.lock().flags.clone();
        for (topic, flag) in flags {
            if let Some(flag) = flag.upgrade() {
                visit(topic, &flag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn many_changes_are_one_and_none_is_lost() {
        let board = Board::default();
        let flag = board.flag(Topic::Presence);
        assert_eq!(flag.raised().now_or_never(), Some(Ok(())), "nothing has been looked at");
        assert_eq!(flag.raised().now_or_never(), None);
        board.tell(Notice::Presence);
        board.tell(Notice::Presence);
        board.tell(Notice::Connection);
        assert_eq!(flag.raised().now_or_never(), Some(Ok(())));
        assert_eq!(flag.raised().now_or_never(), None);
    }

    #[test]
    fn who_waits_for_something_that_has_ended_waits_no_longer() {
        let board = Board::default();
        let before = board.flag(Topic::Driver);
        board.end();
        assert_eq!(before.raised().now_or_never(), Some(Err(Over)));
        assert_eq!(board.flag(Topic::Driver).raised().now_or_never(), Some(Err(Over)));
    }

    #[test]
    fn a_reader_of_the_list_hears_which_conversations_and_of_very_many_that_it_is_all() {
        let id = |number: usize| ConversationId::from_bytes([u8::try_from(number).unwrap(); 16]);
        let board = Board::default();
        let flag = board.flag(Topic::Conversations);
        assert_eq!(flag.take_changed(), Changed::All, "nothing has been looked at");
        board.tell(Notice::Conversation(id(1)));
        board.tell(Notice::Timeline(id(2)));
        assert_eq!(flag.take_changed(), Changed::These([id(1), id(2)].into()));
        (0..=CHANGED_MAX).for_each(|number| board.tell(Notice::Conversation(id(number))));
        assert_eq!(flag.take_changed(), Changed::All);
        board.raise_everything();
        assert_eq!(flag.take_changed(), Changed::All);
    }

    #[test]
    fn refusals_are_kept_up_to_a_bound() {
        let board = Board::default();
        let flag = board.flag(Topic::Refusals);
        let conversation = ConversationId::from_bytes([1; 16]);
        for number in 0..100 {
            board.tell(Notice::Refused(Refused { conversation, code: "gone", detail: number.to_string() }));
        }
        assert_eq!(flag.next_refusal().map(|refused| refused.detail), Some("36".to_owned()));
    }
}
