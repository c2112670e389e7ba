//! How a test hears of its writes: the sink that hands results on, and the answer one can wait for.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::*;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands each result to whom it belongs, in the order in which the home gives them, and keeps that order.
#[derive(Default)]
pub struct Sink {
    results: Mutex<Vec<WriteResult>>,
    is_busy: AtomicBool,
    was_entered_twice: AtomicBool,
}

impl Sink {
    /// Every result so far, in the order in which the home gave them.
    pub fn results(&self) -> Vec<WriteResult> {
        locked(&self.results).clone()
    }

    /// Whether the home ever called the sink while it was still in an earlier call.
    pub fn was_entered_twice(&self) -> bool {
        self.was_entered_twice.load(Ordering::SeqCst)
    }
}

impl CommitSink for Sink {
    fn committed(&self, batch: Vec<Committed>) {
        if self.is_busy.swap(true, Ordering::SeqCst) {
            self.was_entered_twice.store(true, Ordering::SeqCst);
        }
        for Committed { result, done } in batch {
            locked(&self.results).push(result.clone());
            done(&result);
        }
        self.is_busy.store(false, Ordering::SeqCst);
    }
}

/// The answer to one write, some day.
#[must_use]
pub struct Pending(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

enum Answer {
    Given(Box<WriteResult>),
    /// The completion was dropped without a call.
    Lost,
}

/// What a completion holds. Dropped without a call it tells so, lest a test wait for ever.
pub(super) struct Promise(Arc<Mutex<Slot>>);

impl Promise {
    pub(super) fn new() -> (Self, Pending) {
        let slot = Arc::<Mutex<Slot>>::default();
        (Self(slot.clone()), Pending(slot))
    }

    pub(super) fn keep(self, result: &WriteResult) {
        locked(&self.0).answer = Some(Answer::Given(Box::new(result.clone())));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut slot = locked(&self.0);
        slot.answer.get_or_insert(Answer::Lost);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl Future for Pending {
    type Output = WriteResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WriteResult> {
        let mut slot = locked(&self.0);
        match slot.answer.take() {
            Some(Answer::Given(result)) => Poll::Ready(*result),
            Some(Answer::Lost) => panic!("the home dropped a completion without calling it"),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Lets others run.
pub async fn yield_now() {
    let mut is_second = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
