//! Which variables leave a pod: the keys of its bundles and the names its author lists.

use std::sync::Arc;

use contract::{Annotations, BundleRef, Label, SecretName, layout};

use crate::bundles::{Bundle, Bundles};
use crate::findings::{Findings, Refusal, Warning, shown};
use crate::pod::{Pod, Variable};

/// What the pod's annotations ask for, with what is known of its bundles.
pub(crate) struct Wanted<'a> {
    annotations: &'a Annotations,
    service_account: &'a str,
    /// The bundles that exist, in the order asked for.
    bundles: Vec<(&'a BundleRef, Arc<Bundle>)>,
}

impl<'a> Wanted<'a> {
    /// Looks the bundles up.
    pub(crate) fn gather(
        annotations: &'a Annotations,
        pod: &'a Pod<'_>,
        namespace: &str,
        known: &impl Bundles,
        findings: &mut Findings,
    ) -> Self {
        let mut wanted = Self {
            annotations,
            service_account: pod.service_account(),
            bundles: Vec::with_capacity(annotations.bundles.len()),
        };
        for name in &annotations.bundles {
            match known.bundle(namespace, name.as_str()) {
                Some(bundle) => wanted.bundles.push((name, bundle)),
                None => findings.refuse(Refusal::UnknownBundle {
                    bundle: name.clone(),
                    namespace: shown(namespace),
                    service_account: shown(pod.service_account()),
                    set: wanted.set_line("NAME", name, None),
                }),
            }
        }
        wanted.check(findings);
        wanted
    }

    fn check(&self, findings: &mut Findings) {
        for (at, (first, bundle)) in self.bundles.iter().enumerate() {
            for (second, other) in &self.bundles[at + 1..] {
                for key in bundle.keys.intersection(&other.keys) {
                    findings.refuse(Refusal::SharedKey {
                        key: key.clone(),
                        first: (*first).clone(),
                        second: (*second).clone(),
                    });
                }
            }
        }
        for name in &self.annotations.env {
            if name.parse::<SecretName>().is_err() {
                findings.refuse(Refusal::EnvIsNoFile { name: shown(name) });
            }
        }
        for name in &self.annotations.plain_env {
            if let Some(bundle) = self.bundle_of(name) {
                findings.warn(Warning::PlainKey { name: shown(name), bundle: bundle.clone() });
            }
        }
    }

    /// Whether every bundle that was asked for exists, so that all keys are known.
    pub(crate) fn is_complete(&self) -> bool {
        self.bundles.len() == self.annotations.bundles.len()
    }

    /// The bundle with the key `name`.
    pub(crate) fn bundle_of(&self, name: &str) -> Option<&'a BundleRef> {
        self.bundles.iter().find(|(_, bundle)| bundle.has_key(name)).map(|(name, _)| *name)
    }

    /// The bundle that a Kubernetes Secret of this name is the forerunner of.
    pub(crate) fn bundle_named(&self, secret: &str) -> Option<&(&'a BundleRef, Arc<Bundle>)> {
        self.bundles.iter().find(|(name, _)| name.as_str() == secret)
    }

    /// Whether the author says that the variable is no secret.
    pub(crate) fn is_plain(&self, name: &str) -> bool {
        self.annotations.plain_env.contains(name)
    }

    /// Whether the author lists the variable as one to take out.
    pub(crate) fn is_listed(&self, name: &str) -> bool {
        self.annotations.env.contains(name)
    }

    /// The secret that takes a variable's place; `None` where the variable stays.
    pub(crate) fn secret_of<'v>(&self, variable: &'v Variable<'_>) -> Option<&'v str> {
        if variable.secret_key().is_some_and(|found| self.bundle_named(&found.name).is_some()) {
            return variable.secret_key().map(|found| &*found.key);
        }
        let name: &str = &variable.name;
        // What points at a file of ours is what an earlier pass, or the author, has put there.
        if self.is_plain(name) || variable.literal().is_some_and(is_secret_path) {
            return None;
        }
        (self.is_listed(name) || (variable.literal().is_some() && self.bundle_of(name).is_some()))
            .then_some(name)
    }

    /// The line that stores the secret `name` where the pod's bundles would find it. A bundle's
    /// name does not say where its service ends, nor which project it is of: the namespace's labels
    /// do, and where they are not known the service account is the best guess.
    pub(crate) fn set_line(
        &self,
        name: &str,
        bundle: &BundleRef,
        known: Option<&Bundle>,
    ) -> String {
        let environment = known
            .and_then(|bundle| bundle.environment.as_deref())
            .and_then(|label| label.parse::<Label>().ok());
        let labelled = environment.and_then(|environment| {
            Some((String::from(bundle.service_in(&environment)?), String::from(environment)))
        });
        let guessed = || {
            let text = bundle.as_str();
            let of_account =
                text.strip_prefix(self.service_account).and_then(|rest| rest.strip_prefix('-'));
            match of_account.filter(|environment| !environment.is_empty()) {
                Some(environment) => (self.service_account.to_owned(), environment.to_owned()),
                None => text
                    .rsplit_once('-')
                    .map(|(service, environment)| (service.to_owned(), environment.to_owned()))
                    .unwrap_or_default(),
            }
        };
        let (service, environment) = labelled.unwrap_or_else(guessed);
        let project = known.and_then(|bundle| bundle.project.as_deref()).unwrap_or("PROJECT");
        format!(
            "enclii secrets set {}=- --service {service} --env {environment} --project {project}",
            shown(name)
        )
    }

    /// The line for a secret that no bundle has: it goes into the first.
    pub(crate) fn set_line_of_first(&self, name: &str) -> String {
        match (self.bundles.first(), self.annotations.bundles.first()) {
            (Some((bundle, known)), _) => self.set_line(name, bundle, Some(known)),
            (None, Some(bundle)) => self.set_line(name, bundle, None),
            (None, None) => String::new(),
        }
    }
}

/// The path of a secret's file.
pub(crate) fn secret_path(secret: &str) -> String {
    format!("{}/{secret}", layout::SECRETS_DIRECTORY)
}

/// Whether a value is the path of a file right in the secrets directory.
fn is_secret_path(value: &str) -> bool {
    value
        .strip_prefix(layout::SECRETS_DIRECTORY)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|name| name.parse::<SecretName>().is_ok())
}
