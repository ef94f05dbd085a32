//! The JSON of an AdmissionReview of `admission.k8s.io/v1`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use injection::{JsonStr, PodPatch, printable};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// As long as a response without warnings is beside its patch, in bytes.
const USUAL_REST_BYTES: usize = 256;

/// The body is not a review. The parser's own message may quote a value, so only the position is
/// kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParseReviewError {
    #[error("parse review: the body is not UTF-8")]
    Encoding,
    #[error(
        "parse review: the body is not the JSON of an AdmissionReview, at line {line}, column \
         {column}"
    )]
    Form { line: usize, column: usize },
    #[error("parse review: the body is not an AdmissionReview of the group admission.k8s.io")]
    Kind,
    #[error(
        "parse review: apiVersion is {0}, but only {API_VERSION} is supported: register the \
            webhook \
         with admissionReviewVersions [v1]"
    )]
    Version(String),
    #[error("parse review: it has no request")]
    NoRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: JsonStr<'a>,
    #[serde(borrow, default)]
    kind: JsonStr<'a>,
    #[serde(borrow)]
    request: Option<AdmissionRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdmissionRequest<'a> {
    #[serde(borrow, default)]
    pub(super) uid: JsonStr<'a>,
    #[serde(borrow, default)]
    resource: GroupResource<'a>,
    #[serde(borrow)]
    sub_resource: Option<JsonStr<'a>>,
    #[serde(borrow, default)]
    pub(super) namespace: JsonStr<'a>,
    #[serde(borrow, default)]
    operation: JsonStr<'a>,
    pub(super) dry_run: Option<bool>,
    /// Parsed as a pod only once the request is known to be about one.
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) old_object: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct GroupResource<'a> {
    #[serde(borrow, default)]
    group: JsonStr<'a>,
    #[serde(borrow, default)]
    resource: JsonStr<'a>,
}

impl<'a> AdmissionRequest<'a> {
    /// Parses the body of a review.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ParseReviewError> {
        let text = std::str::from_utf8(body).map_err(|_| ParseReviewError::Encoding)?;
        let review: Review<'_> = serde_json::from_str(text).map_err(|cause| {
            ParseReviewError::Form { line: cause.line(), column: cause.column() }
        })?;
        if &*review.kind != KIND || !review.api_version.starts_with("admission.k8s.io/") {
            return Err(ParseReviewError::Kind);
        }
        if &*review.api_version != API_VERSION {
            return Err(ParseReviewError::Version(printable(&review.api_version)));
        }
        review.request.ok_or(ParseReviewError::NoRequest)
    }

    /// The kind of object that the request is about, as `apps/deployments`; none for a part of one
    /// such as its status or scale.
    pub(super) fn resource(&self) -> Option<(&str, &str)> {
        let is_whole = self.sub_resource.as_deref().unwrap_or_default().is_empty();
        is_whole.then_some((&*self.resource.group, &*self.resource.resource))
    }

    /// Whether the request creates a pod, rather than binding or evicting one, or adding an
    /// ephemeral container.
    pub(super) fn creates_pod(&self) -> bool {
        self.resource() == Some(("", "pods")) && &*self.operation == "CREATE"
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdmissionResponse<'a> {
    pub(super) uid: &'a str,
    pub(super) allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    /// What changes the pod. It is written behind the rest.
    #[serde(skip)]
    pub(super) patch: Option<PodPatch>,
}

#[derive(Serialize)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl<'a> AdmissionResponse<'a> {
    /// A response that allows the request.
    pub(super) fn allow(uid: &'a str) -> Self {
        Self { uid, allowed: true, status: None, warnings: Vec::new(), patch: None }
    }

    /// The JSON of a review with this response.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ResponseReview<'a> {
            api_version: &'static str,
            kind: &'static str,
            response: &'a AdmissionResponse<'a>,
        }
        let review = ResponseReview { api_version: API_VERSION, kind: KIND, response: self };
        let patch = self.patch.as_ref().map(PodPatch::json).transpose();
        let patch = patch.map_err(serde_json::Error::custom)?;
        let length = patch.and_then(|patch| base64::encoded_len(patch.len(), true));
        let mut json = Vec::with_capacity(length.unwrap_or_default() + USUAL_REST_BYTES);
        serde_json::to_writer(&mut json, &review)?;
        if let Some(patch) = patch {
            append_patch(patch, &mut json)?;
        }
        Ok(json)
    }
}

/// Writes the fields of a patch at the end of the response, which is the last object of the
/// review. It is the most of an answer, and needs no escapes in base64, so nothing looks for them.
fn append_patch(patch: &[u8], review: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    const ENDS: &[u8] = b"}}";
    let response = review.len() - ENDS.len();
    review.truncate(response);
    review.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
    let start = review.len();
    review.resize(start + base64::encoded_len(patch.len(), true).unwrap_or_default(), 0);
    STANDARD.encode_slice(patch, &mut review[start..]).map_err(serde_json::Error::custom)?;
    review.push(b'"');
    review.extend_from_slice(ENDS);
    Ok(())
}
