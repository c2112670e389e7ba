//! What goes wrong on the way, the same for all four.

use futures_util::future::join_all;
use tertulia_proto::Platform;
use tertulia_push::{Answer, Network, Provider, Target};

use crate::stage::{
    ANY_HTTP, Act, HTTP2, Seen, Stage, Time, Wire, deserted, impatient, network, notification, say, say_with, target,
};
use crate::{apns, expo, fcm, webpush};

fn anything(_: &Seen) -> Result<(), String> {
    Ok(())
}

/// Good for all of them.
fn usual(seen: &Seen) -> Act {
    if seen.path == "/token" {
        return say(200, r#"{"access_token": "ya29.1", "expires_in": 3599}"#);
    }
    let body = r#"{"name": "projects/a/messages/b", "data": {"status": "ok", "id": "a"}}"#;
    say_with(200, &[("apns-id", "a")], body)
}

/// A provider that has sent once already, so it is connected and signed in; a device; and whom it sends to.
struct Case {
    stage: Stage,
    provider: Box<dyn Provider>,
    device: Target,
}

impl Case {
    async fn new(stage: Stage, provider: impl Provider + 'static, platform: Platform, token: &str) -> Self {
        let case = Self { stage, provider: Box::new(provider), device: target(platform, token) };
        case.is_accepted().await;
        case.stage.take();
        case
    }

    fn name(&self) -> &'static str {
        self.provider.name()
    }

    async fn send(&self) -> Answer {
        self.provider.send(&self.device, &notification()).await
    }

    async fn is_accepted(&self) {
        let answer = self.send().await;
        assert!(matches!(answer, Answer::Accepted { .. }), "{}: {answer:?}", self.name());
    }

    async fn is_later(&self) {
        let answer = self.send().await;
        assert!(is_later(&answer), "{}: {answer:?}", self.name());
    }
}

async fn all(network: fn() -> Network) -> [Case; 4] {
    let time = Time::new();
    let plain = || Stage::start(Wire::Plain, anything, usual);
    let (of_fcm, of_expo) = (plain().await, plain().await);
    let of_apns = Stage::start(HTTP2, anything, usual).await;
    let of_web = Stage::start(ANY_HTTP, anything, usual).await;
    let subscription = webpush::subscription(&webpush::endpoint(&of_web));
    let fcm = fcm::fcm(&of_fcm.url("http"), network(), &time);
    let apns = apns::apns(&of_apns.url("https"), network(), &time);
    let expo = expo::expo(&of_expo.url("http"), network(), &time);
    let web = webpush::webpush(network(), &time);
    [
        Case::new(of_fcm, fcm, Platform::Android, fcm::TOKEN).await,
        Case::new(of_apns, apns, Platform::Ios, apns::TOKEN).await,
        Case::new(of_expo, expo, Platform::Ios, expo::TOKEN).await,
        Case::new(of_web, web, Platform::Web, &subscription).await,
    ]
}

fn is_later(answer: &Answer) -> bool {
    matches!(answer, Answer::Later { after: None, .. })
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let given_up = async |case: Case| {
        case.stage.script([Act::Hang]);
        let late = Answer::Later { after: None, reason: "no answer in time".to_owned() };
        assert_eq!(case.send().await, late, "{}", case.name());
        case.is_accepted().await;
    };
    join_all(all(impatient).await.map(given_up)).await;
}

#[tokio::test]
async fn who_hangs_before_the_access_token_is_given_up_too() {
    let stage = Stage::start(Wire::Plain, anything, usual).await;
    let fcm = fcm::fcm(&stage.url("http"), impatient(), &Time::new());
    stage.script([Act::Hang]);
    let device = target(Platform::Android, fcm::TOKEN);
    assert!(is_later(&fcm.send(&device, &notification()).await));
    assert!(matches!(fcm.send(&device, &notification()).await, Answer::Accepted { .. }));
}

