//! TLS handshakes with a timeout. Failures are logged at a limited rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::PeerCertificates;

/// At most one warning per this time, because anybody who reaches the port can fail a handshake.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A connection after its handshake.
pub(super) struct TlsConnection {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) http2: bool,
    pub(super) certificates: Option<PeerCertificates>,
}

/// Performs the handshakes of one listener. Clones share the log limit.
#[derive(Clone)]
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    timeout: Duration,
    refusals: Arc<RefusalLog>,
}

impl Handshakes {
    pub(super) fn new(tls: Arc<ServerConfig>, timeout: Duration) -> Self {
        Self { acceptor: TlsAcceptor::from(tls), timeout, refusals: Arc::new(RefusalLog::new()) }
    }

    /// `None` when the handshake failed; the failure is logged.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<TlsConnection> {
        let accept = self.acceptor.accept(stream);
        let stream = match tokio::time::timeout(self.timeout, accept).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let refused = error
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<rustls::Error>())
                    .is_some_and(|inner| matches!(inner, rustls::Error::AlertReceived(_)));
                if refused && let Some(suppressed) = self.refusals.note() {
                    // A client with the wrong CA shows up here.
                    tracing::warn!(%peer, %error, suppressed, "client refused the certificate");
                } else {
                    tracing::debug!(%peer, %error, "tls handshake");
                }
                return None;
            }
            Err(_) => {
                tracing::debug!(%peer, timeout = ?self.timeout, "tls handshake took too long");
                return None;
            }
        };
        let handshake = stream.get_ref().1;
        let http2 = handshake.alpn_protocol() == Some(b"h2");
        let certificates = handshake
            .peer_certificates()
            .map(|chain| chain.iter().cloned().map(|one| one.into_owned()).collect())
            .map(PeerCertificates);
        Some(TlsConnection { stream, http2, certificates })
    }
}

/// Counts refusals between two log lines.
struct RefusalLog {
    since: Instant,
    // Milliseconds after `since` from which the next line may be written.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl RefusalLog {
    fn new() -> Self {
        Self { since: Instant::now(), next: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// How many were suppressed since the last line, or `None` when this one is suppressed too.
    fn note(&self) -> Option<u64> {
        let now = millis(self.since.elapsed());
        let next = self.next.load(Ordering::Relaxed);
        let after = now.saturating_add(millis(LOG_INTERVAL));
        let free = now >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if free {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_are_counted_between_lines() {
        let refusals = RefusalLog::new();
        assert_eq!(refusals.note(), Some(0));
        assert_eq!(refusals.note(), None);
        assert_eq!(refusals.note(), None);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(refusals.note(), Some(2));
    }
}
