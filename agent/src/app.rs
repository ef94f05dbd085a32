//! The application: how it is told to reload when its files have changed.
//!
//! [`Application::reload`] retries until the application listens, and gives up with a reason. It
//! never sends a signal to a process that does not take it, because the default action would end
//! the process. Where the application itself says that it does not take the new files, the reload
//! is as good as a check. [`Application::watch`] looks whether the application has survived a
//! signal.

mod container_mark;
mod haproxy;
mod login;
mod post;
mod process_table;
mod signal;
mod target;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use contract::layout::{LOGIN_CHECK_PROGRAM, POD_UID_VARIABLE};
use contract::login_check::LoginAction;
use contract::stream::ReloadOutcome;
use contract::{AgentConfig, FileName, LoopbackUrl, Reload, SecretName};
use tokio::time::{Instant, sleep};

pub use haproxy::HaproxyError;
pub use login::LoginReloadError;
pub use post::PostError;
pub(crate) use process_table::children_of;
pub use signal::SignalError;

use haproxy::HaproxyApi;
use login::LoginReload;
use signal::{SignalTarget, Signalled};

use crate::error::error_chain;
use crate::plan::FileContents;
use crate::schedule;

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
    Post {
        url: LoopbackUrl,
        /// The time for an answer.
        limit: Duration,
    },
    Haproxy(HaproxyApi),
    Login(LoginReload),
    /// Kubelet restarts it with all containers when the agent exits.
    Restart,
}

/// An application that was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// How.
    pub outcome: ReloadOutcome,
    /// The processes that got a signal.
    signalled: Option<Signalled>,
    /// What it said of the new files.
    pub(crate) taken_up: Option<TakenUp>,
}

/// What an application says that has looked at the new files and takes them.
#[derive(Clone, Debug)]
pub(crate) struct TakenUp {
    /// What was seen; never a value.
    pub(crate) detail: String,
    /// Whether it uses them, if that is known.
    pub(crate) in_use: Option<bool>,
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
    /// Over HAProxy's runtime API.
    #[error(transparent)]
    Haproxy(#[from] HaproxyError),
    /// By a login.
    #[error(transparent)]
    Login(#[from] LoginReloadError),
}

impl Told {
    /// An application that needs no telling.
    pub const NOT_NEEDED: Self =
        Self { outcome: ReloadOutcome::NotNeeded, signalled: None, taken_up: None };
}

impl ReloadError {
    /// Whether a signal has ended the application.
    #[must_use]
    pub fn is_fatal_signal(&self) -> bool {
        matches!(self, Self::Signal(SignalError::Fatal { .. }))
    }

    /// Whether nobody was there to be told: the application is starting, or restarts.
    #[must_use]
    pub fn is_not_up(&self) -> bool {
        match self {
            Self::Post(PostError::Connect { source, .. })
            | Self::Haproxy(HaproxyError::Connect { source, .. }) => {
                matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
            }
            Self::Login(error) => matches!(error, LoginReloadError::NotUp(_)),
            Self::Signal(_) | Self::Post(_) | Self::Haproxy(_) => false,
        }
    }

    /// What the application has against the new files, if it has looked at them and goes on with
    /// the old ones.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let is_refusal = matches!(
            self,
            Self::Haproxy(HaproxyError::Refused { .. }) | Self::Login(LoginReloadError::Refused(_))
        );
        is_refusal.then(|| error_chain(self))
    }
}

impl Application {
    /// The application as the configuration describes it. `proc` is [`PROC`], except in tests.
    ///
    /// # Errors
    /// When the reload is a signal and the UID of the pod is missing.
    pub fn new(
        config: &AgentConfig,
        pod_uid: Option<String>,
        proc: PathBuf,
    ) -> Result<Self, ApplicationError> {
        let method = match config.reload.clone() {
            Reload::None => ReloadMethod::None,
            Reload::Http(url) => {
                let limit = config.reload_timeout_seconds.map(u64::from);
                let limit = limit.map_or(schedule::POST_TIMEOUT, Duration::from_secs);
                ReloadMethod::Post { url, limit }
            }
            Reload::Haproxy(socket) => ReloadMethod::Haproxy(HaproxyApi {
                socket,
                directory: config.files.directory.clone(),
                paths: config
                    .files
                    .paths
                    .iter()
                    .map(|(file, path)| (path.clone(), FileName::from(file)))
                    .collect(),
            }),
            Reload::PostgresReload(url) => by_login(LoginAction::PostgresReload, &url),
            Reload::RedisConfig(url) => by_login(LoginAction::RedisConfig, &url),
            Reload::Restart => ReloadMethod::Restart,
            Reload::Signal { signal, container } => ReloadMethod::Signal(SignalTarget {
                signal,
                container,
                pod_uid: pod_uid.filter(|uid| !uid.is_empty()).ok_or(ApplicationError::NoPodUid)?,
                proc,
                directory: config.files.directory.clone().into(),
            }),
        };
        Ok(Self { method })
    }

