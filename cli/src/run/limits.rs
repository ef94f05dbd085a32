//! Limits of this process that the program does not inherit: no core file with values, and a file
//! descriptor for each of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Error;

/// What the limits were, and what they are while this process holds values.
pub(super) struct Limits {
    before: [(Resource, Rlimit); 2],
    now: [(Resource, Rlimit); 2],
}

/// Descriptors for two generations of `files`, and for all else.
pub(super) fn widen(files: usize) -> Result<Limits, Error> {
    let needed = u64::try_from(files).unwrap_or(u64::MAX).saturating_mul(3).saturating_add(128);
    let before = [Resource::Core, Resource::Nofile].map(|it| (it, getrlimit(it)));
    let now = before.map(|(resource, mut limit)| {
        limit.current = match resource {
            Resource::Core => Some(0),
            // `None` is no limit.
            _ => limit
                .current
                .map(|current| current.max(needed).min(limit.maximum.unwrap_or(u64::MAX))),
        };
        (resource, limit)
    });
    let limits = Limits { before, now };
    limits.apply()?;
    Ok(limits)
}

impl Limits {
    /// For this process.
    pub(super) fn apply(&self) -> Result<(), Error> {
        set(&self.now)
    }

    /// For the program that is about to start.
    pub(super) fn restore(&self) -> Result<(), Error> {
        set(&self.before)
    }
}

fn set(limits: &[(Resource, Rlimit)]) -> Result<(), Error> {
    for (resource, limit) in limits {
        setrlimit(*resource, *limit)
            .map_err(|error| Error::Start(format!("set limit {resource:?}: {error}")))?;
    }
    Ok(())
}
