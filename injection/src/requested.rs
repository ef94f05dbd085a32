//! The secrets that a pod requests: the keys of its bundles and the names its author lists.

use std::sync::Arc;

use contract::{Annotations, BundleRef, Delivery, FilePath, SecretName, layout};

use crate::bundles::{Bundle, BundleLookup};
use crate::choice::SecretSource;
use crate::config::{InjectionConfig, KeyNames};
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::pod::{EnvVar, FileKeySelector, Pod};
use crate::references::{ForeignReference, MappedReference, ReferenceRules};
use crate::vault;

/// What a pod's annotations request, with the bundles looked up.
pub(crate) struct RequestedSecrets<'a> {
    annotations: &'a Annotations,
    namespace: &'a str,
    service_account: &'a str,
    source: SecretSource,
    /// The bundles that exist, in the order of the annotation, with the keys that they have at the
    /// source.
    bundles: Vec<(&'a BundleRef, Arc<Bundle>)>,
    /// The same as they were looked up.
    looked_up: Vec<(&'a BundleRef, Arc<Bundle>)>,
    key_names: KeyNames,
    references: &'a ReferenceRules,
}

impl<'a> RequestedSecrets<'a> {
    /// Looks the bundles up.
    pub(crate) fn resolve(
        annotations: &'a Annotations,
        pod: &'a Pod<'_>,
        namespace: &'a str,
        (lookup, config): (&impl BundleLookup, &'a InjectionConfig),
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut requested = Self {
            annotations,
            namespace,
            service_account: pod.service_account(),
            source: config.source,
            bundles: Vec::with_capacity(annotations.bundles.len()),
            looked_up: Vec::with_capacity(annotations.bundles.len()),
            key_names: config.key_names,
            references: &config.foreign_references,
        };
        for name in &annotations.bundles {
            match lookup.bundle(namespace, name.as_str()) {
                Some(bundle) => {
                    let has_keys = requested.at_source(name, &bundle, diagnostics);
                    requested.bundles.push((name, has_keys));
                    requested.looked_up.push((name, bundle));
                }
                None => diagnostics.deny(requested.unknown(name)),
            }
        }
        requested.check(diagnostics);
        requested
    }

    /// The bundle with the keys that it has at the source.
    fn at_source(
        &self,
        name: &BundleRef,
        bundle: &Arc<Bundle>,
        diagnostics: &mut Diagnostics,
    ) -> Arc<Bundle> {
        match self.source {
            SecretSource::Switchyard => {
                // Nothing would be taken out of the pod, and nobody would know.
                if bundle.keys.is_empty() && !bundle.vault.is_empty() {
                    diagnostics.deny(Violation::OnlyMapped { bundle: name.clone() });
                }
                Arc::clone(bundle)
            }
            SecretSource::Vault => {
                let map = |key: &str| self.map_command(key, name);
                vault::mapped(name, bundle, map, diagnostics)
            }
        }
    }

    fn unknown(&self, bundle: &BundleRef) -> Violation {
        let (bundle, namespace) = (bundle.clone(), printable(self.namespace));
        match self.source {
            SecretSource::Switchyard => Violation::UnknownBundle {
                set: self.set_command("NAME", &bundle, None),
                bundle,
                namespace,
                service_account: printable(self.service_account),
            },
            SecretSource::Vault => Violation::UnknownMapping { bundle, namespace },
        }
    }

    fn check(&self, diagnostics: &mut Diagnostics) {
        for (at, (first, bundle)) in self.bundles.iter().enumerate() {
            for (second, other) in &self.bundles[at + 1..] {
                let of_pair = || ((*first).clone(), (*second).clone());
                let mut shared = bundle.keys.intersection(&other.keys).peekable();
                if !self.may_list_keys() && shared.peek().is_some() {
                    let (first, second) = of_pair();
                    diagnostics.deny(Violation::SharedKeys { first, second });
                    continue;
                }
                for key in shared {
                    let (key, (first, second)) = (key.clone(), of_pair());
                    diagnostics.deny(Violation::SharedKey { key, first, second });
                    if diagnostics.has_more() {
                        return;
                    }
                }
            }
        }
        for name in &self.annotations.env {
            if name.parse::<SecretName>().is_err() {
                diagnostics.deny(Violation::InvalidFileName { name: printable(name) });
            } else if self.source == SecretSource::Vault
                && self.is_complete()
                && self.bundle_with_key(name).is_none()
            {
                // Switchyard may have a secret that its bundle does not list yet. Here, nothing
                // says where it is.
                let (name, map) = (printable(name), self.set_command_in_first_bundle(name));
                diagnostics.deny(Violation::UnmappedVariable { name, map });
            }
        }
        for name in &self.annotations.plain_env {
            if let Some(bundle) = self.bundle_with_key(name) {
                let (name, bundle) = (printable(name), bundle.clone());
                diagnostics.warn(Warning::PlainKey { name, bundle });
            }
        }
    }

    /// The bundles that exist, as they were looked up.
    pub(crate) fn looked_up(&self) -> impl Iterator<Item = (&'a BundleRef, &Bundle)> + Clone {
        self.looked_up.iter().map(|(name, bundle)| (*name, &**bundle))
    }

    /// The pod's namespace.
    pub(crate) fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// The pod's service account.
    pub(crate) fn service_account(&self) -> &'a str {
        self.service_account
    }

    /// Whether the answer may hold names that the pod does not.
    pub(crate) fn may_list_keys(&self) -> bool {
        self.key_names == KeyNames::All
    }

    /// Whether every requested bundle exists, so that all keys are known.
    pub(crate) fn is_complete(&self) -> bool {
        self.bundles.len() == self.annotations.bundles.len()
    }

    /// The bundle with the key `name`.
    pub(crate) fn bundle_with_key(&self, name: &str) -> Option<&'a BundleRef> {
        self.bundles.iter().find(|(_, bundle)| bundle.keys.contains(name)).map(|(name, _)| *name)
    }

    /// Whether the agent writes a file of that name.
    pub(crate) fn has_file(&self, name: &str) -> bool {
        self.bundle_with_key(name).is_some() || self.annotations.rendered.contains_key(name)
    }

    /// Whether a path of `enclii.io/path-FILE` begins with that name.
    pub(crate) fn has_path(&self, first: &str) -> bool {
        self.annotations.paths.values().any(|path| path.first() == first)
    }

    /// The path of a secret's file: the one that the pod gives it, or its own.
    pub(crate) fn secret_path(&self, secret: &str) -> String {
        let path = self.annotations.paths.get(secret).map_or(secret, FilePath::as_str);
        format!("{}/{path}", layout::SECRETS_DIRECTORY)
    }

    /// The bundle that replaces the Kubernetes Secret `secret`: the one with the same name.
    pub(crate) fn bundle_named(&self, secret: &str) -> Option<&(&'a BundleRef, Arc<Bundle>)> {
        self.bundles.iter().find(|(name, _)| name.as_str() == secret)
    }

    /// Whether `enclii.io/plain-env` lists the variable as not secret.
    pub(crate) fn is_plain_env(&self, name: &str) -> bool {
        self.annotations.plain_env.contains(name)
    }

    /// Whether `enclii.io/env` lists the variable for removal.
    pub(crate) fn is_listed_env(&self, name: &str) -> bool {
        self.annotations.env.contains(name)
    }

    /// Whether a container reads files itself, and so mounts the volume.
    pub(crate) fn needs_volume(&self) -> bool {
        self.annotations.needs_volume()
    }

    /// How the value of a secret reaches the application.
    pub(crate) fn delivery(&self, secret: &str) -> Delivery {
        self.annotations.deliver.of(secret)
    }

    /// The secret that replaces a variable; `None` if the variable stays.
    pub(crate) fn secret_for<'v>(&'v self, variable: &'v EnvVar<'_>) -> Option<&'v str> {
        // An earlier pass has written it.
        if let Some(secret) = variable.file_key().and_then(secret_of_file_key) {
            return Some(secret);
        }
        if variable.secret_key().is_some_and(|found| self.bundle_named(&found.name).is_some()) {
            return variable.secret_key().map(|found| &*found.key);
        }
        let name: &str = &variable.name;
        let reference = self.reference(variable).and_then(|found| self.mapped(&found));
        if let Some(key) = reference.and_then(|found| found.key.ok()) {
            return Some(key);
        }
        // A variable that points into the secrets directory was written by an earlier pass or by
        // the pod's author.
        if self.is_plain_env(name) || variable.literal().is_some_and(is_secret_path) {
            return None;
        }
        let is_key = variable.literal().is_some() && self.bundle_with_key(name).is_some();
        (self.is_listed_env(name) || is_key).then_some(name)
    }

    /// The reference to a secret of another store that a variable holds.
    pub(crate) fn reference<'v>(&self, variable: &'v EnvVar<'_>) -> Option<ForeignReference<'v>> {
        let found = variable.literal().and_then(ForeignReference::parse)?;
        (!self.is_plain_env(&variable.name)).then_some(found)
    }

    /// The key of a bundle that a reference means; `None` if the operator maps it to none.
    pub(crate) fn mapped<'v>(
        &'v self,
        reference: &ForeignReference<'v>,
    ) -> Option<MappedReference<'v>> {
        self.references.find(reference)
    }

    /// The value of the annotation with which the pod would ask for `bundle` too; `None` if it
    /// does.
    pub(crate) fn bundles_with(&self, bundle: &BundleRef) -> Option<String> {
        let asked = &self.annotations.bundles;
        let names = asked.iter().chain([bundle]).map(BundleRef::as_str);
        (!asked.contains(bundle)).then(|| names.collect::<Vec<_>>().join(","))
    }

    /// The command that writes `key`, if a bundle of the pod exists and has no such key.
    pub(crate) fn missing_key(&self, bundle: &BundleRef, key: &str) -> Option<String> {
        let (name, known) = self.bundle_named(bundle.as_str())?;
        (!known.keys.contains(key)).then(|| self.set_command(key, name, Some(known)))
    }

    /// The command that says where the secret `name` of a bundle is in Vault.
    fn map_command(&self, name: &str, bundle: &BundleRef) -> String {
        format!(
            "kubectl -n {} patch secretbundle {bundle} --type merge -p \
             '{{\"spec\":{{\"vault\":{{\"{}\":{{\"type\":\"kv\",\"mount\":\"MOUNT\",\
             \"path\":\"PATH\",\"field\":\"FIELD\"}}}}}}}}'",
            printable(self.namespace),
            printable(name)
        )
    }

    /// The command that stores the secret `name` in a bundle, or where Vault is the source, says
    /// where it is. A bundle's name does not say where
    /// its service ends, nor its project. The namespace's labels do; without them the service
    /// account is the best guess.
    pub(crate) fn set_command(
        &self,
        name: &str,
        bundle: &BundleRef,
        known: Option<&Bundle>,
    ) -> String {
        if self.source == SecretSource::Vault {
            return self.map_command(name, bundle);
        }
        let environment = known.and_then(|bundle| bundle.environment.as_ref());
        let by_label = environment.and_then(|environment| {
            Some((bundle.service_in(environment)?.to_string(), environment.to_string()))
        });
        let by_service_account = || {
            let text = bundle.as_str();
            let environment = text
                .strip_prefix(self.service_account)
                .and_then(|rest| rest.strip_prefix('-'))
                .filter(|environment| !environment.is_empty());
            match environment {
                Some(environment) => (self.service_account.to_owned(), environment.to_owned()),
                None => text
                    .rsplit_once('-')
                    .map(|(service, environment)| (service.to_owned(), environment.to_owned()))
                    .unwrap_or_default(),
            }
        };
        let (service, environment) = by_label.unwrap_or_else(by_service_account);
        let project = known.and_then(|bundle| bundle.project.as_ref());
        let project = project.map_or("PROJECT", |label| label.as_str());
        format!(
            "enclii secrets set {}=- --service {service} --env {environment} --project {project}",
            printable(name)
        )
    }

    /// The command that stores a new secret `name` in the first bundle.
    pub(crate) fn set_command_in_first_bundle(&self, name: &str) -> String {
        match (self.bundles.first(), self.annotations.bundles.first()) {
            (Some((bundle, known)), _) => self.set_command(name, bundle, Some(known)),
            (None, Some(bundle)) => self.set_command(name, bundle, None),
            (None, None) => String::new(),
        }
    }
}

/// The path of the file from which kubelet reads a secret's variable, in the secrets' volume.
pub(crate) fn file_key_path(secret: &str) -> String {
    format!("{}/{secret}", layout::ENV_DIRECTORY)
}

/// The secret that a variable has from the secrets' volume; `None` if it is not read as the webhook
/// has it read.
fn secret_of_file_key<'v>(found: &'v FileKeySelector<'_>) -> Option<&'v str> {
    let path = found.path.strip_prefix(layout::ENV_DIRECTORY).and_then(|it| it.strip_prefix('/'));
    (*found.volume_name == *layout::SECRETS_VOLUME && path == Some(&*found.key))
        .then_some(&*found.key)
}

/// Whether a value is the path of a file in the secrets directory.
fn is_secret_path(value: &str) -> bool {
    value
        .strip_prefix(layout::SECRETS_DIRECTORY)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|path| path.parse::<FilePath>().is_ok())
}
