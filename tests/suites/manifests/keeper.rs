//! The certificate keeper, whose right to the registration is worth the cluster's, is out of reach
//! of those who create pods.

use serde_json::Value;

use crate::objects::{name, objects, of_kind, texts};

const KEEPER: &str = "enclii-certificates";

fn deployment<'a>(all: &'a [Value], named: &str) -> &'a Value {
    of_kind(all, "Deployment").find(|it| name(it) == named).unwrap()
}

#[test]
fn nothing_leads_to_the_keeper() {
    let all = objects(&["base", "certificates"]);
    let template = &deployment(&all, KEEPER)["spec"]["template"];
    for service in of_kind(&all, "Service") {
        let selector = service["spec"]["selector"].as_object().unwrap();
        let selects =
            selector.iter().all(|(key, value)| template["metadata"]["labels"][key] == *value);
        assert!(!selects, "the Service {} leads to the keeper", name(service));
    }
    let container = &template["spec"]["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    assert_eq!((ports.len(), &ports[0]["name"]), (1, &Value::from("admin")));
    assert_eq!(container["args"], serde_json::json!(["certificates"]));
}

#[test]
fn the_keeper_and_the_webhook_are_one_image_and_two_accounts() {
    let all = objects(&["base", "certificates"]);
    let pod = |of| &deployment(&all, of)["spec"]["template"]["spec"];
    let (keeper, webhook) = (pod(KEEPER), pod("enclii-webhook"));
    assert_eq!(keeper["containers"][0]["image"], webhook["containers"][0]["image"]);
    assert_eq!(keeper["serviceAccountName"], KEEPER);
    assert_eq!(webhook["serviceAccountName"], "enclii-webhook");
    // The webhook mounts its settings alone, so it sees no Secret but the one that its role names.
    let volumes = serde_json::json!([
        {"name": "config", "configMap": {"name": "enclii-webhook-config"}}
    ]);
    assert_eq!(webhook["volumes"], volumes);
}

#[test]
fn cert_manager_makes_what_the_keeper_would() {
    let all = objects(&["overlays/cert-manager"]);
    let certificate = of_kind(&all, "Certificate").find(|it| name(it) == "enclii-webhook").unwrap();
    assert_eq!(certificate["spec"]["secretName"], "enclii-webhook-tls");
    assert!(texts(&certificate["spec"]["dnsNames"]).contains(&"enclii-webhook.enclii-system.svc"));
    // The CA's key is in a Secret that the webhook cannot read.
    let ca = of_kind(&all, "Certificate").find(|it| it["spec"]["isCA"] == true).unwrap();
    assert_eq!(ca["spec"]["secretName"], "enclii-webhook-ca");
    let manifests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let read = |file: &str| std::fs::read_to_string(manifests.join(file)).unwrap();
    let overlay = read("overlays/cert-manager/kustomization.yaml");
    assert!(overlay.contains("cert-manager.io/inject-ca-from: enclii-system/enclii-webhook\n"));
    assert!(!overlay.contains("../../certificates"), "the keeper and cert-manager would fight");
    for overlay in ["default", "postgres"] {
        let file = format!("overlays/{overlay}/kustomization.yaml");
        assert!(read(&file).contains("- ../../certificates\n"), "{file}");
    }
}
