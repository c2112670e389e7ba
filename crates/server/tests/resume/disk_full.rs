//! A disk that takes no more, played by a bound on the size of files.

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tertulia_proto::event::MessageAck;
use tertulia_proto::{ApiError, ConversationId, ErrorCode};
use tertulia_testkit::process::ending;
use tertulia_testkit::{Audit, Frame, Incoming, Ledger, Person, Server, Socket};

use crate::options;

/// Beyond it, writes fail. A commit of one message takes some 50 KiB of the write-ahead log.
const FILE_MAX_BYTES: u64 = 4 << 20;

async fn house(shell: &str) -> Result<(Server, Person, ConversationId)> {
    let server = Server::start(options().after_shell(shell)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let group = server.api(&people[0]).group("kitchen", &people[1..]).await?.id;
    Ok((server, people[0].clone(), group))
}

/// Sends, one after the other and each naming the one before, until one is not acknowledged; gives the refusal, or `None` where the connection
/// ended.
async fn send_until_refused(socket: &mut Socket, group: ConversationId, ledger: &Ledger) -> Result<Option<ApiError>> {
    for number in ledger.len()..100_000 {
        let mut fields =
            json!({ "conversationId": group, "clientMsgId": format!("m-{number}"), "body": "x".repeat(2000) });
        if number > 0 {
            fields["afterClientMsgId"] = json!(format!("m-{}", number - 1));
        }
        socket.send("message.send", fields).await?;
        loop {
            match socket.next().await? {
                Incoming::Frame(Frame::Answer { result: Ok(ack), .. }) => {
                    ledger.note(group, &serde_json::from_value::<MessageAck>(ack)?)?;
                    break;
                }
                Incoming::Frame(Frame::Answer { result: Err(refusal), .. }) => return Ok(Some(refusal)),
                Incoming::Frame(Frame::Event { .. }) => {}
                Incoming::Closed(_) => return Ok(None),
            }
        }
    }
    bail!("the disk never became full")
}

#[tokio::test]
async fn a_full_disk_is_answered_unavailable_and_loses_nothing_acknowledged() {
    let (mut server, alice, group) = house("trap '' XFSZ;").await.unwrap();
    for words in ["the store failed", "failed"] {
        server.allow(words);
    }
    let ledger = Ledger::default();
    let mut socket = server.connect(&alice).await.unwrap();
    server.limit_file_size(Some(FILE_MAX_BYTES)).unwrap();
    let refusal = send_until_refused(&mut socket, group, &ledger).await.unwrap().unwrap();
    assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal}");
    assert!(refusal.retry_after_ms.is_some());
    assert!(ledger.len() > 10, "only {} were acknowledged before", ledger.len());
    // Still full, still there: reading goes on, and the next send is refused as well.
    Audit::default().check(&server.api(&alice), group, &ledger).await.unwrap();
    let refusal = send_until_refused(&mut socket, group, &ledger).await.unwrap().unwrap();
    assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal}");

    // Room again: it goes on by itself, on the same connection.
    server.limit_file_size(None).unwrap();
    goes_on(&mut socket, group, &ledger).await.unwrap();
    Audit::default().check(&server.api(&alice), group, &ledger).await.unwrap();
    assert_eq!(server.terminate().await.unwrap().code(), Some(0));
    assert!(server.run(&["doctor"]).await.unwrap().contains("sound"));
}

/// What was refused is taken now, and what follows it.
async fn goes_on(socket: &mut Socket, group: ConversationId, ledger: &Ledger) -> Result<()> {
    let first = ledger.len();
    for number in first..first + 20 {
        let fields = json!({
            "conversationId": group, "clientMsgId": format!("m-{number}"), "body": "again",
            "afterClientMsgId": format!("m-{}", number - 1),
        });
        let ack = socket.request("message.send", fields).await.with_context(|| format!("message {number}"))?;
        ledger.note(group, &serde_json::from_value::<MessageAck>(ack)?)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_after_a_full_disk_holds_everything_acknowledged() {
    let (mut server, alice, group) = house("trap '' XFSZ;").await.unwrap();
    server.allow("failed");
    let ledger = Ledger::default();
    let mut socket = server.connect(&alice).await.unwrap();
    server.limit_file_size(Some(FILE_MAX_BYTES)).unwrap();
    let refusal = send_until_refused(&mut socket, group, &ledger).await.unwrap().unwrap();
    assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal}");
    server.kill().unwrap();
    server.launch().await.unwrap();
    Audit::default().check(&server.api(&alice), group, &ledger).await.unwrap();
    let mut socket = server.connect(&alice).await.unwrap();
    goes_on(&mut socket, group, &ledger).await.unwrap();
    Audit::default().check(&server.api(&alice), group, &ledger).await.unwrap();
}

/// Without the trap the operating system ends the process at the first write beyond the bound.
#[tokio::test]
async fn a_server_that_its_disk_quota_killed_starts_again_with_everything_acknowledged() {
    let (mut server, alice, group) = house("trap - XFSZ;").await.unwrap();
    server.allow("failed");
    let ledger = Ledger::default();
    let mut socket = server.connect(&alice).await.unwrap();
    server.limit_file_size(Some(FILE_MAX_BYTES)).unwrap();
    let refusal = send_until_refused(&mut socket, group, &ledger).await.unwrap();
    if refusal.is_none() {
        eprintln!("the server ended with {}", ending(server.ended().await.unwrap()));
    }
    server.restart().await.unwrap();
    Audit::default().check(&server.api(&alice), group, &ledger).await.unwrap();
    let mut socket = server.connect(&alice).await.unwrap();
    goes_on(&mut socket, group, &ledger).await.unwrap();
    assert_eq!(server.terminate().await.unwrap().code(), Some(0));
    assert!(server.run(&["doctor"]).await.unwrap().contains("sound"));
}
