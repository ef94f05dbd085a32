//! What the injection adds to a pod's start, and to the create of a pod that does not ask for it,
//! in a real cluster with the system installed.
//!
//! The kinds of pod take turns, so that whatever else the machine does meets all alike. While they
//! do, the webhook lets a pod choose where its agent is.

mod api;
mod creates;
mod pods;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::kubectl::{Namespace, PortForward, apply, kubectl, object, set_variable};
use e2e::wait;
use serde_json::json;

use crate::budget::{Measurement, Metric};
use crate::pod::{BUNDLE, SECRETS, names, value};
use crate::progress::print_progress;
use crate::results::Results;
use crate::secret_writer::SecretWriter;
use crate::statistics::median;
use api::ApiProxy;
use creates::measure_creates;
use pods::{PodVariant, measure_start, pod_manifest};

const SYSTEM: &str = "enclii-system";
const NAMESPACE: &str = "enclii-bench";
/// Pairs of creates of a pod that does not ask for secrets.
const CREATES: u32 = 500;
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// Measures as many pods of each variant.
#[must_use]
pub fn measure(pods: u32) -> Results {
    let mut results = Results::default();
    let measured = added(pods, &mut results);
    results.take("pods", measured);
    results
}

fn added(pods: u32, results: &mut Results) -> Result<Vec<Measurement>> {
    print_progress("cluster: a namespace with a bundle of twenty secrets");
    let namespace = Namespace::create(
        NAMESPACE,
        &[("enclii.io/project", "bench"), ("enclii.io/environment", "prod")],
    )?;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "api", "namespace": NAMESPACE}
    });
    apply(&account.to_string())?;
    write_secrets().context("write secrets")?;
    wait::until("the bundle", STEP_TIMEOUT, || object(namespace.name(), "secretbundle", BUNDLE))?;

    let _choice = PlacementChoice::allow()?;
    let api = ApiProxy::open()?;
    let times =
        |variant: PodVariant, number: u32| measure_start(&api, namespace.name(), variant, number);
    // The first pod of each variant finds cold caches, and the webhook may not know the bundle yet.
    let mut refused = None;
    wait::until("a first injected pod", STEP_TIMEOUT, || {
        Ok(times(PodVariant::Native, 0).map_err(|error| refused = Some(error)).ok())
    })
    .map_err(|error| refused.map_or(error, |refusal| refusal.context("a first injected pod")))?;
    times(PodVariant::Plain, 0)?;
    times(PodVariant::First, 0)?;
    print_progress(&format!("cluster: {pods} pods of each kind, in turns"));
    let mut all = PodVariant::ALL.map(|variant| (variant, Vec::new()));
    for number in 1..=pods {
        for (variant, found) in &mut all {
            found.push(times(*variant, number)?);
        }
    }
    let [plain, native, first] = all.map(|(_, found)| median(&found).context("no pod"));
    let (plain, native, first) = (plain?, native?, first?);
    results.note(format!(
        "pod_start_added: from the create call to the application's start: {native:.0} ms with a \
         native sidecar, {first:.0} ms with the agent first, {plain:.0} ms without (medians of \
         {pods})"
    ));
    print_progress(&format!("cluster: {CREATES} creates with the system and without, in turns"));
    let plain_pod = pod_manifest("plain", PodVariant::Plain);
    let creates = measure_creates(&api, namespace.name(), &plain_pod, CREATES)?;
    results.note(format!(
        "create_added: a dry run of a pod without the annotation took {:.2} ms with the system, \
         {:.2} ms in a namespace that it leaves out (medians of {CREATES})",
        creates.with, creates.without
    ));
    Ok(vec![
        Metric::PodStartAdded.measurement(native - plain),
        Metric::PodStartAddedFirst.measurement(first - plain),
        Metric::CreateAdded.measurement(creates.with - creates.without),
    ])
}

/// A webhook that lets a pod choose its agent's placement, until this is dropped.
struct PlacementChoice;

impl PlacementChoice {
    fn allow() -> Result<Self> {
        let choice = Self;
        set_placement("ENCLII_AGENT_PLACEMENT=either")?;
        Ok(choice)
    }
}

impl Drop for PlacementChoice {
    fn drop(&mut self) {
        // Best effort: whoever benchmarks a cluster that stays sees the variable on the Deployment.
        let _ = set_placement("ENCLII_AGENT_PLACEMENT-");
    }
}

fn set_placement(word: &str) -> Result<()> {
    set_variable(SYSTEM, "enclii-webhook", word, STEP_TIMEOUT)
}

/// Writes twenty secrets into the bundle, through a forwarded port.
fn write_secrets() -> Result<()> {
    let trust = object(SYSTEM, "configmap", "enclii-trust")?
        .context("the system is not installed: the ConfigMap enclii-trust is missing")?;
    let mut ca = tempfile::NamedTempFile::new()?;
    ca.write_all(
        trust["data"]["ca.crt"].as_str().context("the ConfigMap has no ca.crt")?.as_bytes(),
    )?;
    let token = kubectl(&[
        "-n",
        SYSTEM,
        "get",
        "secret",
        "enclii-bootstrap",
        "-o",
        "go-template={{.data.token | base64decode}}",
    ])?;
    let forward = PortForward::open(SYSTEM, "switchyard", 443, STEP_TIMEOUT)?;
    let store = SecretWriter::new(
        &format!("https://localhost:{}", forward.port()),
        ca.path(),
        &token,
        "bench.prod.api",
    )?;
    let secrets: Vec<_> = names(SECRETS)
        .into_iter()
        .enumerate()
        .map(|(number, name)| (name, value("cluster", number)))
        .collect();
    store.write(secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
