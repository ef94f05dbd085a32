//! Why the agent cannot be the first of the containers.

/// Why the agent cannot be the first of the containers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFirst {
    /// It would run on when the application has ended.
    #[error("the pod ends with its application, and would not complete beside the agent")]
    Ends,
    /// All init containers end before the first container starts.
    #[error("init container {0} gets the secrets, and would run before the agent")]
    InitContainer(String),
    /// Only measured with a native sidecar.
    #[error("the agent restarts all containers, which needs a native sidecar")]
    Restarts,
}
