//! A plain WebSocket of which some text frames are lost and some come twice, in both directions.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{Message, WebSocket};
use futures_util::{Sink, Stream, StreamExt as _};

use crate::flaky::{Chance, Frame};

/// A WebSocket, or what is to be taken for one.
pub trait Frames:
    Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send
{
}
impl<T> Frames for T where
    T: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send
{
}

pub struct FlakyFrames<S = WebSocket> {
    socket: S,
    chance: Chance,
    /// To be read, and written, once more.
    read_again: Option<Message>,
    write_again: Option<Message>,
}

impl<S: Frames> FlakyFrames<S> {
    pub fn new(socket: S, chance: Chance) -> Self {
        Self { socket, chance, read_again: None, write_again: None }
    }

    fn socket(&mut self) -> Pin<&mut S> {
        Pin::new(&mut self.socket)
    }

    fn fate(&mut self, message: &Message) -> Frame {
        // What the protocol itself needs is left alone.
        if matches!(message, Message::Text(_)) { self.chance.frame() } else { Frame::Once }
    }

    fn poll_write_again(&mut self, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        ready!(self.socket().poll_ready(context))?;
        match self.write_again.take() {
            Some(again) => Poll::Ready(self.socket().start_send(again)),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Frames> Stream for FlakyFrames<S> {
    type Item = Result<Message, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(again) = self.read_again.take() {
            return Poll::Ready(Some(Ok(again)));
        }
        loop {
            let message = match ready!(self.socket.poll_next_unpin(context)) {
                Some(Ok(message)) => message,
                other => return Poll::Ready(other),
            };
            match self.fate(&message) {
                Frame::Lost => {}
                Frame::Once => return Poll::Ready(Some(Ok(message))),
                Frame::Twice => {
                    self.read_again = Some(message.clone());
                    return Poll::Ready(Some(Ok(message)));
                }
            }
        }
    }
}

impl<S: Frames> Sink<Message> for FlakyFrames<S> {
    type Error = axum::Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while self.write_again.is_some() {
            ready!(self.poll_write_again(context))?;
        }
        self.socket().poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), axum::Error> {
        match self.fate(&message) {
            Frame::Lost => Ok(()),
            Frame::Once => self.socket().start_send(message),
            Frame::Twice => {
                self.write_again = Some(message.clone());
                self.socket().start_send(message)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while self.write_again.is_some() {
            ready!(self.poll_write_again(context))?;
        }
        self.socket().poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        self.socket().poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::{SinkExt as _, StreamExt as _};

    use super::*;
    use crate::flaky::Trouble;

    /// A socket with something to read that keeps what is written.
    #[derive(Default)]
    struct Kept {
        to_read: VecDeque<Message>,
        written: Vec<Message>,
    }

    impl Stream for Kept {
        type Item = Result<Message, axum::Error>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.to_read.pop_front().map(Ok))
        }
    }

    impl Sink<Message> for Kept {
        type Error = axum::Error;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), axum::Error> {
            self.written.push(message);
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What comes of two texts and a ping, read and written.
    async fn through(flaky: &str) -> [Vec<Message>; 2] {
        let all = [Message::Text("a".into()), Message::Ping(bytes::Bytes::new()), Message::Text("b".into())];
        let kept = Kept { to_read: all.clone().into(), written: Vec::new() };
        let mut frames = FlakyFrames::new(kept, Trouble::new(flaky.parse().unwrap(), 1).chance());
        let mut read = Vec::new();
        while let Some(message) = frames.next().await {
            read.push(message.unwrap());
        }
        for message in all {
            frames.feed(message).await.unwrap();
        }
        frames.flush().await.unwrap();
        [read, frames.socket.written]
    }

    #[tokio::test]
    async fn texts_are_lost_or_come_twice_and_pings_always_come() {
        let (a, b, ping) = (Message::Text("a".into()), Message::Text("b".into()), Message::Ping(bytes::Bytes::new()));
        for heard in through("drop=100%").await {
            assert_eq!(heard, std::slice::from_ref(&ping));
        }
        for heard in through("double=100%").await {
            assert_eq!(heard, [a.clone(), a.clone(), ping.clone(), b.clone(), b.clone()]);
        }
        for heard in through("latency=1").await {
            assert_eq!(heard, [a.clone(), ping.clone(), b.clone()]);
        }
    }
}
