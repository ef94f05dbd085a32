//! What a pod with the Injector's annotations asks for, in the words of this system.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use contract::annotations::{MAX_VALUE_BYTES, SECRETS};
use contract::rendered::{MAX_FILES, RequestedContents};
use contract::secret_volume::{SecretVolume, VolumeFileMode, VolumeItem, VolumeSource};
use contract::vault_source::{VaultRead, VaultSecret, WHOLE_ANSWER};
use contract::vault_template::VaultTemplateOptions;
use contract::{Annotations, BundleRef, Delivery, SecretName, VaultTemplate, layout};

use super::annotation::{boolean, find};
use super::file::Values;
use super::login::{Allowed, LoginChoice};
use super::mapping::{Mapped, Mapping};
use super::path;
use super::table::{PREFIX, Treatment};
use crate::bundles::{Bundle, BundleLookup};
use crate::config::InjectionConfig;
use crate::diagnostics::printable;
use crate::pod::Pod;
use crate::vault::VaultPod;

/// The bundle of what such a pod reads. Its name is in `enclii.io/secrets` of the injected pod.
pub const COMPAT_BUNDLE: &str = "vault-annotations";

/// The annotation that opts a pod in.
pub(super) const INJECT: &str = "vault.hashicorp.com/agent-inject";

/// The name of the first volume, which is the Injector's own.
const VOLUME: &str = "vault-secrets";

/// The most annotations that are looked at.
const MAX_ANNOTATIONS: usize = 256;

/// What a pod asks for.
pub(crate) struct VaultRequest {
    /// As its own annotations would.
    pub(crate) annotations: Annotations,
    /// What it reads from Vault.
    pub(crate) bundle: Arc<Bundle>,
    /// Where its files are mounted.
    pub(crate) volumes: Vec<VaultVolume>,
    /// What it chooses of the login.
    pub(crate) login: LoginChoice,
}

/// A volume that the pod does not have yet.
pub(crate) struct VaultVolume {
    pub(crate) name: String,
    pub(crate) mount_path: String,
    pub(crate) volume: SecretVolume,
}

impl BundleLookup for VaultRequest {
    fn bundle(&self, _namespace: &str, name: &str) -> Option<Arc<Bundle>> {
        (name == COMPAT_BUNDLE).then(|| Arc::clone(&self.bundle))
    }
}

/// Whether a pod has the annotation that opts it in to the Injector.
#[must_use]
pub fn asks_for_vault(pod: &Pod<'_>) -> bool {
    // What cannot be read is refused, where the annotations are turned on.
    pod.annotation(INJECT).is_some_and(|text| boolean(text) != Some(false))
}

/// What becomes of the annotations of a pod that opts in; `None` if it does not, or the operator
/// has not turned them on.
pub(crate) fn explain_vault(
    pod: &Pod<'_>,
    namespace: &str,
    config: &InjectionConfig,
) -> Option<Mapping> {
    VaultRequest::resolve(pod, namespace, config).map(|(_, mapping)| mapping)
}

impl VaultRequest {
    /// Reads the annotations of a pod that opts in. There is no request where the mapping has an
    /// error.
    pub(crate) fn resolve(
        pod: &Pod<'_>,
        namespace: &str,
        config: &InjectionConfig,
    ) -> Option<(Option<Self>, Mapping)> {
        let compat = config.vault_compat.as_ref().filter(|_| asks_for_vault(pod))?;
        let pod_of_vault =
            VaultPod { namespace, service_account: pod.service_account(), agent_ends_last: true };
        let allowed = Allowed { compat, settings: &config.vault, pod: pod_of_vault };
        let mut resolver = Resolver { values: Values::default(), mapping: Mapping::default() };
        resolver.read(pod, config);
        let request = resolver.request(pod, &allowed);
        let mut mapping = resolver.mapping;
        // A pod without a request would be admitted without its agent.
        if request.is_none() && mapping.errors.is_empty() {
            mapping.errors.push(format!("annotation {INJECT}: the pod's files cannot be named"));
        }
        mapping.annotations.sort_by(|a, b| a.annotation.cmp(&b.annotation));
        Some((request.filter(|_| mapping.errors.is_empty()), mapping))
    }
}

/// Goes through a pod's annotations, and keeps what became of each.
pub(super) struct Resolver<'p> {
    pub(super) values: Values<'p>,
    pub(super) mapping: Mapping,
}

impl<'p> Resolver<'p> {
    pub(super) fn note(&mut self, key: &str, treatment: Treatment, outcome: impl Into<String>) {
        let (annotation, outcome) = (printable(key), outcome.into());
        self.mapping.annotations.push(Mapped { annotation, treatment, outcome });
    }