    /// Another program that logs in, for tests.
    #[must_use]
    pub fn with_login_program(mut self, program: PathBuf) -> Self {
        if let ReloadMethod::Login(login) = &mut self.method {
            login.program = program;
        }
        self
    }

    /// How it is told, in one word.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match &self.method {
            ReloadMethod::None => "none",
            ReloadMethod::Signal(_) => "signal",
            ReloadMethod::Post { .. } => "http",
            ReloadMethod::Haproxy(_) => "haproxy",
            ReloadMethod::Login(LoginReload { action: LoginAction::RedisConfig, .. }) => {
                "redis-config"
            }
            ReloadMethod::Login(_) => "postgres-reload",
            ReloadMethod::Restart => "restart",
        }
    }

    /// Whether the application says if it takes the new files.
    #[must_use]
    pub fn can_refuse(&self) -> bool {
        matches!(self.method, ReloadMethod::Haproxy(_) | ReloadMethod::Login(_))
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

    /// Tells the application that its files have changed. `files` are the current ones, which it
    /// gets, or among which is what it takes to tell it.
    ///
    /// # Errors
    /// When it cannot be told within [`schedule::RELOAD_TIMEOUT`], does not answer the last
    /// request in its time, or does not take the files.
    pub async fn reload(&self, files: &FileContents) -> Result<Told, ReloadError> {
        let accepted =
            |taken_up| Told { outcome: ReloadOutcome::Accepted, signalled: None, taken_up };
        match &self.method {
            ReloadMethod::None | ReloadMethod::Restart => Ok(Told::NOT_NEEDED),
            ReloadMethod::Signal(target) => Ok(match target.send().await? {
                None => Told::NOT_NEEDED,
                signalled => Told { outcome: ReloadOutcome::Signalled, signalled, taken_up: None },
            }),
            ReloadMethod::Post { url, limit } => {
                post::send(url, *limit).await?;
                Ok(accepted(None))
            }
            ReloadMethod::Haproxy(api) => Ok(accepted(Some(api.reload(files).await?))),
            ReloadMethod::Login(login) => Ok(accepted(Some(login.reload(files).await?))),
        }
    }

    /// Looks for [`schedule::SIGNAL_WATCH`] whether the application survives the signal that it was
    /// told with. Returns at once where it got none.
    ///
    /// # Errors
    /// When a process that got the signal has ended.
    pub async fn watch(&self, told: &Told) -> Result<(), ReloadError> {
        match (&self.method, &told.signalled) {
            (ReloadMethod::Signal(target), Some(signalled)) => Ok(target.watch(signalled).await?),
            _ => Ok(()),
        }
    }

    /// The error of a reload that is left out, since an earlier signal has ended the application.
    #[must_use]
    pub fn known_fatal(&self) -> Option<ReloadError> {
        match &self.method {
            ReloadMethod::Signal(target) => Some(target.known_fatal().into()),
            _ => None,
        }
    }
}

fn by_login(action: LoginAction, url: &SecretName) -> ReloadMethod {
    let (url, program) = (FileName::from(url), LOGIN_CHECK_PROGRAM.into());
    ReloadMethod::Login(LoginReload { action, url, program })
}

/// Repeats what may go well later, until the time for a reload is over.
async fn retried<T, E, F: Future<Output = Result<T, E>>>(
    attempt: impl Fn() -> F,
    is_passing: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let started = Instant::now();
    let mut attempts = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let random = runtime::backoff::random();
        let delay = schedule::reload_retry_delay(attempts, started.elapsed(), random);
        let Some(delay) = delay.filter(|_| is_passing(&error)) else { return Err(error) };
        attempts += 1;
        sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_needs_the_uid_of_its_pod() {
        let new = |reload: &str, container: Option<&str>, uid: Option<&str>| {
            let container =
                container.map_or(String::new(), |it| format!(r#","reload_container":"{it}""#));
            let config = format!(
                r#"{{"version":1,"source":{{"type":"switchyard","address":"https://s","ca":"",
                "token_file":"/t"}},"bundles":["a-b"],"files":{{"directory":"/d","mode":"0400"}},
                "reload":"{reload}"{container}}}"#
            );
            let config = AgentConfig::from_json(&config).unwrap();
            Application::new(&config, uid.map(str::to_owned), PROC.into())
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
