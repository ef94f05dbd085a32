//! A webhook that answers wrong, or not at all, in place of ours.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::webhook_server::{Reviewer, TlsStream, WebhookServer, allow, respond};

/// Longer than the registration's timeout of 5 s.
const SLOW: Duration = Duration::from_secs(8);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookFault {
    /// Nothing listens.
    Stopped,
    /// The connection is taken and closed.
    Closed,
    /// The request is read and never answered in time.
    Slow,
    /// The connection ends after the request was read.
    CutOff,
    /// HTTP 500.
    InternalError,
    /// A response to another request.
    WrongUid,
    /// A response of another version.
    WrongVersion,
    /// The answer ends in the middle.
    HalfBody,
    /// Not JSON.
    Garbage,
    /// A patch that is not one.
    BadPatch,
}

impl WebhookFault {
    pub(crate) const ALL: [Self; 10] = [
        Self::Stopped,
        Self::Closed,
        Self::Slow,
        Self::CutOff,
        Self::InternalError,
        Self::WrongUid,
        Self::WrongVersion,
        Self::HalfBody,
        Self::Garbage,
        Self::BadPatch,
    ];
}

/// The server. Dropping it ends it.
pub(crate) struct FaultyWebhook(WebhookServer);

impl FaultyWebhook {
    /// Listens on loopback, except for [`WebhookFault::Stopped`].
    pub(crate) fn start(fault: WebhookFault) -> Result<Self> {
        Ok(Self(WebhookServer::start(fault, fault != WebhookFault::Stopped)?))
    }

    /// The `clientConfig` of an entry that names this server.
    pub(crate) fn client_config(&self) -> Value {
        self.0.client_config("/mutate")
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.0.connections()
    }
}

impl Reviewer for WebhookFault {
    fn takes_connections(&self) -> bool {
        *self != Self::Closed
    }

    fn review(&self, _path: &str, review: &Value, stream: &mut TlsStream) -> Result<bool> {
        let uid = review["request"]["uid"].as_str().context("uid")?;
        match self {
            Self::Stopped | Self::Closed | Self::CutOff => return Ok(false),
            Self::Slow => {
                std::thread::sleep(SLOW);
                respond(stream, "200 OK", &allow(uid, "v1", None))?;
            }
            Self::InternalError => respond(stream, "500 Internal Server Error", "oops")?,
            Self::WrongUid => respond(stream, "200 OK", &allow("another", "v1", None))?,
            Self::WrongVersion => respond(stream, "200 OK", &allow(uid, "v9", None))?,
            Self::Garbage => respond(stream, "200 OK", "<html>allowed: true</html>")?,
            Self::BadPatch => {
                let patch = r#"[{"op":"replace","path":"/spec/nowhere/0","value":1}]"#;
                respond(stream, "200 OK", &allow(uid, "v1", Some(patch)))?;
            }
            Self::HalfBody => {
                let body = allow(uid, "v1", None);
                let half = &body[..body.len() / 2];
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}", body.len())?;
                stream.flush()?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}
