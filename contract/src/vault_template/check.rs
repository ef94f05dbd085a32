//! What a template of Vault Agent reads, and what is wrong with it, before anything renders it.

use std::collections::BTreeMap;

use gotmpl::TemplateError;
use gotmpl::parse::{CommandNode, DefineNode, Expr, ListNode, Node, Parser, PipeNode};

use super::{BUILTINS, Delimiters, FUNCTIONS, PKI_CERT, REFUSED, SECRET, parameters};
use crate::template::TemplateFault;

/// The most `else` of one template. The parser calls itself for each `else if`, without a bound.
const MAX_ELSE: usize = 128;

/// What the action after a template prints. The parser takes an `end` that is missing for one at
/// the end, and leaves out what follows one too many: then this action is not where it should be.
const LAST: &str = "end of the template";

/// The longest message of the parser that is shown, in characters.
const MAX_MESSAGE: usize = 120;

/// A call by which a template reads a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretCall {
    /// Where it is, from 1.
    pub line: usize,
    /// Whether it is [`PKI_CERT`].
    pub is_certificate: bool,
    /// The path as the template has it.
    pub path: String,
    /// The parameters, as `common_name`.
    pub parameters: BTreeMap<String, String>,
}

/// A template as its parser sees it.
#[derive(Debug)]
pub struct ParsedTemplate {
    /// Its own text.
    pub tree: ListNode,
    /// The texts that it defines.
    pub defines: Vec<DefineNode>,
}

/// Parses a template.
///
/// # Errors
/// The first fault of the syntax.
pub fn parse(text: &str, delimiters: &Delimiters) -> Result<ParsedTemplate, TemplateFault> {
    let Delimiters(left, right) = delimiters;
    // Those in its plain text count too, so that nothing has to tell them apart.
    if let Some((at, _)) = text.match_indices("else").nth(MAX_ELSE) {
        return Err(fault(line_of(text, at), format!("it has more than {MAX_ELSE} else")));
    }
    let whole = format!("{text}{left} `{LAST}` {right}");
    let (mut tree, defines) =
        Parser::new(&whole, left, right).and_then(Parser::parse).map_err(syntax)?;
    match tree.nodes.pop() {
        Some(Node::Action(action)) if is_last(&action.pipe) => Ok(ParsedTemplate { tree, defines }),
        _ => {
            let what = "syntax error: an action has no end, or an end has no beginning";
            Err(fault(line_of(text, text.len()), what))
        }
    }
}

/// Whether an action is the one after a template.
fn is_last(pipe: &PipeNode) -> bool {
    let [CommandNode { args, .. }] = pipe.commands.as_slice() else { return false };
    matches!(args.as_slice(), [Expr::String(_, text)] if **text == *LAST)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Parses a template, and finds the secrets that it reads.
///
/// # Errors
/// The first fault: of the syntax, a function that does not work, or a path that is computed.
pub fn check(text: &str, delimiters: &Delimiters) -> Result<Vec<SecretCall>, TemplateFault> {
    let ParsedTemplate { tree, defines } = parse(text, delimiters)?;
    let mut found = Finder::default();
    found.list(&tree)?;
    for define in &defines {
        found.list(&define.body)?;
    }
    Ok(found.calls)
}

/// The parser's words: they quote the template, which is no secret.
fn syntax(error: TemplateError) -> TemplateFault {
    let (line, message) = match error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            (line, message)
        }
        _ => (1, "it cannot be parsed".to_owned()),
    };
    let message = message.chars().filter(|it| !it.is_control()).take(MAX_MESSAGE);
    let what = format!("syntax error: {}", message.collect::<String>());
    TemplateFault { line: line.max(1), what }
}

fn fault(line: usize, what: impl Into<String>) -> TemplateFault {
    TemplateFault { line, what: what.into() }
}

#[derive(Default)]
struct Finder {
    calls: Vec<SecretCall>,
}

