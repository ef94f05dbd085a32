//! The bytes of one connection: notes when a header begins, and ends a connection whose peer does
//! not take its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// A peer that takes fewer bytes than this in a second, on average, uses up its time.
const MIN_BYTES_PER_SECOND: u64 = 64 << 10;

/// I/O with a write deadline.
///
/// From the moment that a write has to wait until all is written, the peer has `write_timeout`, and
/// each second's worth of bytes that it takes gives it another second, never more than
/// `write_timeout` in all.
pub(super) struct GuardedIo<I> {
    io: I,
    activity: Arc<Activity>,
    write_timeout: Duration,
    stall: Option<Stall>,
}

struct Stall {
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<I> GuardedIo<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>, write_timeout: Duration) -> Self {
        Self { io, activity, write_timeout, stall: None }
    }

    /// The peer has taken some bytes.
    fn advance(&mut self, written: usize) {
        if let Some(stall) = &mut self.stall {
            let nanos = (written as u64).saturating_mul(1_000_000_000) / MIN_BYTES_PER_SECOND;
            let longest = Instant::now() + self.write_timeout;
            stall.deadline = (stall.deadline + Duration::from_nanos(nanos)).min(longest);
        }
    }

    /// The peer takes nothing at the moment.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let write_timeout = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| {
            let deadline = Instant::now() + write_timeout;
            Stall { deadline, timer: Box::pin(tokio::time::sleep_until(deadline)) }
        });
        if stall.timer.deadline() != stall.deadline {
            stall.timer.as_mut().reset(stall.deadline);
        }
        ready!(stall.timer.as_mut().poll(context));
        let message = "the peer does not read the answer";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => self.wait(context),
            Poll::Ready(Ok(written)) => {
                self.advance(written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(error) => Poll::Ready(error),
        }
    }

    fn ended(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match result {
            Poll::Pending => self.wait(context),
            Poll::Ready(result) => {
                self.stall = None;
                Poll::Ready(result)
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for GuardedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.heard();
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for GuardedIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(context, buffers);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(context);
        self.ended(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_shutdown(context);
        self.ended(context, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn pair() -> (GuardedIo<DuplexStream>, DuplexStream) {
        let (io, peer) = tokio::io::duplex(64 << 10);
        (GuardedIo::new(io, Activity::new(Arc::default()), TIMEOUT), peer)
    }

    /// Writes 10 MiB and returns after how many seconds it failed.
    async fn write(mut io: GuardedIo<DuplexStream>) -> Option<u64> {
        let start = Instant::now();
        let all = async {
            io.write_all(&vec![0; 10 << 20]).await?;
            io.flush().await
        };
        let error = all.await.err()?;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Some(start.elapsed().as_secs())
    }

    /// Reads `bytes` every second.
    async fn read(mut peer: DuplexStream, bytes: usize) {
        let mut buffer = vec![0; bytes];
        while peer.read_exact(&mut buffer).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_has_the_timeout() {
        let (io, _peer) = pair();
        assert_eq!(write(io).await, Some(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_drop_by_drop_gains_no_time() {
        let (io, peer) = pair();
        let (failed, ()) = tokio::join!(write(io), read(peer, 1 << 10));
        assert!((30..35).contains(&failed.unwrap()), "{failed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_may_take_as_long_as_it_needs() {
        let (io, peer) = pair();
        let (failed, ()) = tokio::join!(write(io), read(peer, 128 << 10));
        assert_eq!(failed, None);
    }
}
