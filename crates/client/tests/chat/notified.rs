//! Devices that are notified: how they register, and what is told where. Beside the server stands a provider that writes down whom it was to notify.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use tertulia_client::proto::{Platform, PushProvider, QuietHours};
use tertulia_client::{Client, PushRegistration, PushState, RestError};
use tertulia_testkit::{Options, Person, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::{World, caught_up, conversation, shows};

/// Stands in for Expo: takes everything.
struct Provider {
    url: String,
    told: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<()>,
    _task: JoinSet<()>,
}

impl Provider {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let (changes, changed) = watch::channel(());
        let (mut task, kept) = (JoinSet::new(), Arc::clone(&told));
        task.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One after the other; the server asks anew over another connection.
                if let Ok(Some(request)) = answer(stream).await {
                    kept.lock().push(request);
                    changes.send_replace(());
                }
            }
        });
        Ok(Self { url, told, changed, _task: task })
    }

    /// Somebody was notified on the device with this token, of this.
    async fn told(&mut self, token: &str, body: &str) -> Result<()> {
        let is_told = |all: &[String]| all.iter().any(|one| one.contains(token) && one.contains(body));
        within("a notification", async {
            while !is_told(&self.told.lock()) {
                self.changed.changed().await?;
            }
            anyhow::Ok(())
        })
        .await?
    }

    fn count(&self, token: &str) -> usize {
        self.told.lock().iter().filter(|one| one.contains(token)).count()
    }
}

/// Reads one request to its end and takes what is in it; answers with as many tickets.
async fn answer(mut stream: TcpStream) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let (head, body_len) = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            break (end + 4, length.map_or(Ok(0), |length| length.trim().parse::<usize>())?);
        }
    };
    while bytes.len() < head + body_len && stream.read_buf(&mut bytes).await? > 0 {}
    let body = String::from_utf8_lossy(bytes.get(head..).context("the body")?).into_owned();
    let tickets = match serde_json::from_str(&body)? {
        serde_json::Value::Array(all) => serde_json::json!(
            all.iter().map(|_| serde_json::json!({ "status": "ok", "id": "ticket" })).collect::<Vec<_>>()
        ),
        _ => serde_json::json!({ "status": "ok", "id": "ticket" }),
    };
    let said = serde_json::json!({ "data": tickets }).to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(Some(body))
}

/// A server that notifies over it, a while after a message: a device waits a second before it tells that it has one.
async fn world_with(provider: &Provider) -> Result<World> {
    let options = Options::built()?.env("TERTULIA_PUSH__EXPO", "on").env("TERTULIA_PUSH__URLS__EXPO", &provider.url);
    World::with(options.env("TERTULIA_PUSH__GRACE_MS", 5000)).await
}

fn registration(token: &str) -> PushRegistration {
    PushRegistration {
        token: format!("ExponentPushToken[{token}]"),
        platform: Platform::Android,
        provider: PushProvider::Expo,
        app_version: Some("1.2.3".to_owned()),
        shows_content: true,
    }
}

async fn is(client: &Client, wanted: PushState) -> Result<()> {
    within(&format!("{wanted:?}"), client.push_state().until(|state| *state == wanted)).await??;
    Ok(())
}

/// On how many devices the server would notify somebody.
async fn registered(world: &World, person: &Person) -> Result<usize> {
    let all = world.api(person).get("/api/v1/devices").await?.take::<serde_json::Value>()?;
    Ok(all["devices"].as_array().context("a list")?.len())
}

#[tokio::test]
async fn a_registration_made_offline_is_kept_by_the_file_and_told_when_the_server_is_there() -> Result<()> {
    let provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let (alice, _, _) = world.pair().await?;
    world.gate.shut();
    let a = world.open(&alice, "a")?;
    assert_eq!(a.push_state().get()?, PushState::Off);
    a.register_push(registration("one"))?;
    assert_eq!(a.push_state().get()?, PushState::Waiting);
    a.close().await;
    world.gate.lead_to(world.server.url())?;
    let a = world.open(&alice, "a")?;
    is(&a, PushState::Registered).await?;
    let device = a.rest().devices().await?.pop().context("the device")?;
    assert_eq!((device.device_id, device.app_version), (a.device_id()?, Some("1.2.3".to_owned())), "without a socket");
    // Another token takes the place of the first.
    a.register_push(registration("two"))?;
    is(&a, PushState::Registered).await?;
    assert_eq!(registered(&world, &alice).await?, 1);
    // Each life of the app renews it.
    let before = a.rest().devices().await?.pop().context("the device")?.registered_at;
    a.close().await;
    let a = world.open(&alice, "a")?;
    assert_eq!(a.push_state().get()?, PushState::Registered, "as far as it knows");
    within("the renewal", async {
        while a.rest().devices().await?.pop().context("the device")?.registered_at == before {}
        anyhow::Ok(())
    })
    .await??;
    a.unregister_push()?;
    assert_eq!(a.push_state().get()?, PushState::Off);
    within("the end of it", async {
        while registered(&world, &alice).await? > 0 {}
        anyhow::Ok(())
    })
    .await??;
    Ok(())
}

#[tokio::test]
async fn what_the_server_will_not_have_is_said() -> Result<()> {
    let provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let (alice, ..) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.register_push(PushRegistration { provider: PushProvider::Fcm, ..registration("one") })?;
    let refused =
        within("a refusal", a.push_state().until(|state| matches!(state, PushState::Refused { .. }))).await??;
    let PushState::Refused { reason } = refused else { anyhow::bail!("{refused:?}") };
    assert!(reason.contains("fcm"), "{reason}");
    a.register_push(registration("one"))?;
    is(&a, PushState::Registered).await?;
    Ok(())
}

