//! Gives HAProxy its certificates over its runtime API, a Unix socket. It goes on with all its
//! connections, which a reload by new workers does not.
//!
//! Each certificate is one transaction: HAProxy reads it (`set ssl cert`) and then uses it
//! (`commit ssl cert`). One that it does not take is given up (`abort ssl cert`), and it goes on
//! with what it has.

mod answers;
mod payload;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use contract::{FileName, FilePath, Redacted, SocketPath};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{TakenUp, retried};
use crate::plan::FileContents;
use crate::verify::pair_fault;

/// The time for one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer, in bytes: a list of ten thousand certificates.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Where HAProxy is, and where it has its certificates from.
#[derive(Clone, Debug)]
pub(super) struct HaproxyApi {
    pub(super) socket: SocketPath,
    /// Where the secrets are mounted.
    pub(super) directory: String,
    /// The files that are at other paths too.
    pub(super) paths: BTreeMap<FilePath, FileName>,
}

/// Why HAProxy did not get its certificates.
#[derive(Debug, thiserror::Error)]
pub enum HaproxyError {
    /// It does not run, or the agent's user may not write to the socket.
    #[error("connect {socket}")]
    Connect {
        /// The socket.
        socket: SocketPath,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("ask {socket}")]
    Exchange {
        /// The socket.
        socket: SocketPath,
        /// Why.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("ask {socket}: no answer within {COMMAND_TIMEOUT:?}")]
    Timeout {
        /// The socket.
        socket: SocketPath,
    },
    /// Someone else is changing a certificate.
    #[error("ask {socket}: another change of a certificate is in progress")]
    Busy {
        /// The socket.
        socket: SocketPath,
    },
    /// None of its certificates is among the files.
    #[error("ask {socket}: HAProxy has no certificate from a file below {directory}: {said}")]
    NoCertificate {
        /// The socket.
        socket: SocketPath,
        /// Where the files are.
        directory: String,
        /// What it has, or said instead.
        said: String,
    },
    /// It cannot replace certificates with such names.
    #[error(
        "set certificates at {socket}: HAProxy does not find {names} there, though it has loaded \
         them: give the files names that end in .pem, or set ssl-load-extra-del-ext"
    )]
    Names {
        /// The socket.
        socket: SocketPath,
        /// Which ones.
        names: String,
    },
    /// It did not take some certificates, and goes on with the old ones.
    #[error("set certificates at {socket}: not taken: {refused}")]
    Refused {
        /// The socket.
        socket: SocketPath,
        /// Which ones, and what it said.
        refused: String,
    },
}

impl HaproxyError {
    /// Whether it may go well later: HAProxy is starting, or restarts.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Exchange { .. } => true,
            Self::Timeout { .. } | Self::Busy { .. } => true,
            Self::NoCertificate { .. } | Self::Names { .. } | Self::Refused { .. } => false,
        }
    }
}

impl HaproxyApi {
    /// Gives HAProxy the certificates among the files, until it takes them or the retries are used
    /// up.
    pub(super) async fn reload(&self, files: &FileContents) -> Result<TakenUp, HaproxyError> {
        retried(|| self.set_certificates(files), HaproxyError::is_passing).await
    }

    async fn set_certificates(&self, files: &FileContents) -> Result<TakenUp, HaproxyError> {
        let list = self.ask(&Redacted::from(b"show ssl cert\n".as_slice())).await?;
        let list = answers::certificates(&list);
        let of_agent = |name: &str| payload::file_of(name, (&self.directory, &self.paths), files);
        let ours: Vec<_> =
            list.names.iter().filter_map(|name| Some((*name, of_agent(name)?))).collect();
        if ours.is_empty() {
            return Err(HaproxyError::NoCertificate {
                socket: self.socket.clone(),
                directory: self.directory.clone(),
                said: list.summary(),
            });
        }
        // What an agent that was killed in between has left behind.
        if let Some(name) = list.in_transaction.filter(|name| of_agent(name).is_some()) {
            self.abort(name).await?;
        }
        let (count, mut refused, mut not_found) = (ours.len(), Vec::new(), Vec::new());
        for (name, file) in ours {
            // One that is broken does not hold up the others. HAProxy is not asked about it: 2.6
            // closes some connection when it refuses a certificate.
            if let Some(fault) = files.get(file).and_then(|pem| pair_fault(pem, files)) {
                refused.push(format!("{name} ({fault})"));
                continue;
            }
            match self.set_certificate(name, &payload::of(file, files)).await? {
                Ok(()) => {}
                Err(said) if answers::is_not_found(&said) => not_found.push(name.to_owned()),
                Err(said) => refused.push(format!("{name} ({said})")),
            }
        }
        let socket = self.socket.clone();
        if !refused.is_empty() {
            return Err(HaproxyError::Refused { socket, refused: refused.join(", ") });
        }
        if !not_found.is_empty() {
            return Err(HaproxyError::Names { socket, names: not_found.join(", ") });
        }
        let word = if count == 1 { "certificate" } else { "certificates" };
        let detail = format!("HAProxy has committed {count} {word}");
        Ok(TakenUp { detail, in_use: Some(true) })
    }

    /// Sets one certificate. The inner error is what HAProxy says against it.
    async fn set_certificate(
        &self,
        name: &str,
        payload: &Redacted,
    ) -> Result<Result<(), String>, HaproxyError> {
        let said = self.ask(&answers::set_command(name, payload)).await?;
        if answers::is_of_another_transaction(&said) {
            return Err(HaproxyError::Busy { socket: self.socket.clone() });
        }
        if !answers::is_set(&said) {
            return Ok(Err(answers::quoted(&said, payload)));
        }
        let said = self.ask(&answers::command("commit", name)).await?;
        if !answers::is_committed(&said) {
            self.abort(name).await?;
            return Ok(Err(answers::quoted(&said, payload)));
        }
        Ok(Ok(()))
    }

    async fn abort(&self, name: &str) -> Result<(), HaproxyError> {
        self.ask(&answers::command("abort", name)).await.map(drop)
    }

    /// The answer to one command, on a connection of its own.
    async fn ask(&self, command: &Redacted) -> Result<String, HaproxyError> {
        let socket = || self.socket.clone();
        let exchange = async {
            let mut stream = UnixStream::connect(self.socket.as_str())
                .await
                .map_err(|source| HaproxyError::Connect { socket: socket(), source })?;
            let mut answer = Vec::new();
            let exchange = async {
                stream.write_all(command.expose()).await?;
                stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await
            };
            exchange.await.map_err(|source| HaproxyError::Exchange { socket: socket(), source })?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = timeout(COMMAND_TIMEOUT, exchange).await;
        answer.unwrap_or_else(|_| Err(HaproxyError::Timeout { socket: socket() }))
    }
}
