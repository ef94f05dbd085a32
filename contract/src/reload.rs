//! How an application learns that its files have changed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::loopback_url::{LoopbackUrl, LoopbackUrlError};
use crate::name::SecretName;
use crate::socket_path::{SocketPath, SocketPathError};

mod signal;

pub use signal::Signal;

/// How the agent notifies the application.
///
/// In the agent's configuration these are the fields `reload` and `reload_container`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReloadFields", into = "ReloadFields")]
pub enum Reload {
    /// The application watches its files, or reads them each time.
    #[default]
    None,
    /// A signal to a process of a container.
    Signal {
        /// The signal.
        signal: Signal,
        /// The container's name.
        container: String,
    },
    /// A POST to the application on the pod's loopback; a 2xx status means it was accepted.
    Http(LoopbackUrl),
    /// HAProxy gets its certificates over its runtime API, at the socket's path in the agent.
    Haproxy(SocketPath),
    /// PostgreSQL reads its configuration again, by a login with the URL in this secret.
    PostgresReload(SecretName),
    /// Redis reads its certificate again, by a login with the URL in this secret.
    RedisConfig(SecretName),
    /// All containers of the pod start again, for an application that reads its values only once
    /// (Kubernetes 1.36).
    Restart,
}

/// The value of `enclii.io/reload`: what the pod asks for, without the container to signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReloadRequest {
    /// No notification.
    #[default]
    None,
    /// A signal.
    Signal(Signal),
    /// A POST.
    Http(LoopbackUrl),
    /// HAProxy's runtime API, at the socket's path in the application's container.
    Haproxy(SocketPath),
    /// PostgreSQL's reload, by a login with the URL in this secret.
    PostgresReload(SecretName),
    /// Redis's configuration, by a login with the URL in this secret.
    RedisConfig(SecretName),
    /// A restart of all containers.
    Restart,
}

/// A signal without a container to send it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reload_container is missing, and reload is a signal")]
pub struct MissingContainerError;

impl ReloadRequest {
    /// The secret that it reads, if it names one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::PostgresReload(url) | Self::RedisConfig(url) => Some(url),
            Self::None | Self::Signal(_) | Self::Http(_) | Self::Haproxy(_) | Self::Restart => None,
        }
    }

    /// The notification, given the container to signal.
    ///
    /// # Errors
    /// When a signal is asked for and there is no container.
    pub fn resolve(self, container: Option<String>) -> Result<Reload, MissingContainerError> {
        Ok(match self {
            Self::None => Reload::None,
            Self::Signal(signal) => {
                Reload::Signal { signal, container: container.ok_or(MissingContainerError)? }
            }
            Self::Http(address) => Reload::Http(address),
            Self::Haproxy(socket) => Reload::Haproxy(socket),
            Self::PostgresReload(url) => Reload::PostgresReload(url),
            Self::RedisConfig(url) => Reload::RedisConfig(url),
            Self::Restart => Reload::Restart,
        })
    }
}

/// The fields of the agent's configuration that make a [`Reload`].
#[derive(Clone, Serialize, Deserialize)]
struct ReloadFields {
    #[serde(default)]
    reload: ReloadRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reload_container: Option<String>,
}

impl TryFrom<ReloadFields> for Reload {
    type Error = MissingContainerError;

    fn try_from(fields: ReloadFields) -> Result<Self, MissingContainerError> {
        fields.reload.resolve(fields.reload_container)
    }
}

impl From<Reload> for ReloadFields {
    fn from(reload: Reload) -> Self {
        let (reload, reload_container) = match reload {
            Reload::None => (ReloadRequest::None, None),
            Reload::Signal { signal, container } => {
                (ReloadRequest::Signal(signal), Some(container))
            }
            Reload::Http(address) => (ReloadRequest::Http(address), None),
            Reload::Haproxy(socket) => (ReloadRequest::Haproxy(socket), None),
            Reload::PostgresReload(url) => (ReloadRequest::PostgresReload(url), None),
            Reload::RedisConfig(url) => (ReloadRequest::RedisConfig(url), None),
            Reload::Restart => (ReloadRequest::Restart, None),
        };
        Self { reload, reload_container }
    }
}