impl Finder {
    fn list(&mut self, list: &ListNode) -> Result<(), TemplateFault> {
        list.nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &Node) -> Result<(), TemplateFault> {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.pipe(&action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                self.pipe(&branch.pipe)?;
                self.list(&branch.body)?;
                branch.else_body.as_ref().map_or(Ok(()), |list| self.list(list))
            }
            Node::Template(template) => {
                template.pipe.as_ref().map_or(Ok(()), |pipe| self.pipe(pipe))
            }
            Node::Define(define) => self.list(&define.body),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) -> Result<(), TemplateFault> {
        for (at, command) in pipe.commands.iter().enumerate() {
            self.command(command, at > 0)?;
        }
        Ok(())
    }

    fn command(&mut self, command: &CommandNode, is_piped: bool) -> Result<(), TemplateFault> {
        let (first, rest) = match command.args.split_first() {
            Some((Expr::Chain(_, inner, _), rest)) => (&**inner, rest),
            Some((first, rest)) => (first, rest),
            None => return Ok(()),
        };
        match first {
            Expr::Identifier(pos, name) if [SECRET, PKI_CERT].contains(&name.as_str()) => {
                self.call((pos.line, name), rest, is_piped)
            }
            first => {
                self.expression(first)?;
                rest.iter().try_for_each(|it| self.expression(it))
            }
        }
    }

    fn call(
        &mut self,
        (line, name): (usize, &str),
        arguments: &[Expr],
        is_piped: bool,
    ) -> Result<(), TemplateFault> {
        let text = |it: &Expr| match it {
            Expr::String(_, text) => Some(text.to_string()),
            _ => None,
        };
        let texts: Option<Vec<String>> = arguments.iter().map(text).collect();
        let texts = texts.filter(|_| !is_piped).ok_or_else(|| {
            let what = format!(
                "{name} has a path or parameter that the template computes; write it out in \
                 quotation marks, since the agent has to know what to read before it renders"
            );
            fault(line, what)
        })?;
        let Some((path, rest)) = texts.split_first() else {
            return Err(fault(line, format!("{name} needs a path in quotation marks")));
        };
        let parameters = parameters(rest.iter().map(String::as_str)).map_err(|_| {
            fault(line, format!("{name} has a parameter that is not \"KEY=VALUE\""))
        })?;
        let is_certificate = name == PKI_CERT;
        self.calls.push(SecretCall { line, is_certificate, path: path.clone(), parameters });
        Ok(())
    }

    fn expression(&mut self, expression: &Expr) -> Result<(), TemplateFault> {
        match expression {
            Expr::Identifier(pos, name) => function(pos.line, name),
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expression(inner),
            _ => Ok(()),
        }
    }
}

