//! Why a Secret's volume cannot become the agent's.

use contract::FilePath;
use contract::secret_volume::MAX_VOLUMES;

/// Why the agent cannot fill a volume as kubelet would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretVolumeProblem {
    #[error(
        "it has other sources too, and kubelet and the agent cannot fill one volume together: give \
         the Secret a volume of its own"
    )]
    Mixed,
    #[error(
        "the bundle has no key {key}: write it with `{set}`, or set optional: true on the Secret"
    )]
    NoSuchKey { key: String, set: String },
    #[error(
        "{key} is no name of a secret, so no bundle has that key: store the value under another \
         name and change the item's key; its path can stay"
    )]
    KeyName { key: String },
    #[error(
        "the item's path {path} is not a relative path without '..': write one of 512 bytes at most"
    )]
    Path { path: String },
    #[error("{path} would be a file and a directory: change the item's path")]
    Overlap { path: FilePath },
    #[error("it has a mode that is none: write one from 0 to 0777")]
    Mode,
    #[error("a pod may have {MAX_VOLUMES} of these volumes: leave some out")]
    TooMany,
    #[error(
        "the items of the pod's volumes take more than 24 KiB of the agent's configuration: leave \
         out `items`, which takes every key by its own name"
    )]
    TooLong,
}
