//! The application: how it is told of new files.
//!
//! [`Application::tell`] tries until the application listens, and gives up with a reason. It never
//! sends a signal to a process that does not catch it, because the default action would end it.

mod choose;
mod http;
mod signal;
mod table;

use std::path::PathBuf;

use contract::Reload;
use contract::layout::POD_UID_VARIABLE;
use contract::reload::ReloadUrl;
use contract::stream::Outcome;

pub use http::PostError;
pub use signal::SignalFailure;

use signal::Container;

/// Where the processes of the pod are listed.
pub const PROC: &str = "/proc";

/// The application of the pod.
#[derive(Clone, Debug)]
pub struct Application {
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    /// It is not told: it watches its files, or reads them each time.
    None,
    Signal(Container),
    Post(ReloadUrl),
}

/// The configuration does not say whom to tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// A signal needs a container.
    #[error("read agent configuration: reload_container is missing, and reload is a signal")]
    NoContainer,
    /// A signal needs the pod's UID.
    #[error("read environment: {POD_UID_VARIABLE} is missing, and reload is a signal")]
    NoPodUid,
}

/// Why the application could not be told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// By a signal.
    #[error(transparent)]
    Signal(#[from] SignalFailure),
    /// By a POST.
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Application {
    /// The application as the configuration describes it. `proc` is [`PROC`], except in tests.
    ///
    /// # Errors
    /// Where a signal is asked for and the container or the pod is not named.
    pub fn new(
        reload: Reload,
        container: Option<String>,
        pod_uid: Option<String>,
        proc: PathBuf,
    ) -> Result<Self, ApplicationError> {
        let way = match reload {
            Reload::None => Way::None,
            Reload::Http(url) => Way::Post(url),
            Reload::Signal(signal) => Way::Signal(Container {
                signal,
                name: container.ok_or(ApplicationError::NoContainer)?,
                pod_uid: pod_uid.filter(|uid| !uid.is_empty()).ok_or(ApplicationError::NoPodUid)?,
                proc,
            }),
        };
        Ok(Self { way })
    }

    /// Whether it wants to be told at all.
    #[must_use]
    pub fn listens(&self) -> bool {
        !matches!(self.way, Way::None)
    }

    /// Tells it that the files have changed.
    ///
    /// # Errors
    /// Where it could not be told in time.
    pub async fn tell(&self) -> Result<Outcome, TellError> {
        match &self.way {
            Way::None => Ok(Outcome::NotNeeded),
            Way::Signal(container) => Ok(container.tell().await?),
            Way::Post(url) => Ok(http::tell(url).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_needs_to_know_its_container() {
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
        assert!(new("signal=SIGHUP", Some("app"), Some("u")).unwrap().listens());
        assert!(new("http=http://127.0.0.1:1/", None, None).unwrap().listens());
        assert!(!new("none", None, None).unwrap().listens());
    }
}
