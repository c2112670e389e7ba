//! Socket.IO with nothing but the session cookie. A browser sends it whoever made the page; it names the page's origin with every upgrade and with
//! every request to another site, but not with a page's own polling.

use axum::http::header;
use serde_json::json;
use tertulia_gateway::Settings;

use crate::support::wire::Door;
use crate::support::{Answer, Ask, Server, Wish};

const OURS: &str = "http://chat.example.org";
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const REFUSED: &str = r#"44{"message":"forbidden"}"#;

/// Opens a connection by polling and gives the answer to its CONNECT packet.
async fn poll(server: &Server, token: &str, headers: &[(&'static str, &str)]) -> String {
    let cookie = format!("tertulia_session={token}");
    let ask = |line: &str| {
        let plain = Ask::new(line).header("host", "chat.example.org").header("cookie", &cookie);
        headers.iter().fold(plain, |ask, (name, value)| ask.header(name, value))
    };
    let opened = server.call(ask(&format!("GET {POLLING}"))).await;
    let handshake: serde_json::Value = serde_json::from_str(&opened.text()[1..]).unwrap();
    let sid = handshake["sid"].as_str().unwrap();
    let connect = server.call(ask(&format!("POST {POLLING}&sid={sid}")).body("40")).await;
    assert_eq!((connect.status.as_u16(), connect.text()), (200, "ok"));
    server.call(ask(&format!("GET {POLLING}&sid={sid}"))).await.text().to_owned()
}

#[tokio::test]
async fn with_the_cookie_a_page_of_this_server_polls_without_an_origin_and_another_does_not() {
    let server = Server::new(Wish::default());
    let token = server.sign_in("Alice").await.token;
    for headers in [&[][..], &[("origin", OURS)]] {
        let answer = poll(&server, &token, headers).await;
        assert!(answer.starts_with("40{"), "{headers:?}: {answer}");
    }
    for headers in [
        &[("origin", "http://evil.example.org")][..],
        &[("origin", "null")],
        // No page's polling wants an upgrade.
        &[("upgrade", "websocket")],
    ] {
        assert_eq!(poll(&server, &token, headers).await, REFUSED, "{headers:?}");
    }
    assert_eq!(poll(&server, "nonsense", &[]).await, r#"44{"message":"unauthenticated"}"#);
}

#[tokio::test]
async fn with_the_cookie_a_socket_io_upgrade_names_its_origin() {
    let server = Server::new(Wish::default());
    let door = Door::open(&server);
    let token = server.sign_in("Alice").await.token;
    let cookie = ("cookie", format!("tertulia_session={token}"));
    let ours = ("origin", format!("http://{}", door.address));
    let evil = ("origin", "http://evil.example.org".to_owned());
    let (_, answer) = door.socketio(vec![cookie.clone(), ours], json!({})).await;
    assert!(answer.starts_with("40{"), "{answer}");
    for headers in [vec![cookie.clone()], vec![cookie, evil]] {
        let (_, answer) = door.socketio(headers.clone(), json!({})).await;
        assert_eq!(answer, REFUSED, "{headers:?}");
    }
}

fn allowed(answer: &Answer) -> (&str, &str) {
    let name = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
    (answer.header("access-control-allow-origin"), answer.header(name.as_str()))
}

#[tokio::test]
async fn listed_origins_may_read_socket_io_and_never_with_the_cookie() {
    let settings = Settings { cors_origins: vec!["https://app.example.org".to_owned()], ..Settings::default() };
    let server = Server::new(Wish { settings, ..Wish::default() });
    for (origin, expected) in [("https://app.example.org", "https://app.example.org"), ("https://evil.example.org", "")]
    {
        let opened = server.call(Ask::new(&format!("GET {POLLING}")).header("origin", origin)).await;
        assert_eq!(opened.status, 200, "{opened}");
        assert_eq!(allowed(&opened), (expected, ""), "{origin}");
        let preflight = Ask::new(&format!("OPTIONS {POLLING}"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let answer = server.call(preflight).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(allowed(&answer), (expected, ""), "{origin}");
    }
}