/// Why a text is not a [`ReloadRequest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// Not one of the forms.
    #[error(
        "parse reload {0:?}: must be none, signal=SIGHUP, http=http://127.0.0.1:PORT/PATH, \
         haproxy=SOCKET, postgres-reload=SECRET, redis-config=SECRET or restart"
    )]
    Form(String),
    /// Not a signal's name.
    #[error(
        "parse reload signal {0:?}: not a known signal; write a name like SIGHUP, SIGUSR1 or \
         SIGUSR2"
    )]
    UnknownSignal(String),
    /// A signal that no process can handle.
    #[error(
        "parse reload signal {0}: no process can catch it, so it would end or stop the application"
    )]
    NotCatchable(String),
    /// Not a URL of the pod's loopback.
    #[error("parse reload: {0}")]
    Address(#[from] LoopbackUrlError),
    /// Not the path of a socket.
    #[error("parse reload: {0}")]
    Socket(#[from] SocketPathError),
    /// Not the name of a secret.
    #[error("parse reload secret {0:?}: must be the name of a secret, whose value is the URL")]
    Secret(String),
}

impl FromStr for ReloadRequest {
    type Err = ReloadError;

    fn from_str(text: &str) -> Result<Self, ReloadError> {
        match text.split_once('=') {
            None if text == "none" => Ok(Self::None),
            None if text == "restart" => Ok(Self::Restart),
            Some(("signal", name)) => name.parse().map(Self::Signal),
            Some(("http", address)) => Ok(Self::Http(address.parse()?)),
            Some(("haproxy", socket)) => Ok(Self::Haproxy(socket.parse()?)),
            Some(("postgres-reload", name)) => secret(name).map(Self::PostgresReload),
            Some(("redis-config", name)) => secret(name).map(Self::RedisConfig),
            _ => Err(ReloadError::Form(text.chars().take(200).collect())),
        }
    }
}

fn secret(name: &str) -> Result<SecretName, ReloadError> {
    name.parse().map_err(|_| ReloadError::Secret(name.chars().take(80).collect()))
}

impl TryFrom<String> for ReloadRequest {
    type Error = ReloadError;

    fn try_from(text: String) -> Result<Self, ReloadError> {
        text.parse()
    }
}

impl From<ReloadRequest> for String {
    fn from(reload: ReloadRequest) -> Self {
        reload.to_string()
    }
}

impl fmt::Display for ReloadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Signal(signal) => write!(f, "signal={}", signal.name()),
            Self::Http(address) => write!(f, "http={address}"),
            Self::Haproxy(socket) => write!(f, "haproxy={socket}"),
            Self::PostgresReload(url) => write!(f, "postgres-reload={url}"),
            Self::RedisConfig(url) => write!(f, "redis-config={url}"),
            Self::Restart => f.write_str("restart"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_reload_round_trips() {
        for (text, canonical) in [
            ("none", "none"),
            ("restart", "restart"),
            ("signal=SIGHUP", "signal=SIGHUP"),
            ("signal=USR1", "signal=SIGUSR1"),
            ("http=http://127.0.0.1:8080/-/reload", "http=http://127.0.0.1:8080/-/reload"),
            ("http=http://localhost:1/x?a=b", "http=http://localhost:1/x?a=b"),
            ("http=http://[::1]:65535", "http=http://[::1]:65535/"),
            ("haproxy=/var/run/haproxy/admin.sock", "haproxy=/var/run/haproxy/admin.sock"),
            ("postgres-reload=ADMIN_URL", "postgres-reload=ADMIN_URL"),
            ("redis-config=redis.url", "redis-config=redis.url"),
        ] {
            let reload: ReloadRequest = text.parse().unwrap();
            assert_eq!(reload.to_string(), canonical);
            assert_eq!(canonical.parse::<ReloadRequest>().unwrap(), reload);
        }
    }

    #[test]
    fn an_invalid_reload_is_refused() {
        for text in [
            "",
            "None",
            "signal",
            "signal=",
            "signal=SIGKILL",
            "signal=STOP",
            "signal=9",
            "signal=SIGFOO",
            "http=",
            "http=https://127.0.0.1:1/",
            "http=http://127.0.0.1/x",
            "http=http://10.0.0.1:80/",
            "http=http://127.0.0.1:0/",
            "http=http://127.0.0.1:+80/",
            "http=http://127.0.0.1:99999/",
            "http=http://user@127.0.0.1:80/",
            "http=http://127.0.0.1:80/a b",
            "http=http://127.0.0.1:80/a\r\nX: y",
            "http=http://127.0.0.1.evil:80/",
            "haproxy=",
            "haproxy=admin.sock",
            "haproxy=/",
            "haproxy=/run/../admin.sock",
            "haproxy=ipv4@127.0.0.1:9999",
            "postgres-reload",
            "postgres-reload=",
            "postgres-reload=postgres://u:p@h/d",
            "redis-config=../URL",
            "exec=ls",
            "Restart",
            "restart=app",
        ] {
            assert!(text.parse::<ReloadRequest>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_signal_needs_a_container() {
        let resolve = |text: &str, container: Option<&str>| {
            text.parse::<ReloadRequest>().unwrap().resolve(container.map(str::to_owned))
        };
        assert_eq!(resolve("signal=SIGHUP", None), Err(MissingContainerError));
        let signal = "SIGHUP".parse().unwrap();
        let expected = Reload::Signal { signal, container: "app".into() };
        assert_eq!(resolve("signal=SIGHUP", Some("app")), Ok(expected));
        assert!(resolve("http=http://127.0.0.1:1/", None).is_ok());
        assert_eq!(
            resolve("redis-config=URL", None),
            Ok(Reload::RedisConfig("URL".parse().unwrap()))
        );
        assert_eq!(resolve("none", None), Ok(Reload::None));
        assert_eq!(resolve("restart", None), Ok(Reload::Restart));
    }
}
