//! Notifications on this device: what the app wants is kept here, and the server is told as soon as it can be.

use tertulia_proto::device::RegisterDevice;
use tertulia_proto::{Platform, PushProvider};

use crate::board::Topic;
use crate::client::Client;
use crate::error::CommandError;
use crate::live::Watch;

/// How this device is notified.
#[derive(Clone, PartialEq, Eq)]
pub struct PushRegistration {
    /// As the provider gave it.
    pub token: String,
    pub platform: Platform,
    pub provider: PushProvider,
    pub app_version: Option<String>,
    /// `false`: notifications say neither who nor what.
    pub shows_content: bool,
}

/// Without the token: whoever has it can notify the device.
impl std::fmt::Debug for PushRegistration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushRegistration").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl From<PushRegistration> for RegisterDevice {
    fn from(wish: PushRegistration) -> Self {
        let PushRegistration { token, platform, provider, app_version, shows_content } = wish;
        // The store says which device it is when it is told.
        Self { token, platform, provider, app_version, device_id: None, shows_content }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushState {
    /// The app has not asked for it.
    Off,
    /// The server does not know yet: there is no network, nobody has signed in, or it is being told.
    Waiting,
    Registered,
    /// The server will not have it as it is. Tried again by [`Client::register_push`], with another token of the person, and when the app starts.
    Refused {
        reason: String,
    },
}

impl Client {
    /// This device is to be notified. Kept when it returns, with or without a network; the server is told as soon as it can be reached, again whenever the
    /// app starts and whenever somebody signs in. To be called whenever the provider gives a token; the same again costs nothing.
    ///
    /// A notification comes for what has neither reached this device nor been read anywhere. [`Client::log_out`] ends it.
    ///
    /// ```no_run
    /// # use tertulia_client::*;
    /// # use tertulia_client::proto::{Platform, PushProvider};
    /// # fn registered(client: &Client, token: String) -> Result<(), CommandError> {
    /// client.register_push(PushRegistration {
    ///     token,
    ///     platform: Platform::Android,
    ///     provider: PushProvider::Fcm,
    ///     app_version: Some("1.4.0".to_owned()),
    ///     shows_content: true,
    /// })
    /// # }
    /// ```
    pub fn register_push(&self, registration: PushRegistration) -> Result<(), CommandError> {
        self.want_push(Some(registration.into()))
    }

    /// No more notifications on this device; the server is told as soon as it can be.
    pub fn unregister_push(&self) -> Result<(), CommandError> {
        self.want_push(None)
    }

    fn want_push(&self, wish: Option<RegisterDevice>) -> Result<(), CommandError> {
        let now = self.shared().now();
        let kept = self.shared().with_core(|core| core.want_push(now, wish)).ok_or(CommandError::Closed)?;
        self.shared().board.raise_all(&[Topic::Push, Topic::Wish, Topic::Driver, Topic::Wire]);
        kept.map_err(|failure| CommandError::Refused(failure.into()))
    }

    /// What became of [`Client::register_push`].
    pub fn push_state(&self) -> Watch<PushState> {
        Watch::new(self.shared(), Topic::Push, Box::new(|core: &crate::core::Core| core.push_state()))
    }
}
