//! Leadership by lease: a job runs on the replica that holds its lease, and ends there when the
//! lease does. A holder that does not notice its end (it was stopped, its clock stood still) is
//! refused by the database, which knows the fence of whoever came after it.

use std::time::Duration;

use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use runtime::tasks::Tasks;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::repository::{Fence, Repository};

/// How long a lease lasts that is not renewed: as long as the job rests when its holder dies.
const TTL: Duration = Duration::from_secs(15);

/// How often it is renewed, and asked for by those who do not have it.
const EVERY: Duration = Duration::from_secs(4);

/// Takes part in leadership under one name. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    repository: Repository,
    holder: String,
}

impl Leader {
    /// This process, as the leases know it.
    pub(crate) fn new(repository: Repository) -> Self {
        Self { repository, holder: Uuid::new_v4().simple().to_string() }
    }

    /// Has `work` done whenever this replica holds the lease `name`, until the drain; then gives
    /// the lease back. Work that ends is begun anew.
    pub(crate) fn lead<W, F>(&self, name: &'static str, tasks: &Tasks, work: W)
    where
        W: Fn(Fence) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (leader, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn_vital(name, async move {
            let mut failures = 0;
            loop {
                let asked = Instant::now();
                let taken = tokio::select! {
                    taken = leader.repository.take_lease(name, &leader.holder, TTL) => taken,
                    () = stopping.cancelled() => return,
                };
                let rest = match taken {
                    Ok(Some(fence)) => {
                        failures = 0;
                        tracing::info!(lease = name, fence = fence.number, "leading");
                        tokio::select! {
                            () = work(fence.clone()) => {}
                            () = leader.keep(&fence, asked) => tracing::warn!(lease = name, "lease lost, another replica leads"),
                            () = stopping.cancelled() => return leader.give(&fence).await,
                        }
                        Duration::from_secs(1)
                    }
                    Ok(None) => EVERY.mul_f64(0.75 + random() / 2.0),
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(lease = name, error = %ErrorChain(&error), "take lease");
                        Backoff::NETWORK.delay(failures, random())
                    }
                };
                tokio::select! {
                    () = sleep(rest) => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }

    /// Has `work` done once, where no other replica holds the lease, and gives the lease back.
    pub(crate) async fn lead_once<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        work: impl FnOnce(Fence) -> F,
    ) {
        match self.repository.take_lease(name, &self.holder, TTL).await {
            Ok(Some(fence)) => {
                work(fence.clone()).await;
                self.give(&fence).await;
            }
            Ok(None) => tracing::info!(lease = name, "another replica leads"),
            Err(error) => tracing::warn!(lease = name, error = %ErrorChain(&error), "take lease"),
        }
    }

    /// Renews the lease until it is lost, or could not be renewed before its end by our own clock.
    async fn keep(&self, fence: &Fence, taken: Instant) {
        let mut sure_until = taken + TTL;
        loop {
            tokio::time::sleep_until((Instant::now() + EVERY).min(sure_until)).await;
            let asked = Instant::now();
            let renewal = self.repository.take_lease(fence.name, &self.holder, TTL);
            match tokio::time::timeout_at(sure_until, renewal).await {
                Ok(Ok(Some(renewed))) if renewed == *fence => sure_until = asked + TTL,
                Ok(Ok(_)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(lease = fence.name, error = %ErrorChain(&error), "renew lease")
                }
            }
            if Instant::now() >= sure_until {
                return;
            }
        }
    }

    async fn give(&self, fence: &Fence) {
        let given =
            tokio::time::timeout(Duration::from_secs(2), self.repository.give_lease(fence)).await;
        if !matches!(given, Ok(Ok(()))) {
            tracing::info!(lease = fence.name, "lease not given back, it ends by itself");
        }
    }
}
