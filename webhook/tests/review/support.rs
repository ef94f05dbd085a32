//! One bundle, and pods with one container.

use injection::{Bundle, Decision, InjectionConfig, Pod, admit};
use serde_json::{Value, json};
use webhook::catalog::Catalog;

/// The namespace of the bundle.
pub(crate) const NAMESPACE: &str = "shop-prod";

pub(crate) fn config() -> InjectionConfig {
    InjectionConfig::new(
        "enclii/agent:1".into(),
        "https://switchyard.enclii-system.svc".into(),
        "PEM\n".into(),
    )
}

/// A catalog with bundle `api-prod` of [`NAMESPACE`].
pub(crate) fn catalog() -> Catalog {
    let catalog = Catalog::default();
    let keys = ["DATABASE_URL", "STRIPE_API_KEY"].map(|key| key.parse().unwrap()).into();
    let (project, environment) = ("shop".parse().ok(), "prod".parse().ok());
    catalog.set(NAMESPACE, "api-prod", Bundle { keys, project, environment, ..Bundle::default() });
    catalog
}

/// A pod that annotated for `api-prod`; its container has `parts` besides its name and image.
pub(crate) fn one(parts: Value) -> Value {
    let mut container = json!({ "name": "api", "image": "shop/api:1" });
    let Value::Object(parts) = parts else { panic!("parts of an object") };
    for (key, value) in parts {
        container[key] = value;
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "generateName": "api-", "annotations": { "enclii.io/secrets": "api-prod" } },
        "spec": { "serviceAccountName": "api", "containers": [container] },
    })
}

/// The pod as the decision patches it.
pub(crate) fn patched(pod: &Value) -> Value {
    let json = pod.to_string();
    let Decision::Inject { patch, .. } =
        admit(&Pod::parse(&json).unwrap(), NAMESPACE, &catalog(), &config())
    else {
        panic!("not injected")
    };
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    patched
}
