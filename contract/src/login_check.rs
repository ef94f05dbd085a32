//! What the agent and its program for database protocols say to each other.
//!
//! The program gets one request on its standard input, as a frame (see [`crate::stream::frame`])
//! whose header is a [`LoginCheckRequest`] and whose body is the URL. It writes a
//! [`LoginCheckAnswer`] as one line of JSON to its standard output and ends.

use serde::{Deserialize, Serialize};

use crate::check::LoginServer;

/// The longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 16 << 10;

/// The longest header of a request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 32 << 10;

/// The longest answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCheckRequest {
    /// What to do after a login.
    pub action: LoginAction,
    /// The time for all of it, in milliseconds.
    pub timeout_milliseconds: u64,
}

/// What is done with a connection that has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum LoginAction {
    /// A trivial query, and a look at the application's sessions.
    Login {
        /// The protocol.
        server: LoginServer,
        /// From when on a session is new. Without it no sessions are counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<SessionsSince>,
    },
    /// PostgreSQL reads its configuration again, and with it the files of its certificate. Where
    /// the program can read the certificate's file too, the server has to serve it afterwards.
    PostgresReload,
    /// Redis reads the files of its certificate again, which are where it has them already.
    RedisConfig,
}

/// When the application was told of the new value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsSince {
    /// How long ago that was when the program starts, in milliseconds.
    pub milliseconds_ago: u64,
    /// The newest connection before that. MySQL and Redis need it, since neither says to the
    /// moment when a session started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<ConnectionMark>,
}

/// A connection of a server that numbers its connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionMark {
    /// Which server, since each has numbers of its own.
    pub server: String,
    /// The connection's number.
    pub connection: u64,
}

/// What the program found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCheckAnswer {
    /// Whether the action succeeded.
    #[serde(flatten)]
    pub outcome: LoginOutcome,
    /// The application's sessions; `None` if the server does not tell, or was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Sessions>,
    /// The program's own connection, for a later [`SessionsSince`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<ConnectionMark>,
    /// SHA-256 of the certificate that the server showed, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// What was seen, for people. Of the URL it has the host and the port at most.
    pub detail: String,
}

/// The outcome of a login, or of what was done after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "reason")]
pub enum LoginOutcome {
    /// It works.
    Passed,
    /// The server answered and said no.
    Refused(Refusal),
    /// There was no server to answer.
    Unreachable(Unreachable),
    /// The value is not a URL of this protocol.
    Invalid,
    /// The value may work, and this program cannot tell: it names a Unix socket, a file that only
    /// the application has, or a way to log in that this program does not know.
    Unsupported,
}

/// What a server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The user or the password.
    Credential,
    /// The database, which does not exist.
    Database,
    /// The user lacks a right: to the database, to log in from here, or to what was asked.
    Permission,
    /// The configuration that it was to take.
    Configuration,
}

/// Why a server could not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreachable {
    /// Its name or address leads nowhere, or the connection is refused.
    Connect,
    /// TLS failed: an untrusted certificate, or only one side wants TLS.
    Tls,
    /// It did not answer in time.
    Timeout,
    /// It does not speak the protocol, or closed the connection.
    Protocol,
    /// It is starting, stopping or full.
    NotReady,
}

/// The sessions of the same user from the same address, without those of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Those that started since the given moment.
    pub new: u64,
    /// Those that started before.
    pub old: u64,
    /// Whether the server sees the connection come from another address than the pod's. Then other
    /// pods' sessions may be among these: a proxy, a pooler or the node stands in between.
    pub is_shared: bool,
}

impl Sessions {
    /// Whether the application uses the new value: it has sessions, and all of them are new. `None`
    /// if they do not tell.
    #[must_use]
    pub fn in_use(self) -> Option<bool> {
        match self {
            Self { is_shared: true, .. } | Self { new: 0, old: 0, .. } => None,
            Self { old, .. } => Some(old == 0),
        }
    }
}

impl LoginCheckAnswer {
    /// An answer without more than an outcome.
    #[must_use]
    pub fn new(outcome: LoginOutcome, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { outcome, sessions: None, mark: None, certificate_sha256: None, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let mark = ConnectionMark { server: "a:3306".to_owned(), connection: 7 };
        let since = Some(SessionsSince { milliseconds_ago: 1500, mark: Some(mark) });
        for (action, json) in [
            (
                LoginAction::Login { server: LoginServer::Postgres, since: None },
                r#"{"action":{"type":"login","server":"postgres"},"timeout_milliseconds":9}"#,
            ),
            (
                LoginAction::Login { server: LoginServer::Mysql, since },
                r#"{"action":{"type":"login","server":"mysql","since":{"milliseconds_ago":1500,"mark":{"server":"a:3306","connection":7}}},"timeout_milliseconds":9}"#,
            ),
            (
                LoginAction::PostgresReload,
                r#"{"action":{"type":"postgres-reload"},"timeout_milliseconds":9}"#,
            ),
            (
                LoginAction::RedisConfig,
                r#"{"action":{"type":"redis-config"},"timeout_milliseconds":9}"#,
            ),
        ] {
            let request = LoginCheckRequest { action, timeout_milliseconds: 9 };
            assert_eq!(serde_json::to_string(&request).unwrap(), json);
            assert_eq!(serde_json::from_str::<LoginCheckRequest>(json).unwrap(), request);
        }
        for (outcome, json) in [
            (LoginOutcome::Passed, r#"{"outcome":"passed","detail":"d"}"#),
            (
                LoginOutcome::Refused(Refusal::Credential),
                r#"{"outcome":"refused","reason":"credential","detail":"d"}"#,
            ),
            (
                LoginOutcome::Unreachable(Unreachable::NotReady),
                r#"{"outcome":"unreachable","reason":"not-ready","detail":"d"}"#,
            ),
            (LoginOutcome::Unsupported, r#"{"outcome":"unsupported","detail":"d"}"#),
        ] {
            let answer = LoginCheckAnswer::new(outcome, "d");
            assert_eq!(serde_json::to_string(&answer).unwrap(), json);
            assert_eq!(serde_json::from_str::<LoginCheckAnswer>(json).unwrap(), answer);
        }
    }

    #[test]
    fn only_sessions_of_this_pod_tell_whether_the_value_is_in_use() {
        for (new, old, is_shared, expected) in [
            (0, 0, false, None),
            (3, 0, false, Some(true)),
            (3, 1, false, Some(false)),
            (0, 1, false, Some(false)),
            (3, 0, true, None),
            (0, 3, true, None),
        ] {
            assert_eq!(Sessions { new, old, is_shared }.in_use(), expected, "{new} {old}");
        }
    }
}
