//! The agent's environment variables: its configuration and the pod's UID.

use contract::{AgentConfig, layout};
use serde_json::{Value, json};

/// The agent's configuration as the value of a variable. Escapes every dollar, since kubelet reads
/// `$$` as a dollar and expands `$(NAME)`.
pub(super) fn config_value(config: &AgentConfig) -> String {
    #[expect(
        clippy::expect_used,
        reason = "the type has only maps with string keys and no serializer that fails"
    )]
    let json = config.to_json().expect("an agent configuration serializes to JSON");
    if json.contains('$') { json.replace('$', "$$") } else { json }
}

/// The variable with the pod's UID. Sets `apiVersion`, which the API server would default.
pub(super) fn pod_uid() -> Value {
    json!({
        "name": layout::POD_UID_VARIABLE,
        "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.uid" } },
    })
}
