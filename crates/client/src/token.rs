//! The token, and where another one comes from.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::lock::Mutex as AsyncMutex;
use parking_lot::Mutex;

use crate::platform::{Ask, BoxFuture, Proof};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The person has to sign in. Nobody is asked again before [`crate::Client::connect`] or [`crate::Client::set_token`].
    #[error("the person has to sign in")]
    SignedOut,
    /// It may be there later: asked again after a while.
    #[error("no token for now: {0}")]
    Unavailable(String),
}

pub(crate) type Provider = Ask<BoxFuture<'static, Result<String, TokenError>>>;

#[derive(Default)]
pub(crate) struct Tokens {
    /// There are none: the browser says who is asking.
    by_cookie: bool,
    provider: Option<Provider>,
    /// The provider has said that only the person can help.
    is_signed_out: AtomicBool,
    held: Mutex<Option<String>>,
    /// How many different ones there have been.
    count: AtomicU64,
    asking: AsyncMutex<()>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub fn new(provider: Option<Provider>, held: Option<String>) -> Self {
        Self { provider, held: Mutex::new(held), ..Self::default() }
    }

    pub fn by_cookie() -> Self {
        Self { by_cookie: true, ..Self::default() }
    }

    pub const fn are_by_cookie(&self) -> bool {
        self.by_cookie
    }

    /// What to ask the server with.
    pub async fn proof(&self) -> Result<Proof, TokenError> {
        if self.by_cookie { Ok(Proof::Cookie) } else { self.get().await.map(Proof::Token) }
    }

    pub fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    pub fn set(&self, token: Option<String>) {
        let mut held = self.held.lock();
        if token.is_some() && *held != token {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        *held = token;
    }

    /// Another one for each token: somebody may have signed in anew.
    pub fn sign_in(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether it makes sense to ask for one.
    pub fn may_have_one(&self) -> bool {
        self.by_cookie || self.held.lock().is_some() || self.can_be_asked()
    }

    fn held(&self) -> Option<String> {
        self.held.lock().clone()
    }

    /// The one that is held, else the provider's. Whoever asks meanwhile waits for the same answer.
    async fn get(&self) -> Result<String, TokenError> {
        if let Some(token) = self.held() {
            return Ok(token);
        }
        let _asking = self.asking.lock().await;
        if let Some(token) = self.held() {
            return Ok(token);
        }
        let asked = self.provider.as_ref().ok_or(TokenError::SignedOut)?().await;
        self.is_signed_out.store(asked == Err(TokenError::SignedOut), Ordering::Relaxed);
        self.set(asked.as_ref().ok().cloned());
        asked
    }

    /// Whether asking may bring a token without the person's help.
    pub fn can_be_asked(&self) -> bool {
        self.provider.is_some() && !self.is_signed_out.load(Ordering::Relaxed)
    }

    /// The person may have signed in meanwhile.
    pub fn ask_again(&self) {
        self.is_signed_out.store(false, Ordering::Relaxed);
    }

    /// The server does not take this one. One that came meanwhile stays.
    pub fn refused(&self, proof: &Proof) {
        if let Proof::Token(token) = proof {
            self.held.lock().take_if(|held| held == token);
        }
    }
}
