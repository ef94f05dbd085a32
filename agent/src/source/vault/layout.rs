//! What to read for a pod's secrets, and the snapshot of what was read. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{Context, SHA256};
use contract::stream::{BundleGeneration, HeldBundle, HeldSecret, Snapshot};
use contract::vault_source::{VaultRead, VaultSecret};
use contract::{BundleRef, Generation, GenerationTag, Redacted, SecretName, Version};

/// How many bytes of the hash are in a tag. It is part of a directory's name.
const TAG_BYTES: usize = 8;

/// What was read, of one [`VaultRead`].
pub(super) struct Content {
    /// Tells it apart from what else is read there: a version, a lease, a serial number.
    pub(super) identity: String,
    /// The number of the KV version; 1 for what has none.
    pub(super) version: Version,
    /// The fields that the pod needs.
    pub(super) fields: BTreeMap<String, Redacted>,
}

/// The secrets of a pod, and what to read for them.
#[derive(Debug)]
pub(super) struct Layout {
    /// What to read, each with the fields that are needed: first what costs nothing, and last what
    /// Vault makes anew each time.
    pub(super) reads: Vec<(VaultRead, BTreeSet<String>)>,
    bundles: Vec<(BundleRef, BTreeMap<SecretName, Place>)>,
}

/// Where a secret's value is.
#[derive(Debug)]
struct Place {
    /// The index in `reads`.
    read: usize,
    field: String,
}

impl Layout {
    /// The secrets of `bundles`.
    ///
    /// # Errors
    /// The bundle that has no secrets.
    pub(super) fn new(
        bundles: &[BundleRef],
        secrets: &BTreeMap<BundleRef, BTreeMap<SecretName, VaultSecret>>,
    ) -> Result<Self, BundleRef> {
        let mut reads: BTreeMap<&VaultRead, BTreeSet<String>> = BTreeMap::new();
        let of = |bundle: &BundleRef| secrets.get(bundle).ok_or_else(|| bundle.clone());
        for bundle in bundles {
            for secret in of(bundle)?.values() {
                reads.entry(&secret.read).or_default().insert(secret.field.clone());
            }
        }
        // The order of the type is KV, dynamic, pki.
        let numbers: BTreeMap<_, _> =
            reads.keys().enumerate().map(|(at, read)| (*read, at)).collect();
        let places = |bundle: &BundleRef| {
            let place = |(name, secret): (&SecretName, &VaultSecret)| {
                let read = numbers.get(&secret.read).copied().unwrap_or_default();
                (name.clone(), Place { read, field: secret.field.clone() })
            };
            Ok((bundle.clone(), of(bundle)?.iter().map(place).collect()))
        };
        let bundles = bundles.iter().map(places).collect::<Result<_, BundleRef>>()?;
        let reads = reads.into_iter().map(|(read, fields)| (read.clone(), fields)).collect();
        Ok(Self { reads, bundles })
    }

    /// The secrets of which nothing was read.
    pub(super) fn missing<'a>(
        &'a self,
        contents: &'a [Option<&Content>],
    ) -> impl Iterator<Item = &'a SecretName> {
        let places = self.bundles.iter().flat_map(|(_, places)| places);
        places.filter(|(_, place)| value(contents, place).is_none()).map(|(name, _)| name)
    }

    /// What the pod holds: what was read, and `kept` for the secrets of which nothing was. `None`
    /// if a secret has neither.
    pub(super) fn snapshot(
        &self,
        contents: &[Option<&Content>],
        kept: &BTreeMap<SecretName, Redacted>,
        last: &[BundleGeneration],
    ) -> Option<Snapshot> {
        let bundle = |(bundle, places): &(BundleRef, BTreeMap<SecretName, Place>)| {
            let mut hash = Context::new(&SHA256);
            let mut secrets = BTreeMap::new();
            for (name, place) in places {
                let (identity, version, value) = match value(contents, place) {
                    Some((content, value)) => (content.identity.as_str(), content.version, value),
                    None => ("kept", Version(1), kept.get(name)?),
                };
                for part in [name.as_str(), &self.reads[place.read].0.to_string(), identity] {
                    hash.update(part.as_bytes());
                    hash.update(b"\0");
                }
                secrets.insert(name.clone(), HeldSecret { version, value: value.clone() });
            }
            let tag = tag(hash);
            let generation = number(last, bundle, tag.as_ref());
            Some(HeldBundle { bundle: bundle.clone(), generation, tag, secrets })
        };
        Some(Snapshot { bundles: self.bundles.iter().map(bundle).collect::<Option<_>>()? })
    }
}

