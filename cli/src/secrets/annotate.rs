//! `enclii secrets annotate`.

use contract::api::MetadataRequest;
use contract::metadata::TagKey;
use contract::{SecretName, Version};
use jiff::Timestamp;

use super::show;
use crate::client::Client;
use crate::common_args::{
    ExpiryArgs, MessageArgs, NotesArgs, OutputFormat, SecretArgs, parse_version,
};
use crate::error::Error;
use crate::missing;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets annotate STRIPE_KEY --tag team=payments --tag pci --service api --env prod
  enclii secrets annotate STRIPE_KEY --expires 2027-01-31 --message 'renewed at the issuer'
  enclii secrets annotate STRIPE_KEY --note 'dashboard.stripe.com, account 7'
  enclii secrets annotate STRIPE_KEY --untag pci --no-note --no-expiry

No new version is written, and no pod is touched. Notes and tags belong to the secret; the expiry
belongs to the active version, and the next version starts without one. None of them is secret: they
are shown wherever names are. `enclii secrets show` prints them.";

/// Change a secret's notes, tags and expiry without a new version.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AnnotateArgs {
    /// The secret.
    name: SecretName,
    #[command(flatten)]
    notes: NotesArgs,
    /// Remove the notes.
    #[arg(long, conflicts_with = "note")]
    no_note: bool,
    /// Remove a tag; may be given several times.
    #[arg(long, value_name = "KEY")]
    untag: Vec<TagKey>,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// Remove the expiry.
    #[arg(long, conflicts_with = "expires")]
    no_expiry: bool,
    #[command(flatten)]
    message: MessageArgs,
    /// Change only if this is the active version.
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    if_version: Option<Version>,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: AnnotateArgs, output: &Output) -> Result<(), Error> {
    let AnnotateArgs { name, notes, no_note, untag, expiry, no_expiry, message, .. } = args;
    let (if_version, SecretArgs { scope, connection, output: format }) =
        (args.if_version, args.request);
    let mut tags = notes.tags();
    for key in untag {
        if tags.0.insert(key.clone(), None).is_some() {
            return Err(Error::Usage(format!("{key} is in --tag and in --untag")));
        }
    }
    let request = MetadataRequest {
        notes: if no_note { Some(None) } else { notes.note.map(Some) },
        tags,
        expires_at: if no_expiry { Some(None) } else { expiry.at(Timestamp::now()).map(Some) },
        message: message.message,
    };
    if request.is_empty() {
        return Err(Error::Usage(
            "nothing to change: give --tag, --untag, --note, --no-note, --expires or --no-expiry; \
             `enclii secrets show` prints what is there"
                .to_owned(),
        ));
    }
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    let changed = match client.annotate(&scope, &name, if_version, &request).await {
        Ok(changed) => changed,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    if format == OutputFormat::Json {
        return output.json(&changed);
    }
    show::print(&changed, output);
    Ok(())
}
