//! What is wrong with a template, before anything renders it.
//!
//! It is compiled and never run, so what it costs depends on its length alone. The compiler calls
//! itself for each part of an expression; what it does not bound is counted here first.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::{Instruction, Instructions, Token, get_compiled_template, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind};

use super::{ALL, environment};

/// The most words of one tag (`{{ … }}` or `{% … %}`).
const MAX_WORDS: usize = 256;

/// The most `elif` of one template.
const MAX_BRANCHES: usize = 64;

/// The secrets that a template cannot do without, each with the line where it is first. Those that
/// it tests (`is defined`) or has a default for are left out.
pub type TemplateNames = BTreeMap<String, usize>;

/// Why a template would fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TemplateFault {
    /// Where, from 1.
    pub line: usize,
    /// What, in few words. Holds names of the template and none of its texts.
    pub what: String,
}

impl TemplateFault {
    fn new(line: Option<usize>, what: impl Into<String>) -> Self {
        Self { line: line.unwrap_or(1), what: what.into() }
    }
}

/// Compiles a template, and looks for what only rendering would find: filters, tests and functions
/// that do not exist.
///
/// # Errors
/// The first fault.
pub fn check(text: &str) -> Result<TemplateNames, TemplateFault> {
    check_size(text)?;
    let environment = environment();
    let template =
        environment.template_from_named_str("template", text).map_err(|error| syntax(&error))?;
    let undeclared = template.undeclared_variables(false);
    let instructions = &get_compiled_template(&template).instructions;
    let uses = Uses { instructions, environment: &environment };
    let mut names = TemplateNames::new();
    let mut tested = BTreeSet::new();
    for at in 0.. {
        let Some(instruction) = instructions.get(at) else { break };
        let line = instructions.get_line(at);
        uses.check(instruction).map_err(|what| TemplateFault::new(line, what))?;
        let Instruction::Lookup(name) = instruction else { continue };
        let (name, next) = match (*name, instructions.get(at + 1), instructions.get(at + 2)) {
            (ALL, Some(Instruction::GetAttr(name)), _) => ((*name).to_owned(), at + 2),
            (ALL, Some(Instruction::LoadConst(name)), Some(Instruction::GetItem)) => {
                match name.as_str() {
                    Some(name) => (name.to_owned(), at + 3),
                    None => continue,
                }
            }
            (ALL, ..) => continue,
            (name, ..) if uses.is_global(name) || !undeclared.contains(name) => continue,
            (name, ..) => (name.to_owned(), at + 1),
        };
        if uses.is_tested(next) {
            tested.insert(name);
        } else {
            names.entry(name).or_insert_with(|| line.unwrap_or(1));
        }
    }
    names.retain(|name, _| !tested.contains(name));
    Ok(names)
}

/// Counts what the compiler would recurse into without a bound.
fn check_size(text: &str) -> Result<(), TemplateFault> {
    let (mut words, mut branches, mut is_first) = (0, 0, false);
    for token in tokenize(text, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| syntax(&error))?;
        let line = Some(usize::from(span.start_line));
        match token {
            Token::BlockStart | Token::VariableStart => words = 0,
            Token::Ident("elif") if is_first => branches += 1,
            _ => words += 1,
        }
        is_first = matches!(token, Token::BlockStart);
        if words > MAX_WORDS {
            let what = format!("a tag has more than {MAX_WORDS} words; use several");
            return Err(TemplateFault::new(line, what));
        }
        if branches > MAX_BRANCHES {
            let what = format!("it has more than {MAX_BRANCHES} elif");
            return Err(TemplateFault::new(line, what));
        }
    }
    Ok(())
}

/// The engine's words for a template that it cannot read: they name kinds of words, and names.
fn syntax(error: &Error) -> TemplateFault {
    let detail = error.detail().unwrap_or_default().chars().filter(|it| !it.is_control());
    let detail: String = detail.take(120).collect();
    let kind = error.kind();
    let what = if detail.is_empty() { kind.to_string() } else { format!("{kind}: {detail}") };
    TemplateFault::new(error.line(), what)
}

/// What a compiled template uses.
struct Uses<'t, 's> {
    instructions: &'t Instructions<'s>,
    environment: &'t Environment<'t>,
}

impl Uses<'_, '_> {
    /// Names a filter, test or function that does not exist.
    fn check(&self, instruction: &Instruction<'_>) -> Result<(), String> {
        let state = || self.environment.empty_state();
        let is_unknown = |error: Option<Error>, kind| error.is_some_and(|it| it.kind() == kind);
        match instruction {
            Instruction::ApplyFilter(name, ..) => {
                let error = state().apply_filter(name, &[]).err();
                match is_unknown(error, ErrorKind::UnknownFilter) {
                    true => Err(format!("there is no filter {name}")),
                    false => Ok(()),
                }
            }
            Instruction::PerformTest(name, ..) => {
                let error = state().perform_test(name, &[]).err();
                match is_unknown(error, ErrorKind::UnknownTest) {
                    true => Err(format!("there is no test {name}")),
                    false => Ok(()),
                }
            }
            Instruction::CallFunction(name, _) if *name != "loop" && !self.is_global(name) => {
                Err(format!("there is no function {name}"))
            }
            _ => Ok(()),
        }
    }

