//! Whether the process still makes progress: its runtime moves a beat forward, and another thread
//! looks how old it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::tasks::Tasks;

/// How often the runtime moves the beat.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old the beat of a healthy process is at most. A review or a request takes milliseconds.
const MAX_AGE: Duration = Duration::from_secs(30);

/// The beat of a runtime. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    start: Instant,
    /// Milliseconds since `start`.
    beat: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Begins to beat, in the runtime of the caller.
    pub(crate) fn start(tasks: &Tasks) -> Self {
        let heartbeat = Self { start: Instant::now(), beat: Arc::default() };
        let (it, stopping) = (heartbeat.clone(), tasks.stopping());
        tasks.spawn("heartbeat", async move {
            let beats = async {
                loop {
                    it.beat.store(it.elapsed(), Ordering::Relaxed);
                    tokio::time::sleep(INTERVAL).await;
                }
            };
            let _: Option<()> = stopping.run_until_cancelled(beats).await;
        });
        heartbeat
    }

    /// Whether the runtime has stood still for too long.
    pub(crate) fn is_stuck(&self) -> bool {
        let age = self.elapsed().saturating_sub(self.beat.load(Ordering::Relaxed));
        Duration::from_millis(age) > MAX_AGE
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A beat of this age.
    #[cfg(test)]
    pub(crate) fn of_age(age: Duration) -> Self {
        let start = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        Self { start, beat: Arc::default() }
    }
}
