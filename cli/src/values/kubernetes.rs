//! Kubernetes' Secret manifests: `data` in base64, `stringData` as it stands.

use contract::Redacted;

use super::tree::Node;
use super::{Read, Values, object};

/// Which object a manifest is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
}

/// Whether a document is a Kubernetes object.
pub(super) fn is_manifest(document: &Node) -> bool {
    ["apiVersion", "kind"].iter().all(|key| document.at(key).is_some_and(|it| it.text().is_some()))
        && document.at("metadata").is_some()
        || document.at("kind").and_then(Node::text) == Some("List")
            && document.at("items").is_some()
}

/// Reads every Secret among the documents; other kinds are passed over, and said to be.
pub(super) fn read(documents: Vec<Node>) -> Result<Read, String> {
    let mut read = Read::default();
    let mut others = Vec::new();
    let mut found = false;
    for document in documents.into_iter().flat_map(items) {
        let kind =
            document.at("kind").and_then(Node::text).unwrap_or("what is no object").to_owned();
        if kind == "Secret" {
            found = true;
            secret(document, &mut read.values)?;
        } else {
            others.push(kind);
        }
    }
    others.sort();
    others.dedup();
    let others = others.join(", ");
    if !found {
        return Err(format!(
            "there is no Secret in it{}",
            if others.is_empty() { String::new() } else { format!(", but {others}") }
        ));
    }
    if !others.is_empty() {
        read.notes.push(format!("passed over: {others}"));
    }
    Ok(read)
}

fn items(document: Node) -> Vec<Node> {
    if document.at("kind").and_then(Node::text) != Some("List") {
        return vec![document];
    }
    let Node::Object(entries) = document else { return Vec::new() };
    let list = entries.into_iter().find(|(key, _)| key == "items").map(|(_, items)| items);
    if let Some(Node::List(items)) = list { items } else { Vec::new() }
}

fn secret(document: Node, values: &mut Values) -> Result<(), String> {
    let name = document
        .at("metadata")
        .and_then(|it| it.at("name"))
        .and_then(Node::text)
        .unwrap_or("without a name")
        .to_owned();
    let refuse = |reason: String| format!("Secret {name}: {reason}");
    if document.at("sops").is_some() {
        return Err(refuse(
            "it is encrypted by SOPS: `sops --decrypt FILE | enclii secrets import -`".to_owned(),
        ));
    }
    let Node::Object(fields) = document else { return Ok(()) };
    let (mut data, mut strings) = (Vec::new(), Vec::new());
    for (field, node) in fields {
        match field.as_str() {
            "data" if node != Node::Null => data = object::entries(node).map_err(refuse)?,
            "stringData" if node != Node::Null => {
                strings = object::entries(node).map_err(refuse)?
            }
            _ => {}
        }
    }
    for (name, node) in data {
        // As the API server has it: what both name is stringData's.
        if strings.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let Node::Text(text) = node else {
            return Err(refuse(format!(
                "value of {name}: is {}, and must be a string",
                node.kind()
            )));
        };
        let value = object::decode(&name, &text).map_err(refuse)?;
        values.add(name, value).map_err(refuse)?;
    }
    for (name, node) in strings {
        let Node::Text(text) = node else {
            return Err(refuse(format!(
                "value of {name}: is {}, and must be a string",
                node.kind()
            )));
        };
        values.add(name, text).map_err(refuse)?;
    }
    Ok(())
}

/// One manifest, values in base64.
pub(super) fn print(values: &Values, identity: &Identity) -> Result<Redacted, String> {
    let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n", identity.name);
    if let Some(namespace) = &identity.namespace {
        text.push_str(&format!("  namespace: {namespace}\n"));
    }
    text.push_str(if values.is_empty() { "type: Opaque\n" } else { "type: Opaque\ndata:\n" });
    for (name, value) in values.iter() {
        text.push_str("  ");
        text.push_str(&object::key(name));
        text.push_str(&object::encode(value)?);
        text.push('\n');
    }
    Ok(Redacted::from(text))
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn all(text: &str) -> Result<Read, String> {
        tree::yaml(text).and_then(read)
    }

    #[test]
    fn what_kubectl_and_helm_print() {
        let Read { values, notes } = all(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: Opaque\ndata:\n  A: aGVsbG8=\n  B: eA==\nstringData:\n  B: over\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n\
             kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}, data: {C: ''}}\n",
        )
        .unwrap();
        let expected = [("A", "hello"), ("B", "over"), ("C", "")]
            .map(|(a, b)| (a.to_owned(), b.as_bytes().to_vec()));
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.to_string(), value.expose().to_vec()))
            .collect();
        assert_eq!(values, expected);
        assert_eq!(notes, ["passed over: Deployment"]);
    }

    #[test]
    fn what_is_refused_says_where() {
        assert_eq!(
            all("apiVersion: v1\nkind: SealedSecret\nmetadata: {}").unwrap_err(),
            "there is no Secret in it, but SealedSecret"
        );
        let twice = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {A: x}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b}\nstringData: {A: z}";
        assert_eq!(all(twice).unwrap_err(), "Secret b: A is there twice");
        let hidden =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {.dockerconfigjson: e30=}";
        assert!(
            all(hidden)
                .unwrap_err()
                .starts_with("Secret a: parse secret name \".dockerconfigjson\"")
        );
    }
}
