//! The policies say what the webhook does, and their copies for the API server's files say the
//! same. That the API server takes and obeys them is tested on a cluster.

use std::fs;
use std::path::{Path, PathBuf};

use contract::{annotations, layout};
use injection::TokenAudience;
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
fn the_registrations_as_files_differ_by_their_names_and_addresses_alone() {
    for (folder, kind, expected) in [
        ("static/webhooks", "MutatingWebhookConfiguration", &["/mutate"][..]),
        (
            "static/plaintext",
            "ValidatingWebhookConfiguration",
            &["/plaintext/warn", "/plaintext/deny"],
        ),
    ] {
        let (base, file) = (objects(&["base"]), objects(&[folder]));
        // The API server takes one kind from a folder.
        assert_eq!(file.len(), 1, "{folder}");
        let [base, file] = [&base, &file].map(|all| of_kind(all, kind).next().unwrap().clone());
        assert_eq!(name(&file), format!("{}{STATIC}", name(&base)));
        let entries = [base, file].map(|it| it["webhooks"].as_array().unwrap().clone());
        let [services, urls] = entries
            .each_ref()
            .map(|entries| entries.iter().map(|it| it["clientConfig"].clone()).collect::<Vec<_>>());
        assert_eq!((services.len(), urls.len()), (expected.len(), expected.len()), "{folder}");
        for ((service, url), path) in services.iter().zip(&urls).zip(expected) {
            assert_eq!(service["service"]["path"], *path, "{folder}");
            assert_eq!(url["service"], Value::Null, "{folder}: it cannot name one");
            assert!(url["url"].as_str().unwrap().ends_with(path), "{folder}: {url}");
            assert_eq!(url["caBundle"], "", "{folder}: the operator's");
        }
        let [base, file] = entries.map(|mut entries| {
            entries.iter_mut().for_each(|it| it["clientConfig"] = Value::Null);
            entries
        });
        assert_eq!(base, file, "{folder}");
    }
}

/// The AdmissionConfiguration names each folder, with the plugin that reads its kind.
#[test]
fn every_folder_of_files_has_its_plugin() {
    let admission: Value = serde_saphyr::from_str(&read("static/admission.yaml")).unwrap();
    let plugins = admission["plugins"].as_array().unwrap();
    let mut folders = Vec::new();
    for entry in fs::read_dir(manifests().join("static")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            folders.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(folders.len(), plugins.len());
    for folder in folders {
        let all = objects(&[&format!("static/{folder}")]);
        let kind = match all[0]["kind"].as_str().unwrap() {
            "MutatingWebhookConfiguration" => "MutatingAdmissionWebhook",
            "ValidatingWebhookConfiguration" => "ValidatingAdmissionWebhook",
            _ => "ValidatingAdmissionPolicy",
        };
        let plugin = plugins.iter().find(|it| it["name"] == kind).unwrap();
        let directory = plugin["configuration"]["staticManifestsDir"].as_str().unwrap();
        assert_eq!(directory, format!("/etc/kubernetes/enclii/{folder}"));
    }
}

/// The API server refuses a policy with an expression that it cannot parse, and the installation
/// with it.
#[test]
fn every_expression_closes_what_it_opens() {
    for policy in of_kind(&objects(&["policy"]), "ValidatingAdmissionPolicy") {
        for list in ["matchConditions", "variables", "validations"] {
            for one in policy["spec"][list].as_array().unwrap() {
                let text = one["expression"].as_str().unwrap();
                assert_eq!(unbalanced(text), None, "{}: {text}", name(policy));
            }
        }
    }
}

/// The place of a bracket that closes nothing, or the length of a text that leaves one open.
fn unbalanced(expression: &str) -> Option<usize> {
    let (mut open, mut is_quoted) = (Vec::new(), false);
    for (at, it) in expression.char_indices() {
        match it {
            '\'' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(it) => return Some(at),
            _ => {}
        }
    }
    (!open.is_empty() || is_quoted).then_some(expression.len())
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
    assert_eq!(expression("vault"), "''", "not the source");
    let audience = TokenAudience::default();
    assert_eq!(expression("vaultAudience"), format!("'{}'", audience.as_str()));

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
        &format!("'{}/'", layout::CONTAINER_MARKS),
        layout::CONTAINER_MARK_DIRECTORY,
        layout::CONFIG_VARIABLE,
        layout::POD_UID_VARIABLE,
        annotations::SECRETS,
        annotations::STATUS,
        annotations::AGENT_METRICS,
        layout::AGENT_METRICS_PORT,
        &layout::TOKEN_LIFETIME_SECONDS.to_string(),
        &format!("== [{}]", layout::RESTART_EXIT_CODE),
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
    vault_only(&overlay("vault-only"), &default);
    let old = overlay("kubernetes-1.29");
    let resources = default["resources"].as_array().unwrap().iter();
    let others: Vec<_> = resources.filter(|it| **it != "../../policy").cloned().collect();
    assert_eq!(old["resources"], Value::from(others));
}

/// Switchyard's address is accepted no more, and what the webhook says of Vault is copied.
fn vault_only(found: &Value, default: &Value) {
    assert_eq!(found["resources"], default["resources"]);
    let copies = |all: &Value| {
        let copy = |it: &Value| (it["source"]["fieldPath"].clone(), it["targets"].clone());
        all["replacements"].as_array().unwrap().iter().map(copy).collect::<Vec<_>>()
    };
    let (ours, others) = (copies(found), copies(default));
    assert_eq!((ours.len(), &ours[0]), (3, &others[0]), "the image");
    for ((source, targets), (variable, copied)) in ours[1..]
        .iter()
        .zip([("ENCLII_VAULT_ADDRESS", "vault"), ("ENCLII_VAULT_AUDIENCE", "vaultAudience")])
    {
        assert!(source.as_str().unwrap().ends_with(&format!("[name={variable}].value")));
        let path = format!("spec.variables.[name={copied}].expression");
        assert_eq!(targets[0]["fieldPaths"], Value::from(vec![path]));
    }
    // The patch goes by the variable's place.
    let policy = &objects(&["policy"]);
    let policy =
        of_kind(policy, "ValidatingAdmissionPolicy").find(|it| name(it) == "pods.enclii.io");
    assert_eq!(policy.unwrap()["spec"]["variables"][1]["name"], "switchyard");
    let patches = found["patches"].as_array().unwrap();
    let of_policy = patches.iter().find(|it| it["target"]["kind"] == "ValidatingAdmissionPolicy");
    let text = of_policy.unwrap()["patch"].as_str().unwrap();
    assert!(text.contains("path: /spec/variables/1/expression, value: \"''\""), "{text}");
}