fn value<'a>(
    contents: &[Option<&'a Content>],
    place: &Place,
) -> Option<(&'a Content, &'a Redacted)> {
    let content = (*contents.get(place.read)?)?;
    Some((content, content.fields.get(&place.field)?))
}

/// A tag that says nothing about a value: the hash is that of names and versions.
fn tag(hash: Context) -> Option<GenerationTag> {
    let digest = hash.finish();
    let hex = digest.as_ref().iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}"));
    hex.collect::<String>().parse().ok()
}

/// The number of a generation: that of the last one if it is the same, else the next.
fn number(
    last: &[BundleGeneration],
    bundle: &BundleRef,
    tag: Option<&GenerationTag>,
) -> Generation {
    match last.iter().find(|last| last.bundle == *bundle) {
        Some(last) if last.tag.as_ref() == tag => last.generation,
        Some(last) => Generation(last.generation.0.saturating_add(1)),
        None => Generation(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(json: &str) -> BTreeMap<BundleRef, BTreeMap<SecretName, VaultSecret>> {
        serde_json::from_str(json).unwrap()
    }

    fn layout() -> Layout {
        let json = r#"{
            "api-prod": {
                "KEY": {"type":"pki","path":"pki/issue/web","field":"private_key"},
                "USER": {"type":"dynamic","path":"database/creds/app","field":"username"},
                "PASSWORD": {"type":"dynamic","path":"database/creds/app","field":"password"},
                "URL": {"type":"kv","mount":"secret","path":"shop","field":"url"}
            },
            "web-prod": {
                "OTHER_URL": {"type":"kv","mount":"secret","path":"shop","field":"other"}
            },
            "not-asked": {"X": {"type":"kv","mount":"secret","path":"x","field":"x"}}
        }"#;
        let bundles = ["api-prod".parse().unwrap(), "web-prod".parse().unwrap()];
        Layout::new(&bundles, &secrets(json)).unwrap()
    }

    fn content(identity: &str, fields: &[(&str, &str)]) -> Content {
        let fields = fields
            .iter()
            .map(|(field, value)| ((*field).to_owned(), Redacted::from(value.as_bytes())))
            .collect();
        Content { identity: identity.to_owned(), version: Version(7), fields }
    }

    #[test]
    fn each_path_is_read_once_and_what_is_made_anew_comes_last() {
        let reads: Vec<_> = layout()
            .reads
            .into_iter()
            .map(|(read, fields)| (read.to_string(), fields.len()))
            .collect();
        let expected = [("secret/shop", 2), ("database/creds/app", 2), ("pki/issue/web", 1)];
        assert_eq!(reads, expected.map(|(path, fields)| (path.to_owned(), fields)));
        let unknown = Layout::new(&["some-thing".parse().unwrap()], &secrets("{}")).unwrap_err();
        assert_eq!(unknown.as_str(), "some-thing");
    }

    #[test]
    fn a_snapshot_has_everything_and_a_number_that_grows_with_each_change() {
        let layout = layout();
        let kv = content("3@t", &[("url", "u"), ("other", "o")]);
        let database = content("lease-1", &[("username", "v"), ("password", "p")]);
        let pki = content("01:02", &[("private_key", "k")]);
        let all = [Some(&kv), Some(&database), Some(&pki)];
        let none = BTreeMap::new();
        assert_eq!(layout.missing(&all).count(), 0);
        let first = layout.snapshot(&all, &none, &[]).unwrap();
        let held = first.holds();
        assert_eq!(first.bundles[0].secrets["PASSWORD"].value.expose(), b"p");
        assert_eq!(first.bundles[1].secrets["OTHER_URL"].version, Version(7));
        assert!(held.iter().all(|it| it.generation == Generation(1)));

        // The same again, as after a restart with these files, and then another version.
        assert_eq!(layout.snapshot(&all, &none, &held).unwrap().holds(), held);
        let newer = content("lease-2", &[("username", "w"), ("password", "q")]);
        let next = layout.snapshot(&[Some(&kv), Some(&newer), Some(&pki)], &none, &held).unwrap();
        let numbers: Vec<_> = next.holds().iter().map(|it| it.generation.0).collect();
        assert_eq!(numbers, [2, 1]);
        assert_ne!(next.holds()[0].tag, held[0].tag);

        // What cannot be read is what the files have.
        let partial = [None, Some(&database), Some(&pki)];
        assert_eq!(layout.missing(&partial).count(), 2);
        assert!(layout.snapshot(&partial, &none, &held).is_none());
        let kept = ["URL", "OTHER_URL"].map(|name| (name.parse().unwrap(), Redacted::default()));
        assert!(layout.snapshot(&partial, &kept.into(), &held).is_some());
    }
}
