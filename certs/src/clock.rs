//! The wall clock, handed in so that tests can turn it.

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time of day. Clones tell the same.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// Any other clock.
    pub fn new<F>(tell: F) -> Self
    where
        F: Fn() -> SystemTime + Send + Sync + 'static,
    {
        Self(Arc::new(tell))
    }

    /// What time it is.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
