//! Where a template is, and how far it has come. The engine says neither, so each action of a
//! template is preceded by a call that notes it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use contract::layout::MAX_TEMPLATE_STEPS;
use contract::rendering::{TemplateError, TemplateErrorKind};
use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, SmolStr,
};
use gotmpl::{Template, Value};

/// The function that notes a line. No template can call it, since a name has no space.
const NOTE: &str = "line of";

/// How far a template has come.
#[derive(Default)]
pub(super) struct Steps {
    line: AtomicUsize,
    taken: AtomicU64,
    refused: Mutex<Option<String>>,
}

impl Steps {
    /// A template in which [`NOTE`] notes the line and counts.
    pub(super) fn count(self: &Arc<Self>, template: Template) -> Template {
        let steps = Arc::clone(self);
        template.func(NOTE, move |arguments| {
            let line = arguments.first().and_then(Value::as_int).unwrap_or_default();
            steps.line.store(usize::try_from(line).unwrap_or_default(), Relaxed);
            if steps.taken.fetch_add(1, Relaxed) >= MAX_TEMPLATE_STEPS {
                return Err(gotmpl::TemplateError::RangeIterLimit);
            }
            Ok(Value::String("".into()))
        })
    }

    /// Remembers why a function fails, in words without a value.
    pub(super) fn refuse(&self, what: String) -> gotmpl::TemplateError {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
        gotmpl::TemplateError::Exec(String::new())
    }

    /// An error at the current line.
    pub(super) fn error(&self, kind: TemplateErrorKind) -> TemplateError {
        TemplateError { line: self.line.load(Relaxed).max(1), kind }
    }

    /// What an error of the engine says, without its own text where that may have a value.
    pub(super) fn failure(&self, error: &gotmpl::TemplateError, source: &str) -> TemplateError {
        use gotmpl::TemplateError as E;
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        let named = |what: &str, name: &str| match source.contains(name) {
            true => format!("{what} {name}"),
            false => format!("{what} of that name"),
        };
        let what = match error {
            E::RangeIterLimit => return self.error(TemplateErrorKind::TooLong),
            _ if refused.is_some() => refused.unwrap_or_default(),
            E::MissingKey { key } => named("there is no key", key),
            E::UndefinedTemplate(name) => named("there is no template", name),
            E::UndefinedFunction(name) => named("there is no function", name),
            E::UndefinedVariable(name) => named("there is no variable", name),
            E::ArgCount { name, expected, got } => {
                format!("{name} takes {expected} arguments and not {got}")
            }
            E::TypeMismatch { expected, got } => format!("it needs a {expected} and not a {got}"),
            E::IndexOutOfRange { .. } => "an index is out of range".to_owned(),
            E::NotIterable(_) => "range over what is neither a list nor a map".to_owned(),
            E::RecursionLimit => "it calls itself too often".to_owned(),
            E::FuncPanic { .. } => "a function failed".to_owned(),
            _ => "an operation does not fit its values".to_owned(),
        };
        self.error(TemplateErrorKind::other(what))
    }
}

/// A text of a template in which each action is noted.
pub(super) fn counted(list: ListNode) -> ListNode {
    let ListNode { pos, nodes } = list;
    let mut counted = Vec::with_capacity(2 * nodes.len());
    for node in nodes {
        if let Some(pos) = position(&node) {
            counted.push(note(pos));
        }
        counted.push(match node {
            Node::List(list) => Node::List(self::counted(list)),
            Node::If(branch) => Node::If(counted_branch(branch)),
            Node::Range(branch) => Node::Range(counted_branch(branch)),
            Node::With(branch) => Node::With(counted_branch(branch)),
            other => other,
        });
    }
    ListNode { pos, nodes: counted }
}

fn counted_branch(branch: BranchNode) -> BranchNode {
    let BranchNode { pos, pipe, body, else_body } = branch;
    // A loop without an action is a step too, each time.
    let mut body = counted(body);
    body.nodes.insert(0, note(pos));
    BranchNode { pos, pipe, body, else_body: else_body.map(counted) }
}

fn position(node: &Node) -> Option<Pos> {
    match node {
        Node::Action(ActionNode { pos, .. }) => Some(*pos),
        Node::If(branch) | Node::Range(branch) | Node::With(branch) => Some(branch.pos),
        Node::Template(template) => Some(template.pos),
        _ => None,
    }
}

/// The action that notes a line.
fn note(pos: Pos) -> Node {
    let line = Number::Int(i64::try_from(pos.line).unwrap_or_default());
    let name = Expr::Identifier(pos, SmolStr::new_static(NOTE));
    let commands = vec![CommandNode { pos, args: vec![name, Expr::Number(pos, line)] }];
    let pipe = PipeNode { pos, decl: Vec::new(), commands, is_assign: false };
    Node::Action(ActionNode { pos, pipe })
}
