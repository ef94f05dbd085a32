//! `enclii grants …`.

use clap::Subcommand;
use contract::api::{Access, Grant, GrantRequest, Subject, SubjectKind};
use contract::{Scope, SecretName};

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, parse_scope, words};
use crate::error::Error;
use crate::output::{Output, seconds};

/// List, add and remove grants: who may do what.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    List(ListGrantsArgs),
    Add(AddGrantArgs),
    Remove(RemoveGrantArgs),
}

/// List the grants that you may see.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii grants list --output json")]
pub(crate) struct ListGrantsArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Give a person, a group or a service account access. Nobody can give more than they have.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii grants add group:shop-devs developer shop
  enclii grants add user:ada@example.com read shop.prod.api --secret DATABASE_URL
  enclii grants add service-account:shop-prod/jobs read shop.prod.api")]
pub(crate) struct AddGrantArgs {
    /// Who gets access: user:NAME, group:NAME or service-account:NAMESPACE/NAME.
    #[arg(value_parser = parse_subject)]
    pub(crate) subject: Subject,
    /// The access: to read or write values, or a role.
    #[arg(value_parser = words(Access::ALL, Access::as_str))]
    pub(crate) access: Access,
    /// The scope, which includes all below it: shop, shop.prod or shop.prod.api.
    #[arg(value_parser = parse_scope)]
    pub(crate) scope: Scope,
    /// Only this secret of the scope.
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<SecretName>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Remove a grant.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii grants remove 12 --yes")]
pub(crate) struct RemoveGrantArgs {
    /// The grant's ID, as `enclii grants list` shows it.
    pub(crate) id: u64,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

pub(crate) async fn run(command: GrantsCommand, output: &Output) -> Result<(), Error> {
    match command {
        GrantsCommand::List(ListGrantsArgs { connection, output: format }) => {
            let grants = Client::new(&connection, output)?.grants().await?;
            if format == OutputFormat::Json {
                return output.json(&serde_json::json!({ "grants": grants }));
            }
            if grants.is_empty() {
                output.note("there is no grant that you may see");
                return Ok(());
            }
            output.table(
                &["ID", "SUBJECT", "ACCESS", "SCOPE", "SECRET", "BY", "SINCE", "EXPIRES"],
                &grants.iter().map(row).collect::<Vec<_>>(),
            );
        }
        GrantsCommand::Add(AddGrantArgs {
            subject,
            access,
            scope,
            secret,
            connection,
            output: format,
        }) => {
            let grant = Client::new(&connection, output)?
                .grant(&GrantRequest { subject, scope, secret, access, expires_at: None })
                .await?;
            if format == OutputFormat::Json {
                return output.json(&grant);
            }
            output.success(&format!("grant {}: {}", grant.id, describe(&grant)));
        }
        GrantsCommand::Remove(RemoveGrantArgs { id, yes, connection, output: format }) => {
            if !yes && !output.confirm(&format!("Remove grant {id}?"))? {
                return Err(Error::NotConfirmed("removed"));
            }
            let grant = Client::new(&connection, output)?.remove_grant(id).await?;
            if format == OutputFormat::Json {
                return output.json(&grant);
            }
            output.success(&format!("grant {id} is removed: {}", describe(&grant)));
        }
    }
    Ok(())
}

fn row(grant: &Grant) -> Vec<String> {
    let secret = grant.secret.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
    let (scope, access) = (grant.scope.to_string(), grant.access.to_string());
    vec![
        grant.id.to_string(),
        format_subject(&grant.subject),
        access,
        scope,
        secret,
        grant.created_by.clone(),
        seconds(grant.created_at),
        grant.expires_at.map_or_else(|| "-".to_owned(), seconds),
    ]
}

fn describe(grant: &Grant) -> String {
    let secret = grant.secret.as_ref().map(|it| format!("/{it}")).unwrap_or_default();
    let end = grant.expires_at.map(|at| format!(" until {at}")).unwrap_or_default();
    let subject = format_subject(&grant.subject);
    format!("{subject} {} {}{secret}{end}", grant.access, grant.scope)
}

fn format_subject(subject: &Subject) -> String {
    format!("{}:{}", subject.kind.as_str().replace('_', "-"), subject.name)
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    let (kind, name) = text
        .split_once(':')
        .filter(|(_, name)| !name.is_empty())
        .ok_or("write user:NAME, group:NAME or service-account:NAMESPACE/NAME")?;
    let kind: SubjectKind = kind.replace('-', "_").parse().map_err(|error| format!("{error}"))?;
    Ok(Subject { kind, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_round_trip() {
        for text in ["user:ada@example.com", "group:cn=ops:x", "service-account:shop-prod/jobs"] {
            assert_eq!(format_subject(&parse_subject(text).unwrap()), text);
        }
        assert_eq!(parse_subject("service_account:a/b").unwrap().kind, SubjectKind::ServiceAccount);
        for text in ["", "ada", "user:", "User:ada", "pod:x"] {
            assert!(parse_subject(text).is_err(), "{text}");
        }
    }
}
