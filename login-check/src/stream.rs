//! A TCP connection, and a bound on what is read from it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use contract::login_check::Unreachable;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::failure::{Failure, short};
use crate::target::Endpoint;

/// How much a server may send before the connection is given up: more than a thousand clients of a
/// Redis, which lists them all.
const MAX_READ_BYTES: usize = 2 << 20;

/// How many addresses of a host are tried.
const MAX_ADDRESSES: usize = 8;

/// What a protocol talks over: TCP, or TLS on it.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A stream that fails once a server has sent [`MAX_READ_BYTES`], give or take a buffer.
pub(crate) struct Bounded {
    inner: Box<dyn Duplex>,
    left: usize,
}

impl Bounded {
    /// Bounds a stream.
    pub(crate) fn new(inner: impl Duplex + 'static) -> Self {
        Self { inner: Box::new(inner), left: MAX_READ_BYTES }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.inner).poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        result
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(context)
    }
}

/// Connects to the first address of a host that accepts, and says from which address.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<(TcpStream, IpAddr), Failure> {
    let failed = |text: &str| {
        Failure::unreachable(Unreachable::Connect, format!("connect {endpoint}: {text}"))
    };
    let addresses: Vec<SocketAddr> = lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|_| failed("the name has no address"))?
        .take(MAX_ADDRESSES)
        .collect();
    let mut last = failed("the name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // One that drops packets leaves the others their share of the time.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let local = stream.local_addr().map_err(|error| failed(&error.to_string()))?;
                let _ = stream.set_nodelay(true);
                return Ok((stream, local.ip().to_canonical()));
            }
            Ok(Err(error)) => last = failed(&short(&error.to_string())),
            Err(_) => {
                let detail = format!("connect {endpoint}: no answer in time");
                last = Failure::unreachable(Unreachable::Timeout, detail);
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_server_cannot_send_without_end() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let sending = async move {
            let piece = vec![0; 64 << 10];
            while tokio::io::AsyncWriteExt::write_all(&mut far, &piece).await.is_ok() {}
        };
        let reading = async move {
            let mut bounded = Bounded::new(near);
            let mut bytes = Vec::new();
            let error = bounded.read_to_end(&mut bytes).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert!(bytes.len() < MAX_READ_BYTES + (64 << 10), "{}", bytes.len());
        };
        tokio::select! { () = sending => panic!("nobody read"), () = reading => {} }
    }
}
