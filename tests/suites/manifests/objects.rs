//! The objects of the manifests.

use std::path::Path;

use serde_json::Value;

/// The objects of every file in these folders of `manifests`.
pub(crate) fn objects(folders: &[&str]) -> Vec<Value> {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(manifests.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "yaml")
                && !path.ends_with("kustomization.yaml")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
                found.extend(all.into_iter().filter(|object| object["kind"].is_string()));
            }
        }
    }
    assert!(!found.is_empty(), "no object in {folders:?}");
    found
}

/// Those of one kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// An object's name.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// A list of texts.
pub(crate) fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|it| it.as_str().unwrap()).collect()
}
