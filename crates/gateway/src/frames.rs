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
