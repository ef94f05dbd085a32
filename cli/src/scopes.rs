//! `enclii scopes`.

use contract::Scope;
use contract::api::ScopeSummary;
use serde::Serialize;

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii scopes
  enclii scopes --output json

A terminal gets a tree, a pipe one scope on each line. The numbers are those of a scope's own
secrets; a scope in brackets has none that you may list, only those below it do.";

/// Show the projects, environments and services with secrets that you may list.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ScopesArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output.
#[derive(Serialize)]
struct ScopeListReport<'a> {
    scopes: &'a [ScopeSummary],
}

pub(crate) async fn run(args: ScopesArgs, output: &Output) -> Result<(), Error> {
    let scopes = Client::new(&args.connection, output)?.scopes().await?;
    if args.output == OutputFormat::Json {
        return output.json(&ScopeListReport { scopes: &scopes });
    }
    if scopes.is_empty() {
        output.note("there is no scope with secrets that you may list");
    } else if output.is_terminal() {
        tree(&scopes).iter().for_each(|line| output.line(line));
    } else {
        let row = |it: &ScopeSummary| vec![it.scope.to_string(), it.secrets.to_string()];
        output.table(&["SCOPE", "SECRETS"], &scopes.iter().map(row).collect::<Vec<_>>());
    }
    Ok(())
}

/// A line of the tree.
struct Node {
    scope: Scope,
    secrets: Option<u64>,
}

/// The tree, line by line. `scopes` are in its order.
fn tree(scopes: &[ScopeSummary]) -> Vec<String> {
    let mut nodes: Vec<Node> = Vec::new();
    for ScopeSummary { scope, secrets } in scopes {
        let mut wider: Vec<Scope> = std::iter::successors(scope.parent(), Scope::parent).collect();
        wider.reverse();
        for scope in wider {
            if !nodes.iter().any(|it| it.scope == scope) {
                nodes.push(Node { scope, secrets: None });
            }
        }
        nodes.push(Node { scope: scope.clone(), secrets: Some(*secrets) });
    }
    let named = |at: usize| {
        let prefix = prefix(&nodes, at);
        let name = nodes[at].scope.to_string();
        let last = name.rsplit('.').next().unwrap_or_default().to_owned();
        match nodes[at].secrets {
            Some(secrets) => (format!("{prefix}{last}"), secrets.to_string()),
            None => (format!("{prefix}({last})"), String::new()),
        }
    };
    let lines: Vec<(String, String)> = (0..nodes.len()).map(named).collect();
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let line = |(name, secrets): &(String, String)| {
        format!("{name:<width$}  {secrets}").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

/// The branches before a name.
fn prefix(nodes: &[Node], at: usize) -> String {
    let scope = &nodes[at].scope;
    // Whether another scope of the same parent follows.
    let goes_on = |scope: &Scope| {
        let (parent, mut later) = (scope.parent(), nodes[at + 1..].iter());
        later.any(|it| it.scope.parent() == parent && it.scope != *scope)
    };
    match scope {
        Scope::Project(_) => String::new(),
        Scope::Environment(..) => if goes_on(scope) { "├─ " } else { "└─ " }.to_owned(),
        Scope::Service(..) => {
            let above = scope.parent().is_some_and(|environment| goes_on(&environment));
            let own = if goes_on(scope) { "├─ " } else { "└─ " };
            format!("{}{own}", if above { "│  " } else { "   " })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_tree() {
        let scopes: Vec<_> = [
            ("bank.prod.api", 12),
            ("shop", 2),
            ("shop.dev.api", 1),
            ("shop.prod", 4),
            ("shop.prod.api", 3),
            ("shop.prod.web", 1),
        ]
        .map(|(scope, secrets)| ScopeSummary { scope: scope.parse().unwrap(), secrets })
        .into();
        let expected = "\
(bank)
└─ (prod)
   └─ api  12
shop       2
├─ (dev)
│  └─ api  1
└─ prod    4
   ├─ api  3
   └─ web  1";
        assert_eq!(tree(&scopes).join("\n"), expected);
    }
}
