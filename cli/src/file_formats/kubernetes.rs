//! Kubernetes Secret manifests: `data` in base64, `stringData` as plain text.

use contract::Redacted;

use super::SecretValues;
use super::document::Document;
use super::encoding::{decode, encode, entries, yaml_key};
use super::keys::{Collector, Key};

/// The name and namespace of the Kubernetes object to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectMeta {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
}

/// Whether a document is a Kubernetes object.
pub(super) fn is_manifest(document: &Document) -> bool {
    ["apiVersion", "kind"].iter().all(|key| document.at(key).is_some_and(|it| it.text().is_some()))
        && document.at("metadata").is_some()
        || document.at("kind").and_then(Document::text) == Some("List")
            && document.at("items").is_some()
}

/// Reads every Secret among the documents. Returns a note of the other kinds, which are skipped.
pub(super) fn read(
    documents: Vec<Document>,
    collector: &mut Collector<'_>,
) -> Result<Option<String>, String> {
    let mut others = Vec::new();
    let mut found = false;
    for document in documents.into_iter().flat_map(items) {
        let kind = document
            .at("kind")
            .and_then(Document::text)
            .unwrap_or("a document without a kind")
            .to_owned();
        if kind == "Secret" {
            found = true;
            secret(document, collector)?;
        } else {
            others.push(kind);
        }
    }
    others.sort();
    others.dedup();
    let sealed = others.iter().any(|it| it == "SealedSecret");
    let others = others.join(", ");
    if !found {
        return Err(format!(
            "the file has no Secret{}{}",
            if others.is_empty() { String::new() } else { format!(", only {others}") },
            if sealed {
                ", which only its cluster can decrypt: `kubectl get secret NAME -o yaml | enclii \
                 secrets import -`"
            } else {
                ""
            }
        ));
    }
    Ok((!others.is_empty()).then(|| format!("skipped: {others}")))
}

fn items(document: Document) -> Vec<Document> {
    if document.at("kind").and_then(Document::text) != Some("List") {
        return vec![document];
    }
    let Document::Object(entries) = document else { return Vec::new() };
    let list = entries.into_iter().find(|(key, _)| key == "items").map(|(_, items)| items);
    if let Some(Document::List(items)) = list { items } else { Vec::new() }
}

fn secret(document: Document, collector: &mut Collector<'_>) -> Result<(), String> {
    let object = document
        .at("metadata")
        .and_then(|it| it.at("name"))
        .and_then(Document::text)
        .unwrap_or("without a name")
        .to_owned();
    let refuse = |reason: String| format!("Secret {object}: {reason}");
    if document.at("sops").is_some() {
        return Err(refuse(
            "it is encrypted with SOPS: `sops --decrypt FILE | enclii secrets import -`".to_owned(),
        ));
    }
    let Document::Object(fields) = document else { return Ok(()) };
    let (mut data, mut strings) = (Vec::new(), Vec::new());
    for (field, node) in fields {
        match field.as_str() {
            "data" if node != Document::Null => data = entries(node).map_err(refuse)?,
            "stringData" if node != Document::Null => strings = entries(node).map_err(refuse)?,
            _ => {}
        }
    }
    // As in the API server, stringData wins over data.
    data.retain(|(key, _)| !strings.iter().any(|(other, _)| other == key));
    let encoded = data.into_iter().map(|(key, node)| (key, node, true));
    let plain = strings.into_iter().map(|(key, node)| (key, node, false));
    for (key, node, is_encoded) in encoded.chain(plain) {
        let Some(name) = collector.name(Key::of(&key)) else { continue };
        let Document::Text(text) = node else {
            return Err(refuse(format!("value of {name}: must be a string, not {}", node.kind())));
        };
        let value = if is_encoded { decode(&name, &text).map_err(refuse)? } else { text };
        collector.add(name, value).map_err(refuse)?;
    }
    Ok(())
}

/// Formats the values as one manifest, in base64.
pub(super) fn print(values: &SecretValues, metadata: &ObjectMeta) -> Result<Redacted, String> {
    let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n", metadata.name);
    if let Some(namespace) = &metadata.namespace {
        text.push_str(&format!("  namespace: {namespace}\n"));
    }
    text.push_str(if values.is_empty() { "type: Opaque\n" } else { "type: Opaque\ndata:\n" });
    for (name, value) in values.iter() {
        text.push_str("  ");
        text.push_str(&yaml_key(name));
        text.push_str(&encode(value)?);
        text.push('\n');
    }
    Ok(Redacted::from(text))
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::super::keys::KeyRules;
    use super::*;

    fn parse(text: &str) -> Result<(SecretValues, Option<String>), String> {
        let rules = KeyRules::new([], ["NOT".to_owned()]).unwrap();
        let mut collector = Collector::new(&rules);
        let note = read(document::yaml(text)?, &mut collector)?;
        Ok((collector.finish()?, note))
    }

    #[test]
    fn manifests_of_kubectl_and_helm_are_read() {
        let (values, note) = parse(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: Opaque\ndata:\n  \
             A: aGVsbG8=\n  B: eA==\n  NOT: 5\nstringData:\n  B: over\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n\
             kind: List\napiVersion: v1\nitems:\n\
             - {apiVersion: v1, kind: Secret, metadata: {name: b}, data: {C: ''}}\n",
        )
        .unwrap();
        let expected = [("A", "hello"), ("B", "over"), ("C", "")]
            .map(|(a, b)| (a.to_owned(), b.as_bytes().to_vec()));
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.to_string(), value.expose().to_vec()))
            .collect();
        assert_eq!(values, expected);
        assert_eq!(note.as_deref(), Some("skipped: Deployment"));
    }

    #[test]
    fn errors_name_the_object() {
        let sealed = parse("apiVersion: v1\nkind: SealedSecret\nmetadata: {}").unwrap_err();
        assert!(sealed.contains("only SealedSecret") && sealed.contains("kubectl"), "{sealed}");
        let twice = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {A: x}\n---\n\
                     apiVersion: v1\nkind: Secret\nmetadata: {name: b}\nstringData: {A: z}";
        assert_eq!(parse(twice).unwrap_err(), "Secret b: A occurs twice");
        let hidden = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n\
                      data: {.dockerconfigjson: e30=, NOT: ''}";
        let message = parse(hidden).unwrap_err();
        assert!(message.starts_with(".dockerconfigjson cannot be the name"), "{message}");
    }
}
