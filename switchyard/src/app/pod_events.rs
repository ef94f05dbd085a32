//! Events on pods, written in the background: no stream waits for the API server, and a pod that
//! fails again and again writes few.

use std::sync::Arc;
use std::time::Duration;

use runtime::logs::ErrorChain;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::rate_limiter::RateLimiter;
use crate::cluster::{ClusterError, PodEvent, PodEventRecorder};
use crate::metrics::{Metrics, PodEventOutcome};

/// Events that wait for the API server. More are dropped: the audit log has them all.
const QUEUE_CAPACITY: usize = 1024;

/// Events of one pod: this many at once, and then one in [`REFILL_INTERVAL`].
const BURST: u32 = 10;
const REFILL_INTERVAL: Duration = Duration::from_secs(60);

/// Takes events on pods. Clones share the queue.
#[derive(Clone)]
pub(crate) struct PodEvents {
    queue: Option<mpsc::Sender<PodEvent>>,
    limiter: Arc<RateLimiter>,
    metrics: Metrics,
}

/// Writes the events that were taken.
pub(crate) struct PodEventWriter {
    queue: mpsc::Receiver<PodEvent>,
    recorder: PodEventRecorder,
    metrics: Metrics,
}

impl PodEvents {
    /// Takes events and drops them: there is no cluster, or the operator wants none.
    pub(crate) fn off(metrics: Metrics) -> Self {
        Self { queue: None, limiter: limiter(), metrics }
    }

    /// Takes events for a writer.
    pub(crate) fn new(recorder: PodEventRecorder, metrics: Metrics) -> (Self, PodEventWriter) {
        let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
        let writer = PodEventWriter { queue, recorder, metrics: metrics.clone() };
        (Self { queue: Some(sender), limiter: limiter(), metrics }, writer)
    }

    /// Takes an event. It is dropped if the pod, or all pods together, have too many.
    pub(crate) fn publish(&self, event: PodEvent) {
        let Some(queue) = &self.queue else { return };
        let allowed = self.limiter.take(&event.pod.uid, false, Instant::now()).is_ok();
        if !allowed || queue.try_send(event).is_err() {
            self.metrics.pod_event(PodEventOutcome::Dropped);
        }
    }
}

fn limiter() -> Arc<RateLimiter> {
    Arc::new(RateLimiter::every(REFILL_INTERVAL, BURST))
}

impl PodEventWriter {
    /// Runs until the last [`PodEvents`] is dropped.
    pub(crate) async fn run(mut self) {
        let mut failing = false;
        while let Some(event) = self.queue.recv().await {
            let published = self.recorder.publish(&event).await;
            let outcome =
                if published.is_ok() { PodEventOutcome::Ok } else { PodEventOutcome::Failed };
            self.metrics.pod_event(outcome);
            match published {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    log(&error);
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Once for many events that fail one after the other.
fn log(error: &ClusterError) {
    let cause = ErrorChain(error);
    if error.is_forbidden() {
        tracing::warn!(error = %cause, "events on pods are not written: switchyard has no right to \
            create and patch events.events.k8s.io; give it the right, or turn them off with \
            --no-pod-events");
    } else {
        tracing::warn!(error = %cause, "write event on pod");
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::audit::Pod;
    use crate::cluster::PodEventReason;

    fn event(uid: &str) -> PodEvent {
        let pod = Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: "api-1".into(),
            uid: uid.into(),
        };
        let (reason, subject) = (PodEventReason::CheckFailed, "api-prod 7".to_owned());
        PodEvent { pod, reason, subject, note: String::new() }
    }

    #[tokio::test]
    async fn one_pod_cannot_fill_the_queue() {
        let (sender, mut queue) = mpsc::channel(QUEUE_CAPACITY);
        let metrics = Metrics::new(&mut Registry::default());
        let events = PodEvents { queue: Some(sender), limiter: limiter(), metrics };
        for _ in 0..1000 {
            events.publish(event("1"));
        }
        events.publish(event("2"));
        let mut taken = Vec::new();
        while let Ok(event) = queue.try_recv() {
            taken.push(event.pod.uid);
        }
        let expected = usize::try_from(BURST).unwrap();
        assert_eq!(taken.iter().filter(|uid| *uid == "1").count(), expected);
        assert_eq!(taken.last().map(String::as_str), Some("2"));
    }
}
