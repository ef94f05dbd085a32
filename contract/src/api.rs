//! The bodies of switchyard's REST API, as the command line and other programs see them.
//!
//! Times are RFC 3339 in UTC. A value is standard base64 in a field called `value`, and nowhere
//! else. A request with a field that is not known is refused; an answer may have more fields than
//! are read. What holds a value or a token has no `Serialize`: its `to_body` gives the bytes,
//! [`Redacted`].
//!
//! [`Redacted`]: crate::Redacted

mod access;
mod admin;
mod audit;
mod body;
mod bundles;
mod grants;
mod login;
mod metadata;
mod object;
mod page;
mod pod_requests;
mod pods;
mod read;
mod rotate;
mod scopes;
mod secrets;
mod tokens;
mod versions;
#[macro_use]
mod word;

pub use access::{
    AccessAnswer, AccessKind, AccessPrincipal, AccessReader, AccessReaderList, AccessRequest,
    AccessVerb, GroupSource, SecretRead, SecretReadList,
};
pub use admin::{Health, HealthStatus, Rekey};
pub use audit::{Checkpoint, CheckpointList, ExportFormat};
pub use bundles::{BundleKeys, BundleList, BundleState, BundleValue, BundleValues};
pub use grants::{Access, Grant, GrantList, GrantRequest, Role, Subject, SubjectKind};
pub use login::{
    Login, LoginRequest, Principal, PrincipalKind, RoleIn, Session, WorkloadLoginRequest,
};
pub use metadata::MetadataRequest;
pub use object::Object;
pub use page::Page;
pub use pod_requests::PodRequests;
pub use pods::{
    PodBundle, PodCheck, PodFailedGeneration, PodList, PodRefusedGeneration, PodStatus,
};
pub use read::{FoundValue, ReadAnswer, ReadRequest};
pub use rotate::{Alphabet, Generate, RotateManyRequest, RotateRequest};
pub use scopes::{FoundSecrets, ScopeList, ScopeSummary};
pub use secrets::{
    Deleted, NewValue, SecretList, SecretOrigin, SecretSummary, SecretValue, WriteRequest, Written,
};
pub use tokens::{
    TokenCreated, TokenKind, TokenList, TokenName, TokenNameError, TokenRequest, TokenSummary,
};
pub use versions::{
    DestroyRequest, Destroyed, RollbackRequest, VersionList, VersionState, VersionSummary,
};
pub use word::UnknownWord;
