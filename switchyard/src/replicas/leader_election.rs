//! Leader election with leases. A job runs on the replica that holds its lease and is cancelled
//! when the lease is lost. If a holder does not notice the loss (for example, because the process
//! was suspended), the database refuses its writes, because a later holder has a higher fence.

use std::time::Duration;

use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use runtime::tasks::Tasks;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::repository::{Fence, Repository};

/// How long a lease lasts without renewal, and so how long a job pauses when its holder dies.
const LEASE_TTL: Duration = Duration::from_secs(15);

/// How often the holder renews the lease and the others try to take it.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);

/// The time limit for releasing a lease at shutdown.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes part in leader election under one identity. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LeaderElector {
    repository: Repository,
    holder: String,
}

impl LeaderElector {
    /// An elector with a random identity.
    pub(crate) fn new(repository: Repository) -> Self {
        Self { repository, holder: Uuid::new_v4().simple().to_string() }
    }

    /// Runs `work` whenever this replica holds the lease `name`, until the drain, and then releases
    /// the lease. Work that ends is restarted.
    pub(crate) fn lead<W, F>(&self, name: &'static str, tasks: &Tasks, work: W)
    where
        W: Fn(Fence) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (leader, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn_vital(name, async move {
            let mut delays = Backoff::NETWORK.delays();
            loop {
                let asked = Instant::now();
                let taken = tokio::select! {
                    taken = leader.repository.take_lease(name, &leader.holder, LEASE_TTL) => taken,
                    () = stopping.cancelled() => return,
                };
                let delay = match taken {
                    Ok(Some(fence)) => {
                        delays.reset();
                        tracing::info!(lease = name, fence = fence.number, "leading");
                        tokio::select! {
                            () = work(fence.clone()) => {}
                            () = leader.renew(&fence, asked) => tracing::warn!(lease = name,
                                "lease lost, another replica leads"),
                            () = stopping.cancelled() => return leader.release(&fence).await,
                        }
                        Duration::from_secs(1)
                    }
                    Ok(None) => RENEW_INTERVAL.mul_f64(0.75 + random() / 2.0),
                    Err(error) => {
                        tracing::warn!(lease = name, error = %ErrorChain(&error), "take lease");
                        delays.next_delay()
                    }
                };
                tokio::select! {
                    () = sleep(delay) => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }

    /// Runs `work` once and releases the lease, unless another replica holds it.
    pub(crate) async fn lead_once<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        work: impl FnOnce(Fence) -> F,
    ) {
        match self.repository.take_lease(name, &self.holder, LEASE_TTL).await {
            Ok(Some(fence)) => {
                work(fence.clone()).await;
                self.release(&fence).await;
            }
            Ok(None) => tracing::info!(lease = name, "another replica leads"),
            Err(error) => tracing::warn!(lease = name, error = %ErrorChain(&error), "take lease"),
        }
    }

    /// Renews the lease until it is lost, or until our own clock cannot rule out that it expired.
    async fn renew(&self, fence: &Fence, taken: Instant) {
        let mut valid_until = taken + LEASE_TTL;
        loop {
            tokio::time::sleep_until((Instant::now() + RENEW_INTERVAL).min(valid_until)).await;
            let asked = Instant::now();
            let renewal = self.repository.take_lease(fence.name, &self.holder, LEASE_TTL);
            match tokio::time::timeout_at(valid_until, renewal).await {
                Ok(Ok(Some(renewed))) if renewed == *fence => valid_until = asked + LEASE_TTL,
                Ok(Ok(_)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(lease = fence.name, error = %ErrorChain(&error), "renew lease")
                }
            }
            if Instant::now() >= valid_until {
                return;
            }
        }
    }

    async fn release(&self, fence: &Fence) {
        let released =
            tokio::time::timeout(RELEASE_TIMEOUT, self.repository.release_lease(fence)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::info!(lease = fence.name, "lease not released, it will expire");
        }
    }
}
