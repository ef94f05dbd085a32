//! Answers an AdmissionReview: bytes in, bytes out, without a socket.
//!
//! An invalid pod gets a response with `allowed: false`. A body that is not a review of a supported
//! version gets an HTTP error, because there is no uid to respond to.

mod plaintext;
mod wire;

use std::fmt;

use contract::annotations;
use injection::{
    BundleLookup, Decision, InjectionConfig, Pod, PodPatch, admit, printable, skip_reason,
};
use serde_json::value::RawValue;

pub use plaintext::{PlaintextOutcome, PlaintextRecord, respond_plaintext};
use wire::{AdmissionRequest, AdmissionResponse, Status};

/// The largest body of a review, in bytes. The API server limits a request body to 3 MiB.
pub const MAX_BYTES: usize = 3 << 20;

/// What a review is answered with.
pub struct ReviewContext<'a, B> {
    /// The known bundles.
    pub bundles: &'a B,
    /// The operator's part of an injection.
    pub config: &'a InjectionConfig,
    /// What the webhook is waiting for. While this is set, no pod is injected, and exempt pods are
    /// admitted as always.
    pub waiting_for: Option<&'a str>,
}

/// The HTTP response to a review, and what to log of it.
#[derive(Debug)]
pub struct HttpReply {
    /// The HTTP status.
    pub status: http::StatusCode,
    /// The media type of `body`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// What to log and count.
    pub record: ReviewRecord,
}

/// What may be logged of a review: names, never a value.
#[derive(Debug, Default)]
pub struct ReviewRecord {
    /// The outcome.
    pub outcome: Outcome,
    /// The namespace of the request.
    pub namespace: String,
    /// The pod's name, or its `generateName`.
    pub pod: String,
    /// The pod's service account.
    pub service_account: String,
    /// The bundles, as the annotation lists them.
    pub bundles: String,
    /// The number of warnings in the response.
    pub warnings: usize,
    /// Whether the request is a dry run.
    pub dry_run: bool,
}

/// The outcome of a review.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The body is not a review of a supported version.
    #[default]
    Malformed,
    /// The object does not request secrets, or is exempt.
    Untouched,
    /// The pod is patched.
    Injected,
    /// An earlier pass has patched the pod, and nothing is left to do.
    Unchanged,
    /// The pod is refused because it is invalid.
    Refused,
    /// The pod is refused because the webhook is not ready.
    NotReady,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::Untouched,
        Self::Injected,
        Self::Unchanged,
        Self::Refused,
        Self::NotReady,
    ];

    /// The outcome as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Untouched => "untouched",
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::NotReady => "not_ready",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Answers one review.
#[must_use]
pub fn respond<B: BundleLookup>(body: &[u8], context: &ReviewContext<'_, B>) -> HttpReply {
    match AdmissionRequest::parse(body) {
        Ok(request) => respond_to(&request, context),
        Err(error) => plain_text(http::StatusCode::BAD_REQUEST, &error),
    }
}

/// A reply that is not a review: one line of text.
pub(crate) fn plain_text(status: http::StatusCode, message: &dyn fmt::Display) -> HttpReply {
    HttpReply {
        status,
        content_type: "text/plain; charset=utf-8",
        body: format!("{message}\n").into_bytes(),
        record: ReviewRecord::default(),
    }
}

fn respond_to<B: BundleLookup>(
    request: &AdmissionRequest<'_>,
    context: &ReviewContext<'_, B>,
) -> HttpReply {
    let mut record = ReviewRecord {
        outcome: Outcome::Untouched,
        namespace: printable(&request.namespace),
        dry_run: request.dry_run == Some(true),
        ..ReviewRecord::default()
    };
    let mut response = AdmissionResponse::allow(&request.uid);
    if request.creates_pod() {
        match Pod::parse(request.object.map_or("null", RawValue::get)) {
            Ok(pod) => review_pod(&pod, &request.namespace, context, &mut response, &mut record),
            Err(error) => refuse(&mut response, &mut record, Outcome::Refused, error.to_string()),
        }
    }
    record.warnings = response.warnings.len();
    HttpReply { record, ..reply(&response) }
}

/// The reply with a response, and nothing to log yet.
fn reply(response: &AdmissionResponse<'_>) -> HttpReply {
    match response.to_json() {
        Ok(body) => HttpReply {
            status: http::StatusCode::OK,
            content_type: "application/json",
            body,
            record: ReviewRecord::default(),
        },
        Err(_) => plain_text(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            &"serialize review: the response is not valid JSON",
        ),
    }
}

fn review_pod<B: BundleLookup>(
    pod: &Pod<'_>,
    namespace: &str,
    context: &ReviewContext<'_, B>,
    response: &mut AdmissionResponse<'_>,
    record: &mut ReviewRecord,
) {
    record.pod = printable(pod.name());
    record.service_account = printable(pod.service_account());
    record.bundles = pod.annotation(annotations::SECRETS).map(printable).unwrap_or_default();
    if let Some(missing) = context.waiting_for
        && skip_reason(pod, namespace, context.config).is_none()
    {
        let message = format!(
            "the webhook is not ready, so the pod cannot get its secrets yet; try again. It is \
             waiting for: {missing}"
        );
        return refuse(response, record, Outcome::NotReady, message);
    }
    match admit(pod, namespace, context.bundles, context.config) {
        Decision::Skip(_) => {}
        Decision::Inject { patch, warnings } => {
            response.warnings = warnings;
            inject(patch, response, record);
        }
        Decision::Refuse { message, warnings } => {
            response.warnings = warnings;
            refuse(response, record, Outcome::Refused, message);
        }
    }
}

fn inject(patch: PodPatch, response: &mut AdmissionResponse<'_>, record: &mut ReviewRecord) {
    match patch.json() {
        Ok(_) if patch.is_empty() => record.outcome = Outcome::Unchanged,
        Ok(_) => {
            record.outcome = Outcome::Injected;
            response.patch = Some(patch);
        }
        // A pod must not be admitted without its patch.
        Err(error) => refuse(response, record, Outcome::Refused, error.to_string()),
    }
}

fn refuse(
    response: &mut AdmissionResponse<'_>,
    record: &mut ReviewRecord,
    outcome: Outcome,
    message: String,
) {
    let (code, reason) =
        if outcome == Outcome::NotReady { (503, "ServiceUnavailable") } else { (403, "Forbidden") };
    record.outcome = outcome;
    response.allowed = false;
    response.status = Some(Status { code, reason, message });
}
