//! What is written beside a value: message, notes, tags and expiry. None of it is secret.

use clap::Args;
use contract::metadata::{Message, Notes, Tag, TagChanges};
use jiff::Timestamp;

use super::time::{TimeOrSpan, parse_future};

/// Why something is done.
#[derive(Debug, Clone, Args)]
pub(crate) struct MessageArgs {
    /// Why, on one line: for the version's history and the audit log. Not secret.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<Message>,
}

/// When a credential ends.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExpiryArgs {
    /// When the credential ends at its issuer: a date (UTC), a time, or how long from now (90d).
    /// Nothing is deleted then; lists and metrics show it.
    #[arg(long, value_name = "TIME", value_parser = parse_future)]
    expires: Option<TimeOrSpan>,
}

/// Notes and tags.
#[derive(Debug, Clone, Args)]
pub(crate) struct NotesArgs {
    /// What people should know about the secret. Replaces its notes; not secret.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<Notes>,
    /// A tag, in the form of a Kubernetes label; may be given several times. Other tags stay. Not
    /// secret.
    #[arg(long, value_name = "KEY[=VALUE]")]
    tag: Vec<Tag>,
}

impl ExpiryArgs {
    /// The time.
    pub(crate) fn at(&self, now: Timestamp) -> Option<Timestamp> {
        self.expires.map(|it| it.after(now))
    }
}

impl NotesArgs {
    /// The tags to set.
    pub(crate) fn tags(&self) -> TagChanges {
        let one = |Tag { key, value }: &Tag| (key.clone(), Some(value.clone().unwrap_or_default()));
        TagChanges(self.tag.iter().map(one).collect())
    }
}
