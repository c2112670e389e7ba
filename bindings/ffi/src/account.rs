//! Signing in, and where tokens come from.

use tertulia_client::{Rest, Timestamp, TokenAnswer, TokenError, User};

use crate::error::TertuliaError;
use crate::runtime::run;

/// Signed in. The token belongs where the system keeps secrets.
#[derive(uniffi::Record)]
pub struct SignedIn {
    pub token: String,
    pub expires_at: Timestamp,
    pub user: User,
}

impl From<TokenAnswer> for SignedIn {
    fn from(answer: TokenAnswer) -> Self {
        Self { token: answer.token, expires_at: answer.expires_at, user: answer.user }
    }
}

/// With a local account of the server.
#[uniffi::export]
pub async fn sign_in(server: String, email: String, password: String) -> Result<SignedIn, TertuliaError> {
    run(None, async move { Ok(Rest::new(&server)?.login(&email, &password).await?.into()) }).await
}

/// Makes a local account of the server and signs it in.
#[uniffi::export]
pub async fn register(
    server: String,
    email: String,
    password: String,
    name: String,
) -> Result<SignedIn, TertuliaError> {
    run(None, async move { Ok(Rest::new(&server)?.register(&email, &password, &name).await?.into()) }).await
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error, uniffi::Error)]
pub enum NoToken {
    /// The person has to sign in. Nobody is asked again before `connect` or `set_token`.
    #[error("the person has to sign in")]
    SignedOut,
    /// It may be there later: asked again after a while.
    #[error("no token for now: {detail}")]
    Unavailable { detail: String },
}

impl From<NoToken> for TokenError {
    fn from(error: NoToken) -> Self {
        match error {
            NoToken::SignedOut => Self::SignedOut,
            NoToken::Unavailable { detail } => Self::Unavailable(detail),
        }
    }
}

/// An exception that says nothing of tokens may be gone the next time.
impl From<uniffi::UnexpectedUniFFICallbackError> for NoToken {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Unavailable { detail: error.reason }
    }
}

/// Where tokens come from, such as the app's own server: asked when there is none, and again when the server does not take the one there is.
///
/// It is asked from a thread of the client's. It must not hold the client, which holds it.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait TokenProvider: Send + Sync {
    async fn token(&self) -> Result<String, NoToken>;
}
