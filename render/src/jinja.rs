//! Templates (minijinja): the pod's secrets in, a text out. Pure.
//!
//! A template sees the secrets and nothing else: no file, no variable, no other template. Its
//! steps, its nesting and its output are bounded. What it multiplies in memory is bounded by the
//! limits of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use contract::Redacted;
use contract::rendering::{TemplateError, TemplateErrorKind};
use contract::template::{ALL, environment};
use minijinja::value::{Object, Value};
use minijinja::{Error, ErrorKind};

use crate::Secrets;
use crate::output::Output;

/// The text that a template makes of the secrets.
pub(crate) fn render(text: &str, secrets: &Secrets) -> Result<Redacted, TemplateError> {
    let context = Arc::new(Context::new(secrets));
    let mut output = Output::new();
    let environment = environment();
    let result = environment.template_from_named_str("template", text).and_then(|it| {
        let context = Value::from_dyn_object(Arc::clone(&context));
        it.render_captured_to(context, &mut output).map(|_| ())
    });
    match result {
        Ok(()) => Ok(output.into_bytes()),
        Err(error) => Err(failure(&error, (text, &context), output.is_full())),
    }
}

/// What an error says. No detail of the engine's is in it, which may quote a value.
fn failure(error: &Error, (text, context): (&str, &Context), is_full: bool) -> TemplateError {
    let missed = context.missed.lock().unwrap_or_else(PoisonError::into_inner).take();
    let kind = match (error.kind(), missed) {
        (_, Some(Missed::NotText(name))) => TemplateErrorKind::NotText { name },
        (ErrorKind::UndefinedError, Some(Missed::Absent(name))) => {
            // One that is not in the template's text may be made of a value.
            TemplateErrorKind::Undefined { name: text.contains(&name).then_some(name) }
        }
        (ErrorKind::OutOfFuel, _) => TemplateErrorKind::TooLong,
        _ if is_full => TemplateErrorKind::TooLarge,
        (kind, _) => TemplateErrorKind::other(kind.to_string()),
    };
    TemplateError { line: error.line().unwrap_or(1), kind }
}

/// What a template looked up last, if it is not there.
#[derive(Debug)]
enum Missed {
    Absent(String),
    NotText(String),
}

/// The secrets as a template sees them.
struct Context {
    /// `None` for one that is no text.
    values: BTreeMap<String, Option<Value>>,
    missed: Mutex<Option<Missed>>,
}

/// Names alone: the engine's errors may hold this.
impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Context {
    fn new(secrets: &Secrets) -> Self {
        let value = |bytes: &Redacted| std::str::from_utf8(bytes.expose()).ok().map(Value::from);
        let values = secrets.iter().map(|(name, bytes)| (name.clone(), value(bytes))).collect();
        Self { values, missed: Mutex::new(None) }
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let (found, missed) = match self.values.get(name) {
            Some(Some(value)) => (Some(value.clone()), None),
            Some(None) => (None, Some(Missed::NotText(name.to_owned()))),
            None if name == ALL => (Some(Value::from_dyn_object(Arc::clone(self))), None),
            None => (None, Some(Missed::Absent(name.to_owned()))),
        };
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = missed;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let values: [(&str, &[u8]); 5] = [
            ("USER", b"shop"),
            ("PASSWORD", b"hunter2's \"x\""),
            ("tls.key", b"-----KEY-----"),
            ("BINARY", b"hunter2\xff"),
            ("EMPTY", b""),
        ];
        values.iter().map(|(it, value)| ((*it).to_owned(), Redacted::from(*value))).collect()
    }

    fn text(template: &str) -> String {
        String::from_utf8(render(template, &secrets()).unwrap().expose().to_vec()).unwrap()
    }

    #[test]
    fn values_names_and_filters() {
        for (template, expected) in [
            ("plain\n", "plain\n"),
            ("{{ USER }}:{{ secrets[\"tls.key\"] }}", "shop:-----KEY-----"),
            ("{{ PASSWORD }}", "hunter2's \"x\""),
            ("{{ PASSWORD | json }}", "\"hunter2's \\\"x\\\"\""),
            ("{{ PASSWORD | shell }}", "'hunter2'\\''s \"x\"'"),
            ("p={{ \" ü\" | properties }}", "p=\\ \\u00FC"),
            ("{% if HOST is defined %}{{ HOST }}{% else %}none{% endif %}", "none"),
            ("{{ HOST | default(\"localhost\") }}", "localhost"),
            (
                "{% for n in [\"USER\", \"EMPTY\"] %}{{ n }}={{ secrets[n] }};{% endfor %}",
                "USER=shop;EMPTY=;",
            ),
            ("{# a comment #}{% raw %}{{ }}{% endraw %}", "{{ }}"),
        ] {
            assert_eq!(text(template), expected, "{template}");
        }
    }

    #[test]
    fn errors_name_the_line_and_the_name_and_show_no_value() {
        for (template, expected) in [
            ("a\nb {{ PASWORD }}", "line 2: PASWORD is not a secret of the pod's bundles"),
            ("{{ secrets[\"tls.crt\"] }}", "line 1: tls.crt is not a secret"),
            ("{{ USER }}\n{% if HOST == 1 %}{% endif %}", "line 2: HOST is not a secret"),
            ("\n\n{{ BINARY }}", "line 3: secret BINARY is not UTF-8"),
            ("{{ PASSWORD | nothing }}", "line 1: unknown filter"),
            ("{{ PASSWORD + 1 }}", "line 1: invalid operation"),
            ("{{ PASSWORD.length }}", "line 1: undefined value"),
            ("{{ PASSWORD | int }}", "line 1: invalid operation"),
            ("x\n{{ PASSWORD", "line 2: syntax error"),
            ("{% include \"/etc/passwd\" %}", "line 1: syntax error"),
            ("{{ PASSWORD() }}", "line 1: "),
            ("{{ secrets[PASSWORD] }}", "line 1: a name that it computes is not a secret"),
        ] {
            let error = render(template, &secrets()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.starts_with(expected), "{template}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn steps_and_output_are_bounded() {
        let steps =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        let kind = |text: &str| render(text, &secrets()).unwrap_err().kind;
        assert_eq!(kind(steps), TemplateErrorKind::TooLong);
        let output =
            "{% for a in range(60000) %}{{ \"0123456789012345678901234567890\" }}{% endfor %}";
        assert_eq!(kind(output), TemplateErrorKind::TooLarge);
        let nested = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(render(&format!("{{{{ {nested} }}}}"), &secrets()).is_err());
        let recursive = "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}";
        assert!(render(recursive, &secrets()).is_err());
    }
}
