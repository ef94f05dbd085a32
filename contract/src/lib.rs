//! What the webhook, the agent, switchyard and the command line must agree on.
//!
//! Everything here is a value, parsed once, at the edge, into a type that cannot be invalid. The
//! crate uses no clock, environment, file or network (its `clippy.toml` bans them).

pub mod agent_config;
pub mod agent_metrics_port;
pub mod agent_resources;
pub mod agent_status;
pub mod annotations;
#[cfg(feature = "api")]
pub mod api;
pub mod bundle;
pub mod check;
pub mod credential;
pub mod delivery;
pub mod exec_config;
pub mod file_path;
pub mod layout;
pub mod login_check;
pub mod loopback_url;
#[cfg(feature = "api")]
pub mod metadata;
pub mod metrics_endpoint;
pub mod name;
pub mod placement;
pub mod problem;
pub mod quantity;
pub mod quote;
pub mod readiness;
pub mod redacted;
pub mod reload;
pub mod rendered;
pub mod rendering;
pub mod requests;
#[cfg(feature = "schema")]
mod schema;
pub mod scope;
pub mod secret_bundle;
pub mod secret_ref;
pub mod secret_volume;
pub mod socket_path;
pub mod stream;
#[cfg(feature = "template")]
pub mod template;
pub mod text;
pub mod vault_source;
pub mod vault_template;

pub use agent_config::AgentConfig;
pub use agent_metrics_port::AgentMetricsPort;
pub use agent_resources::AgentResources;
pub use agent_status::AgentStatus;
pub use annotations::Annotations;
pub use bundle::{BundleRef, Generation, GenerationTag, Version};
pub use check::Check;
pub use credential::Credential;
pub use delivery::{Delivery, DeliveryRequest};
pub use exec_config::ExecConfig;
pub use file_path::FilePath;
pub use loopback_url::LoopbackUrl;
pub use metrics_endpoint::MetricsEndpoint;
pub use name::{FileName, SecretName};
pub use placement::{Placement, PlacementError};
pub use problem::Problem;
pub use quantity::{Quantity, QuantityError};
pub use readiness::Readiness;
pub use redacted::Redacted;
pub use reload::{Reload, ReloadRequest};
pub use scope::{Label, Scope};
pub use secret_bundle::SecretBundle;
pub use secret_ref::SecretRef;
pub use secret_volume::SecretVolume;
pub use socket_path::SocketPath;
pub use vault_source::VaultSource;
pub use vault_template::VaultTemplate;
