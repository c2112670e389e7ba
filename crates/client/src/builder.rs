//! How a client is made.

use std::path::PathBuf;
use std::sync::Arc;

use tertulia_client_sqlite::{Keep, Key, Store};

use crate::address::Address;
use crate::client::Client;
use crate::core::Core;
use crate::error::OpenError;
use crate::platform::{Clock, Portable, Shareable, random};
use crate::rest::Rest;
use crate::shared::{Shared, new_device};
use crate::token::{Provider, TokenError, Tokens};

/// See [`Client::builder`].
pub struct Builder {
    server: String,
    file: Option<PathBuf>,
    key: Option<Key>,
    token: Option<String>,
    provider: Option<Provider>,
    by_cookie: bool,
    store: Option<Store>,
    keep: Keep,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("server", &self.server).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            file: None,
            key: None,
            token: None,
            provider: None,
            by_cookie: false,
            store: None,
            keep: Keep::default(),
        }
    }

    /// Where the messages are kept: a file of this client alone, made where it is not there. Without this call they end with the process.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Encrypts the file with this key. The app has to be built with the feature `encryption` of `tertulia-client-sqlite`, and to give the same key each
    /// time; 32 random bytes that the platform's key store keeps.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// A store that has been opened already, instead of a file: in a browser, where opening takes waiting.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// In a browser, on a page of the server itself: it has set a cookie when the person signed in, which goes with every request. There is no token then,
    /// and none is asked for.
    #[must_use]
    pub const fn by_cookie(mut self) -> Self {
        self.by_cookie = true;
        self
    }

    /// The token to begin with.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Where tokens come from: asked when there is none, and again when the server does not take the one there is. It must not hold the client, which
    /// holds it.
    ///
    /// ```no_run
    /// # use tertulia_client::{Client, TokenError};
    /// # async fn ask_my_backend() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// let client = Client::builder("https://chat.example.org")
    ///     .token_provider(|| async { ask_my_backend().await.map_err(|error| TokenError::Unavailable(error.to_string())) })
    ///     .open()?;
    /// # Ok::<(), tertulia_client::OpenError>(())
    /// ```
    #[must_use]
    pub fn token_provider<F, A>(mut self, provider: F) -> Self
    where
        F: Fn() -> A + Shareable + 'static,
        A: Future<Output = Result<String, TokenError>> + Portable + 'static,
    {
        self.provider = Some(Box::new(move || Box::pin(provider())));
        self
    }

    /// What stays on the device. 30 days, 2 GiB and the newest 50 of each conversation, where this is not called.
    #[must_use]
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Opens the store and starts the driver. Nothing is sent before [`Client::connect`].
    pub fn open(self) -> Result<Client, OpenError> {
        let address = Address::parse(&self.server)?;
        let store = match (self.store, &self.file, &self.key) {
            (Some(store), ..) => store,
            (None, Some(file), Some(key)) => Store::open_encrypted(file, key)?,
            (None, Some(file), None) => Store::open(file)?,
            (None, None, _) => Store::open_in_memory()?,
        };
        let seed = random::<8>().map(u64::from_le_bytes).ok_or(OpenError::NoRandomness)?;
        let device = new_device().ok_or(OpenError::NoRandomness)?;
        let core = Core::new(store, seed, device)?;
        let tokens = if self.by_cookie { Tokens::by_cookie() } else { Tokens::new(self.provider, self.token) };
        let rest = Rest::with(address.clone(), Arc::new(tokens))?;
        Client::start(Shared::new(core, Clock::new(), address, rest), self.keep)
    }
}
