//! The application's state and its reload.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::secrets::{Digests, ReadError, SecretPaths};

/// What triggered a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadTrigger {
    /// SIGHUP.
    Signal,
    /// `POST /-/reload`.
    Http,
}

/// The answer of `GET /state`.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// The process id.
    pub pid: u32,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// The number of reloads.
    pub reloads: u64,
    /// When the last reload was, in milliseconds since the Unix epoch.
    pub reloaded_at: Option<u64>,
    /// What triggered the last reload.
    pub reload_trigger: Option<ReloadTrigger>,
    /// The SHA-256 of each value, in hex, by the secret's name.
    pub digests: Digests,
    /// The names of its environment variables.
    pub environment: Vec<String>,
    /// The SHA-256 of each variable's value, in hex, by its name: what an application works with
    /// that reads no files.
    pub variables: Digests,
}

/// The running application.
#[derive(Debug)]
pub struct Application {
    paths: SecretPaths,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    state: State,
    complete: bool,
}

impl Application {
    /// An application that has read these digests; `complete` if no file was missing.
    #[must_use]
    pub fn new(
        paths: SecretPaths,
        digests: Digests,
        complete: bool,
        variables: Digests,
        started: SystemTime,
    ) -> Self {
        let state = State {
            pid: std::process::id(),
            started_at: milliseconds(started),
            reloads: 0,
            reloaded_at: None,
            reload_trigger: None,
            digests,
            environment: variables.keys().cloned().collect(),
            variables,
        };
        Self { paths, loaded: Mutex::new(Loaded { state, complete }) }
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// When one of them is unreadable; the earlier digests stay.
    pub fn reload(&self, trigger: ReloadTrigger) -> Result<(), ReadError> {
        let digests = self.paths.read()?;
        let mut loaded = self.lock();
        loaded.complete = true;
        loaded.state.reloads += 1;
        loaded.state.reloaded_at = Some(milliseconds(SystemTime::now()));
        loaded.state.reload_trigger = Some(trigger);
        loaded.state.digests = digests;
        Ok(())
    }

    /// A copy of the state.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Whether the application has all its secrets.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lock().complete
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
