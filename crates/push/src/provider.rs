//! What every provider can do, and what may come of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_proto::Timestamp;

use crate::notification::{Notification, Target};

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a provider said. Reasons are for operators: they name the provider's own codes, never a token or what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The provider has it, and brings it when it can; `id` is its name for it, where it gave one.
    Accepted { id: Option<String> },
    /// The token is no longer valid, or never was: the device is to be switched off.
    Unregistered(String),
    /// Not now; `after` is what the provider wants waited, a day at most.
    Later { after: Option<Duration>, reason: String },
    /// Never as it is: too large, or wrong.
    Refused(String),
    /// Neither the device's fault nor the message's: our credentials, our clock or our settings are wrong. To be told when somebody has mended them; until then
    /// it says nothing against a device.
    Misconfigured(String),
}

impl Answer {
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later { after: None, reason: reason.into() }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    pub(crate) fn misconfigured(reason: impl Into<String>) -> Self {
        Self::Misconfigured(reason.into())
    }

    pub(crate) fn unregistered(reason: impl Into<String>) -> Self {
        Self::Unregistered(reason.into())
    }
}

pub trait Provider: Send + Sync {
    fn name(&self) -> &'static str;

    /// One try; who calls tries again. It ends within the time limit of its [`Network`](crate::Network), and may be dropped at any time. A device may be
    /// told twice: what is shown of a conversation replaces what was shown of it before.
    fn send<'a>(&'a self, target: &'a Target, notification: &'a Notification) -> BoxFuture<'a, Answer>;

    /// Whether it tells later what became of what it took.
    fn gives_receipts(&self) -> bool {
        false
    }

    /// What became of notifications, by the `id` of [`Answer::Accepted`]. One that the provider does not know yet, or no longer, is not among the answers;
    /// where it could not be asked, each says so with [`Answer::Later`].
    fn receipts<'a>(&'a self, _ids: &'a [String]) -> BoxFuture<'a, Vec<(String, Answer)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Whether what was shown can be taken away. Where not, withdrawals are not to be sent.
    fn withdraws(&self) -> bool {
        true
    }
}

/// A setting that can't work. Never says what is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {why}")]
pub struct ConfigError {
    pub setting: &'static str,
    pub why: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, why: impl Into<String>) -> Self {
        Self { setting, why: why.into() }
    }
}
