//! `enclii inject`: prints a pod as the webhook would change it, using the webhook's own functions.

mod advice;
mod bundles;
mod explain;

use std::path::PathBuf;
use std::process::ExitCode;

use contract::{Label, annotations};
use injection::{
    Decision, ImageName, InjectionConfig, KubernetesVersion, OperatorFile, Pod, admit,
};
use serde_json::Value;

use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::manifest::sources::{self, Source};
use crate::manifest::{self, KubernetesObject, Manifest, Template};
use crate::output::Output;

/// Stands in for the cluster's trust bundle in the agent's configuration.
const TRUST_PLACEHOLDER: &str = "(the webhook puts the CA that agents trust here)";

/// The address of switchyard in the manifests.
const SWITCHYARD_URL: &str = "https://switchyard.enclii-system.svc";

const EXAMPLES: &str = "\
Examples:
  enclii inject -f pod.yaml --bundle api-prod=DATABASE_URL,STRIPE_API_KEY
  enclii inject -f deployment.yaml --project shop --env prod        (asks switchyard for the keys)
  kubectl get deploy api -o yaml | enclii inject -f - --bundle-file bundle.yaml
  helm template shop ./chart | enclii inject -f - --bundle api-prod=DATABASE_URL
  enclii inject -f deployment.yaml --config webhook.yaml --explain      (what each annotation means)

The webhook's own functions decide, so the output is what a cluster would run. YAML is read as
kubectl reads it. The pod template of any kind is injected: of a Deployment, a CronJob, a Rollout, a
CloneSet, a Knative Service. A document that is refused is left out of the output and named, and the
exit code is then 1.";

/// Print a pod as the webhook would inject it.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", annotations_help()))]
pub(crate) struct InjectArgs {
    /// A manifest, YAML or JSON, one or more documents, or a directory of them; `-` is standard
    /// input. May be given several times.
    #[arg(long, short, value_name = "FILE", required = true)]
    pub(crate) file: Vec<PathBuf>,
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
    /// The operator's configuration file, as `enclii-webhook --config` reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print what becomes of each annotation, those of the Vault Agent Injector too where the
    /// operator's file turns them on, in place of the pod.
    #[arg(long)]
    pub(crate) explain: bool,
    /// How to print what --explain finds.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table, requires = "explain")]
    pub(crate) output: OutputFormat,
    /// The agent's image in the output; counts more than the file [default: enclii/agent of this
    /// version]
    #[arg(long, env = "ENCLII_AGENT_IMAGE")]
    pub(crate) agent_image: Option<ImageName>,
    /// The cluster's Kubernetes version.
    #[arg(
        long,
        env = "ENCLII_KUBERNETES_VERSION",
        default_value_t = KubernetesVersion::NEWEST,
        value_name = "VERSION"
    )]
    pub(crate) kubernetes_version: KubernetesVersion,
}

/// Every annotation of a pod.
fn annotations_help() -> String {
    let single = annotations::KEYS.iter().map(|(key, help)| (String::from(*key), help));
    let of_files = annotations::FILE_KEYS.iter().map(|(key, help)| (format!("{key}FILE"), help));
    let lines = single.chain(of_files).map(|(key, help)| format!("\n  {key}\n          {help}"));
    format!("Annotations of a pod:{}", lines.collect::<String>())
}

/// The image of the agent if nobody names one.
const AGENT_IMAGE: &str = concat!("enclii/agent:", env!("CARGO_PKG_VERSION"));

/// The operator's configuration, as the webhook would read it.
fn config(args: &InjectArgs) -> Result<InjectionConfig, Error> {
    let defaults = InjectionConfig {
        kubernetes: Some(args.kubernetes_version),
        ..InjectionConfig::new(
            AGENT_IMAGE.to_owned(),
            SWITCHYARD_URL.to_owned(),
            TRUST_PLACEHOLDER.to_owned(),
        )
    };
    let flags = OperatorFile { agent_image: args.agent_image.clone(), ..OperatorFile::default() };
    let Some(path) = &args.config else {
        return flags.configure(defaults).map_err(|error| Error::Usage(error.to_string()));
    };
    let failed = |reason: String| Error::Parse { path: path.clone(), reason };
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.clone(), source })?;
    let file: Option<OperatorFile> =
        serde_saphyr::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let settings = flags.or(file.unwrap_or_default());
    settings.configure(defaults).map_err(|error| failed(error.to_string()))
}

