//! A syslog server on TLS (RFC 5425).
//!
//! Syslog confirms nothing, and what a kernel took may never be read. But TLS has an end: whoever
//! reads our close must have read everything before it, and then closes too (RFC 5425, 4.4). So
//! each batch is a connection of its own, and it has arrived when the server closes its side in
//! order. A server that dies before it has read everything resets the connection instead.

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
    /// `None` where the address is none.
    pub(super) fn new(address: &str, tls: Arc<ClientConfig>, format: Format) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let server = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(Self { address: address.to_owned(), server, tls: tls.into(), format, host })
    }

    pub(super) async fn send(&self, records: &[Record]) -> Result<(), SendError> {
        let failed =
            |step| move |source| SendError::Io { step, place: self.address.clone(), source };
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
        self.wait_for_its_end(stream).await
    }

    async fn wait_for_its_end(
        &self,
        mut stream: tokio_rustls::client::TlsStream<TcpStream>,
    ) -> Result<(), SendError> {
        // Nothing is said to us but the end.
        let mut said = [0; 256];
        loop {
            match stream.read(&mut said).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Its side of TCP was closed in order, without TLS' own word for it.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(_) => return Err(SendError::NotConfirmed { place: self.address.clone() }),
            }
        }
    }
}
