//! A syslog sink over TLS (RFC 5425).
//!
//! Syslog has no acknowledgements, and data accepted by the kernel may never be read. But TLS has a
//! closing handshake: a server that reads our `close_notify` has read everything before it, and
//! closes too (RFC 5425, section 4.4). Each batch therefore uses its own connection and is
//! confirmed when the server closes cleanly. A server that dies earlier resets the connection
//! instead.

use std::sync::Arc;

use audit::{Format, Record, syslog};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::SendError;

#[derive(Clone)]
pub(super) struct SyslogSink {
    address: String,
    server: ServerName<'static>,
    tls: TlsConnector,
    format: Format,
    host: String,
}

impl std::fmt::Debug for SyslogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyslogSink").field("address", &self.address).finish_non_exhaustive()
    }
}

impl SyslogSink {
    /// `None` if `address` is not `HOST:PORT`.
    pub(super) fn new(address: &str, tls: Arc<ClientConfig>, format: Format) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let server = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(Self { address: address.to_owned(), server, tls: tls.into(), format, host })
    }

    pub(super) async fn send(&self, records: &[Record]) -> Result<(), SendError> {
        let failed =
            |step| move |source| SendError::Io { step, target: self.address.clone(), source };
        let tcp = TcpStream::connect(&self.address).await.map_err(failed("connect to"))?;
        let mut stream =
            self.tls.connect(self.server.clone(), tcp).await.map_err(failed("shake hands with"))?;
        let mut frames = Vec::new();
        for record in records {
            frames.extend_from_slice(&syslog::frame(&syslog::message(
                record,
                self.format,
                &self.host,
            )));
        }
        stream.write_all(&frames).await.map_err(failed("write to"))?;
        stream.shutdown().await.map_err(failed("close connection to"))?;
        self.wait_for_close(stream).await
    }

    async fn wait_for_close(
        &self,
        mut stream: tokio_rustls::client::TlsStream<TcpStream>,
    ) -> Result<(), SendError> {
        // The server sends nothing except the end of the stream.
        let mut ignored = [0; 256];
        loop {
            match stream.read(&mut ignored).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // TCP was closed cleanly without `close_notify`.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(_) => return Err(SendError::NotConfirmed { target: self.address.clone() }),
            }
        }
    }
}
