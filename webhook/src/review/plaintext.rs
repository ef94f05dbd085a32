//! Answers the reviews of namespaces with the label `enclii.io/plaintext`: pods and pod templates
//! with credentials in plain text are warned about or refused. It changes nothing.

use injection::{
    InjectionConfig, JsonStr, PlaintextMode, Pod, injection_checks_variables, is_exempt,
    plaintext_verdict, printable,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{AdmissionRequest, AdmissionResponse, Status};
use super::{HttpReply, plain_text, reply};

/// The outcome of a review.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PlaintextOutcome {
    /// The body is not a review of a supported version.
    #[default]
    Malformed,
    /// The object has no pod in it, is exempt, or asks for secrets.
    Untouched,
    /// An update left the pod template as it was.
    Unchanged,
    /// Nothing was found.
    Clean,
    /// Something was found, and the object is admitted.
    Warned,
    /// The object is refused.
    Refused,
}

impl PlaintextOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::Untouched,
        Self::Unchanged,
        Self::Clean,
        Self::Warned,
        Self::Refused,
    ];

    /// The outcome as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Untouched => "untouched",
            Self::Unchanged => "unchanged",
            Self::Clean => "clean",
            Self::Warned => "warned",
            Self::Refused => "refused",
        }
    }
}

/// What may be logged of a review: names, never a value.
#[derive(Debug, Default)]
pub struct PlaintextRecord {
    /// The outcome.
    pub outcome: PlaintextOutcome,
    /// The resource, as `deployments`.
    pub resource: String,
    /// The namespace of the request.
    pub namespace: String,
    /// The object's name, or its `generateName`.
    pub name: String,
}

/// An object with a pod template, and its name.
#[derive(Default, Deserialize)]
struct Workload<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<WorkloadSpec<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<JsonStr<'a>>,
    #[serde(borrow)]
    generate_name: Option<JsonStr<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadSpec<'a> {
    #[serde(borrow)]
    template: Option<&'a RawValue>,
    #[serde(borrow)]
    job_template: Option<JobTemplate<'a>>,
}

#[derive(Default, Deserialize)]
struct JobTemplate<'a> {
    #[serde(borrow)]
    spec: Option<JobSpec<'a>>,
}

#[derive(Default, Deserialize)]
struct JobSpec<'a> {
    #[serde(borrow)]
    template: Option<&'a RawValue>,
}

/// Where a kind of object has its pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Itself,
    Template,
    JobTemplate,
}

impl Place {
    /// The kinds that are registered.
    fn of(resource: (&str, &str)) -> Option<Self> {
        match resource {
            ("", "pods") => Some(Self::Itself),
            ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets")
            | ("batch", "jobs")
            | ("argoproj.io", "rollouts") => Some(Self::Template),
            ("batch", "cronjobs") => Some(Self::JobTemplate),
            _ => None,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Itself => "",
            Self::Template => "spec.template.",
            Self::JobTemplate => "spec.jobTemplate.spec.template.",
        }
    }

    /// The pod in an object, and the object's name.
    fn pod<'a>(
        self,
        object: &'a RawValue,
    ) -> Result<(Option<&'a RawValue>, String), serde_json::Error> {
        let workload = serde_json::from_str::<Workload<'a>>(object.get());
        // What is wrong with a pod, its own parser says.
        let Workload { metadata, spec } =
            if self == Self::Itself { workload.unwrap_or_default() } else { workload? };
        let spec = spec.unwrap_or_default();
        let pod = match self {
            Self::Itself => Some(object),
            Self::Template => spec.template,
            Self::JobTemplate => spec.job_template.and_then(|it| it.spec?.template),
        };
        let Metadata { name, generate_name } = metadata.unwrap_or_default();
        Ok((pod, name.or(generate_name).map(|name| printable(&name)).unwrap_or_default()))
    }
}

/// Answers one review.
#[must_use]
pub fn respond_plaintext(
    body: &[u8],
    mode: PlaintextMode,
    config: &InjectionConfig,
) -> (HttpReply, PlaintextRecord) {
    let request = match AdmissionRequest::parse(body) {
        Ok(request) => request,
        Err(error) => {
            let reply = plain_text(http::StatusCode::BAD_REQUEST, &error);
            return (reply, PlaintextRecord::default());
        }
    };
    let mut record = PlaintextRecord {
        outcome: PlaintextOutcome::Untouched,
        namespace: printable(&request.namespace),
        ..PlaintextRecord::default()
    };
    let mut response = AdmissionResponse::allow(&request.uid);
    if let Some((group, resource)) = request.resource()
        && let Some(place) = Place::of((group, resource))
        && let Some(object) = request.object
        && !is_exempt(&request.namespace, &config.own_namespace)
    {
        record.resource = printable(resource);
        let policy = (mode, config);
        review(place, policy, (object, request.old_object), &mut response, &mut record);
    }
    (reply(&response), record)
}

fn review(
    place: Place,
    (mode, config): (PlaintextMode, &InjectionConfig),
    (object, old): (&RawValue, Option<&RawValue>),
    response: &mut AdmissionResponse<'_>,
    record: &mut PlaintextRecord,
) {
    let pod = place.pod(object).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("parse object: not the JSON of its kind, at line {line}, column {column}")
    });
    let pod = match pod {
        Ok((Some(pod), name)) => {
            record.name = name;
            pod
        }
        // A Rollout may take its template from another object, which is reviewed itself.
        Ok((None, _)) => return,
        Err(message) => return reject(mode, response, record, message),
    };
    // Both are the API server's own words, so the same template is the same text. What changes
    // something else, as the number of replicas, passes whatever the template holds.
    let old = old.and_then(|old| place.pod(old).ok()?.0);
    if old.is_some_and(|old| old.get() == pod.get()) {
        record.outcome = PlaintextOutcome::Unchanged;
        return;
    }
    match Pod::parse(pod.get()) {
        Err(error) => reject(mode, response, record, format!("{}{error}", place.path())),
        Ok(pod) if pod.is_mirror() || injection_checks_variables(&pod) => {}
        Ok(pod) => {
            let verdict = plaintext_verdict(&pod, place.path(), mode, config);
            record.outcome = if verdict.warnings.is_empty() {
                PlaintextOutcome::Clean
            } else {
                PlaintextOutcome::Warned
            };
            response.warnings = verdict.warnings;
            if let Some(message) = verdict.refusal {
                reject(mode, response, record, message);
            }
        }
    }
}

/// Refuses the object, or warns where the namespace asks for no more.
fn reject(
    mode: PlaintextMode,
    response: &mut AdmissionResponse<'_>,
    record: &mut PlaintextRecord,
    message: String,
) {
    if mode == PlaintextMode::Warn {
        record.outcome = PlaintextOutcome::Warned;
        response.warnings.push(message);
    } else {
        record.outcome = PlaintextOutcome::Refused;
        response.allowed = false;
        response.status = Some(Status { code: 403, reason: "Forbidden", message });
    }
}
