//! What people write beside a value: message, notes, tags and expiry.

use contract::api::{MetadataRequest, SecretOrigin, SecretSummary};
use contract::metadata::{Message, MetadataChange, Notes, expiry};
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::{Caller, Secrets, SecretsError, WriteOptions};
use crate::audit::{Action, sanitize};
use crate::repository::{LastRead, MetadataEdit, Secret};

impl Secrets {
    /// Changes notes, tags and the active version's expiry. No version and no generation is made.
    pub(crate) async fn annotate(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        request: MetadataRequest,
        options: &WriteOptions,
    ) -> Result<SecretSummary, SecretsError> {
        self.refuse_replay(options).await?;
        let change = request.change();
        let expires_at = request.expires_at.map(|it| it.and_then(expiry));
        let details = details(
            options.rule.as_deref(),
            &Annotation { message: request.message.as_ref(), change: Some(&change), expires_at },
        );
        let edit = MetadataEdit {
            scope: scope.clone(),
            name: name.clone(),
            at: Timestamp::now(),
            change,
            expires_at,
            condition: options.condition,
            event: caller.event(Action::Annotate, scope, name, None, details),
            idempotency: options.idempotency.clone(),
            // Names, numbers and texts always serialize.
            respond: |scope, secret| {
                serde_json::to_string(&own_summary(scope, secret.clone())).unwrap_or_default()
            },
        };
        let secret = self.repository.annotate(edit).await?;
        Ok(own_summary(scope, secret))
    }
}

/// A secret that is not deleted, as its own scope lists it.
pub(crate) fn own_summary(scope: &Scope, secret: Secret) -> SecretSummary {
    let Secret { name, stored, created_at, updated_at, metadata, last_read, .. } = secret;
    let LastRead { by_pod, by_person, by_program } = last_read;
    SecretSummary {
        scope: scope.clone(),
        name,
        origin: SecretOrigin::Own,
        version: stored.version,
        created_at,
        updated_at,
        deleted_at: None,
        recoverable_until: None,
        references: None,
        metadata,
        last_read_by_pod: by_pod,
        last_read_by_person: by_person,
        last_read_by_program: by_program,
        reads_until: None,
    }
}

/// What a change writes beside a value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Annotation<'a> {
    /// Why.
    pub(super) message: Option<&'a Message>,
    /// The change of the secret as a whole.
    pub(super) change: Option<&'a MetadataChange>,
    /// `Some(None)` removes the expiry.
    pub(super) expires_at: Option<Option<Timestamp>>,
}

/// The details of an audit event: the rule, and what is written beside the value. The message comes
/// last and in quotes, so that it cannot pass for anything else.
pub(super) fn details(rule: Option<&str>, annotation: &Annotation<'_>) -> Option<String> {
    let Annotation { message, change, expires_at } = annotation;
    let MetadataChange { notes, tags } = change.cloned().unwrap_or_default();
    let mut parts: Vec<String> = rule.map(str::to_owned).into_iter().collect();
    if !tags.is_empty() {
        let tag = |(key, value): (_, &Option<_>)| match value {
            Some(value) => format!("{key}={value}"),
            None => format!("-{key}"),
        };
        let tags = tags.0.iter().map(tag).collect::<Vec<String>>().join(" ");
        parts.push(format!("tags {}", sanitize(&tags)));
    }
    match notes.as_ref().map(Option::as_ref) {
        None => {}
        Some(None) => parts.push("notes removed".to_owned()),
        Some(Some(notes)) => {
            let characters = Notes::as_str(notes).chars().count();
            parts.push(format!("notes of {characters} characters"));
        }
    }
    match expires_at {
        None => {}
        Some(None) => parts.push("expiry removed".to_owned()),
        Some(Some(at)) => parts.push(format!("expires {at}")),
    }
    parts.extend(message.map(|it| format!("message {:?}", it.as_str())));
    if parts.is_empty() { None } else { Some(parts.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_say_what_changed_and_end_with_the_message() {
        let notes = |text: &str| Some(Some(text.parse::<Notes>().unwrap()));
        let message: Message = "why \"; rule owner".parse().unwrap();
        let at: Timestamp = "2027-01-31T00:00:00Z".parse().unwrap();
        let tags = serde_json::from_str(r#"{"a":"1","b":null,"c":""}"#).unwrap();
        for (rule, change, expires_at, message, expected) in [
            (None, MetadataChange::default(), None, None, None),
            (Some("rule x"), MetadataChange::default(), None, None, Some("rule x")),
            (
                Some("rule x"),
                MetadataChange { notes: notes("a\nb"), tags },
                Some(Some(at)),
                Some(&message),
                Some(
                    "rule x; tags a=1 -b c=; notes of 3 characters; expires 2027-01-31T00:00:00Z; \
                     message \"why \\\"; rule owner\"",
                ),
            ),
            (
                None,
                MetadataChange { notes: Some(None), ..MetadataChange::default() },
                Some(None),
                None,
                Some("notes removed; expiry removed"),
            ),
        ] {
            let change = Some(&change);
            let found = details(rule, &Annotation { message, change, expires_at });
            assert_eq!(found.as_deref(), expected);
        }
    }
}
