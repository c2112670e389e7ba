//! One connection, from opening to its end: one loop reads, one writes.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tertulia_engine::Closed;
use tertulia_proto::ServerFrame;

use crate::board::{Flag, Topic};
use crate::core::{FRAMES_MAX, Input, ToWrite, Wire};
use crate::platform::{Incoming, Proof, Reader, Writer, open, wait_ms};
use crate::shared::Shared;
use crate::token::TokenError;

const UNAUTHENTICATED: Closed = Closed::Code(4401);

/// How long a goodbye may take.
const GOODBYE_MS: u64 = 1000;

/// Ends with the connection, and tells the engine how.
pub async fn run(shared: Arc<Shared>, wire: Wire) {
    let _alive = shared.alive();
    let flag = shared.flag(Topic::Wire);
    let opened = {
        let opening = pin!(open_with_proof(&shared));
        let unwanted = pin!(unwanted(&shared, wire, &flag));
        match select(opening, unwanted).await {
            Either::Left((opened, _)) => opened,
            Either::Right(_) => return,
        }
    };
    let how = match opened {
        Ok((writer, reader, proof)) => {
            // What came while it was being opened is to be written.
            flag.look_again();
            let how = talk_and_learn(&shared, talk(&shared, wire, writer, reader, &flag)).await;
            if how == UNAUTHENTICATED {
                shared.rest.tokens().refused(&proof);
            }
            how
        }
        Err(how) => how,
    };
    // The engine knows by the number whether this is still its connection; a closed client has no engine.
    let _ = shared.step(Input::Closed(wire, how));
}

/// Beside the talk and no longer than it, whose data these are.
async fn talk_and_learn(shared: &Shared, talk: impl Future<Output = Closed>) -> Closed {
    match select(pin!(talk), pin!(shared.learn_profile())).await {
        Either::Left((how, _)) => how,
        Either::Right(((), talk)) => talk.await,
    }
}

/// Reads and writes until one of the two ends; when the connection is not wanted any more the writer has a moment to say so, which a network that takes
/// nothing would turn into quarters of an hour.
async fn talk(shared: &Shared, wire: Wire, writer: Writer, reader: Reader, flag: &Flag) -> Closed {
    let wanted = shared.flag(Topic::Wire);
    let talking = pin!(async {
        let reading = pin!(read(shared, wire, reader));
        let writing = pin!(write(shared, wire, writer, flag));
        match select(reading, writing).await {
            Either::Left((how, _)) | Either::Right((how, _)) => how,
        }
    });
    let patience = pin!(async {
        unwanted(shared, wire, &wanted).await;
        wait_ms(GOODBYE_MS).await;
    });
    match select(talking, patience).await {
        Either::Left((how, _)) => how,
        Either::Right(_) => Closed::Lost,
    }
}

async fn open_with_proof(shared: &Shared) -> Result<(Writer, Reader, Proof), Closed> {
    let proof = shared.rest.tokens().proof().await.map_err(|error| match error {
        TokenError::SignedOut => UNAUTHENTICATED,
        TokenError::Unavailable(_) => Closed::Lost,
    })?;
    match open(&shared.address.socket(shared.device()), &proof).await {
        Ok((writer, reader)) => Ok((writer, reader, proof)),
        Err(how) => {
            if how == UNAUTHENTICATED {
                shared.rest.tokens().refused(&proof);
            }
            Err(how)
        }
    }
}

/// Ends when the engine wants this connection no more.
async fn unwanted(shared: &Shared, wire: Wire, flag: &Flag) {
    while flag.raised().await.is_ok() {
        if !shared.is_wanted(wire) {
            return;
        }
    }
}

/// Takes what has come together, so that it is one commit.
async fn read(shared: &Shared, wire: Wire, mut reader: Reader) -> Closed {
    loop {
        let mut frames = Vec::new();
        let mut next = Some(reader.next().await);
        let mut end = None;
        while let Some(incoming) = next.take() {
            match incoming {
                Incoming::Text(text) => match ServerFrame::parse(&text) {
                    Ok(frame) => frames.push(frame),
                    // Whatever it was is missed, and comes with the next difference.
                    Err(_) => end = Some(Closed::Lost),
                },
                Incoming::Closed(how) => end = Some(how),
            }
            if end.is_none() && frames.len() < FRAMES_MAX {
                next = reader.next_now();
            }
        }
        // A failure of the store has ended this connection; it is told by the writer's flag.
        let _ = shared.step(Input::Frames(wire, frames));
        if let Some(how) = end {
            return how;
        }
    }
}

/// Writes what the engine asks, until it wants this connection no more or nothing can be written.
async fn write(shared: &Shared, wire: Wire, mut writer: Writer, flag: &Flag) -> Closed {
    while flag.raised().await.is_ok() {
        match shared.take_outgoing(wire) {
            ToWrite::Requests(requests) if requests.is_empty() => {}
            ToWrite::Requests(requests) => {
                let frames = requests.into_iter().map(|transmit| transmit.request.encode(Some(transmit.id))).collect();
                if let Err(how) = writer.send(frames).await {
                    return how;
                }
            }
            ToWrite::Close => break,
        }
    }
    writer.close().await;
    Closed::Lost
}
