//! What the application knows of itself, and how it reads its files again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::secrets::{Digests, Places, ReadError};

/// What made the application read its files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
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
    /// When it started, in milliseconds since 1970.
    pub started_at: u64,
    /// How often it has read its files again.
    pub reloads: u64,
    /// When it last did, in milliseconds since 1970.
    pub reloaded_at: Option<u64>,
    /// What made it.
    pub how: Option<How>,
    /// SHA-256 of each value, in hex, by the secret's name.
    pub digests: Digests,
    /// The names of the variables in its environment.
    pub environment: Vec<String>,
}

/// The running application.
#[derive(Debug)]
pub struct Application {
    places: Places,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    state: State,
    complete: bool,
}

impl Application {
    /// With what was read at the start; `complete` where every file was there.
    #[must_use]
    pub fn new(
        places: Places,
        digests: Digests,
        complete: bool,
        environment: Vec<String>,
        started: SystemTime,
    ) -> Self {
        let state = State {
            pid: std::process::id(),
            started_at: milliseconds(started),
            reloads: 0,
            reloaded_at: None,
            how: None,
            digests,
            environment,
        };
        Self { places, held: Mutex::new(Held { state, complete }) }
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Where one of them cannot be read; what was read before stays.
    pub fn reload(&self, how: How) -> Result<(), ReadError> {
        let digests = self.places.read()?;
        let mut held = self.lock();
        held.complete = true;
        held.state.reloads += 1;
        held.state.reloaded_at = Some(milliseconds(SystemTime::now()));
        held.state.how = Some(how);
        held.state.digests = digests;
        Ok(())
    }

    /// A copy of its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Whether it has all its secrets, so that it can do its work.
    #[must_use]
    pub fn works(&self) -> bool {
        self.lock().complete
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
