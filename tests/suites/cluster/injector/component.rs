//! The component `manifests/injector` in the cluster, until it is dropped.

use e2e::kubectl::{kubectl, object, repository};
use serde_json::{Value, json};

use crate::harness::kubernetes_minor;

/// What the component has changed, and how that was.
pub(super) struct Component(Vec<Replaced>);

struct Replaced {
    kind: String,
    name: String,
    path: String,
    before: Value,
}

impl Replaced {
    fn set(&self, value: &Value) -> anyhow::Result<()> {
        let patch = json!([{"op": "replace", "path": self.path, "value": value}]).to_string();
        kubectl(&["patch", &self.kind, &self.name, "--type", "json", "-p", &patch]).map(drop)
    }
}

impl Component {
    /// Applies its patches to what is installed, as kustomize does before.
    pub(super) fn install() -> Self {
        let file = repository().join("manifests/injector/kustomization.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let component: Value = serde_saphyr::from_str(&text).unwrap();
        let mut replaced = Self(Vec::new());
        for patch in component["patches"].as_array().unwrap() {
            let text = |it: &Value| it.as_str().unwrap().to_owned();
            let (kind, name) = (text(&patch["target"]["kind"]), text(&patch["target"]["name"]));
            if kind == "ValidatingAdmissionPolicy" && kubernetes_minor() < 30 {
                continue;
            }
            let found = object("default", &kind, &name).unwrap().unwrap();
            let operations: Value = serde_saphyr::from_str(&text(&patch["patch"])).unwrap();
            for operation in operations.as_array().unwrap() {
                let path = text(&operation["path"]);
                let before = found.pointer(&path).unwrap().clone();
                if operation["op"] == "test" {
                    assert_eq!(before, operation["value"], "{kind} {path}");
                    continue;
                }
                let change = Replaced { kind: kind.clone(), name: name.clone(), path, before };
                change.set(&operation["value"]).unwrap();
                replaced.0.push(change);
            }
        }
        assert!(!replaced.0.is_empty());
        replaced
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        for it in &self.0 {
            if let Err(error) = it.set(&it.before) {
                println!("the component stays in {}: {error}", it.kind);
            }
        }
    }
}
