//! `enclii grants …`.

use clap::Subcommand;
use contract::api::{Access, Grant, GrantRequest, Subject, SubjectKind};
use contract::{Scope, SecretName};

use crate::client::Client;
use crate::common::{self, Connection, Format};
use crate::error::Error;
use crate::output::Output;

/// Who may do what: list, add and remove grants.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Add(Add),
    Remove(Remove),
}

/// List the grants that you may see.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// Let a person, a group or a service account do something. Nobody can give more than they have.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii grants add group:shop-devs developer shop
  enclii grants add user:ada@example.com read shop.prod.api --secret DATABASE_URL
  enclii grants add service-account:shop-prod/jobs read shop.prod.api")]
pub(crate) struct Add {
    /// Whom: user:NAME, group:NAME or service-account:NAMESPACE/NAME.
    #[arg(value_parser = subject)]
    pub(crate) subject: Subject,
    /// What: read, write, or the role readonly, developer, admin or owner.
    #[arg(value_parser = access)]
    pub(crate) access: Access,
    /// Where: this scope and all below it, as in shop, shop.prod or shop.prod.api.
    #[arg(value_parser = scope)]
    pub(crate) scope: Scope,
    /// This one secret of the scope alone.
    #[arg(long, value_parser = common::name, value_name = "NAME")]
    pub(crate) secret: Option<SecretName>,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// Take a grant back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii grants remove 12 --yes")]
pub(crate) struct Remove {
    /// The grant's number, as the list shows it.
    pub(crate) id: u64,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::List(List { connection, output: format }) => {
            let grants = Client::new(&connection, output)?.grants().await?;
            if format == Format::Json {
                return output.json(&serde_json::json!({ "grants": grants }));
            }
            if grants.is_empty() {
                output.note("there are no grants that you may see");
                return Ok(());
            }
            output.table(
                &["ID", "SUBJECT", "ACCESS", "SCOPE", "SECRET", "BY", "SINCE"],
                &grants.iter().map(row).collect::<Vec<_>>(),
            );
        }
        Command::Add(Add { subject, access, scope, secret, connection, output: format }) => {
            let grant = Client::new(&connection, output)?
                .grant(&GrantRequest { subject, scope, secret, access })
                .await?;
            if format == Format::Json {
                return output.json(&grant);
            }
            output.done(&format!("grant {}: {}", grant.id, words(&grant)));
        }
        Command::Remove(Remove { id, yes, connection, output: format }) => {
            if !yes && !output.confirm(&format!("Take grant {id} back?"))? {
                return Err(Error::NotConfirmed("removed"));
            }
            let grant = Client::new(&connection, output)?.remove_grant(id).await?;
            if format == Format::Json {
                return output.json(&grant);
            }
            output.done(&format!("grant {id} is gone: {}", words(&grant)));
        }
    }
    Ok(())
}

fn row(grant: &Grant) -> Vec<String> {
    let secret = grant.secret.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
    let (scope, access) = (grant.scope.to_string(), grant.access.to_string());
    vec![
        grant.id.to_string(),
        named(&grant.subject),
        access,
        scope,
        secret,
        grant.created_by.clone(),
        grant.created_at.clone(),
    ]
}

fn words(grant: &Grant) -> String {
    let secret = grant.secret.as_ref().map(|it| format!("/{it}")).unwrap_or_default();
    format!("{} {} {}{secret}", named(&grant.subject), grant.access, grant.scope)
}

fn named(subject: &Subject) -> String {
    format!("{}:{}", subject.kind.as_str().replace('_', "-"), subject.name)
}

fn subject(text: &str) -> Result<Subject, String> {
    let (kind, name) = text
        .split_once(':')
        .filter(|(_, name)| !name.is_empty())
        .ok_or("write user:NAME, group:NAME or service-account:NAMESPACE/NAME")?;
    let kind: SubjectKind = kind.replace('-', "_").parse().map_err(|error| format!("{error}"))?;
    Ok(Subject { kind, name: name.to_owned() })
}

fn access(text: &str) -> Result<Access, contract::api::UnknownWord> {
    text.parse()
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse()
        .map_err(|error: contract::scope::ScopeError| runtime::logs::ErrorChain(&error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for text in ["user:ada@example.com", "group:cn=ops:x", "service-account:shop-prod/jobs"] {
            assert_eq!(named(&subject(text).unwrap()), text);
        }
        assert_eq!(subject("service_account:a/b").unwrap().kind, SubjectKind::ServiceAccount);
        for text in ["", "ada", "user:", "User:ada", "pod:x"] {
            assert!(subject(text).is_err(), "{text}");
        }
    }
}
