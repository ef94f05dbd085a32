//! What is known of the pods whose agents report here.

use std::fmt;
use std::str::FromStr;

use audit::Pod;
use contract::api::PodCheck;
use contract::stream::{BundleGeneration, CheckStage};
use contract::{Generation, GenerationTag};
use jiff::Timestamp;

use super::{Bundle, BundleId};

/// What an agent says of its pod as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentState {
    /// The pod.
    pub pod: Pod,
    /// The agent's version.
    pub agent: String,
    /// When its last stream was opened.
    pub connected_at: Timestamp,
    /// When that stream ended, if it has.
    pub disconnected_at: Option<Timestamp>,
    /// The generations that it refuses.
    pub refused: Vec<BundleGeneration>,
    /// The last checks.
    pub checks: CheckedStages,
}

/// The last checks of each stage; `None` where nothing is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedStages {
    /// Before the files were written.
    pub before: Option<Vec<PodCheck>>,
    /// After the application was told.
    pub after: Option<Vec<PodCheck>>,
    /// After an earlier generation was restored.
    pub restored: Option<Vec<PodCheck>>,
}

impl CheckedStages {
    /// Replaces the checks of a stage. Those of an unknown one are dropped.
    pub fn put(&mut self, stage: CheckStage, checks: Vec<PodCheck>) {
        match stage {
            CheckStage::Before => self.before = Some(checks),
            CheckStage::After => self.after = Some(checks),
            CheckStage::Restored => self.restored = Some(checks),
            CheckStage::Unknown => {}
        }
    }

    /// These, and of the stages that they do not know those of `older`.
    #[must_use]
    pub fn or(self, older: Self) -> Self {
        Self {
            before: self.before.or(older.before),
            after: self.after.or(older.after),
            restored: self.restored.or(older.restored),
        }
    }

    /// All of them, in the order of their stages.
    #[must_use]
    pub fn all(self) -> Vec<PodCheck> {
        [self.before, self.after, self.restored].into_iter().flatten().flatten().collect()
    }
}

/// A pod in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// The pod, as its agent last reported it.
    pub state: AgentState,
    /// Whether a replica that lives has its stream.
    pub is_connected: bool,
    /// What it holds of each bundle.
    pub holdings: Vec<HoldingRow>,
}

/// What a pod holds of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldingRow {
    /// The bundle as it is now.
    pub bundle: Bundle,
    /// The generation that its files hold.
    pub generation: Option<Generation>,
    /// Tells it apart from others with its number.
    pub tag: Option<GenerationTag>,
    /// Since when they hold it.
    pub since: Option<Timestamp>,
    /// How the application was told.
    pub reload: Option<String>,
    /// When it was told.
    pub reloaded_at: Option<Timestamp>,
    /// What failed last, if no newer generation was applied.
    pub failed: Option<PodFailure>,
    /// When the pod last reported something of the bundle.
    pub reported_at: Timestamp,
}

/// A generation that a pod could not put into effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFailure {
    /// The generation.
    pub generation: Generation,
    /// The step that failed.
    pub step: String,
    /// Why.
    pub detail: String,
}

/// Selects a page of pods.
#[derive(Clone, Debug, Default)]
pub struct AgentPage {
    /// Only pods after this one.
    pub after: Option<AgentPosition>,
    /// Only pods of this namespace.
    pub namespace: Option<String>,
    /// Only pods with this name.
    pub pod: Option<String>,
    /// Only pods that have reported something of this bundle.
    pub bundle: Option<BundleId>,
    /// The maximum number of results.
    pub limit: u32,
}

/// The place of a pod in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPosition {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

impl From<&Pod> for AgentPosition {
    fn from(pod: &Pod) -> Self {
        let Pod { namespace, name, uid, .. } = pod.clone();
        Self { namespace, pod: name, uid }
    }
}

impl fmt::Display for AgentPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.pod, self.uid)
    }
}

impl FromStr for AgentPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(pod), Some(uid)) => Ok(Self { namespace, pod, uid }),
            _ => Err(()),
        }
    }
}
