//! `enclii inject`: prints a pod as the webhook would change it, using the webhook's own functions.

mod bundles;
mod manifest;

use std::io::Read;
use std::path::PathBuf;

use contract::Label;
use injection::{Decision, InjectionConfig, Pod, admit};
use serde_json::Value;

use crate::common_args::ConnectionArgs;
use crate::error::Error;
use crate::output::Output;

/// Stands in for the cluster's trust bundle in the agent's configuration.
const TRUST_PLACEHOLDER: &str = "(the webhook puts switchyard's CA here)";

/// The address of switchyard in the manifests.
const SWITCHYARD_URL: &str = "https://switchyard.enclii-system.svc";

const EXAMPLES: &str = "\
Examples:
  enclii inject -f pod.yaml --bundle api-prod=DATABASE_URL,STRIPE_API_KEY
  enclii inject -f deployment.yaml --project shop --env prod        (asks switchyard for the keys)
  kubectl get deploy api -o yaml | enclii inject -f - --bundle-file bundle.yaml

The webhook's own functions decide, so the output is what a cluster would run. For a Deployment,
StatefulSet, DaemonSet, ReplicaSet, Job or CronJob, the pod template is injected.";

/// Print a pod as the webhook would inject it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InjectArgs {
    /// The manifest, YAML or JSON, one or more documents; `-` is standard input.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The namespace of documents without one.
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,
    /// A bundle and its keys: BUNDLE=KEY,KEY. May be given several times.
    #[arg(long, value_name = "BUNDLE=KEYS")]
    pub(crate) bundle: Vec<String>,
    /// A file with a SecretBundle object, as `kubectl get secretbundle api-prod -o yaml` prints it.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_file: Vec<PathBuf>,
    /// The project; with it, switchyard is asked for the keys of the bundles that are not given.
    #[arg(long, env = "ENCLII_PROJECT", value_name = "LABEL", requires = "env")]
    pub(crate) project: Option<Label>,
    /// The environment; see --project.
    #[arg(long, env = "ENCLII_ENV", value_name = "LABEL")]
    pub(crate) env: Option<Label>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// The agent's image in the output.
    #[arg(
        long,
        env = "ENCLII_AGENT_IMAGE",
        default_value = concat!("enclii/agent:", env!("CARGO_PKG_VERSION"))
    )]
    pub(crate) agent_image: String,
}

pub(crate) async fn run(args: InjectArgs, output: &Output) -> Result<(), Error> {
    let text = read(&args)?;
    let documents = manifest::documents(&text)
        .map_err(|reason| Error::Parse { path: args.file.clone(), reason })?;
    let config = InjectionConfig::new(
        args.agent_image.clone(),
        SWITCHYARD_URL.to_owned(),
        TRUST_PLACEHOLDER.to_owned(),
    );
    let known = bundles::KnownBundles::gather(&args, &documents, output).await?;
    let mut printed = Vec::with_capacity(documents.len());
    for mut document in documents {
        let namespace = document
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .unwrap_or(&args.namespace)
            .to_owned();
        if let Some(pod) = manifest::pod_in(&mut document) {
            inject(pod, &namespace, &known, &config, output)?;
        }
        printed.push(document);
    }
    let text = manifest::print(&printed, manifest::is_json(&text))
        .map_err(|reason| Error::Parse { path: args.file, reason })?;
    output.bytes(text.as_bytes())
}

fn inject(
    pod: &mut Value,
    namespace: &str,
    known: &bundles::KnownBundles,
    config: &InjectionConfig,
    output: &Output,
) -> Result<(), Error> {
    let text = pod.to_string();
    let view = Pod::parse(&text).map_err(|error| Error::PodRefused(error.to_string()))?;
    match admit(&view, namespace, known, config) {
        Decision::Skip(reason) => output.note(&format!("not injected: {reason}")),
        Decision::Refuse { message, warnings } => {
            warnings.iter().for_each(|warning| output.note(warning));
            if known.is_empty() {
                output.note(
                    "no bundle is known: give --bundle or --bundle-file, or --project and --env to \
                     ask switchyard",
                );
            }
            return Err(Error::PodRefused(message));
        }
        Decision::Inject { patch, warnings } => {
            warnings.iter().for_each(|warning| output.note(warning));
            json_patch::patch(pod, &patch)
                .map_err(|error| Error::System(format!("apply patch: {error}")))?;
        }
    }
    Ok(())
}

fn read(args: &InjectArgs) -> Result<String, Error> {
    if args.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map_err(Error::Stdin)?;
        return Ok(text);
    }
    std::fs::read_to_string(&args.file)
        .map_err(|source| Error::Read { path: args.file.clone(), source })
}
