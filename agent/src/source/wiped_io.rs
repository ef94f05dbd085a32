//! Wipes the TLS library's receive buffer.
//!
//! rustls decrypts a record in place and then only marks the buffer's space as free, so a value
//! would stay in memory until later records overwrite it, which may take hours. rustls offers no
//! way to wipe the buffer, but it lends the free space to the transport for the next read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroize;

/// A transport that wipes the free space of the caller's buffer before it waits for data.
#[derive(Debug)]
pub(super) struct WipedIo<Io>(pub(super) Io);

impl<Io: AsyncRead + Unpin> AsyncRead for WipedIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.initialize_unfilled().zeroize();
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WipedIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn free_space_is_wiped_before_and_during_the_wait_for_data() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut io = WipedIo(near);
        let mut space = *b"old secret value";
        let mut buffer = ReadBuf::new(&mut space);
        buffer.set_filled(4);
        poll_fn(|cx| {
            assert!(Pin::new(&mut io).poll_read(cx, &mut buffer).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(&space, b"old \0\0\0\0\0\0\0\0\0\0\0\0");

        let mut space = *b"old secret value";
        let mut buffer = ReadBuf::new(&mut space);
        far.write_all(b"new").await.unwrap();
        poll_fn(|cx| Pin::new(&mut io).poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!(&space, b"new\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
