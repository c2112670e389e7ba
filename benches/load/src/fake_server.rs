//! A server of one conversation, by somebody else's WebSocket: it keeps the contract, or breaks it in one place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::crowd::Crowd;
use crate::people::Person;
use crate::protocol::Protocol;
use crate::server::{Server, ServerOptions};
use crate::traffic::{Plan, PlannedConversation, PlannedFlow, Violations};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The peer does not get message 5.
    Loses,
    /// Everybody gets message 5 twice.
    Doubles,
}

#[derive(Default)]
struct State {
    last_seq: u64,
    connections: HashMap<String, UnboundedSender<String>>,
}

async fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State::default()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&state), fault));
        }
    });
    address
}

#[expect(clippy::result_large_err, reason = "the library's signature")]
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, fault: Fault) {
    stream.set_nodelay(true).unwrap();
    let (mut socketio, mut token) = (false, String::new());
    let read_head = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        socketio = request.uri().path() == "/socket.io/" && request.uri().query() == Some("EIO=4&transport=websocket");
        token = request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, read_head).await.unwrap();
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = unbounded_channel::<String>();
    tokio::spawn(async move {
        while let Some(text) = queue.recv().await {
            let _ = sink.send(Message::text(text)).await;
        }
    });
    if socketio {
        out.send(r#"0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}"#.into())
            .unwrap();
    } else {
        out.send(json!({ "type": "connected", "userId": token }).to_string()).unwrap();
    }
    state.lock().unwrap().connections.insert(token.clone(), out.clone());
    while let Some(Ok(message)) = source.next().await {
        let Message::Text(text) = message else { continue };
        if text.starts_with("40") {
            assert_eq!(text.as_str(), format!(r#"40{{"token":"{token}"}}"#));
            out.send(r#"40{"sid":"s"}"#.into()).unwrap();
            out.send("2".into()).unwrap();
        } else if text.as_str() == "3" {
            assert!(socketio);
        } else {
            send_message(&text, socketio, &token, &mut state.lock().unwrap(), fault);
        }
    }
}

fn send_message(text: &str, socketio: bool, sender: &str, state: &mut State, fault: Fault) {
    let (id, payload) = if socketio {
        let (id, event) = text.strip_prefix("42").unwrap().split_once('[').unwrap();
        let event: Value = serde_json::from_str(&format!("[{event}")).unwrap();
        assert_eq!(event[0], "message:send");
        (id.parse().unwrap(), event[1].clone())
    } else {
        let request: Value = serde_json::from_str(text).unwrap();
        assert_eq!(request["type"], "message.send");
        (request["id"].as_u64().unwrap(), request)
    };
    assert_eq!(payload["body"].as_str().unwrap().len(), 80);
    state.last_seq += 1;
    let (seq, client_msg_id) = (state.last_seq, payload["clientMsgId"].as_str().unwrap());
    let fields =
        format!(r#""clientMsgId":"{client_msg_id}","messageId":"m","seq":{seq},"rev":{seq},"createdAt":"t"}}"#);
    let new = format!(
        r#""messageId":"m","conversationId":"c","seq":{seq},"rev":{seq},"clientMsgId":"{client_msg_id}","body":"\"seq\":0"}}"#
    );
    let (acknowledgement, event, new) = if socketio {
        (
            format!("43{id}[{{{fields}]"),
            format!(r#"42["message:ack",{{{fields}]"#),
            format!(r#"42["message:new",{{{new}]"#),
        )
    } else {
        (
            format!(r#"{{"type":"ok","id":{id},{fields}"#),
            format!(r#"{{"type":"message.ack",{fields}"#),
            format!(r#"{{"type":"message.new",{new}"#),
        )
    };
    state.connections[sender].send(acknowledgement).unwrap();
    state.connections[sender].send(event).unwrap();
    for (user, connection) in &state.connections {
        let copies = match fault {
            Fault::Loses if seq == 5 && user != sender => 0,
            Fault::Doubles if seq == 5 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            connection.send(new.clone()).unwrap();
        }
    }
}

/// Two people with two sends each under way, until both have sent 200.
async fn violations_of(protocol: Protocol, fault: Fault) -> (u64, Violations) {
    let address = start(fault).await;
    let options = ServerOptions {
        server_bin: "none".into(),
        servers: 1,
        url: Some(format!("http://{address}")),
        api_key: None,
        server_pid: None,
        work_dir: None,
    };
    let server = Server::start(&options).unwrap();
    let people = ["anna", "bert"].map(|name| Person { id: name.into(), token: name.into() });
    let plan = Plan {
        conversations: vec![PlannedConversation { id: "c".into(), last_seq: 0, members: [Some(0), Some(1)] }],
        flows: [0, 1].map(|sender_side| PlannedFlow { conversation: 0, sender_side, in_flight_max: 64 }).into(),
        quota: Some(200),
        ..Plan::default()
    };
    let crowd = Crowd::connect(&server, protocol, &people, &plan, true).await.unwrap();
    crowd.start_measuring();
    crowd.start_closed_loop(2);
    if fault == Fault::Loses {
        crowd.run_for(Duration::from_secs(1)).await.unwrap();
    } else {
        crowd.run_to_the_end(|_| ()).await.unwrap();
    }
    (crowd.stop_measuring().unwrap().completed, crowd.verdict())
}

fn in_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_server_that_keeps_the_contract_shows_no_violation() {
    in_one_thread(async {
        for protocol in [Protocol::Ws, Protocol::Socketio] {
            assert_eq!(violations_of(protocol, Fault::None).await, (400, Violations::default()));
        }
    });
}

#[test]
fn a_lost_message_is_noticed_over_both_protocols() {
    in_one_thread(async {
        for protocol in [Protocol::Ws, Protocol::Socketio] {
            let (completed, violations) = violations_of(protocol, Fault::Loses).await;
            assert_eq!(completed, 399);
            assert_eq!(violations, Violations { lost: 1, seq_gaps: 1, reordered: 1, ..Violations::default() });
        }
    });
}

#[test]
fn a_doubled_message_is_noticed_over_both_protocols() {
    in_one_thread(async {
        for protocol in [Protocol::Ws, Protocol::Socketio] {
            let (completed, violations) = violations_of(protocol, Fault::Doubles).await;
            assert_eq!(completed, 400);
            assert_eq!(violations, Violations { doubled: 2, seq_repeats: 2, ..Violations::default() });
        }
    });
}
