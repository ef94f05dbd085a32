//! `enclii access check`.

use std::process::ExitCode;

use contract::api::{
    AccessAnswer, AccessKind, AccessPrincipal, AccessRequest, AccessVerb, GroupSource,
};

use super::target::AccessTarget;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, words};
use crate::error::Error;
use crate::output::Output;

/// Ask whether somebody may do something, and by which rule. Exits with 1 if not.
///
/// Without --for it is about you. About others, only somebody who may grant in the scope gets an
/// answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii access check read shop.prod.api/DATABASE_URL
  enclii access check write shop.prod.api --for user:ada@example.com --group shop-devs
  enclii access check read shop.prod.api/DATABASE_URL --for service-account:shop-prod/jobs
  enclii access check read shop.prod --for token:ci --output json")]
pub(crate) struct CheckAccessArgs {
    /// The operation.
    #[arg(value_parser = words(AccessVerb::ALL, AccessVerb::as_str))]
    verb: AccessVerb,
    /// The scope, or a secret: SCOPE or SCOPE/NAME. Without it, everything.
    target: Option<AccessTarget>,
    /// Whom it is about: user:NAME, group:NAME, token:NAME, service-account:NAMESPACE/NAME or
    /// workload:ISSUER/RULE.
    #[arg(long = "for", value_name = "PRINCIPAL", value_parser = parse_principal)]
    principal: Option<AccessPrincipal>,
    /// A group of the person; can be repeated. Without it, the groups of the newest session count,
    /// if you may see that.
    #[arg(long = "group", value_name = "NAME", requires = "principal")]
    groups: Vec<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

pub(super) async fn run(args: CheckAccessArgs, output: &Output) -> Result<ExitCode, Error> {
    let CheckAccessArgs { verb, target, principal, groups, connection, output: format } = args;
    let (scope, secret) = target.map_or((None, None), |it| (Some(it.scope), it.secret));
    let principal = principal.map(|it| AccessPrincipal { groups, ..it });
    let request = AccessRequest { principal, verb, scope, secret };
    let answer = Client::new(&connection, output)?.check_access(&request).await?;
    if format == OutputFormat::Json {
        output.json(&answer)?;
    } else {
        print(&answer, output);
    }
    Ok(if answer.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(answer: &AccessAnswer, output: &Output) {
    let AccessAnswer { principal, groups_from, allowed, rule, bundle, remedy, .. } = answer;
    let who = format_principal(principal);
    let word = if *allowed { "yes" } else { "no" };
    let bundle = bundle.as_ref().map(|it| format!(", in the bundle of {it}")).unwrap_or_default();
    output.line(&format!("{word}: {who}: {rule}{bundle}"));
    if let Some(remedy) = remedy {
        output.note(remedy);
    }
    match groups_from {
        Some(GroupSource::Session) if !principal.groups.is_empty() => output.note(&format!(
            "groups of the newest session of {who}: {}",
            principal.groups.join(", ")
        )),
        Some(GroupSource::Unknown) => output.note(&format!(
            "the groups of {who} are not known, and did not count; name them with --group"
        )),
        _ => {}
    }
}

/// The text that `--for` takes.
fn format_principal(principal: &AccessPrincipal) -> String {
    format!("{}:{}", principal.kind.as_str().replace('_', "-"), principal.name)
}

fn parse_principal(text: &str) -> Result<AccessPrincipal, String> {
    let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or(
        "write user:NAME, group:NAME, token:NAME, service-account:NAMESPACE/NAME or \
             workload:ISSUER/RULE",
    )?;
    let kind: AccessKind = kind.replace('-', "_").parse().map_err(|error| format!("{error}"))?;
    Ok(AccessPrincipal { kind, name: name.to_owned(), groups: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_round_trip() {
        for text in [
            "user:ada@example.com",
            "group:cn=ops:x",
            "token:ci",
            "service-account:shop-prod/jobs",
            "workload:github/deploy",
        ] {
            assert_eq!(format_principal(&parse_principal(text).unwrap()), text);
        }
        for text in ["", "ada", "user:", "User:ada", "pod:x"] {
            assert!(parse_principal(text).is_err(), "{text}");
        }
    }
}
