//! Events on pods, which `kubectl describe pod` shows.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::{Cluster, ClusterError};
use crate::audit::Pod;

/// The controller that an event names.
const REPORTER: &str = "enclii.io/switchyard";

/// The longest note of an event, in bytes (`NoteLengthLimit` of the API server).
const MAX_NOTE_BYTES: usize = 1024;

/// The longest action of an event, in bytes (`ActionLengthLimit` of the API server).
const MAX_ACTION_BYTES: usize = 128;

/// What happened in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodEventReason {
    /// A generation failed a check.
    CheckFailed,
    /// The generation before is in the files again.
    GenerationRestored,
}

/// An event on a pod. Its text has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// The pod.
    pub pod: Pod,
    /// What happened.
    pub reason: PodEventReason,
    /// What it happened to. Events of one reason and subject are one object with a count.
    pub subject: String,
    /// What people read.
    pub note: String,
}

/// Writes events. The same one again within six minutes is counted on the object that is there.
#[derive(Clone)]
pub struct PodEventRecorder {
    cluster: Cluster,
    recorder: Recorder,
}

impl PodEventReason {
    /// The reason, as events have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckFailed => "SecretCheckFailed",
            Self::GenerationRestored => "SecretGenerationRestored",
        }
    }
}

impl Cluster {
    /// A writer of events.
    #[must_use]
    pub fn pod_events(&self) -> PodEventRecorder {
        let recorder = Recorder::new(self.client.clone(), Reporter::from(REPORTER));
        PodEventRecorder { cluster: self.clone(), recorder }
    }
}

impl PodEventRecorder {
    /// Writes an event.
    ///
    /// # Errors
    /// The API server refuses it or cannot be reached.
    pub async fn publish(&self, event: &PodEvent) -> Result<(), ClusterError> {
        let PodEvent { pod: Pod { namespace, name, uid, .. }, reason, subject, note } = event;
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: reason.as_str().to_owned(),
            note: Some(cut(note, MAX_NOTE_BYTES).to_owned()),
            action: cut(subject, MAX_ACTION_BYTES).to_owned(),
            secondary: None,
        };
        self.cluster.call("write event", self.recorder.publish(&event, &regarding)).await
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
