use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use tertulia_proto::{ErrorCode, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::signing::{RSA_PUBLIC_PEM, Signer, document, ec, ec_next, hmac, rsa};
use crate::auth::config::JwksTiming;
use crate::auth::jwks::{JwksCache, JwksSource};
use crate::auth::token::Unverified;
use crate::power::Clock;

#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_800_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// Answers what it is told, when it is told; counts how often it is asked.
struct Publisher {
    answers: Mutex<VecDeque<Result<String, String>>>,
    asked: AtomicUsize,
    gate: Semaphore,
}

impl JwksSource for Publisher {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>> {
        async move {
            assert_eq!(url, "https://host.example/keys");
            self.asked.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.acquire().await.unwrap();
            let mut answers = self.answers.lock();
            // The last one stays.
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().unwrap().clone() }
        }
        .boxed()
    }
}

struct World {
    clock: Arc<HandClock>,
    publisher: Arc<Publisher>,
    cache: Arc<JwksCache>,
}

const TIMING: JwksTiming = JwksTiming { max_age_ms: 600_000, retry_ms: 30_000, stale_max_ms: 86_400_000 };

impl World {
    fn new(first: &[&Signer]) -> Self {
        let clock = Arc::new(HandClock::default());
        let publisher = Arc::new(Publisher {
            answers: Mutex::new([Ok(document(first))].into()),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let url = "https://host.example/keys".to_owned();
        let cache = Arc::new(JwksCache::new(url, publisher.clone(), clock.clone(), TIMING));
        Self { clock, publisher, cache }
    }

    fn publish(&self, answer: Result<String, String>) {
        *self.publisher.answers.lock() = [answer].into();
    }

    fn later(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.publisher.asked.load(Ordering::SeqCst)
    }

    /// From now on a fetch waits.
    fn close_gate(&self) {
        self.publisher.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    async fn verify(&self, token: &str) -> Result<(), ErrorCode> {
        verify(&self.cache, token).await
    }
}

async fn verify(cache: &JwksCache, token: &str) -> Result<(), ErrorCode> {
    cache.verify(&Unverified::parse(token).unwrap()).await.map(|_| ()).map_err(|error| error.code)
}

fn token(signer: &Signer) -> String {
    signer.sign(&json!({"sub": "a"}))
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept() {
    let world = World::new(&[&rsa(), &ec()]);
    for _ in 0..3 {
        assert_eq!(world.verify(&token(&rsa())).await, Ok(()));
        assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_when_its_first_token_comes() {
    let world = World::new(&[&ec()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.publish(Ok(document(&[&ec_next()])));
    world.later(30_000);
    assert_eq!(world.verify(&token(&ec_next())).await, Ok(()));
    assert_eq!(world.verify(&token(&ec())).await, Err(ErrorCode::Unauthenticated), "the old key was withdrawn");
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn unknown_keys_ask_no_more_often_than_allowed() {
    let world = World::new(&[&ec()]);
    for _ in 0..100 {
        assert_eq!(world.verify(&token(&ec_next())).await, Err(ErrorCode::Unauthenticated));
        world.later(1000);
    }
    assert_eq!(world.asked(), 4);
}

#[tokio::test]
async fn a_thousand_unknown_keys_at_once_cost_one_fetch() {
    let world = World::new(&[&ec()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.later(30_000);
    world.publish(Ok(document(&[&ec_next()])));
    world.close_gate();
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let (cache, token) = (world.cache.clone(), token(&ec_next()));
        tasks.spawn(async move { verify(&cache, &token).await });
    }
    while world.asked() < 2 {
        tokio::task::yield_now().await;
    }
    world.publisher.gate.add_permits(1);
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn who_hangs_up_during_the_fetch_costs_the_others_nothing() {
    let world = World::new(&[&ec()]);
    world.close_gate();
    for _ in 0..10 {
        assert_eq!(world.verify(&token(&ec())).now_or_never(), None, "waits, and goes away");
    }
    assert_eq!(world.asked(), 1);
    world.publisher.gate.add_permits(1);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn old_keys_are_renewed_by_one_request_and_serve_the_others_meanwhile() {
    let world = World::new(&[&ec()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.later(TIMING.max_age_ms);
    world.close_gate();
    let (cache, first) = (world.cache.clone(), token(&ec()));
    let mut renewing = Box::pin(verify(&cache, &first));
    assert_eq!((&mut renewing).now_or_never(), None, "waits");
    assert_eq!(world.verify(&token(&ec())).await, Ok(()), "does not wait");
    world.publisher.gate.add_permits(1);
    assert_eq!(renewing.await, Ok(()));
    assert_eq!(world.asked(), 2);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn who_hangs_up_while_renewing_leaves_it_to_the_next() {
    let world = World::new(&[&ec()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.later(TIMING.max_age_ms);
    world.publish(Ok(document(&[&ec_next()])));
    world.close_gate();
    assert_eq!(world.verify(&token(&ec())).now_or_never(), None, "waits, and goes away");
    world.publisher.gate.add_permits(1);
    assert_eq!(world.verify(&token(&ec())).await, Err(ErrorCode::Unauthenticated), "the old key was withdrawn");
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_ends_with_the_age_of_the_document() {
    let world = World::new(&[&ec(), &rsa()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.publish(Ok(document(&[&rsa()])));
    world.later(TIMING.max_age_ms - 1);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.later(1);
    assert_eq!(world.verify(&token(&ec())).await, Err(ErrorCode::Unauthenticated));
}

#[tokio::test]
async fn keys_outlive_a_host_app_that_fails_but_not_for_ever() {
    let world = World::new(&[&ec()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    for failure in [Err("connection refused".to_owned()), Ok("<html>sorry</html>".to_owned())] {
        world.publish(failure);
        world.later(TIMING.max_age_ms);
        assert_eq!(world.verify(&token(&ec())).await, Ok(()));
        assert_eq!(world.verify(&token(&ec_next())).await, Err(ErrorCode::Unavailable), "nobody knows");
    }
    assert_eq!(world.asked(), 3);
    world.later(TIMING.stale_max_ms);
    assert_eq!(world.verify(&token(&ec())).await, Err(ErrorCode::Unavailable));
    world.publish(Ok(document(&[&ec()])));
    assert_eq!(world.verify(&token(&ec())).await, Err(ErrorCode::Unavailable), "asked a moment ago");
    world.later(TIMING.retry_ms);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
}

#[tokio::test]
async fn a_clock_that_is_set_back_only_asks_again() {
    let world = World::new(&[&ec()]);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    world.later(-86_400_000);
    assert_eq!(world.verify(&token(&ec())).await, Ok(()));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_shared_secret() {
    let world = World::new(&[&rsa()]);
    let jwk = rsa().jwk();
    assert_eq!(world.verify(&token(&hmac(RSA_PUBLIC_PEM))).await, Err(ErrorCode::Unauthenticated));
    assert_eq!(world.asked(), 0, "no published key could have signed it");
    for secret in [RSA_PUBLIC_PEM, jwk["n"].as_str().unwrap().as_bytes(), jwk.to_string().as_bytes()] {
        for kid in ["rsa-1", "other"] {
            for alg in ["HS256", "RS256"] {
                let forged = hmac(secret).sign_with(&json!({"alg": alg, "kid": kid}), &json!({"sub": "a"}));
                assert_eq!(world.verify(&forged).await, Err(ErrorCode::Unauthenticated));
            }
        }
    }
}
