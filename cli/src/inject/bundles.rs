//! The keys of the bundles that a manifest refers to: from the command line, from `SecretBundle`
//! objects or from switchyard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use contract::secret_bundle::VaultMapping;
use contract::{Annotations, BundleRef, Label, Scope, SecretBundle, SecretName};
use injection::{Bundle, BundleLookup};
use serde_json::Value;

use super::InjectArgs;
use crate::client::Client;
use crate::error::Error;
use crate::manifest;
use crate::output::Output;

/// The known bundles, which are the same in every namespace.
#[derive(Default)]
pub(crate) struct KnownBundles(BTreeMap<String, Arc<Bundle>>);

impl BundleLookup for KnownBundles {
    fn bundle(&self, _namespace: &str, name: &str) -> Option<Arc<Bundle>> {
        self.0.get(name).cloned()
    }
}

impl KnownBundles {
    /// Finds the bundles that the pods of the manifest refer to.
    pub(crate) async fn gather(
        args: &InjectArgs,
        documents: impl Iterator<Item = &Value>,
        output: &Output,
    ) -> Result<Self, Error> {
        let mut known = Self::default();
        for text in &args.bundle {
            let (name, keys) = parse_bundle(text)?;
            known.add(args, &name, (keys, VaultMapping::new()));
        }
        for path in &args.bundle_file {
            known.read(args, path)?;
        }
        if let (Some(project), Some(environment)) = (&args.project, &args.env) {
            for bundle in referenced_bundles(documents) {
                if !known.0.contains_key(bundle.as_str()) {
                    known.fetch((args, output), project, environment, &bundle).await?;
                }
            }
        }
        Ok(known)
    }

    /// Whether no bundle was given or found.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(
        &mut self,
        args: &InjectArgs,
        name: &BundleRef,
        (keys, vault): (BTreeSet<SecretName>, VaultMapping),
    ) {
        let (project, environment) = (args.project.clone(), args.env.clone());
        let bundle = Bundle { keys, vault, project, environment };
        self.0.insert(name.to_string(), Arc::new(bundle));
    }

    fn read(&mut self, args: &InjectArgs, path: &Path) -> Result<(), Error> {
        let refuse = |reason: String| Error::Parse { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let manifest = manifest::parse(&text);
        if let Some(reason) = manifest.mistakes.into_iter().next() {
            return Err(refuse(reason));
        }
        if manifest.documents.is_empty() {
            return Err(refuse("the file has no document".to_owned()));
        }
        for document in manifest.documents.into_iter().map(|it| it.value) {
            let name =
                document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let name: BundleRef = name
                .parse()
                .map_err(|error: contract::bundle::BundleRefError| refuse(error.to_string()))?;
            let bundle: SecretBundle =
                serde_json::from_value(document).map_err(|error| refuse(error.to_string()))?;
            let keys = bundle
                .keys()
                .ok_or_else(|| refuse(format!("SecretBundle {name} has no keys yet")))?;
            let vault = bundle.vault().cloned().unwrap_or_default();
            self.add(args, &name, (keys, vault));
        }
        Ok(())
    }

    async fn fetch(
        &mut self,
        (args, output): (&InjectArgs, &Output),
        project: &Label,
        environment: &Label,
        bundle: &BundleRef,
    ) -> Result<(), Error> {
        let Some(service) = bundle.service_in(environment) else { return Ok(()) };
        let scope = Scope::Service(project.clone(), environment.clone(), service);
        match Client::new(&args.connection, output)?.bundle(&scope).await {
            Ok(found) => {
                self.add(args, bundle, (found.keys, VaultMapping::new()));
                Ok(())
            }
            // The decision reports the missing bundle and what to do.
            Err(Error::Refused(problem)) if problem.status == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn referenced_bundles<'d>(documents: impl Iterator<Item = &'d Value>) -> BTreeSet<BundleRef> {
    let annotations = |pod: &Value| {
        let map = pod.pointer("/metadata/annotations")?.as_object()?;
        Annotations::parse(
            map.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))),
        )
        .ok()?
    };
    let mut bundles = BTreeSet::new();
    for document in documents {
        for template in manifest::templates(document) {
            let pod = document.pointer(&template.pointer);
            bundles.extend(pod.and_then(annotations).into_iter().flat_map(|it| it.bundles));
        }
    }
    bundles
}

/// `api-prod=DATABASE_URL,STRIPE_API_KEY`
fn parse_bundle(text: &str) -> Result<(BundleRef, BTreeSet<SecretName>), Error> {
    let refuse = |reason: String| Error::Usage(format!("--bundle: {reason}; write BUNDLE=KEY,KEY"));
    let (name, keys) =
        text.split_once('=').ok_or_else(|| refuse(format!("{text:?} has no '='")))?;
    let name = name
        .parse()
        .map_err(|error: contract::bundle::BundleRefError| refuse(error.to_string()))?;
    let keys = keys
        .split(',')
        .filter(|key| !key.trim().is_empty())
        .map(|key| key.trim().parse::<SecretName>().map_err(|error| refuse(error.to_string())))
        .collect::<Result<_, _>>()?;
    Ok((name, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_parsed_from_the_command_line() {
        let (name, keys) = parse_bundle("api-prod=A, B").unwrap();
        assert_eq!(
            (name.as_str(), keys),
            ("api-prod", BTreeSet::from(["A".parse().unwrap(), "B".parse().unwrap()]))
        );
        assert!(parse_bundle("api-prod=").unwrap().1.is_empty());
        for text in ["api-prod", "=A", "api=A", "api-prod=1A"] {
            assert!(parse_bundle(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn referenced_bundles_are_found() {
        let manifest = manifest::parse(
            "kind: Deployment\nspec: {template: {metadata: {annotations: \
             {enclii.io/secrets: 'api-prod,shared-prod'}}, spec: {containers: []}}}\n---\nkind: \
             Service\n",
        );
        let documents = manifest.documents.iter().map(|it| &it.value);
        assert_eq!(
            referenced_bundles(documents).iter().map(BundleRef::as_str).collect::<Vec<_>>(),
            ["api-prod", "shared-prod"]
        );
    }
}
