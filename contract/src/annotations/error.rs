//! Why a pod's annotations are refused: everything that is wrong with them, at once.

use std::fmt;

use super::{MAX_BUNDLES, MAX_RELOAD_TIMEOUT_SECONDS, MAX_VALUE_BYTES, RELOAD};
use crate::agent_metrics_port::AgentMetricsPortError;
use crate::agent_resources::AgentResourcesError;
use crate::bundle::{BundleRef, BundleRefError};
use crate::check::{Check, CheckError};
use crate::delivery::DeliveryError;
use crate::file_path::PathError;
use crate::metrics_endpoint::MetricsEndpointError;
use crate::placement::PlacementError;
use crate::reload::ReloadError;
use crate::rendered::RenderedError;

/// All the mistakes in a pod's annotations, in the order of [`KEYS`](super::KEYS); never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationErrors(Vec<AnnotationError>);

impl AnnotationErrors {
    /// `Ok(())` when there is no mistake.
    pub(super) fn check(errors: Vec<AnnotationError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &AnnotationError> {
        self.0.iter()
    }
}

impl fmt::Display for AnnotationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{}", error.message())?;
        }
        Ok(())
    }
}

impl std::error::Error for AnnotationErrors {}

/// One mistake: which annotation, and what is wrong with its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotation {key}")]
pub struct AnnotationError {
    /// The annotation's key.
    pub key: &'static str,
    /// What is wrong with its value.
    #[source]
    pub source: ValueError,
}

impl AnnotationError {
    /// The error and its cause on one line, as an admission message shows it.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.source {
            ValueError::Bundle(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::Reload(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::Check(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::Metrics(cause) => format!("annotation {}: {cause}", self.key),
            // The key ends with the name of the file.
            ValueError::Rendered(cause) => format!("annotation {}…: {cause}", self.key),
            ValueError::Path(cause) => format!("annotation {}…: {cause}", self.key),
            ValueError::AgentMetrics(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::AgentResources(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::Placement(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::Delivery(cause) => format!("annotation {}: {cause}", self.key),
            other => format!("annotation {}: {other}", self.key),
        }
    }
}

/// What is wrong with an annotation's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not the name of a bundle.
    #[error("bundle")]
    Bundle(#[source] BundleRefError),
    /// More bundles than a pod may have. Holds how many.
    #[error("it lists {0} bundles, and a pod may have {MAX_BUNDLES} at most")]
    TooManyBundles(usize),
    /// A value that is too long to be read. Holds its length in bytes.
    #[error("it has {0} bytes, and {MAX_VALUE_BYTES} at most are read")]
    TooLong(usize),
    /// The same bundle twice.
    #[error("bundle {0} is listed twice")]
    DuplicateBundle(BundleRef),
    /// A list that is empty or has an empty entry.
    #[error("the list {0:?} is empty or has an empty entry; write NAME,NAME")]
    List(String),
    /// Not the name of an environment variable.
    #[error("{0:?} is not a valid environment variable name")]
    EnvName(String),
    /// Not the name of a container.
    #[error("{0:?} is not a valid container name")]
    ContainerName(String),
    /// Not a way to reload.
    #[error("reload")]
    Reload(#[source] ReloadError),
    /// Not a time for the answer to a POST.
    #[error("{0:?} is not a time of 1s to {MAX_RELOAD_TIMEOUT_SECONDS}s; write it as 60s")]
    ReloadTimeout(String),
    /// A time for the answer to a POST, and no POST.
    #[error("only a POST is answered: set {RELOAD} to http=…, or remove the annotation")]
    TimeoutWithoutPost,
    /// Not a check, or too many of them.
    #[error("check")]
    Check(#[source] CheckError),
    /// The same check twice.
    #[error("check {0} is listed twice")]
    DuplicateCheck(Check),
    /// No check at all.
    #[error("it is empty; write none for no check")]
    NoChecks,
    /// Not where metrics are.
    #[error("metrics")]
    Metrics(#[source] MetricsEndpointError),
    /// Not a list of deliveries.
    #[error("delivery")]
    Delivery(#[source] DeliveryError),
    /// Not a port for the agent's metrics.
    #[error("agent metrics")]
    AgentMetrics(#[source] AgentMetricsPortError),
    /// Not the agent's resources.
    #[error("agent resources")]
    AgentResources(#[source] AgentResourcesError),
    /// Not a placement.
    #[error("placement")]
    Placement(#[source] PlacementError),
    /// Not a file to render.
    #[error("rendered file")]
    Rendered(#[source] RenderedError),
    /// Not a path for a file.
    #[error("path of a file")]
    Path(#[source] PathError),
    /// Not a file mode.
    #[error(
        "{0:?} is not a valid file mode; write three or four octal digits as 0400 or 0444, \
         readable and not executable or writable by others"
    )]
    FileMode(String),
}
