//! Templates (minijinja): the language that the agent's renderer runs and that the webhook reads.
//!
//! A template sees the secrets and nothing else: no file, no variable, no other template.

mod check;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use crate::layout::MAX_TEMPLATE_STEPS;
use crate::quote::{json_text, properties_text, shell_quoted};
pub use check::{TemplateFault, TemplateNames, check};

/// How deep loops may nest by recursion.
const RECURSION: usize = 32;

/// The name under which a template finds every secret, for those whose names are no identifiers:
/// `secrets["tls.key"]`.
pub const ALL: &str = "secrets";

/// The engine, with the filters that quote a value, and its bounds.
#[must_use]
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // The delimiters stay the default ones, which are valid.
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(MAX_TEMPLATE_STEPS));
    environment.set_recursion_limit(RECURSION);
    environment.add_filter("json", |text: &str| json_text(text).to_string());
    environment.add_filter("properties", properties_text);
    environment.add_filter("shell", |text: String| {
        let mut quoted = Vec::with_capacity(text.len() + 2);
        shell_quoted(text.as_bytes(), &mut quoted);
        // Quotes and backslashes between the parts of a text leave it a text.
        String::from_utf8(quoted).unwrap_or_default()
    });
    environment
}
