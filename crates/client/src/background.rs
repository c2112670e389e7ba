//! The app is woken for a moment: what is new is fetched, what waits is sent, and the server learns what has come.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use tertulia_engine::{Command, ConnectionState};

use crate::board::Topic;
use crate::client::{CLOSE_MS, Client};
use crate::core::Input;
use crate::error::{CommandError, SyncError};
use crate::platform::wait_ms;
use crate::shared::Shared;

/// How far a moment in the background came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncOutcome {
    /// All that was new is on this device.
    pub is_caught_up: bool,
    /// And all that this device had to tell is told: another moment would find nothing to do, but for what waits for the person.
    pub is_done: bool,
    /// What still waits in the outbox, what was refused included.
    pub outbox_len: usize,
}

/// Whether to be connected: as the app has said, and while somebody in the background needs it.
#[derive(Debug, Default)]
pub struct Wanted {
    by_app: AtomicBool,
    visits: AtomicUsize,
}

/// Somebody in the background needs the connection; with the last of them it ends, unless the app wants it.
struct Visit<'a>(&'a Shared);

impl<'a> Visit<'a> {
    fn begin(shared: &'a Shared) -> Result<Self, CommandError> {
        shared.wanted.visits.fetch_add(1, Ordering::AcqRel);
        let visit = Self(shared);
        let state = shared.with_core(|core| core.engine().connection()).ok_or(CommandError::Closed)?;
        match state {
            ConnectionState::Connected { .. } => shared.step(Input::Command(Command::SyncNow))?,
            _ => shared.step(Input::Connect)?,
        }
        Ok(visit)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let wanted = &self.0.wanted;
        if wanted.visits.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // What the app says meanwhile counts, whichever of the two steps comes last.
        let mut is_wanted = true;
        while is_wanted != wanted.by_app.load(Ordering::Acquire) {
            is_wanted = !is_wanted;
            let _ = self.0.step(if is_wanted { Input::Connect } else { Input::Pause });
        }
    }
}

impl Shared {
    /// The app wants to be connected, or not to be, until it says otherwise.
    pub fn want_connection(&self, by_app: bool) -> Result<(), CommandError> {
        self.wanted.by_app.store(by_app, Ordering::Release);
        self.step(if by_app { Input::Connect } else { Input::Pause })
    }
}

impl Client {
    /// For the moments that a phone gives an app in the background (iOS some 30 s): connects, catches up, sends what the outbox holds as far as it comes, and
    /// tells what has come, so that it is not notified of. Over as soon as that is done, at the latest at the limit, whatever the network does; then the
    /// connection is again as it was. Dropped before its end it leaves it so too.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn woken(client: &tertulia_client::Client) -> Result<(), tertulia_client::SyncError> {
    /// let outcome = client.background_sync(Duration::from_secs(25)).await?;
    /// println!("{} in the outbox", outcome.outbox_len);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn background_sync(&self, limit: Duration) -> Result<SyncOutcome, SyncError> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let over = self.shared().now().mono_ms.saturating_add(limit_ms);
        let done = {
            self.rest().tokens().ask_again();
            let _visit = Visit::begin(self.shared())?;
            let working = pin!(self.until_settled());
            match select(working, pin!(wait_ms(limit_ms))).await {
                Either::Left((settled, _)) => settled.and_then(|()| self.outcome(true)),
                Either::Right(_) => self.outcome(false),
            }
        };
        let left = over.saturating_sub(self.shared().now().mono_ms);
        if matches!(self.connection().get()?, ConnectionState::Paused) {
            self.said_goodbye(left.min(CLOSE_MS)).await;
        }
        done
    }

    /// Or until nothing can come of it.
    async fn until_settled(&self) -> Result<(), SyncError> {
        // Raised with every step of the engine.
        let flag = self.shared().flag(Topic::Driver);
        loop {
            let (state, is_settled) = self.shared().read(|core| {
                let engine = core.engine();
                Ok((engine.connection(), engine.is_settled()))
            })?;
            match state {
                ConnectionState::SignedOut if !self.rest().tokens().can_be_asked() => return Err(SyncError::SignedOut),
                ConnectionState::WrongAccount => return Err(SyncError::WrongAccount),
                // The app has ended it.
                ConnectionState::Paused => return Ok(()),
                _ if is_settled => return Ok(()),
                _ => flag.raised().await.map_err(|_| CommandError::Closed)?,
            }
        }
    }

    fn outcome(&self, is_over: bool) -> Result<SyncOutcome, SyncError> {
        Ok(self.shared().read(|core| {
            let is_caught_up = core.engine().connection() == ConnectionState::Connected { caught_up: true };
            let is_done = is_over && core.engine().is_settled();
            Ok(SyncOutcome { is_caught_up, is_done, outbox_len: core.store().outbox_len()? })
        })?)
    }
}