    fn is_global(&self, name: &str) -> bool {
        self.environment.globals().any(|(global, _)| global == name)
    }

    /// Whether what follows a name asks if it is there, or has something in its place: the test or
    /// the filter comes after its arguments.
    fn is_tested(&self, mut at: u32) -> bool {
        loop {
            match self.instructions.get(at) {
                Some(Instruction::LoadConst(_) | Instruction::Lookup(_)) => at += 1,
                Some(Instruction::PerformTest(name, ..)) => {
                    return matches!(*name, "defined" | "undefined");
                }
                Some(Instruction::ApplyFilter(name, ..)) => {
                    return matches!(*name, "default" | "d");
                }
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_secrets_that_a_template_needs() {
        for (text, expected) in [
            ("plain", &[][..]),
            ("{{ A }}\n{{ B | json }}\n{{ A }}", &[("A", 1), ("B", 2)]),
            ("{{ secrets[\"tls.key\"] }}{{ secrets.C }}", &[("C", 1), ("tls.key", 1)]),
            ("{{ A | default(\"x\") }}{{ B is defined }}", &[]),
            ("{% if A is defined %}{{ A }}{% endif %}", &[]),
            ("{% if secrets.A is undefined %}{% else %}{{ A }}{% endif %}", &[]),
            ("{% for x in [\"A\"] %}{{ x }}{{ secrets[x] }}{{ loop.index }}{% endfor %}", &[]),
            ("{% set x = A %}\n{{ x }}{{ range(3) }}", &[("A", 1)]),
            ("{% raw %}{{ A | nothing }}{% endraw %}{# {{ B }} #}", &[]),
        ] {
            let names = check(text).unwrap();
            let names: Vec<_> = names.iter().map(|(name, line)| (name.as_str(), *line)).collect();
            assert_eq!(names, expected, "{text}");
        }
    }

    #[test]
    fn faults_name_the_line_and_the_cause() {
        for (text, expected) in [
            ("a\n{{ A | jsn }}", "line 2: there is no filter jsn"),
            ("{% if A is fine %}{% endif %}", "line 1: there is no test fine"),
            ("\n\n{{ now() }}", "line 3: there is no function now"),
            ("x\n{{ A", "line 2: syntax error"),
            ("{% if A %}", "line 1: syntax error"),
            ("{% include \"x\" %}", "line 1: syntax error: unknown statement include"),
            ("{{ A }", "line 1: syntax error"),
        ] {
            let fault = check(text).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        }
        let fault = check("{{ \"hunter2\" \"hunter2\" }}{% \"hunter2\" %}").unwrap_err();
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }

    /// Each of these would have the compiler call itself once for each repetition. A test has 2 MiB
    /// of stack, as a thread of the webhook.
    #[test]
    fn deep_templates_are_refused_or_read_within_the_stack() {
        let chain = |part: &str, times: usize| format!("{{{{ A{} }}}}", part.repeat(times));
        for times in [100, 20_000] {
            for text in [
                chain("|f", times),
                chain(".a", times),
                chain("+A", times),
                chain(" and A", times),
                chain("[A]", times),
                chain("()", times),
                chain(" if A else A", times),
                format!("{{{{ {}A }}}}", "not ".repeat(times)),
                format!("{{{{ {}A }}}}", "-".repeat(times)),
                format!("{{{{ {}1{} }}}}", "(".repeat(times), ")".repeat(times)),
                format!("{{{{ {}1{} }}}}", "[".repeat(times), "]".repeat(times)),
                format!("{{% if A %}}{}{{% endif %}}", "{% elif A %}".repeat(times)),
                "{% if A %}".repeat(times) + &"{% endif %}".repeat(times),
                "{% for a in A %}".repeat(times) + &"{% endfor %}".repeat(times),
                "{{ A }}".repeat(times),
            ] {
                let _ = check(&text);
            }
        }
        assert!(check(&chain("+A", 200)).unwrap_err().what.contains("more than 256 words"));
        let branches = "{% if A %}".to_owned() + &"{% elif A %}".repeat(65) + "{% endif %}";
        assert!(check(&branches).unwrap_err().what.contains("more than 64 elif"));
        // A text with the end of a tag in it is one word of it.
        let text = format!("{{{{ \"}}}}\"{} }}}}", "|f".repeat(200));
        assert!(check(&text).unwrap_err().what.contains("more than 256 words"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}%#|A-c \"().\\[\\]\n-]{0,60}") {
            let _ = check(&text);
        }
    }
}