#[tokio::test]
async fn an_answer_that_stops_in_its_middle_is_a_success_only_where_the_status_says_all() {
    let stopped = async |case: Case| {
        case.stage.script([Act::HangInBody(200), Act::HangInBody(503)]);
        match case.name() {
            "webpush" => case.is_accepted().await,
            _ => case.is_later().await,
        }
        case.is_later().await;
    };
    join_all(all(impatient).await.map(stopped)).await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_its_end() {
    // Sooner than the time limit of the network.
    let both = async |case: Case| {
        case.stage.script([Act::Endless(200), Act::Endless(403)]);
        match case.name() {
            "webpush" => case.is_accepted().await,
            _ => case.is_later().await,
        }
        assert_eq!(case.send().await, Answer::Misconfigured("status 403".to_owned()), "{}", case.name());
    };
    for case in all(network).await {
        let limit = network().timeout / 2;
        tokio::time::timeout(limit, both(case)).await.expect("it is not read");
    }
}

#[tokio::test]
async fn nobody_is_led_elsewhere() {
    for case in all(network).await {
        let elsewhere = Stage::start(Wire::Plain, anything, usual).await;
        for status in [301, 302, 303, 307, 308] {
            case.stage.script([say_with(status, &[("location", &elsewhere.url("http"))], "")]);
            assert_eq!(case.send().await, Answer::Refused(format!("status {status}")), "{}", case.name());
        }
        assert_eq!(elsewhere.connections(), 0);
    }
}

#[tokio::test]
async fn where_nobody_listens_it_is_later_and_no_token_is_in_the_reason() {
    let address = deserted().await;
    let time = Time::new();
    let web = webpush::subscription(&format!("https://{address}/wpush/secret"));
    let providers: Vec<(Box<dyn Provider>, Target)> = vec![
        (Box::new(fcm::fcm(&format!("http://{address}"), network(), &time)), target(Platform::Android, fcm::TOKEN)),
        (Box::new(apns::apns(&format!("https://{address}"), network(), &time)), target(Platform::Ios, apns::TOKEN)),
        (Box::new(expo::expo(&format!("http://{address}"), network(), &time)), target(Platform::Ios, expo::TOKEN)),
        (Box::new(webpush::webpush(network(), &time)), target(Platform::Web, &web)),
    ];
    for (provider, device) in providers {
        let answer = provider.send(&device, &notification()).await;
        let refused = Answer::Later { after: None, reason: "no connection: connection refused".to_owned() };
        assert_eq!(answer, refused, "{}", provider.name());
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_is_said_to_be_unknown_and_not_shown() {
    // Never anybody's (RFC 6761, 6.4).
    let expo = expo::expo("http://secret.invalid", network(), &Time::new());
    let answer = expo.send(&target(Platform::Ios, expo::TOKEN), &notification()).await;
    let unknown = "no connection: the name could not be resolved";
    assert_eq!(answer, Answer::Later { after: None, reason: unknown.to_owned() });
}

#[tokio::test]
async fn who_is_not_believed_is_told_nothing() {
    let stage = Stage::start(HTTP2, anything, usual).await;
    let apns = apns::apns(&stage.url("https"), Network::default(), &Time::new());
    let answer = apns.send(&target(Platform::Ios, apns::TOKEN), &notification()).await;
    let distrusted = "no connection: TLS failed, the certificate is not trusted";
    assert_eq!(answer, Answer::Later { after: None, reason: distrusted.to_owned() });
    assert_eq!(stage.take().len(), 0);
    // Nor one that speaks only HTTP/1.1.
    let stage = Stage::start(Wire::Tls(&[b"http/1.1"]), anything, usual).await;
    let apns = apns::apns(&stage.url("https"), network(), &Time::new());
    assert!(is_later(&apns.send(&target(Platform::Ios, apns::TOKEN), &notification()).await));
    assert_eq!(stage.take().len(), 0);
}

#[tokio::test]
async fn who_is_slow_is_waited_for() {
    for case in all(network).await {
        case.stage.close_gate();
        let arrival = async {
            while case.stage.take().is_empty() {
                tokio::task::yield_now().await;
            }
            case.stage.open_gate();
        };
        tokio::join!(case.is_accepted(), arrival);
    }
}
