//! `enclii secrets show`.

use contract::SecretName;
use contract::api::SecretSummary;
use contract::metadata::join_tags;
use jiff::Timestamp;

use super::expiry::expiry;
use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

/// Show a secret without its value: version, message, tags, notes, expiry and the last reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii secrets show STRIPE_KEY --service api --env prod \
                        --project shop\n\n`enclii secrets annotate` changes tags, notes and \
                        expiry, and `enclii secrets get` prints the value.")]
pub(crate) struct ShowSecretArgs {
    /// The secret.
    name: SecretName,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: ShowSecretArgs, output: &Output) -> Result<(), Error> {
    let ShowSecretArgs { name, request: SecretArgs { scope, connection, output: format } } = args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    let secret = match client.metadata(&scope, &name).await {
        Ok(secret) => secret,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    if format == OutputFormat::Json {
        return output.json(&secret);
    }
    print(&secret, output);
    Ok(())
}

/// Prints what is known of a secret, one line for each.
pub(super) fn print(secret: &SecretSummary, output: &Output) {
    let SecretSummary { metadata, .. } = secret;
    let line = |what: &str, text: &str| output.line(&format!("{what:<10}{text}"));
    line("name", secret.name.as_str());
    line("scope", &secret.scope.to_string());
    line("version", &secret.version.to_string());
    line("updated", &seconds(secret.updated_at));
    line("created", &seconds(secret.created_at));
    if let Some(references) = &secret.references {
        let all: Vec<String> = references.iter().map(ToString::to_string).collect();
        let all = if all.is_empty() { "nothing that you can see".into() } else { all.join(", ") };
        line("refers to ", &all);
    }
    if let Some(until) = secret.reads_until {
        let never = || format!("never up to {}", seconds(until));
        let read = |at: Option<Timestamp>| at.map_or_else(never, seconds);
        line("read", &format!("by a pod: {}", read(secret.last_read_by_pod)));
        line("", &format!("by a person: {}", read(secret.last_read_by_person)));
        line("", &format!("by a program: {}", read(secret.last_read_by_program)));
    }
    if let Some(message) = &metadata.message {
        line("message", message.as_str());
    }
    if let Some(at) = metadata.expires_at {
        line("expires", &expiry(at, Timestamp::now()));
    }
    if !metadata.tags.is_empty() {
        line("tags", &join_tags(&metadata.tags));
    }
    if let Some(notes) = &metadata.notes {
        for (at, text) in notes.as_str().lines().enumerate() {
            line(if at == 0 { "notes" } else { "" }, text);
        }
    }
}
