//! What waits, and what was refused.

use std::process::ExitCode;

use anyhow::Result;
use tertulia_client::{Op, Waiting};

use super::print;
use crate::account::Home;
use crate::arguments::Outbox;
use crate::json;
use crate::text::one_line;

pub async fn outbox(home: &Home, arguments: &Outbox) -> Result<ExitCode> {
    let client = home.open(&home.signed_in()?)?;
    if let Some(entry) = arguments.retry {
        client.retry(entry)?;
    }
    if let Some(entry) = arguments.discard {
        client.discard(entry)?;
    }
    for waiting in client.outbox().get()? {
        if arguments.json {
            print(&json::line(&json::OutboxLine::from(&waiting))?)?;
        } else {
            print(&for_people(&waiting))?;
        }
    }
    client.close().await;
    Ok(ExitCode::SUCCESS)
}

fn for_people(waiting: &Waiting) -> String {
    let what = match &waiting.op {
        Op::Send => "message".to_owned(),
        Op::Edit { .. } => "edit".to_owned(),
        Op::Delete => "deletion".to_owned(),
        Op::React { emoji, .. } => format!("reaction {}", emoji.as_str()),
    };
    let how = match &waiting.parked {
        Some(reason) => format!("refused: {}", one_line(&reason.detail)),
        None => "waits".to_owned(),
    };
    format!("{}  {}  {what}, {how}", waiting.entry, waiting.conversation)
}
