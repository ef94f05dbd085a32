//! The policies say what the webhook does, and their copies for the API server's files say the
//! same. That the API server takes and obeys them is tested on a cluster.

use std::fs;
use std::path::{Path, PathBuf};

use contract::{annotations, layout};
use serde_json::Value;

use crate::objects::{name, objects, of_kind};

/// The end of the names of objects that are files of the API server.
const STATIC: &str = ".static.k8s.io";

const POLICIES: [&str; 2] = ["pods", "reserved"];

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

fn read(file: &str) -> String {
    fs::read_to_string(manifests().join(file)).unwrap()
}

/// The two policies as one file of the API server: names end as they must there.
fn as_static() -> String {
    let mut text = "# The policies of manifests/policy as a file of the API server. Written by\n\
        # `ENCLII_RENEW=1 cargo test --test manifests`.\n"
        .to_owned();
    for (index, policy) in POLICIES.into_iter().enumerate() {
        let from = format!("{policy}.enclii.io\n");
        let to = format!("{policy}.enclii.io{STATIC}\n");
        let source = read(&format!("policy/{policy}.yaml"));
        let lines = source.split_inclusive('\n').map(|line| {
            let is_name = ["  name: ", "  policyName: "]
                .iter()
                .any(|key| line.strip_prefix(key).is_some_and(|rest| rest == from));
            if is_name { line.replace(&from, &to) } else { line.to_owned() }
        });
        // The API server refuses a document of comments alone.
        text.push_str(if index == 0 { "#\n" } else { "---\n" });
        text.extend(lines);
    }
    text
}

#[test]
fn the_files_of_the_api_server_are_the_same_policies() {
    let file = manifests().join("static/policies/policies.yaml");
    #[expect(clippy::disallowed_methods, reason = "a person asks for the file to be written")]
    if std::env::var_os("ENCLII_RENEW").is_some() {
        fs::write(&file, as_static()).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), as_static(), "run with ENCLII_RENEW=1");
    let all = objects(&["static/policies"]);
    assert_eq!(of_kind(&all, "ValidatingAdmissionPolicy").count(), POLICIES.len());
    for binding in of_kind(&all, "ValidatingAdmissionPolicyBinding") {
        assert_eq!(binding["spec"]["policyName"], binding["metadata"]["name"]);
        assert!(name(binding).ends_with(STATIC));
    }
}

#[test]
fn the_registration_as_a_file_differs_by_its_name_and_address_alone() {
    let (mut base, mut file) = (objects(&["base"]), objects(&["static/webhooks"]));
    let kind = "MutatingWebhookConfiguration";
    let [base, file] = [&mut base, &mut file].map(|all| {
        let mut it = of_kind(all, kind).next().unwrap().clone();
        it["webhooks"][0]["clientConfig"] = Value::Null;
        it
    });
    assert_eq!(base["webhooks"], file["webhooks"]);
    assert_eq!(name(&file), format!("{}{STATIC}", name(&base)));
}

/// The value of a variable of the webhook's container.
fn setting(all: &[Value], variable: &str) -> String {
    let webhook = of_kind(all, "Deployment").find(|it| name(it) == "enclii-webhook").unwrap();
    let env = webhook["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    env.iter().find(|it| it["name"] == variable).unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn the_policy_accepts_what_the_webhook_writes() {
    let all = objects(&["base", "policy"]);
    let policy = of_kind(&all, "ValidatingAdmissionPolicy").find(|it| name(it) == "pods.enclii.io");
    let variables = policy.unwrap()["spec"]["variables"].as_array().unwrap().clone();
    let expression = |variable: &str| {
        variables.iter().find(|it| it["name"] == variable).unwrap()["expression"].clone()
    };
    assert_eq!(expression("images"), format!("['{}']", setting(&all, "ENCLII_AGENT_IMAGE")));
    let address = setting(&all, "ENCLII_SWITCHYARD_ADDRESS");
    assert_eq!(expression("switchyard"), format!("'{address}'"));

    let text = read("policy/pods.yaml");
    for word in [
        layout::AGENT_CONTAINER,
        layout::AGENT_PROGRAM,
        layout::SECRETS_VOLUME,
        layout::SECRETS_DIRECTORY,
        layout::TOKEN_VOLUME,
        layout::TOKEN_DIRECTORY,
        layout::TOKEN_FILE,
        layout::TOKEN_AUDIENCE,
        layout::CONFIG_VARIABLE,
        layout::POD_UID_VARIABLE,
        annotations::SECRETS,
        annotations::STATUS,
        &layout::TOKEN_LIFETIME_SECONDS.to_string(),
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn the_policies_leave_out_what_the_webhook_leaves_out() {
    let all = objects(&["base", "policy"]);
    let webhook = of_kind(&all, "MutatingWebhookConfiguration").next().unwrap();
    let left_out = &webhook["webhooks"][0]["namespaceSelector"];
    for policy in of_kind(&all, "ValidatingAdmissionPolicy") {
        assert_eq!(policy["spec"]["matchConstraints"]["namespaceSelector"], *left_out);
        assert_eq!(policy["spec"]["paramKind"], Value::Null, "a missing object would refuse all");
    }
}

#[test]
fn every_installation_has_the_policies_and_copies_what_the_webhook_writes() {
    let overlay = |name: &str| {
        let text = read(&format!("overlays/{name}/kustomization.yaml"));
        serde_saphyr::from_str::<Value>(&text).unwrap()
    };
    let default = overlay("default");
    assert_eq!(default["replacements"].as_array().unwrap().len(), 2);
    for name in ["default", "postgres", "cert-manager"] {
        let found = overlay(name);
        assert!(found["resources"].to_string().contains("../../policy"), "{name}");
        assert_eq!(found["replacements"], default["replacements"], "{name}");
    }
    let old = overlay("kubernetes-1.29");
    let resources = default["resources"].as_array().unwrap().iter();
    let others: Vec<_> = resources.filter(|it| **it != "../../policy").cloned().collect();
    assert_eq!(old["resources"], Value::from(others));
}
