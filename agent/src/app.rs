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
use contract::LoopbackUrl;
use contract::stream::ReloadOutcome;

pub use post::PostError;
pub(crate) use process_table::children_of;
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
    Post(LoopbackUrl),
    /// Kubelet restarts it with all containers when the agent exits.
    Restart,
}

/// Why the configuration does not describe how to reload the application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
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
    /// When the reload is a signal and the UID of the pod is missing.
    pub fn new(
        reload: Reload,
        pod_uid: Option<String>,
        proc: PathBuf,
    ) -> Result<Self, ApplicationError> {
        let method = match reload {
            Reload::None => ReloadMethod::None,
            Reload::Http(url) => ReloadMethod::Post(url),
            Reload::Restart => ReloadMethod::Restart,
            Reload::Signal { signal, container } => ReloadMethod::Signal(SignalTarget {
                signal,
                container,
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

    /// Whether the application reads its values only when it starts, so that the agent's exit
    /// takes the place of [`Self::reload`].
    #[must_use]
    pub fn wants_restart(&self) -> bool {
        matches!(self.method, ReloadMethod::Restart)
    }

    /// Tells the application that its files have changed.
    ///
    /// # Errors
    /// When it cannot be told within [`crate::schedule::RELOAD_TIMEOUT`], or does not answer the
    /// last request within [`crate::schedule::POST_TIMEOUT`].
    pub async fn reload(&self) -> Result<ReloadOutcome, ReloadError> {
        match &self.method {
            ReloadMethod::None | ReloadMethod::Restart => Ok(ReloadOutcome::NotNeeded),
            ReloadMethod::Signal(target) => Ok(target.send().await?),
            ReloadMethod::Post(url) => Ok(post::send(url).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_needs_the_uid_of_its_pod() {
        let new = |reload: &str, container: Option<&str>, uid: Option<&str>| {
            let reload: contract::ReloadRequest = reload.parse().unwrap();
            let reload = reload.resolve(container.map(str::to_owned)).unwrap();
            Application::new(reload, uid.map(str::to_owned), PROC.into())
        };
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
        let restart = new("restart", None, None).unwrap();
        assert!(restart.wants_reload() && restart.wants_restart());
    }
}