#[tokio::test]
async fn a_registration_ends_with_the_sign_in_and_is_made_again_by_the_next_one() -> Result<()> {
    let provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let alice = world.server.register("alice", "correct horse battery").await?;
    let a = world.online(&alice, "a").await?;
    a.register_push(registration("one"))?;
    is(&a, PushState::Registered).await?;
    let before = a.rest().devices().await?.pop().context("the device")?.registered_at;
    let again = a.rest().login("alice@example.org", "correct horse battery").await?;
    a.set_token(again.token.as_str())?;
    within("the registration of the new sign-in", async {
        while a.rest().devices().await?.pop().context("the device")?.registered_at == before {}
        anyhow::Ok(())
    })
    .await??;
    a.log_out().await?;
    assert_eq!(a.push_state().get()?, PushState::Off, "the wish is wiped with the rest");
    let third = a.rest().login("alice@example.org", "correct horse battery").await?;
    a.set_token(third.token.as_str())?;
    caught_up(&a).await?;
    assert_eq!(a.rest().devices().await?, []);
    assert_eq!(a.push_state().get()?, PushState::Off);
    Ok(())
}

#[tokio::test]
async fn a_device_that_has_a_message_is_not_notified_of_it_although_another_one_was_faster() -> Result<()> {
    let mut provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let (alice, bob, dm) = world.pair().await?;
    let (phone, tablet) = (world.online(&alice, "phone").await?, world.online(&alice, "tablet").await?);
    for (client, token) in [(&phone, "phone"), (&tablet, "tablet")] {
        client.register_push(registration(token))?;
        is(client, PushState::Registered).await?;
    }
    // The desk has it at once and tells so, and the phone does not learn of it from the desk.
    let desk = world.online(&alice, "desk").await?;
    tablet.pause()?;
    world.api(&bob).send(dm, "x1", "the first").await?;
    shows(&desk, dm, &["the first"]).await?;
    provider.told("tablet", "the first").await?;
    assert_eq!(provider.count("phone"), 0, "it had told by then");
    // Away, it is notified.
    phone.pause()?;
    world.api(&bob).send(dm, "x2", "the second").await?;
    provider.told("phone", "the second").await?;
    provider.told("tablet", "the second").await?;
    // What it fetched in the background it is not notified of.
    let done = phone.background_sync(Duration::from_secs(20)).await?;
    assert!(done.is_caught_up && done.is_done, "{done:?}");
    Ok(())
}

#[tokio::test]
async fn what_comes_in_the_background_is_not_notified() -> Result<()> {
    let mut provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let (alice, bob, dm) = world.pair().await?;
    let (phone, tablet) = (world.online(&alice, "phone").await?, world.online(&alice, "tablet").await?);
    for (client, token) in [(&phone, "phone"), (&tablet, "tablet")] {
        client.register_push(registration(token))?;
        is(client, PushState::Registered).await?;
        client.pause()?;
    }
    world.api(&bob).send(dm, "x1", "the first").await?;
    let done = phone.background_sync(Duration::from_secs(20)).await?;
    assert!(done.is_caught_up && done.is_done, "{done:?}");
    provider.told("tablet", "the first").await?;
    assert_eq!(provider.count("phone"), 0);
    Ok(())
}

#[tokio::test]
async fn quiet_hours_and_the_servers_offer_are_asked_over_rest() -> Result<()> {
    let provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let (alice, _, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    conversation(&a, dm, |_| true).await?;
    let rest = a.rest();
    assert_eq!(rest.push_offer().await?.providers, [PushProvider::Expo]);
    assert_eq!(rest.notification_settings().await?.do_not_disturb, None);
    let night = QuietHours { from: "22:00".into(), to: "07:00".into(), time_zone: "Europe/Madrid".into() };
    assert_eq!(rest.set_do_not_disturb(Some(night.clone())).await?.do_not_disturb, Some(night.clone()));
    let nowhere = QuietHours { time_zone: "Mars/Olympus".into(), ..night };
    assert!(matches!(rest.set_do_not_disturb(Some(nowhere)).await, Err(RestError::Refused(_))));
    assert_eq!(rest.set_do_not_disturb(None).await?.do_not_disturb, None);
    a.register_push(registration("one"))?;
    is(&a, PushState::Registered).await?;
    let tested = rest.test_devices().await?;
    assert_eq!(tested.len(), 1);
    assert_eq!(tested[0].outcome, tertulia_client::proto::TestOutcome::Accepted, "{tested:?}");
    Ok(())
}

/// Not a word of it in the file either.
#[tokio::test]
async fn after_signing_out_the_token_is_gone_from_the_file() -> Result<()> {
    let provider = Provider::start().await?;
    let world = world_with(&provider).await?;
    let (alice, ..) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.register_push(registration("samovar"))?;
    is(&a, PushState::Registered).await?;
    let holds = || {
        ["a.db", "a.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(world.folder.path().join(name)).unwrap_or_default();
            bytes.windows(7).any(|window| window == b"samovar")
        })
    };
    assert!(holds(), "the test looks in the right place");
    a.log_out().await?;
    assert!(!holds());
    Ok(())
}
