//! One connection after the other, until a server answers: each server of the URL, and each
//! encryption that the URL allows.

use std::cell::Cell;
use std::net::IpAddr;

use contract::login_check::{LoginCheckAnswer, LoginOutcome, Unreachable};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;
use crate::stream::{Bounded, connect};
use crate::target::{Encryption, Endpoint, Target};
use crate::tls::TlsClient;

/// A connection that one attempt makes.
pub(crate) struct Attempt<'t> {
    /// What the URL says.
    pub(crate) target: &'t Target,
    /// The server.
    pub(crate) endpoint: &'t Endpoint,
    encryption: Encryption,
    tls: Option<&'t TlsClient>,
    deadline: Instant,
    step: &'t Cell<&'static str>,
}

/// A connection over which a protocol can begin.
pub(crate) struct Opened {
    /// The connection.
    pub(crate) stream: Bounded,
    /// What is known of it.
    pub(crate) link: Link,
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The pod's own address.
    pub(crate) local: IpAddr,
    /// Whether TLS is on it.
    pub(crate) is_encrypted: bool,
    /// SHA-256 of the server's certificate, in hexadecimal.
    pub(crate) certificate_sha256: Option<String>,
}

impl Link {
    /// An answer that says what was done, and where.
    pub(crate) fn answer(&self, done: &str, endpoint: &Endpoint) -> LoginCheckAnswer {
        let tls = if self.is_encrypted { "with TLS" } else { "without TLS" };
        let detail = format!("{done} at {endpoint} {tls}");
        let mut answer = LoginCheckAnswer::new(LoginOutcome::Passed, detail);
        answer.certificate_sha256.clone_from(&self.certificate_sha256);
        answer
    }
}

impl Attempt<'_> {
    /// Connects to the server.
    pub(crate) async fn connect(&self) -> Result<(TcpStream, IpAddr), Failure> {
        self.step.set("connect");
        let connected = connect(self.endpoint, self.deadline).await?;
        self.step.set("log in at");
        Ok(connected)
    }

    /// Whether to ask the server for TLS.
    pub(crate) fn wants_tls(&self) -> bool {
        self.encryption != Encryption::Plain
    }

    /// Goes on with TLS if the server `offers` it, and without where the URL allows that.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        local: IpAddr,
        offers: bool,
    ) -> Result<Opened, Failure> {
        let plain = |stream| {
            let link = Link { local, is_encrypted: false, certificate_sha256: None };
            Ok(Opened { stream: Bounded::new(stream), link })
        };
        let tls = match (self.encryption, self.tls, offers) {
            (Encryption::Plain, _, _) | (Encryption::IfOffered, _, false) => return plain(stream),
            (_, Some(tls), true) => tls,
            _ => {
                let detail = format!("{}: the server offers no TLS", self.endpoint);
                return Err(Failure::unreachable(Unreachable::Tls, detail));
            }
        };
        self.step.set("TLS with");
        let (stream, certificate_sha256) = tls.handshake(self.endpoint, stream).await?;
        self.step.set("log in at");
        let link = Link { local, is_encrypted: true, certificate_sha256 };
        Ok(Opened { stream: Bounded::new(stream), link })
    }
}

/// The first login that a server answers, or the first reason why none did.
///
/// # Errors
/// When a server refuses the login, or all of them fail.
pub(crate) async fn first<'t, T>(
    target: &'t Target,
    deadline: Instant,
    mut log_in: impl AsyncFnMut(Attempt<'_>) -> Result<T, Failure>,
) -> Result<(T, &'t Endpoint), Failure> {
    let uses_tls = target.tls.attempts.iter().any(|it| *it != Encryption::Plain);
    let tls = if uses_tls { Some(TlsClient::new(&target.tls)?) } else { None };
    let mut first_failure = None;
    for (at, endpoint) in target.endpoints.iter().enumerate() {
        // One that does not answer leaves the others their share of the time.
        let left = deadline.saturating_duration_since(Instant::now());
        let servers = u32::try_from(target.endpoints.len() - at).unwrap_or(u32::MAX);
        let deadline = Instant::now() + left / servers;
        let mut failure = None;
        for encryption in target.tls.attempts.iter().copied() {
            let step = Cell::new("connect");
            let attempt =
                Attempt { target, endpoint, encryption, tls: tls.as_ref(), deadline, step: &step };
            let result = timeout_at(deadline, log_in(attempt)).await.unwrap_or_else(|_| {
                let detail = format!("{} {endpoint}: no answer in time", step.get());
                Err(Failure::unreachable(Unreachable::Timeout, detail))
            });
            let error = match result {
                Ok(it) => return Ok((it, endpoint)),
                Err(error) => error,
            };
            let may_go_on = error.depends_on_encryption();
            failure.get_or_insert(error);
            if !may_go_on {
                break;
            }
        }
        if let Some(failure) = failure {
            if !failure.is_of_one_server() {
                return Err(failure);
            }
            first_failure.get_or_insert(failure);
        }
    }
    Err(first_failure.unwrap_or_else(|| Failure::unsupported("the URL names no host")))
}
