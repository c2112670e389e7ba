//! The WebSocket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures_util::future::poll_fn;
use tertulia_engine::Closed;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

use super::super::{Incoming, Proof};

/// What a browser says of a connection that ended without a word.
const ABNORMAL: u16 = 1006;
const GOODBYE: u16 = 1000;
const UNAUTHENTICATED: u16 = 4401;

pub struct Writer(Rc<Socket>);

pub struct Reader(Rc<Socket>);

#[derive(Default)]
struct Inbox {
    is_open: bool,
    incoming: VecDeque<Incoming>,
    waker: Option<Waker>,
}

type Handler<E> = Closure<dyn FnMut(E)>;

struct Socket {
    inner: WebSocket,
    inbox: Rc<RefCell<Inbox>>,
    /// Called by the browser as long as they are here.
    _handlers: (Handler<Event>, Handler<MessageEvent>, Handler<CloseEvent>),
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.set_onopen(None);
        self.inner.set_onmessage(None);
        self.inner.set_onclose(None);
        // It may be closed already.
        let _ = self.inner.close();
    }
}

/// Connects. The server says by its first frame, or by a close code, whether it takes the token or the cookie.
pub async fn open(url: &str, proof: &Proof) -> Result<(Writer, Reader), Closed> {
    let inner = match proof {
        // The one place where a browser lets a page say something. What can't stand there is no token.
        Proof::Token(token) => {
            WebSocket::new_with_str(url, &format!("bearer.{token}")).map_err(|_| Closed::Code(UNAUTHENTICATED))
        }
        Proof::Nobody { .. } | Proof::Cookie => WebSocket::new(url).map_err(|_| Closed::Lost),
    };
    let socket = Rc::new(Socket::new(inner?));
    socket.opened().await?;
    Ok((Writer(Rc::clone(&socket)), Reader(socket)))
}

fn handler<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
    inbox: &Rc<RefCell<Inbox>>,
    take: impl Fn(&mut Inbox, E) + 'static,
) -> Handler<E> {
    let inbox = Rc::clone(inbox);
    Closure::new(move |event| {
        let waker = {
            let mut inbox = inbox.borrow_mut();
            take(&mut inbox, event);
            inbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    })
}

impl Socket {
    fn new(inner: WebSocket) -> Self {
        let inbox = Rc::default();
        let on_open = handler(&inbox, |inbox, _: Event| inbox.is_open = true);
        let on_message = handler(&inbox, |inbox, event: MessageEvent| {
            inbox.incoming.extend(event.data().as_string().map(Incoming::Text));
        });
        let on_close = handler(&inbox, |inbox, event: CloseEvent| {
            let how = if event.code() == ABNORMAL { Closed::Lost } else { Closed::Code(event.code()) };
            inbox.incoming.push_back(Incoming::Closed(how));
        });
        inner.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        inner.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        inner.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Self { inner, inbox, _handlers: (on_open, on_message, on_close) }
    }

    async fn opened(&self) -> Result<(), Closed> {
        poll_fn(|context| {
            let mut inbox = self.inbox.borrow_mut();
            if inbox.is_open {
                return Poll::Ready(Ok(()));
            }
            if let Some(Incoming::Closed(how)) = inbox.incoming.front() {
                return Poll::Ready(Err(*how));
            }
            inbox.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Writer {
    /// All of them. An error: the connection is lost.
    pub async fn send(&mut self, frames: Vec<String>) -> Result<(), Closed> {
        frames.iter().try_for_each(|frame| self.0.inner.send_with_str(frame)).map_err(|_| Closed::Lost)?;
        // On a closed connection a browser takes everything, and drops it.
        if self.0.inner.ready_state() == WebSocket::OPEN { Ok(()) } else { Err(Closed::Lost) }
    }

    /// Says goodbye.
    pub async fn close(self) {
        // Nobody waits for the answer.
        let _ = self.0.inner.close_with_code(GOODBYE);
    }
}

impl Reader {
    pub async fn next(&mut self) -> Incoming {
        poll_fn(|context| {
            let mut inbox = self.0.inbox.borrow_mut();
            if let Some(incoming) = inbox.incoming.pop_front() {
                return Poll::Ready(incoming);
            }
            inbox.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// What has come already.
    pub fn next_now(&mut self) -> Option<Incoming> {
        self.0.inbox.borrow_mut().incoming.pop_front()
    }
}