    pub(super) fn refuse(&mut self, key: &str, why: impl Into<String>) {
        let why = why.into();
        self.mapping.errors.push(format!("annotation {}: {why}", printable(key)));
        self.note(key, Treatment::Refused, why);
    }

    /// Sorts the annotations, and notes those that are ignored or refused as such.
    fn read(&mut self, pod: &'p Pod<'_>, config: &InjectionConfig) {
        let all = pod.annotations().filter(|(key, _)| key.starts_with(PREFIX));
        for (at, (key, value)) in all.enumerate() {
            if at >= MAX_ANNOTATIONS {
                let why = format!("the pod has more than {MAX_ANNOTATIONS} of {PREFIX}");
                return self.mapping.errors.push(why);
            }
            if value.len() > MAX_VALUE_BYTES {
                let (length, most) = (value.len(), MAX_VALUE_BYTES);
                self.refuse(key, format!("it has {length} bytes, and {most} at most are read"));
                continue;
            }
            let Some(found) = find(key, value) else {
                self.note(key, Treatment::Ignored, "the Injector has no such annotation");
                continue;
            };
            let annotation = found.annotation;
            match annotation.treatment {
                Treatment::Used => self.values.insert(found),
                Treatment::Ignored => self.note(key, Treatment::Ignored, annotation.outcome),
                Treatment::Refused if !is_asked(annotation.name, value) => {
                    self.note(key, Treatment::Ignored, "it asks for nothing");
                }
                Treatment::Refused if annotation.name == "service" && is_own(value, config) => {
                    self.note(key, Treatment::Used, "the operator's address");
                }
                Treatment::Refused => self.refuse(key, annotation.outcome),
            }
        }
    }

    fn request(&mut self, pod: &'p Pod<'_>, allowed: &Allowed<'_>) -> Option<VaultRequest> {
        let login = self.login(allowed);
        let bundle_name = COMPAT_BUNDLE.parse::<BundleRef>().ok()?;
        let mut annotations = self.own_annotations(pod)?;
        let (files, mut reads) = (self.files(), Reads::default());
        let mut rendered = BTreeMap::new();
        let mut volumes: BTreeMap<String, Vec<VolumeItem>> = BTreeMap::new();
        let mut names = Vec::new();
        for file in &files {
            names.push(file_name(&file.raw_name, &file.path.to_string(), &rendered)?);
            let name = names.last()?.clone();
            let template = VaultTemplate {
                text: file.template.clone(),
                options: VaultTemplateOptions::default(),
            };
            rendered.insert(name.clone(), RequestedContents::Vault(template));
            let item = VolumeItem { secret: name, path: file.path.clone(), mode: Some(file.mode) };
            volumes.entry(file.volume_path.clone()).or_default().push(item);
        }
        for (file, name) in files.iter().zip(&names) {
            let options = self.template(file, &mut reads, &rendered, allowed);
            if let Some(RequestedContents::Vault(template)) = rendered.get_mut(name) {
                template.options = options;
            }
        }
        self.check_files(&rendered, &volumes);
        if reads.is_empty() && self.mapping.errors.is_empty() {
            let why = format!("annotation {INJECT}: no template of the pod reads a secret");
            self.mapping.errors.push(why);
        }
        let commands: Vec<(String, String)> = files
            .iter()
            .filter_map(|file| Some((file.raw_name.clone(), file.command.clone()?)))
            .collect();
        self.deliver(pod, &mut annotations, &commands);
        annotations.rendered = rendered;
        let volumes = volumes
            .into_iter()
            .enumerate()
            .map(|(at, (mount_path, items))| volume(at, mount_path, items, bundle_name.clone()));
        let vault = reads
            .names
            .into_iter()
            .map(|(read, name)| (name, Some(VaultSecret { read, field: WHOLE_ANSWER.to_owned() })));
        let bundle = Arc::new(Bundle { vault: vault.collect(), ..Bundle::default() });
        Some(VaultRequest { annotations, bundle, volumes: volumes.collect(), login })
    }

    /// A boolean of the pod.
    pub(super) fn switch(&mut self, name: &str, on: &str) -> Option<bool> {
        let found = *self.values.of_pod.get(name)?;
        match boolean(found.value) {
            Some(is_on) => {
                let outcome = if is_on { on } else { "it asks for nothing" };
                self.note(found.key, Treatment::Used, outcome);
                Some(is_on)
            }
            None => {
                self.refuse(found.key, "must be true or false");
                None
            }
        }
    }