pub(crate) async fn run(args: InjectArgs, output: &Output) -> Result<ExitCode, Error> {
    let sources = sources::read(&args.file)?;
    let config = config(&args)?;
    let manifests: Vec<_> =
        sources.into_iter().map(|source| (manifest::parse(&source.text), source)).collect();
    if manifests.iter().all(|(it, _)| it.documents.is_empty() && it.mistakes.is_empty()) {
        let path = args.file.into_iter().next().unwrap_or_default();
        return Err(Error::Parse { path, reason: "the file has no document".to_owned() });
    }
    if args.explain {
        return explain::run(&manifests, &args, &config, output);
    }
    let documents = manifests.iter().flat_map(|(it, _)| &it.documents).map(|it| &it.value);
    let known = bundles::KnownBundles::gather(&args, documents, output).await?;
    let is_json = manifests.iter().all(|(it, _)| it.is_json);
    let several = manifests.len() > 1;
    let mut injector = Injector { known, config, namespace: args.namespace, failures: 0, output };
    let mut printed = Vec::new();
    for (manifest, source) in manifests {
        printed.extend(injector.manifest(manifest, &source, several));
    }
    if injector.failures > 0 && injector.known.is_empty() {
        output.note(
            "no bundle is known: give --bundle or --bundle-file, or --project and --env to ask \
             switchyard",
        );
    }
    let text = manifest::print(&printed, is_json).map_err(Error::Encode)?;
    output.bytes(text.as_bytes())?;
    Ok(if injector.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Injector<'o> {
    known: bundles::KnownBundles,
    config: InjectionConfig,
    /// Of documents without one.
    namespace: String,
    /// Documents that are left out.
    failures: usize,
    output: &'o Output,
}

impl Injector<'_> {
    /// The documents to print. One that is refused hides no other.
    fn manifest(&mut self, manifest: Manifest, source: &Source, several: bool) -> Vec<Value> {
        for reason in manifest.mistakes {
            let path = source.path.clone();
            self.fail(&Error::Parse { path, reason });
        }
        let prefix = if several { format!("{}: ", source.path.display()) } else { String::new() };
        let mut printed = Vec::new();
        for mut document in manifest.documents {
            let title = format!("{prefix}{document}");
            for (line, key) in &document.duplicates {
                self.output.note(&format!(
                    "{title}: {key} is there twice (line {line}); kubectl takes the last one"
                ));
            }
            match self.document(&mut document, &title) {
                Ok(()) => printed.push(document.value),
                Err(error) => self.fail(&error),
            }
        }
        printed
    }

    fn fail(&mut self, error: &Error) {
        self.failures += 1;
        self.output.error(error);
    }

    fn document(&self, document: &mut KubernetesObject, title: &str) -> Result<(), Error> {
        let templates = manifest::templates(&document.value);
        let pods: Vec<_> =
            templates.iter().filter_map(|it| document.value.pointer(&it.pointer)).collect();
        if let Some(advice) = advice::of_document(&document.value, &pods) {
            self.output.note(&format!("{title}: {advice}"));
        }
        for template in &templates {
            self.template(document, template, title)?;
        }
        Ok(())
    }

    fn template(
        &self,
        document: &mut KubernetesObject,
        template: &Template,
        title: &str,
    ) -> Result<(), Error> {
        let namespace = document.namespace().unwrap_or(&self.namespace).to_owned();
        let Some(pod) = document.value.pointer(&template.pointer) else { return Ok(()) };
        if !template.makes_pods {
            self.output.note(&format!("{title}: not injected: no Pod and no pod template"));
            return Ok(());
        }
        let refuse =
            |message: String| Err(Error::PodRefused { document: title.to_owned(), message });
        if let Some((at, what)) = manifest::wrong_type(pod) {
            let pointer = format!("{}{at}", template.pointer);
            return refuse(format!(
                "{} is {what} (line {}), and the API server takes a string alone: put it in quotes",
                manifest::field(&pointer),
                document.line(&pointer)
            ));
        }
        let text = pod.to_string();
        // The line of a mistake would be one of the encoded pod.
        let Ok(view) = Pod::parse(&text) else {
            return refuse("a field of the pod has another type than in a Pod".to_owned());
        };
        let bundles = view.annotation(annotations::SECRETS);
        if let Some(advice) = advice::of_service_account(view.service_account(), bundles) {
            self.output.note(&format!("{title}: {advice}"));
        }
        let warn = |warnings: Vec<String>| {
            warnings.iter().for_each(|it| self.output.note(&format!("{title}: {it}")));
        };
        match admit(&view, &namespace, &self.known, &self.config) {
            Decision::Skip(reason) => {
                self.output.note(&format!("{title}: not injected: {reason}"));
                Ok(())
            }
            Decision::Refuse { message, warnings } => {
                warn(warnings);
                refuse(message)
            }
            Decision::Inject { patch, warnings } => {
                warn(warnings);
                let Some(pod) = document.value.pointer_mut(&template.pointer) else {
                    return Ok(());
                };
                let patch = patch.operations().map_err(|error| Error::System(error.to_string()))?;
                json_patch::patch(pod, &patch)
                    .map_err(|error| Error::System(format!("apply patch: {error}")))
            }
        }
    }
}