/// Whether a function works.
fn function(line: usize, name: &str) -> Result<(), TemplateFault> {
    if [SECRET, PKI_CERT].contains(&name) {
        return Err(fault(
            line,
            format!("{name} as an argument needs parentheses: ({name} \"…\")"),
        ));
    }
    if BUILTINS.contains(&name) || FUNCTIONS.contains(&name) {
        return Ok(());
    }
    Err(match REFUSED.iter().find(|(refused, _)| *refused == name) {
        Some((_, reason)) => fault(line, format!("function {name} is not offered: {reason}")),
        None => fault(line, format!("there is no function {name}")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calls(text: &str) -> Vec<(usize, String, usize)> {
        let found = check(text, &Delimiters::default()).unwrap();
        found.into_iter().map(|it| (it.line, it.path, it.parameters.len())).collect()
    }

    #[test]
    fn the_secrets_that_a_template_reads() {
        for (text, expected) in [
            ("plain", &[][..]),
            ("{{ with secret \"a/b\" }}{{ .Data.data.x }}{{ end }}", &[(1, "a/b", 0)]),
            (
                "\n{{- with pkiCert `p/issue/w` \"common_name=x\" -}}{{ .Cert }}{{ end }}",
                &[(2, "p/issue/w", 1)],
            ),
            (
                "{{ (secret \"a\").Data.x }}{{ $s := secret \"b\" }}{{ $s.Data.y | toJSON }}",
                &[(1, "a", 0), (1, "b", 0)],
            ),
            (
                "{{ if eq (secret \"a\").Data.x \"y\" }}{{ else }}{{ with secret \"b\" }}\
                 {{ end }}{{ end }}",
                &[(1, "a", 0), (1, "b", 0)],
            ),
            (
                "{{ define \"t\" }}{{ secret \"a\" | toJSON }}{{ end }}{{ template \"t\" . }}",
                &[(1, "a", 0)],
            ),
            ("{{ range $k, $v := (secret \"a\").Data }}{{ $k }}{{ end }}", &[(1, "a", 0)]),
            ("{{/* {{ secret \"a\" }} */}}", &[]),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(line, path, count)| (*line, (*path).to_owned(), *count))
                .collect();
            assert_eq!(calls(text), expected, "{text}");
        }
        let delimiters = Delimiters("<<".into(), ">>".into());
        let found = check("{{ }} << with secret \"a\" >><< end >>", &delimiters).unwrap();
        assert_eq!(found[0].path, "a");
    }

    #[test]
    fn faults_name_the_line_and_the_way_out() {
        for (text, expected) in [
            ("\n{{ with secret (printf \"%s\" .x) }}{{ end }}", "line 2: secret has a path"),
            ("{{ \"a\" | secret }}", "line 1: secret has a path"),
            ("{{ with secret }}{{ end }}", "line 1: secret needs a path"),
            ("{{ with secret \"a\" \"ttl\" }}{{ end }}", "line 1: secret has a parameter"),
            ("{{ toJSON secret \"a\" }}", "line 1: secret as an argument needs parentheses"),
            ("{{ env \"HOME\" }}", "line 1: function env is not offered: the agent's environment"),
            ("{{ print (env \"HOME\") }}", "line 1: function env is not offered"),
            ("\n\n{{ sprig_upper \"a\" }}", "line 3: there is no function sprig_upper"),
            ("{{ .Data.data.my-key }}", "line 1: syntax error"),
            ("{{ with secret \"a\" }}\n", "line 2: syntax error: an action has no end"),
            ("{{ if 1 }}{{ else }}", "line 1: syntax error: an action has no end"),
            ("{{ define \"a\" }}", "line 1: syntax error: an action has no end"),
            ("a{{ end }}b", "line 1: syntax error: an action has no end, or an end"),
            ("{{ if 1 }}{{ end }}{{ else }}", "line 1: syntax error"),
            ("a\n{{ .x", "line 2: syntax error"),
        ] {
            let fault = check(text, &Delimiters::default()).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn every_refused_function_is_refused() {
        for (name, reason) in REFUSED {
            assert!(!FUNCTIONS.contains(name) && !BUILTINS.contains(name));
            let fault = check(&format!("{{{{ {name} \"x\" }}}}"), &Delimiters::default());
            assert!(fault.unwrap_err().what.contains(reason), "{name}");
        }
    }

    /// A test has 2 MiB of stack, as a thread of the webhook.
    #[test]
    fn deep_templates_are_refused_or_read_within_the_stack() {
        for times in [90, 1000, 20_000] {
            for text in [
                format!("{{{{ {}1{} }}}}", "(".repeat(times), ")".repeat(times)),
                "{{ if 1 }}".repeat(times) + &"{{ end }}".repeat(times),
                "{{ if 1 }}".to_owned() + &"{{ else if 1 }}".repeat(times) + "{{ end }}",
                "{{ with 1 }}".to_owned() + &"{{ else with 1 }}".repeat(times) + "{{ end }}",
                format!("{{{{ 1{} }}}}", " | print".repeat(times)),
                format!("{{{{ .a{} }}}}", ".a".repeat(times)),
                "{{ define \"a\" }}".repeat(times) + &"{{ end }}".repeat(times),
                "{{ block \"a\" . }}".repeat(times) + &"{{ end }}".repeat(times),
            ] {
                let _ = check(&text, &Delimiters::default());
            }
        }
        let chain = "{{ if 1 }}".to_owned() + &"\n{{ else if 1 }}".repeat(129) + "{{ end }}";
        let fault = check(&chain, &Delimiters::default()).unwrap_err().to_string();
        assert_eq!(fault, "line 130: it has more than 128 else");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}a-c \"`().$|:=,\n/*-]{0,60}") {
            let _ = check(&text, &Delimiters::default());
            let _ = check(&text, &Delimiters("(".into(), ")".into()));
        }
    }
}
