//! An AdmissionReview: bytes in, bytes out. The edge of the decision, without a socket.
//!
//! Whatever is wrong with a pod is an answer (`allowed: false` and why); only what is no review of
//! a version we speak is an HTTP error, since there is no uid to answer to.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::annotations;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use injection::admit::{Decision, Reason, admit, exempt};
use injection::bundles::Bundles;
use injection::config::InjectionConfig;
use injection::patch::Operation;
use injection::pod::{Pod, Text};
use injection::shown;

/// The largest review that is read: the API server's own limit for an object, its older version and
/// its patch together.
pub const MAX_BYTES: usize = 3 << 20;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What a decision is made with.
pub struct World<'a, B> {
    /// The bundles that are known.
    pub bundles: &'a B,
    /// The operator's part of an injection; or what the webhook is still waiting for.
    pub injection: Result<&'a InjectionConfig, &'a str>,
}

/// An HTTP answer and what to log of it.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: http::StatusCode,
    /// The media type of `body`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// What to log and count.
    pub record: Record,
}

/// What may be logged of a review: names, never a value.
#[derive(Debug, Default)]
pub struct Record {
    /// What became of it.
    pub outcome: Outcome,
    /// The namespace of the request.
    pub namespace: String,
    /// The pod's name, or the prefix that one will be made of.
    pub pod: String,
    /// The pod's service account.
    pub service_account: String,
    /// The bundles, as the annotation has them.
    pub bundles: String,
    /// How many warnings the answer has.
    pub warnings: usize,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// What became of a review.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was none, or of another version.
    #[default]
    Malformed,
    /// The object is none of ours to change.
    Untouched,
    /// Patched.
    Injected,
    /// Nothing left to do for a pod that was patched before.
    Unchanged,
    /// Refused for what the pod is.
    Refused,
    /// Refused because the webhook is not ready.
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

    /// The outcome as a label.
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

/// Why a body is no review. The parser's own words may quote a value, so only the place is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ReviewError {
    #[error("read review: the body is not UTF-8")]
    Encoding,
    #[error(
        "read review: the body is not the JSON of an AdmissionReview, at line {line}, column {column}"
    )]
    Form { line: usize, column: usize },
    #[error("read review: the body is not an AdmissionReview of the group admission.k8s.io")]
    Kind,
    #[error(
        "read review: apiVersion is {0} and only {API_VERSION} is spoken: register the webhook with admissionReviewVersions [v1]"
    )]
    Version(String),
    #[error("read review: it has no request")]
    NoRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    resource: Resource<'a>,
    #[serde(borrow)]
    sub_resource: Option<Text<'a>>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    operation: Text<'a>,
    dry_run: Option<bool>,
    /// Read as a pod only once the request is known to be about one.
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow, default)]
    resource: Text<'a>,
}

impl Request<'_> {
    /// Whether a pod is to be created, and not bound, evicted or given an ephemeral container.
    fn creates_pod(&self) -> bool {
        self.resource.group.is_empty()
            && &*self.resource.resource == "pods"
            && self.sub_resource.as_deref().unwrap_or_default().is_empty()
            && &*self.operation == "CREATE"
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Answers one review.
#[must_use]
pub fn respond<B: Bundles>(body: &[u8], world: &World<'_, B>) -> Answer {
    match read(body) {
        Ok(request) => answer(&request, world),
        Err(error) => plain(http::StatusCode::BAD_REQUEST, &error),
    }
}

/// An answer that is no review: a sentence.
pub(crate) fn plain(status: http::StatusCode, message: &dyn fmt::Display) -> Answer {
    let body = format!("{message}\n").into_bytes();
    Answer { status, content_type: "text/plain; charset=utf-8", body, record: Record::default() }
}

fn read(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    let text = std::str::from_utf8(body).map_err(|_| ReviewError::Encoding)?;
    let review: Review<'_> = serde_json::from_str(text)
        .map_err(|cause| ReviewError::Form { line: cause.line(), column: cause.column() })?;
    if &*review.kind != KIND || !review.api_version.starts_with("admission.k8s.io/") {
        return Err(ReviewError::Kind);
    }
    if &*review.api_version != API_VERSION {
        return Err(ReviewError::Version(shown(&review.api_version)));
    }
    review.request.ok_or(ReviewError::NoRequest)
}

fn answer<B: Bundles>(request: &Request<'_>, world: &World<'_, B>) -> Answer {
    let mut record = Record {
        outcome: Outcome::Untouched,
        namespace: shown(&request.namespace),
        dry_run: request.dry_run == Some(true),
        ..Record::default()
    };
    let mut response = Response {
        uid: &request.uid,
        allowed: true,
        status: None,
        patch_type: None,
        patch: None,
        warnings: Vec::new(),
    };
    if request.creates_pod() {
        match Pod::parse(request.object.map_or("null", RawValue::get)) {
            Ok(pod) => review_pod(&pod, &request.namespace, world, &mut response, &mut record),
            Err(error) => refuse(&mut response, &mut record, Outcome::Refused, error.to_string()),
        }
    }
    record.warnings = response.warnings.len();
    let answered = Answered { api_version: API_VERSION, kind: KIND, response };
    match serde_json::to_vec(&answered) {
        Ok(body) => {
            Answer { status: http::StatusCode::OK, content_type: "application/json", body, record }
        }
        Err(_) => {
            plain(http::StatusCode::INTERNAL_SERVER_ERROR, &"write review: the answer is no JSON")
        }
    }
}

fn review_pod<B: Bundles>(
    pod: &Pod<'_>,
    namespace: &str,
    world: &World<'_, B>,
    response: &mut Response<'_>,
    record: &mut Record,
) {
    record.pod = shown(pod.name());
    record.service_account = shown(pod.service_account());
    record.bundles = pod.annotation(annotations::SECRETS).map(shown).unwrap_or_default();
    let decision = match world.injection {
        Ok(config) => admit(pod, namespace, world.bundles, config),
        Err(missing) => match exempt(pod, namespace, "") {
            Some(reason) => Decision::Untouched(reason),
            None => {
                let message = format!(
                    "the webhook is not ready, so the pod cannot get its secrets yet; try again. It is waiting for: {missing}"
                );
                return refuse(response, record, Outcome::NotReady, message);
            }
        },
    };
    match decision {
        Decision::Untouched(Reason::NotAsked | Reason::ExemptNamespace | Reason::MirrorPod) => {}
        Decision::Inject { patch, warnings } => {
            response.warnings = warnings;
            inject(&patch, response, record);
        }
        Decision::Refuse { message, warnings } => {
            response.warnings = warnings;
            refuse(response, record, Outcome::Refused, message);
        }
    }
}

fn inject(patch: &[Operation], response: &mut Response<'_>, record: &mut Record) {
    record.outcome = Outcome::Unchanged;
    if patch.is_empty() {
        return;
    }
    match serde_json::to_vec(patch) {
        Ok(json) => {
            record.outcome = Outcome::Injected;
            response.patch_type = Some("JSONPatch");
            response.patch = Some(STANDARD.encode(json));
        }
        // Not admitted without its patch.
        Err(_) => {
            refuse(response, record, Outcome::Refused, "write patch: it is no JSON".to_owned())
        }
    }
}

fn refuse(response: &mut Response<'_>, record: &mut Record, outcome: Outcome, message: String) {
    let (code, reason) =
        if outcome == Outcome::NotReady { (503, "ServiceUnavailable") } else { (403, "Forbidden") };
    record.outcome = outcome;
    response.allowed = false;
    response.status = Some(Status { code, reason, message });
}
