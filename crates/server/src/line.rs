//! A TCP connection that is slow, and breaks in the middle of what is said. For development only: see [`tertulia_gateway::flaky`].

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tertulia_gateway::flaky::Chance;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Read at once.
const PIECE_BYTES: usize = 16 * 1024;

pub struct Line<T> {
    stream: T,
    chance: Chance,
    is_bad: Arc<AtomicBool>,
    is_cut: bool,
    /// What has come and is not told yet, and until when.
    read: Option<(Pin<Box<Sleep>>, Vec<u8>)>,
    /// Until when what is written next has to wait.
    write: Option<Pin<Box<Sleep>>>,
}

impl<T> Line<T> {
    /// Good until its switch is thrown.
    pub fn new(stream: T, chance: Chance) -> Self {
        Self { stream, chance, is_bad: Arc::default(), is_cut: false, read: None, write: None }
    }

    pub fn switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_bad)
    }

    fn is_bad(&self) -> bool {
        self.is_bad.load(Ordering::Relaxed)
    }

    fn wait(&mut self) -> Pin<Box<Sleep>> {
        Box::pin(tokio::time::sleep(self.chance.latency()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Line<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let this = &mut *self;
        if !this.is_bad() && this.read.is_none() {
            return Pin::new(&mut this.stream).poll_read(context, into);
        }
        if this.read.is_none() && !this.is_cut {
            let mut piece = vec![0; PIECE_BYTES];
            let mut buffer = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer))?;
            let mut count = buffer.filled().len();
            if count > 0 && this.chance.cuts() {
                this.is_cut = true;
                count /= 2;
            }
            piece.truncate(count);
            this.read = Some((this.wait(), piece));
        }
        let Some((wait, piece)) = &mut this.read else { return Poll::Ready(Ok(())) };
        if !wait.is_elapsed() {
            ready!(wait.as_mut().poll(context));
        }
        let count = piece.len().min(into.remaining());
        into.put_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            this.read = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Line<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        let this = &mut *self;
        if this.is_cut {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if !this.is_bad() {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        if this.write.is_none() {
            this.write = Some(this.wait());
        }
        if let Some(wait) = this.write.as_mut().filter(|wait| !wait.is_elapsed()) {
            ready!(wait.as_mut().poll(context));
        }
        if this.chance.cuts() {
            this.is_cut = true;
            let _ = Pin::new(&mut this.stream).poll_write(context, &bytes[..bytes.len() / 2]);
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let wrote = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        this.write = None;
        Poll::Ready(wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tertulia_gateway::flaky::Trouble;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn line(flaky: &str) -> (Line<DuplexStream>, DuplexStream) {
        let (here, there) = duplex(1 << 20);
        let line = Line::new(here, Trouble::new(flaky.parse().unwrap(), 1).chance());
        line.switch().store(true, Ordering::Relaxed);
        (line, there)
    }

    /// Before anything can have come through a line of 200 ms.
    async fn early(work: impl Future<Output = Result<(), Error>>) {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(190)) => {}
            done = work => panic!("{done:?} too early"),
        }
    }

    #[tokio::test]
    async fn a_good_line_changes_nothing() {
        let (mut line, mut there) = line("latency=86400000,cut=100%");
        line.switch().store(false, Ordering::Relaxed);
        line.write_all(b"hello").await.unwrap();
        there.read_exact(&mut [0; 5]).await.unwrap();
        there.write_all(b"hello").await.unwrap();
        line.read_exact(&mut [0; 5]).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_read_and_written_comes_late_and_whole() {
        let (mut line, mut there) = line("latency=200..300");
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        there.write_all(&sent).await.unwrap();
        early(async { line.read_u8().await.map(drop) }).await;
        let mut got = vec![0; sent.len()];
        line.read_exact(&mut got).await.unwrap();
        assert_eq!(got, sent);
        early(async { line.write_all(b"x").await }).await;
        line.write_all(&sent).await.unwrap();
        there.read_exact(&mut got).await.unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn a_cut_comes_in_the_middle_and_ends_both_directions() {
        let (mut line, mut there) = line("cut=100%");
        line.write_all(b"hello").await.unwrap_err();
        assert_eq!(line.read(&mut [0; 5]).await.unwrap(), 0);
        drop(line);
        let mut got = Vec::new();
        there.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"he");

        let (mut line, mut there) = self::line("cut=100%");
        there.write_all(b"hello").await.unwrap();
        let mut got = Vec::new();
        line.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"he");
        line.write_all(b"hello").await.unwrap_err();
    }
}
