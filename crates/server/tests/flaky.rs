//! A bad network on purpose, for app developers.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tertulia_testkit::{Incoming, Options, Server, Socket, SocketOptions, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn options() -> Options {
    Options::new(env!("CARGO_BIN_EXE_tertulia"))
}

async fn flaky(parts: &str) -> Result<Server> {
    Server::start(options().env("TERTULIA_FLAKY", parts)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_websocket_hears_everything_twice_and_the_log_has_it_once() -> Result<()> {
    let server = flaky("double=100%").await?;
    let (alice, bob) = (server.person("alice").await?, server.person("bob").await?);
    let dm = server.api(&alice).dm(&bob).await?.id;
    let mut socket = server.connect(&alice).await?;
    let fields = json!({ "conversationId": dm, "clientMsgId": "a-1", "body": "Hola" });
    let id = socket.send("message.send", fields).await?;
    // The request came twice as well, and each of the two answers does.
    for _ in 0..4 {
        let answer = socket.answer(id).await??;
        assert_eq!(answer["seq"], json!(1));
    }
    let first: Value = socket.next_event("message.new").await?;
    let second: Value = socket.next_event("message.new").await?;
    assert_eq!(first, second);
    assert_eq!(server.api(&alice).history_after(dm, 0).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_cut_without_a_close_frame() -> Result<()> {
    let server = flaky("cut=10%").await?;
    let alice = server.person("alice").await?;
    let mut cuts = 0;
    while cuts < 5 {
        let Ok(mut socket) = Socket::connect(server.url(), &alice.token, SocketOptions::default()).await else {
            continue;
        };
        loop {
            // A cut is also met by whoever writes.
            let _ = socket.send("sync.request", json!({})).await;
            if let Incoming::Closed(code) = socket.next().await? {
                assert_eq!(code, None);
                break;
            }
        }
        cuts += 1;
    }
    Ok(())
}

/// What comes of a request on a connection of its own.
async fn answer(server: &Server, path: &str) -> Result<String> {
    let host = server.url().strip_prefix("http://").context("an address")?;
    let mut stream = tokio::net::TcpStream::connect(host).await?;
    // The example of RFC 6455, section 1.3.
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut heard = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut heard)).await?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sockets_break_and_calls_do_not() -> Result<()> {
    let server = flaky("cut=100%").await?;
    for path in ["/socket.io/?EIO=4&transport=websocket", "/messages/subscribe"] {
        let heard = answer(&server, path).await?;
        assert!(!heard.contains("\r\n\r\n"), "{path}: the head is whole: {heard}");
    }
    let heard = answer(&server, "/health/live").await?;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_shown_and_warned_of_and_refused_where_people_depend_on_the_server() -> Result<()> {
    let server = flaky("on").await?;
    assert!(server.log().contains("WARNING: this server breaks its connections on purpose"), "{}", server.log());
    let printed = server.run(&["serve", "--flaky", "latency=20,drop=1%", "--print-config"]).await?;
    assert!(printed.contains("flaky = \"latency=20..20,drop=1%,double=0%,cut=0%\""), "{printed}");
    let printed = server.run(&["serve", "--flaky", "--print-config"]).await?;
    assert!(printed.contains("flaky = \"latency=50..800,drop=2%,double=2%,cut=1%\""), "{printed}");

    let complaint = async |server: &Server, arguments: &[&str]| -> Result<String> {
        let output = server.command(arguments).await?;
        assert!(!output.status.success());
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let wrong = complaint(&server, &["serve", "--flaky", "drop=2"]).await?;
    assert!(wrong.contains("\"drop=2\": must be 0% to 100%"), "{wrong}");
    let production = Server::new(options().env("TERTULIA_PUBLIC_URL", "https://chat.example.org"))?;
    let refused = complaint(&production, &["serve", "--flaky"]).await?;
    assert!(refused.contains("looks like production"), "{refused}");
    Ok(())
}
