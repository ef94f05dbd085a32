//! Why HAProxy cannot be told over its socket.

use contract::annotations;

/// Why the agent cannot reach the socket, or must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HaproxySocketProblem {
    #[error(
        "no container that gets the secrets and keeps running mounts a volume at the socket's \
         directory: mount an emptyDir there, which the agent then mounts too"
    )]
    NoMount,
    #[error(
        "the containers {names} mount different volumes at the socket's directory: name HAProxy's \
         in {}",
        annotations::RELOAD_CONTAINER
    )]
    Several { names: String },
    #[error(
        "{0}: its volume is no emptyDir, so others than this pod may reach it: put the socket in \
         an emptyDir"
    )]
    NotEmptyDir(String),
    #[error("{0}: the agent cannot follow its subPathExpr: use subPath, or a volume of its own")]
    Expression(String),
    #[error(
        "{at}: that container gets no secrets, and could take HAProxy's place and get its private \
         keys: mount the volume with readOnly there, or add the container to {}",
        annotations::CONTAINERS
    )]
    Shared { at: String },
    #[error("the socket's path is too long in the agent: mount the volume nearer to the socket")]
    TooLong,
}
