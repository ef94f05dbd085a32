//! `enclii tokens …`.

use clap::Subcommand;
use contract::Scope;
use contract::api::{Role, TokenName, TokenRequest, TokenSummary};

use crate::client::Client;
use crate::common::{Connection, Format};
use crate::error::Error;
use crate::output::Output;

/// Tokens for programs: list, create and revoke them; and people's sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Create(Create),
    Revoke(Revoke),
}

/// List the valid tokens and sessions that you may see.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// Make a token. It is printed once and kept nowhere: put it where the program finds it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii tokens create ci --role developer --scope shop.dev --ttl 30d >token
  ENCLII_TOKEN=\"$(enclii tokens create once --role readonly --ttl 5m)\" ./script")]
pub(crate) struct Create {
    /// Its name, which no other valid token has.
    #[arg(value_parser = name)]
    pub(crate) name: TokenName,
    /// What it may do: readonly, developer, admin or owner.
    #[arg(long, value_parser = role)]
    pub(crate) role: Role,
    /// Where: this scope and all below it; everywhere without it.
    #[arg(long, value_parser = scope)]
    pub(crate) scope: Option<Scope>,
    /// How long it is valid, as in 12h or 30d: from 1m to 90d.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = seconds)]
    pub(crate) ttl: u64,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Revoke a token or a session: it opens nothing from now on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii tokens revoke ci --yes")]
pub(crate) struct Revoke {
    /// The token's name.
    #[arg(value_parser = name)]
    pub(crate) name: TokenName,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::List(List { connection, output: format }) => {
            let list = Client::new(&connection, output)?.tokens().await?;
            if format == Format::Json {
                return output.json(&list);
            }
            let header = ["NAME", "KIND", "ROLE", "SCOPE", "BY", "CREATED", "EXPIRES", "LAST USED"];
            output.table(&header, &list.tokens.into_iter().map(row).collect::<Vec<_>>());
        }
        Command::Create(Create { name, role, scope, ttl: ttl_seconds, connection }) => {
            let created = Client::new(&connection, output)?
                .create_token(&TokenRequest { name, role, scope, ttl_seconds })
                .await?;
            output.note(&format!(
                "token {} is valid until {}; it is not shown again",
                created.name, created.expires_at
            ));
            output.bytes(created.token.redacted().expose())?;
        }
        Command::Revoke(Revoke { name, yes, connection }) => {
            if !yes
                && !output.confirm(&format!(
                    "Revoke token {name}? Whatever uses it is refused from now on."
                ))?
            {
                return Err(Error::NotConfirmed("revoked"));
            }
            Client::new(&connection, output)?.revoke_token(&name).await?;
            output.done(&format!("token {name} is revoked"));
        }
    }
    Ok(())
}

fn row(token: TokenSummary) -> Vec<String> {
    let TokenSummary { name, kind, role, scope, created_at, created_by, expires_at, last_used_at } =
        token;
    let none = || "-".to_owned();
    let role = role.map_or_else(none, |it| it.to_string());
    let scope = scope.map_or_else(|| "*".to_owned(), |it| it.to_string());
    let (expires_at, last_used_at) =
        (expires_at.unwrap_or_else(none), last_used_at.unwrap_or_else(none));
    vec![
        name.to_string(),
        kind.to_string(),
        role,
        scope,
        created_by,
        created_at,
        expires_at,
        last_used_at,
    ]
}

fn name(text: &str) -> Result<TokenName, contract::api::TokenNameError> {
    text.parse()
}

fn role(text: &str) -> Result<Role, contract::api::UnknownWord> {
    text.parse()
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse()
        .map_err(|error: contract::scope::ScopeError| runtime::logs::ErrorChain(&error).to_string())
}

/// A duration in words, whose days have 24 hours.
fn seconds(text: &str) -> Result<u64, String> {
    let span: jiff::Span = text.parse().map_err(|error| format!("{error}"))?;
    let duration = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|error| format!("{error}"))?;
    u64::try_from(duration.as_secs()).map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("90d"), Ok(TokenRequest::LONGEST_TTL_SECONDS));
        for text in ["", "5", "-5m", "soon", "1mo"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