    /// What the pod asks for besides, by annotations of this system.
    fn own_annotations(&mut self, pod: &Pod<'_>) -> Option<Annotations> {
        if pod.annotation(SECRETS).is_some_and(|asked| asked.trim() != COMPAT_BUNDLE) {
            let why = format!("the pod has {INJECT} too; leave one of them out");
            self.mapping.errors.push(format!("annotation {SECRETS}: {why}"));
        }
        let bundle = [(SECRETS, COMPAT_BUNDLE)];
        let others = pod.annotations().filter(|(key, _)| *key != SECRETS);
        let parsed = Annotations::parse(bundle.into_iter().chain(others));
        let own = match parsed {
            Ok(own) => own?,
            Err(errors) => {
                self.mapping.errors.extend(errors.iter().map(|error| error.message()));
                Annotations::parse(bundle).ok().flatten()?
            }
        };
        let is_plain = own.rendered.is_empty()
            && own.paths.is_empty()
            && own.env.is_empty()
            && own.deliver.by_name.is_empty()
            && own.deliver.default == Delivery::Files;
        if !is_plain {
            self.mapping.errors.push(format!(
                "enclii.io/format-, template-, path-, env and deliver say what becomes of a \
                 bundle's secrets, and with {INJECT} there is no bundle: ask for one with {SECRETS}"
            ));
        }
        Some(own)
    }
}

/// The most that a pod reads by its templates.
const MAX_READS: usize = 256;

/// What is read, each with the secret that has it.
#[derive(Default)]
pub(super) struct Reads {
    names: BTreeMap<VaultRead, SecretName>,
    taken: BTreeSet<SecretName>,
    /// The next number of each beginning of a name, so that no number is tried twice.
    numbers: HashMap<String, u32>,
}

impl Reads {
    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The secret that has the answer to a read: no file has its name, and no other read.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn name(
        &mut self,
        read: VaultRead,
        is_file: impl Fn(&SecretName) -> bool,
    ) -> Result<SecretName, String> {
        if let Some(name) = self.names.get(&read) {
            return Ok(name.clone());
        }
        if self.names.len() >= MAX_READS {
            return Err(format!("the pod reads more than {MAX_READS} secrets"));
        }
        let stem = path::stem(&read);
        let next = self.numbers.entry(stem.clone()).or_default();
        let name = loop {
            let text = if *next == 0 { stem.clone() } else { format!("{stem}.{next}") };
            *next += 1;
            let name: SecretName = text.parse().map_err(|_| "it cannot be named".to_owned())?;
            if !is_file(&name) && self.taken.insert(name.clone()) {
                break name;
            }
        };
        self.names.insert(read, name.clone());
        Ok(name)
    }
}

/// Whether a value of an annotation that is refused asks for anything.
fn is_asked(name: &str, value: &str) -> bool {
    match name {
        "tls-skip-verify" | "agent-inject-token" => boolean(value) != Some(false),
        _ => !value.trim().is_empty(),
    }
}

/// Whether a value is the operator's address.
fn is_own(value: &str, config: &InjectionConfig) -> bool {
    let own = config.vault.address.as_ref().map(|it| it.as_str());
    own == Some(value.trim().trim_end_matches('/'))
}

/// The name of a file among the secrets: its own, if a secret may have it.
fn file_name(
    raw: &str,
    path: &str,
    taken: &BTreeMap<SecretName, RequestedContents>,
) -> Option<SecretName> {
    let plain = |it: char| match it {
        it if it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.') => it,
        _ => '_',
    };
    let text: String = raw.chars().map(plain).take(100).collect();
    let candidates = [path.to_owned(), raw.to_lowercase(), text.clone(), format!("_{text}")];
    let numbered = (1..=MAX_FILES).map(|number| format!("_{text}.{number}"));
    let names = candidates.into_iter().chain(numbered);
    names.filter_map(|it| it.parse::<SecretName>().ok()).find(|it| !taken.contains_key(it))
}

fn volume(at: usize, mount_path: String, items: Vec<VolumeItem>, bundle: BundleRef) -> VaultVolume {
    let name = if at == 0 { VOLUME.to_owned() } else { format!("{VOLUME}-{at}") };
    let directory = format!("{}/{name}", layout::VOLUMES_DIRECTORY);
    let source = VolumeSource { bundle, mode: VolumeFileMode::DEFAULT, items, optional: false };
    VaultVolume { name, mount_path, volume: SecretVolume { directory, sources: vec![source] } }
}
