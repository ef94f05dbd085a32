//! Why a stream ends.

use std::time::Duration;

use super::framed_io::FramedIoError;
use crate::access::AccessError;
use crate::app::FrameError;
use crate::audit::AuditError;
use crate::repository::RepositoryError;

#[derive(Debug, thiserror::Error)]
pub(super) enum StreamEnd {
    /// The connection failed or was closed.
    #[error(transparent)]
    Io(#[from] FramedIoError),
    /// The agent was silent for too long.
    #[error("read stream: the agent sent nothing for {0:?}")]
    Silent(Duration),
    /// The first message is not hello.
    #[error("read stream: the first message is not hello")]
    NoHello,
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The values that the pod should hold cannot be opened.
    #[error("open generation")]
    Frame(#[source] FrameError),
    /// The generations of a bundle cannot be read.
    #[error(transparent)]
    Ledger(RepositoryError),
    /// The grants cannot be read.
    #[error("check access")]
    Access(#[source] AccessError),
    /// The pod may no longer read one of its bundles, or they do not fit into one message.
    #[error("the pod is refused: {0}")]
    Refused(String),
    /// The namespace belongs to another project or environment now. The agent reconnects and is
    /// admitted to other bundles.
    #[error("the pod's namespace moved to another project or environment")]
    NamespaceMoved,
    /// The pod's token has expired or is not valid any more. The agent logs in again, if it can.
    #[error("the pod's credential ended: {0}")]
    CredentialEnded(String),
    /// The agent sends newer tokens all the time.
    #[error("read stream: too many tokens")]
    TooManyTokens,
    /// The agent sends more reports than it can have reasons for.
    #[error("read stream: too many reports")]
    TooManyReports,
    /// Switchyard stops.
    #[error("switchyard is stopping")]
    Stopping,
}
