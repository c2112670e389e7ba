//! A conversation in the terminal: what comes is printed, what is typed is sent, with or without a network.
//!
//! `cargo run -p tertulia-client --example chat -- http://127.0.0.1:8080 TOKEN bob@example.org`

use std::io::BufRead as _;

use tertulia_client::{Client, ConversationId, ListDiff, Message, Person};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, token, other] = arguments.as_slice() else { return Err("chat SERVER TOKEN EMAIL".into()) };
    let client = Client::builder(server).token(token.as_str()).file("chat.db").open()?;
    client.connect()?;
    let conversation = client.rest().open_dm(Person::Email(other.clone())).await?.id;
    client.conversation(conversation).until(|here| here.is_some()).await?;
    let typed = write(client.clone(), conversation);
    tokio::select! {
        () = show(&client, conversation) => {}
        done = tokio::task::spawn_blocking(typed) => done?,
    }
    client.close().await;
    Ok(())
}

async fn show(client: &Client, conversation: ConversationId) {
    let mut timeline = client.timeline(conversation);
    let mut rows: Vec<Message> = Vec::new();
    while let Ok(steps) = timeline.next().await {
        for step in steps {
            match &step {
                ListDiff::Reset(rows) => rows.iter().for_each(print),
                ListDiff::Insert { value, .. } | ListDiff::Set { value, .. } => print(value),
                ListDiff::Remove { .. } => {}
            }
            step.apply(&mut rows);
        }
    }
}

fn print(message: &Message) {
    println!("{}: {} {:?}", message.sender_name, message.body, message.status);
}

fn write(client: Client, conversation: ConversationId) -> impl FnOnce() + Send {
    move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Err(error) = client.send(conversation, line) {
                eprintln!("{error}");
            }
        }
    }
}
