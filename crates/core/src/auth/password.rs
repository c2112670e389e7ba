//! Passwords: argon2id, off the async workers, few at once.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tertulia_proto::{ApiError, ErrorCode};
use tokio::sync::Semaphore;

/// OWASP Password Storage Cheat Sheet, argon2id: 19 MiB, 2 passes, 1 lane.
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id>
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const RETRY_AFTER_MS: u64 = 2000;

/// The hash of 32 random bytes that were thrown away, with the parameters above: what a password is compared with where there is none, so that an
/// unknown e-mail address takes as long as a wrong password.
pub(super) const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cea3R2o80xP7fnqrIQ0otA$b1iHqciK8Pcrau2ZECm9XKgbY+sgZjx3o+7S4qYBZFo";

/// Hashes so many passwords at once, lets so many wait, and refuses the rest: a flood of sign-ins takes neither the memory nor the workers.
#[derive(Debug)]
pub(super) struct HashPool {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl HashPool {
    pub(super) fn new(parallel: usize, waiting_max: usize) -> Self {
        let admitted = parallel.saturating_add(waiting_max).min(Semaphore::MAX_PERMITS);
        Self { running: Arc::new(Semaphore::new(parallel)), admitted: Arc::new(Semaphore::new(admitted)) }
    }

    /// A PHC string.
    pub(super) async fn hash(&self, password: String, salt: [u8; 16]) -> Result<String, ApiError> {
        self.run(move || {
            argon2()
                .and_then(|argon2| argon2.hash_password_with_salt(password.as_bytes(), &salt))
                .map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| failed(&error))
    }

    /// Compares in constant time. The cost is that of the hash's own parameters.
    pub(super) async fn verify(&self, password: String, phc: String) -> Result<bool, ApiError> {
        let result = self
            .run(move || {
                let hash = PasswordHash::new(&phc)?;
                argon2()?.verify_password(password.as_bytes(), &hash)
            })
            .await?;
        match result {
            Ok(()) => Ok(true),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = || ApiError::retry(ErrorCode::Unavailable, "too many people sign in at once", RETRY_AFTER_MS);
        let place = self.admitted.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = self.running.clone().acquire_owned().await.map_err(|_| busy())?;
        // Both go with the job: it runs to its end also when nobody waits for it any more.
        let work = tokio::task::spawn_blocking(move || {
            let result = job();
            drop((turn, place));
            result
        });
        work.await.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            busy()
        })
    }
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Error::ParamsInvalid)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(error: &Error) -> ApiError {
    tracing::error!(%error, "a password could not be hashed or compared");
    ApiError::retry(ErrorCode::Unavailable, "passwords can't be checked at the moment", RETRY_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn parameters(phc: &str) -> &str {
        phc.rsplitn(3, '$').last().unwrap()
    }

    #[tokio::test]
    async fn a_hash_takes_its_password_and_no_other() {
        let pool = HashPool::new(2, 2);
        let hash = pool.hash("correct horse".to_owned(), [7; 16]).await.unwrap();
        assert_eq!(parameters(&hash), "$argon2id$v=19$m=19456,t=2,p=1");
        assert!(pool.verify("correct horse".to_owned(), hash.clone()).await.unwrap());
        assert!(!pool.verify("Correct horse".to_owned(), hash).await.unwrap());
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_a_real_one_does() {
        let pool = HashPool::new(1, 0);
        let real = pool.hash("correct horse".to_owned(), [7; 16]).await.unwrap();
        assert_eq!(parameters(&real), parameters(NOBODYS_HASH));
        assert_eq!(real.len(), NOBODYS_HASH.len());
        assert!(!pool.verify(String::new(), NOBODYS_HASH.to_owned()).await.unwrap());
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_none_is_no_wrong_password() {
        let error = HashPool::new(1, 0).verify("x".to_owned(), "$2y$nonsense".to_owned()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_comes_when_all_places_are_taken_is_told_to_come_back() {
        let pool = Arc::new(HashPool::new(1, 1));
        let (free, wait) = mpsc::channel::<()>();
        let mut tasks = tokio::task::JoinSet::new();
        let running = pool.clone();
        tasks.spawn(async move { running.run(move || wait.recv().is_ok()).await.unwrap() });
        while pool.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = pool.clone();
        tasks.spawn(async move { waiting.run(|| true).await.unwrap() });
        while pool.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = pool.run(|| true).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Unavailable, Some(RETRY_AFTER_MS)));
        free.send(()).unwrap();
        assert_eq!(tasks.join_all().await, [true, true]);
        assert!(pool.run(|| true).await.unwrap());
    }
}
