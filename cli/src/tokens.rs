//! `enclii tokens …`.

use clap::Subcommand;
use contract::Scope;
use contract::api::{Role, TokenName, TokenRequest, TokenSummary};

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, parse_scope};
use crate::error::Error;
use crate::output::Output;

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
    /// The token's role: readonly, developer, admin or owner.
    #[arg(long)]
    pub(crate) role: Role,
    /// The scope, which includes all below it; without it, everywhere.
    #[arg(long, value_parser = parse_scope)]
    pub(crate) scope: Option<Scope>,
    /// How long the token is valid, such as 12h or 30d: from 1m to 90d.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = parse_seconds)]
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
                created.name, created.expires_at
            ));
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
    let (expires_at, last_used_at) = (
        expires_at.map_or_else(none, |it| it.to_string()),
        last_used_at.map_or_else(none, |it| it.to_string()),
    );
    vec![
        name.to_string(),
        kind.to_string(),
        role,
        scope,
        created_by,
        created_at.to_string(),
        expires_at,
        last_used_at,
    ]
}

/// Parses a duration in which a day has 24 hours.
fn parse_seconds(text: &str) -> Result<u64, String> {
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
    fn durations_are_parsed() {
        assert_eq!(parse_seconds("5m"), Ok(300));
        assert_eq!(parse_seconds("90d"), Ok(TokenRequest::MAX_TTL_SECONDS));
        for text in ["", "5", "-5m", "soon", "1mo"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
