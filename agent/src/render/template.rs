//! Templates (minijinja): the pod's secrets in, a text out. Pure.
//!
//! A template sees the secrets and nothing else: no file, no variable, no other template. Its
//! steps, its nesting and its output are bounded. What it multiplies in memory is bounded by the
//! agent's own limit, as is all of the agent.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use contract::Redacted;
use contract::layout::MAX_VALUE_BYTES;
use contract::template::{ALL, FUEL, environment};
use minijinja::value::{Object, Value};
use minijinja::{Error, ErrorKind};
use zeroize::Zeroizing;

use super::Secrets;

/// Why a template failed. Holds no detail of the engine's, which may quote a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that is no secret of the pod.
    #[error("line {line}: {name} is not a secret of the pod's bundles")]
    Undefined {
        /// Where, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// A value that is no text.
    #[error("line {line}: secret {name} is not UTF-8, so a template cannot hold it")]
    NotText {
        /// Where, from 1.
        line: usize,
        /// The secret.
        name: String,
    },
    /// More steps than a template may take.
    #[error("line {line}: it takes more than {FUEL} steps")]
    TooLong {
        /// Where, from 1.
        line: usize,
    },
    /// More output than a file may hold.
    #[error("line {line}: it writes more than {MAX_VALUE_BYTES} bytes")]
    TooLarge {
        /// Where, from 1.
        line: usize,
    },
    /// Anything else.
    #[error("line {line}: {kind}")]
    Other {
        /// Where, from 1.
        line: usize,
        /// What, in the engine's words for all errors of a kind.
        kind: String,
    },
    /// The template was not read from its file.
    #[error("it was not read")]
    NotRead,
}

/// The text that a template makes of the secrets.
pub(super) fn render(text: &str, secrets: &Secrets) -> Result<Redacted, TemplateError> {
    let context = Arc::new(Context::new(secrets));
    let mut output = Output { bytes: Zeroizing::new(Vec::new()), is_full: false };
    let environment = environment();
    let result = environment.template_from_named_str("template", text).and_then(|it| {
        let context = Value::from_dyn_object(Arc::clone(&context));
        it.render_captured_to(context, &mut output).map(|_| ())
    });
    match result {
        Ok(()) => Ok(Redacted::new(std::mem::take(&mut *output.bytes))),
        Err(error) => Err(failure(&error, &context, output.is_full)),
    }
}

fn failure(error: &Error, context: &Context, is_full: bool) -> TemplateError {
    let line = error.line().unwrap_or(1);
    let missed = context.missed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (error.kind(), missed) {
        (_, Some(Missed::NotText(name))) => TemplateError::NotText { line, name },
        (ErrorKind::UndefinedError, Some(Missed::Absent(name))) => {
            TemplateError::Undefined { line, name }
        }
        (ErrorKind::OutOfFuel, _) => TemplateError::TooLong { line },
        _ if is_full => TemplateError::TooLarge { line },
        (kind, _) => TemplateError::Other { line, kind: kind.to_string() },
    }
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
        let values =
            secrets.iter().map(|(name, bytes)| (name.as_str().to_owned(), value(bytes))).collect();
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

/// Takes as much as a file may hold.
struct Output {
    bytes: Zeroizing<Vec<u8>>,
    is_full: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_VALUE_BYTES {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use contract::{FileName, SecretName};

    use super::*;

    fn secrets() -> Secrets {
        let values: [(&str, &[u8]); 5] = [
            ("USER", b"shop"),
            ("PASSWORD", b"hunter2's \"x\""),
            ("tls.key", b"-----KEY-----"),
            ("BINARY", b"hunter2\xff"),
            ("EMPTY", b""),
        ];
        let name = |it: &str| FileName::from(&it.parse::<SecretName>().unwrap());
        values.iter().map(|(it, value)| (name(it), Redacted::new(value.to_vec()))).collect()
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
        assert_eq!(render(steps, &secrets()).unwrap_err(), TemplateError::TooLong { line: 1 });
        let output =
            "{% for a in range(60000) %}{{ \"0123456789012345678901234567890\" }}{% endfor %}";
        assert_eq!(render(output, &secrets()).unwrap_err(), TemplateError::TooLarge { line: 1 });
        let nested = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(render(&format!("{{{{ {nested} }}}}"), &secrets()).is_err());
        let recursive = "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}";
        assert!(render(recursive, &secrets()).is_err());
    }
}
