//! The agent's environment variables: its configuration and the pod's UID.

use contract::{AgentConfig, layout};
use serde_json::{Value, json};

/// The agent's configuration as the value of a variable.
pub(super) fn config_value(config: &AgentConfig) -> String {
    #[expect(
        clippy::expect_used,
        reason = "the type has only maps with string keys and no serializer that fails"
    )]
    let json = config.to_json().expect("an agent configuration serializes to JSON");
    escaped(json)
}

/// A text with every dollar escaped, since kubelet reads `$$` as a dollar and expands `$(NAME)`.
pub(super) fn escaped(text: String) -> String {
    if text.contains('$') { text.replace('$', "$$") } else { text }
}

/// The variable with the pod's UID. Sets `apiVersion`, which the API server would default.
pub(super) fn pod_uid() -> Value {
    json!({
        "name": layout::POD_UID_VARIABLE,
        "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.uid" } },
    })
}
