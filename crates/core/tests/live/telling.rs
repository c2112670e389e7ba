//! Other programs that are told.

use tertulia_proto::WebhookId;
use tertulia_proto::webhook::EventFilter;
use tertulia_store::jobs::{JobFilter, JobState};
use tertulia_store::webhooks::{NewEndpoint, Secret, WEBHOOK_WAKE, WakeJob};

use crate::town::Town;

/// A change that saw the endpoint switched off may be committed behind the first look; and no other wake takes the second one's place.
#[tokio::test]
async fn who_is_switched_on_is_looked_at_twice() {
    let town = Town::new();
    let (store, now) = (town.services.store(), town.services.now());
    let id = WebhookId::from_bytes([1; 16]);
    let (url, filter, secret) = ("https://shop.example".to_owned(), EventFilter::all(), Secret([7; 32]));
    assert!(store.webhooks().add_endpoint(NewEndpoint { id, url, filter, secret, now }).await.unwrap());
    town.services.enable_webhook(id).await.unwrap();
    let wake = WakeJob { endpoint: id, above: None, since: None, after: None };
    store.jobs().enqueue(vec![wake.job(now, now)]).await.unwrap();
    let filter = JobFilter { state: JobState::Ready, kind: Some(WEBHOOK_WAKE.to_owned()), after: 0, limit: 9 };
    let looks = store.jobs().list_jobs(filter).await.unwrap();
    assert_eq!(looks.iter().map(|job| job.run_at.ms() - now.ms()).collect::<Vec<_>>(), [0, 60_000]);
    assert!(looks.iter().all(|job| serde_json::from_str::<WakeJob>(&job.payload).unwrap() == wake));
    assert!(looks[0].unique_key.is_some() && looks[1].unique_key.is_none());
}
