//! Tells the server what the app wants of notifications, as long as it takes. Beside the driver: it needs no connection, only answers.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::poll_fn;
use tertulia_engine::backoff::{self, Jitter};
use tertulia_engine::{ConnectionState, Stored};
use tertulia_proto::device::UnregisterDevice;
use tertulia_proto::error::NextStep;

use crate::board::{Flag, Over, Topic};
use crate::core::push::{Task, Told};
use crate::error::RestError;
use crate::platform::{random, wait_ms};
use crate::shared::Shared;

/// What one look at it came to.
enum Turn {
    /// There is nothing to tell, or nobody to tell it now.
    Nothing,
    Told,
    Failed {
        retry_after_ms: u64,
    },
}

/// Until the client is closed.
pub async fn keep_registered(shared: Arc<Shared>) {
    let flags = (shared.flag(Topic::Wish), shared.flag(Topic::Connection));
    let mut jitter = Jitter::new(random::<8>().map_or(0, u64::from_le_bytes));
    let mut tries = 0;
    loop {
        let waited = match turn(&shared).await {
            Turn::Told => {
                tries = 0;
                continue;
            }
            Turn::Nothing => {
                tries = 0;
                raised(&flags, None).await.map(drop)
            }
            Turn::Failed { retry_after_ms } => {
                tries += 1;
                let wait = backoff::retry_ms(tries, &mut jitter).max(retry_after_ms);
                time_to_try(&shared, &flags, wait).await
            }
        };
        if waited.is_err() {
            return;
        }
    }
}

/// After the wait, or when the app wants something else, or when the server has just been reached.
async fn time_to_try(shared: &Shared, flags: &(Arc<Flag>, Arc<Flag>), wait: u64) -> Result<(), Over> {
    let due = shared.now().mono_ms.saturating_add(wait);
    let mut was_reached = is_reached(shared);
    loop {
        let left = due.saturating_sub(shared.now().mono_ms);
        if left == 0 || raised(flags, Some(left)).await? == Raised::Wish {
            return Ok(());
        }
        let reached = is_reached(shared);
        if reached && !was_reached {
            return Ok(());
        }
        was_reached = reached;
    }
}

fn is_reached(shared: &Shared) -> bool {
    let state = shared.with_core(|core| core.engine().connection());
    state == Some(ConnectionState::Connected { caught_up: true })
}

#[derive(PartialEq, Eq)]
enum Raised {
    Wish,
    Other,
}

async fn raised(flags: &(Arc<Flag>, Arc<Flag>), ms: Option<u64>) -> Result<Raised, Over> {
    let mut timer = pin!(async {
        match ms {
            Some(ms) => wait_ms(ms).await,
            None => std::future::pending().await,
        }
    });
    poll_fn(|context| {
        // Both are asked, so that both know whom to wake.
        let (wish, connection) = (flags.0.poll(context), flags.1.poll(context));
        match (wish, connection) {
            (Poll::Ready(Err(over)), _) | (_, Poll::Ready(Err(over))) => Poll::Ready(Err(over)),
            (Poll::Ready(Ok(())), _) => Poll::Ready(Ok(Raised::Wish)),
            (_, Poll::Ready(Ok(()))) => Poll::Ready(Ok(Raised::Other)),
            _ => timer.as_mut().poll(context).map(|()| Ok(Raised::Other)),
        }
    })
    .await
}

const LATER: Turn = Turn::Failed { retry_after_ms: 0 };

async fn turn(shared: &Shared) -> Turn {
    let tokens = shared.rest.tokens();
    // The provider is not asked for nothing, nor once it has said that only the person can help.
    match wanted(shared) {
        Some(Ok(Some(_))) if tokens.may_have_one() => {}
        Some(Err(_)) => return LATER,
        _ => return Turn::Nothing,
    }
    if tokens.proof().await.is_err() {
        return LATER;
    }
    let sign_in = tokens.sign_in();
    let task = match wanted(shared) {
        Some(Ok(Some(task))) => task,
        Some(Err(_)) => return LATER,
        _ => return Turn::Nothing,
    };
    let now = shared.now();
    if !noted(shared, shared.with_core(|core| core.push_begins(now, &task))) {
        return LATER;
    }
    let (told, retry_after_ms) = tell(shared, &task).await;
    let now = shared.now();
    let is_noted = noted(shared, shared.with_core(|core| core.push_told(now, &task, sign_in, &told)));
    if is_noted && told != Told::Failed { Turn::Told } else { Turn::Failed { retry_after_ms } }
}

fn wanted(shared: &Shared) -> Option<Stored<Option<Task>>> {
    let sign_in = shared.rest.tokens().sign_in();
    shared.with_core(|core| core.push_task(sign_in))
}

fn noted(shared: &Shared, done: Option<Stored<()>>) -> bool {
    shared.board.raise_all(&[Topic::Push, Topic::Driver, Topic::Wire]);
    matches!(done, Some(Ok(())))
}

/// And how long the server wants to be left alone.
async fn tell(shared: &Shared, task: &Task) -> (Told, u64) {
    let answer = match task {
        Task::Register(device) => match shared.rest.register_device(device).await {
            // The sign-in ended meanwhile; the next call says so too.
            Ok(device) if !device.active => return (Told::Failed, 0),
            answer => answer.map(drop),
        },
        Task::Unregister(token) => {
            shared.rest.unregister_device(&UnregisterDevice { token: Some(token.clone()), id: None }).await
        }
    };
    match answer {
        Ok(()) => (Told::Done, 0),
        Err(RestError::Refused(error)) if error.code.next_step() == NextStep::NeverAgain => {
            (Told::Refused(error.detail), 0)
        }
        Err(RestError::Refused(error)) => (Told::Failed, error.retry_after_ms.unwrap_or(0)),
        Err(_) => (Told::Failed, 0),
    }
}
