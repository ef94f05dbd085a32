//! What the reviews of a pod's credential mean for its stream.

use contract::Redacted;
use runtime::logs::ErrorChain;

use super::connection::Connection;
use super::credential::CredentialEvent;
use super::stream_end::StreamEnd;
use crate::audit::{Action, Event, Outcome, Pod, Resource, ResourceKind};
use crate::identity::PodError;

impl Connection {
    /// Takes a newer token of the pod.
    pub(super) fn handle_token(&mut self, token: Redacted) -> Result<(), StreamEnd> {
        if self.credential.offer(&self.app, token) { Ok(()) } else { Err(StreamEnd::TooManyTokens) }
    }

    /// Ends the stream if its credential ended.
    pub(super) async fn handle_credential(
        &mut self,
        event: CredentialEvent,
    ) -> Result<(), StreamEnd> {
        match event {
            CredentialEvent::Ended => {
                Err(StreamEnd::CredentialEnded("the token of the pod has expired".to_owned()))
            }
            CredentialEvent::ReviewDue => {
                self.credential.start_review(&self.app);
                Ok(())
            }
            CredentialEvent::Reviewed(Ok(pod)) if pod == self.pod.pod => {
                self.credential.accepted();
                self.note_seen();
                Ok(())
            }
            CredentialEvent::Reviewed(Ok(other)) => Err(self.refuse_other_pod(&other).await),
            CredentialEvent::Reviewed(Err(PodError::Token(reason))) => {
                Err(StreamEnd::CredentialEnded(reason.to_string()))
            }
            CredentialEvent::Reviewed(Err(error)) => {
                tracing::warn!(error = %ErrorChain(&error), pod = self.pod.pod.name, "review \
                    token of open stream");
                self.credential.retry();
                Ok(())
            }
        }
    }

    /// Records that the pod is there, outside of its stream: what it holds is not pruned.
    fn note_seen(&self) {
        let (repository, uid) = (self.app.repository.clone(), self.pod.pod.uid.clone());
        self.app.tasks.spawn("pod seen", async move {
            if let Err(error) = repository.pod_seen(&uid).await {
                tracing::warn!(error = %ErrorChain(&error), uid, "record that a pod is there");
            }
        });
    }

    async fn refuse_other_pod(&mut self, other: &Pod) -> StreamEnd {
        let detail = format!(
            "the token on this stream belongs to pod {}/{} of service account {}",
            other.namespace, other.name, other.service_account
        );
        let event = Event {
            actor: self.caller.actor.clone(),
            action: Action::Denied,
            resource: Resource { kind: ResourceKind::Api, id: "stream".to_owned(), scope: None },
            version: None,
            outcome: Outcome::Denied,
            origin: self.caller.origin.clone(),
            details: Some(detail.clone()),
        };
        match self.app.audit.record(event).await {
            Ok(()) => StreamEnd::Refused(detail),
            Err(error) => error.into(),
        }
    }
}
