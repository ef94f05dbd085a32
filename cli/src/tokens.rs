//! `enclii tokens …`.

use clap::Subcommand;
use contract::Scope;
use contract::api::{Role, TokenName, TokenRequest, TokenSummary};

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, parse_scope, words};
use crate::error::Error;
use crate::output::{Output, seconds};

/// List, create and revoke tokens for programs, and people's sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    List(ListTokensArgs),
    Create(CreateTokenArgs),
    Revoke(RevokeTokenArgs),
}

/// List the valid tokens and sessions that you may see.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii tokens list --output json")]
pub(crate) struct ListTokensArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Create a token. It is printed once and stored nowhere: put it where the program finds it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii tokens create ci --role developer --scope shop.dev --ttl 30d >token
  ENCLII_TOKEN=\"$(enclii tokens create once --role readonly --ttl 5m)\" ./script")]
pub(crate) struct CreateTokenArgs {
    /// The token's name, which must be unique among the valid tokens.
    pub(crate) name: TokenName,
    /// The token's role.
    #[arg(long, value_parser = words(Role::ALL, Role::as_str))]
    pub(crate) role: Role,
    /// The scope, which includes all below it; without it, everywhere.
    #[arg(long, value_parser = parse_scope)]
    pub(crate) scope: Option<Scope>,
    /// How long the token is valid, such as 12h or 30d: from 1m to 90d.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = parse_ttl)]
    pub(crate) ttl: u64,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Revoke a token or a session at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii tokens revoke ci --yes")]
pub(crate) struct RevokeTokenArgs {
    /// The token's name.
    pub(crate) name: TokenName,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

pub(crate) async fn run(command: TokensCommand, output: &Output) -> Result<(), Error> {
    match command {
        TokensCommand::List(ListTokensArgs { connection, output: format }) => {
            let list = Client::new(&connection, output)?.tokens().await?;
            if format == OutputFormat::Json {
                return output.json(&list);
            }
            let header = ["NAME", "KIND", "ROLE", "SCOPE", "BY", "CREATED", "EXPIRES", "LAST USED"];
            output.table(&header, &list.tokens.into_iter().map(row).collect::<Vec<_>>());
        }
        TokensCommand::Create(CreateTokenArgs {
            name,
            role,
            scope,
            ttl: ttl_seconds,
            connection,
        }) => {
            let created = Client::new(&connection, output)?
                .create_token(&TokenRequest { name, role, scope, ttl_seconds })
                .await?;
            output.note(&format!(
                "token {} is valid until {}; it is not shown again",
                created.name,
                seconds(created.expires_at)
            ));
            if created.scope.is_none() {
                output.note(&format!(
                    "token {} has role {} in every project: --scope limits it",
                    created.name, created.role
                ));
            }
            output.bytes(created.token.redacted().expose())?;
        }
        TokensCommand::Revoke(RevokeTokenArgs { name, yes, connection }) => {
            if !yes
                && !output.confirm(&format!(
                    "Revoke token {name}? Whatever uses it is refused at once."
                ))?
            {
                return Err(Error::NotConfirmed("revoked"));
            }
            Client::new(&connection, output)?.revoke_token(&name).await?;
            output.success(&format!("token {name} is revoked"));
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
        (expires_at.map_or_else(none, seconds), last_used_at.map_or_else(none, seconds));
    vec![
        name.to_string(),
        kind.to_string(),
        role,
        scope,
        created_by,
        seconds(created_at),
        expires_at,
        last_used_at,
    ]
}

/// Parses the lifetime of a token. A day has 24 hours.
fn parse_ttl(text: &str) -> Result<u64, String> {
    let form = "write a number and a unit, such as 30m, 12h or 90d".to_owned();
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let duration = text.parse::<jiff::Span>().and_then(|span| span.to_duration(days));
    let seconds = duration.map_err(|_| form)?.as_secs();
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > TokenRequest::MAX_TTL_SECONDS => {
            let days = TokenRequest::MAX_TTL_SECONDS / (24 * 60 * 60);
            Err(format!("a token lives for at most {days}d: create a new one before it ends"))
        }
        Ok(seconds @ TokenRequest::MIN_TTL_SECONDS..) => Ok(seconds),
        _ => Err("a token lives for at least 1m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        assert_eq!(parse_ttl("5m"), Ok(300));
        assert_eq!(parse_ttl("90d"), Ok(TokenRequest::MAX_TTL_SECONDS));
        for (text, words) in [
            ("", "12h"),
            ("5", "12h"),
            ("soon", "12h"),
            ("1mo", "12h"),
            ("-5m", "at least 1m"),
            ("59s", "at least 1m"),
            ("91d", "at most 90d"),
            ("10000d", "at most 90d"),
        ] {
            assert!(parse_ttl(text).unwrap_err().contains(words), "{text}");
        }
    }
}
