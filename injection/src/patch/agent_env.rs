//! The agent's configuration, as the value of its variable.

use contract::AgentConfig;

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
