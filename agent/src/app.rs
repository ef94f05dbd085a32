//! The application: how it is told to reload when its files have changed.
//!
//! [`Application::reload`] retries until the application listens, and gives up with a reason. It
//! never sends a signal to a process that does not catch it, because the default action would end
//! the process.

mod post;
mod process_table;
mod signal;
mod target;

use std::path::PathBuf;

use contract::Reload;
use contract::layout::POD_UID_VARIABLE;
use contract::reload::ReloadUrl;
use contract::stream::Outcome;

pub use post::PostError;
pub use signal::SignalError;

use signal::SignalTarget;

/// The file system that lists the pod's processes.
pub const PROC: &str = "/proc";

/// The pod's application.
#[derive(Clone, Debug)]
pub struct Application {
    method: ReloadMethod,
}

#[derive(Clone, Debug)]
enum ReloadMethod {
    /// The application watches its files, or reads them each time.
    None,
    Signal(SignalTarget),
    Post(ReloadUrl),
}

/// Why the configuration does not describe how to reload the application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// A signal needs a container.
    #[error("read agent configuration: reload_container is missing, and reload is a signal")]
    NoContainer,
    /// A signal needs the pod's UID.
    #[error("read environment: {POD_UID_VARIABLE} is missing, and reload is a signal")]
    NoPodUid,
}

/// Why the application could not be told to reload.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// By a signal.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// By a POST.
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Application {
    /// The application as the configuration describes it. `proc` is [`PROC`], except in tests.
    ///
    /// # Errors
    /// When the reload is a signal and the container or the pod is not named.
    pub fn new(
        reload: Reload,
        container: Option<String>,
        pod_uid: Option<String>,
        proc: PathBuf,
    ) -> Result<Self, ApplicationError> {
        let method = match reload {
            Reload::None => ReloadMethod::None,
            Reload::Http(url) => ReloadMethod::Post(url),
            Reload::Signal(signal) => ReloadMethod::Signal(SignalTarget {
                signal,
                container: container.ok_or(ApplicationError::NoContainer)?,
                pod_uid: pod_uid.filter(|uid| !uid.is_empty()).ok_or(ApplicationError::NoPodUid)?,
                proc,
            }),
        };
        Ok(Self { method })
    }

    /// Whether the application wants to be told at all.
    #[must_use]
    pub fn wants_reload(&self) -> bool {
        !matches!(self.method, ReloadMethod::None)
    }

    /// Tells the application that its files have changed.
    ///
    /// # Errors
    /// When it cannot be told within [`crate::schedule::RELOAD_TIMEOUT`].
    pub async fn reload(&self) -> Result<Outcome, ReloadError> {
        match &self.method {
            ReloadMethod::None => Ok(Outcome::NotNeeded),
            ReloadMethod::Signal(target) => Ok(target.send().await?),
            ReloadMethod::Post(url) => Ok(post::send(url).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_needs_a_container_and_a_pod_uid() {
        let new = |reload: &str, container: Option<&str>, uid: Option<&str>| {
            Application::new(
                reload.parse().unwrap(),
                container.map(str::to_owned),
                uid.map(str::to_owned),
                PROC.into(),
            )
        };
        assert_eq!(
            new("signal=SIGHUP", None, Some("u")).unwrap_err(),
            ApplicationError::NoContainer
        );
        assert_eq!(
            new("signal=SIGHUP", Some("app"), None).unwrap_err(),
            ApplicationError::NoPodUid
        );
        assert_eq!(
            new("signal=SIGHUP", Some("app"), Some("")).unwrap_err(),
            ApplicationError::NoPodUid
        );
        assert!(new("signal=SIGHUP", Some("app"), Some("u")).unwrap().wants_reload());
        assert!(new("http=http://127.0.0.1:1/", None, None).unwrap().wants_reload());
        assert!(!new("none", None, None).unwrap().wants_reload());
    }
}
