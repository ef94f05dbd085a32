//! How many streams a pod, a namespace and all pods together may have open.
//!
//! An agent that lost its connection comes back before switchyard notices that the old one is gone.
//! So a pod with too many streams gets a new one, and its oldest one ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::audit::Pod;

/// Open streams on one replica: twice the number that one is designed for.
const MAX_STREAMS: usize = 10_000;

/// How many streams may be open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Of all pods.
    pub(crate) all: usize,
    /// Of the pods of one namespace.
    pub(crate) per_namespace: usize,
    /// Of one pod, by its UID.
    pub(crate) per_pod: usize,
}

impl StreamLimits {
    /// The limits of one replica.
    pub(crate) fn new(per_namespace: usize, per_pod: usize) -> Self {
        Self { all: MAX_STREAMS, per_namespace, per_pod }
    }
}

/// A pod gets no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSlot {
    /// Its namespace has too many.
    #[error(
        "{max} pods of namespace {namespace} are connected, which is the maximum of one \
        namespace"
    )]
    Namespace {
        /// The namespace.
        namespace: String,
        /// The limit.
        max: usize,
    },
    /// All pods together have too many.
    #[error("{0} agents are connected, which is the maximum")]
    All(usize),
}

/// The open streams. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct StreamSlots {
    limits: StreamLimits,
    open: Arc<Mutex<OpenStreams>>,
}

#[derive(Debug, Default)]
struct OpenStreams {
    next: u64,
    all: usize,
    namespaces: HashMap<String, usize>,
    /// By UID, oldest first.
    pods: HashMap<String, VecDeque<(u64, CancellationToken)>>,
}

/// The place of one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    slots: StreamSlots,
    id: u64,
    namespace: String,
    uid: String,
    /// Cancelled when a newer stream of the pod takes this place.
    pub(crate) replaced: CancellationToken,
}

impl StreamSlots {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self { limits, open: Arc::default() }
    }

    /// A place for a stream of `pod`. If the pod has too many, its oldest one ends.
    ///
    /// # Errors
    /// If its namespace or all pods together have too many.
    pub(crate) fn take(&self, pod: &Pod) -> Result<StreamSlot, NoSlot> {
        let StreamLimits { all, per_namespace, per_pod } = self.limits;
        let mut open = self.lock();
        let own = open.pods.get(&pod.uid).map_or(0, VecDeque::len);
        if own >= per_pod {
            open.end_oldest(&pod.uid, &pod.namespace);
        }
        let of_namespace = open.namespaces.get(&pod.namespace).copied().unwrap_or_default();
        if of_namespace >= per_namespace {
            let namespace = pod.namespace.clone();
            return Err(NoSlot::Namespace { namespace, max: per_namespace });
        }
        if open.all >= all {
            return Err(NoSlot::All(all));
        }
        let (id, replaced) = (open.next, CancellationToken::new());
        open.next += 1;
        open.all += 1;
        *open.namespaces.entry(pod.namespace.clone()).or_default() += 1;
        open.pods.entry(pod.uid.clone()).or_default().push_back((id, replaced.clone()));
        let (namespace, uid) = (pod.namespace.clone(), pod.uid.clone());
        Ok(StreamSlot { slots: self.clone(), id, namespace, uid, replaced })
    }

    fn lock(&self) -> MutexGuard<'_, OpenStreams> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenStreams {
    /// Ends the oldest stream of a pod. It counts no longer.
    fn end_oldest(&mut self, uid: &str, namespace: &str) {
        let oldest = self.pods.get_mut(uid).and_then(VecDeque::pop_front);
        if let Some((_, replaced)) = oldest {
            replaced.cancel();
            self.leave(uid, namespace);
        }
    }

    fn leave(&mut self, uid: &str, namespace: &str) {
        self.all -= 1;
        if self.pods.get(uid).is_some_and(VecDeque::is_empty) {
            self.pods.remove(uid);
        }
        if let Some(count) = self.namespaces.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(namespace);
            }
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.slots.lock();
        let own = open.pods.get_mut(&self.uid);
        // A stream that was replaced has left already.
        if let Some(own) = own
            && let Some(at) = own.iter().position(|(id, _)| *id == self.id)
        {
            own.remove(at);
            open.leave(&self.uid, &self.namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, uid: &str) -> Pod {
        Pod {
            namespace: namespace.into(),
            service_account: "api".into(),
            name: format!("api-{uid}"),
            uid: uid.into(),
        }
    }

    #[test]
    fn the_oldest_stream_of_a_pod_makes_room() {
        let slots = StreamSlots::new(StreamLimits::new(100, 2));
        let one = slots.take(&pod("shop", "1")).unwrap();
        let two = slots.take(&pod("shop", "1")).unwrap();
        let other = slots.take(&pod("shop", "2")).unwrap();
        let three = slots.take(&pod("shop", "1")).unwrap();
        assert!(one.replaced.is_cancelled());
        assert!([&two, &three, &other].iter().all(|it| !it.replaced.is_cancelled()));
        assert_eq!(slots.lock().all, 3);
        assert_eq!(slots.lock().namespaces["shop"], 3);
        drop((one, two, three, other));
        let open = slots.lock();
        assert!(open.all == 0 && open.pods.is_empty() && open.namespaces.is_empty());
    }

    #[test]
    fn a_namespace_cannot_use_up_all_streams() {
        let limits = StreamLimits { all: 5, per_namespace: 3, per_pod: 2 };
        let slots = StreamSlots::new(limits);
        let mut held = Vec::new();
        for uid in ["1", "2", "3"] {
            held.push(slots.take(&pod("shop", uid)).unwrap());
        }
        let refused = slots.take(&pod("shop", "4")).unwrap_err();
        assert_eq!(refused, NoSlot::Namespace { namespace: "shop".into(), max: 3 });
        for uid in ["5", "6"] {
            held.push(slots.take(&pod("web", uid)).unwrap());
        }
        assert_eq!(slots.take(&pod("web", "7")).unwrap_err(), NoSlot::All(5));
        held.remove(0);
        assert!(slots.take(&pod("web", "7")).is_ok());
        // Nothing was replaced.
        assert!(held.iter().all(|it| !it.replaced.is_cancelled()));
    }
}
