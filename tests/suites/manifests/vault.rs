//! Vault as the source: the CRD and the policy take what the programs write and read, and nothing
//! looser.

use std::path::Path;

use contract::agent_config::{AgentConfig, Files, Source};
use contract::annotations::FileMode;
use contract::secret_bundle::SecretBundle;
use contract::vault_source::VaultPath;
use injection::{Pod, VaultPod, VaultSecrets, VaultSettings, asks_for_vault};
use regex::Regex;
use serde_json::{Value, json};

use crate::objects::{objects, of_kind};

fn mapping_schema() -> Value {
    let base = objects(&["base"]);
    let crd = of_kind(&base, "CustomResourceDefinition").next().unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"]["vault"]["additionalProperties"].clone()
}

#[test]
fn the_crd_takes_the_paths_that_the_agent_takes() {
    let schema = mapping_schema();
    let patterns = ["mount", "path"].map(|field| schema["properties"][field]["pattern"].clone());
    assert_eq!(patterns[0], patterns[1]);
    let pattern = Regex::new(patterns[0].as_str().unwrap()).unwrap();
    for path in [
        "secret", "shop/api", "a b/é", ".a", "..a", "...", ".../x", "a.b/c..d", "a/.b/..c", ".",
        "..", "", "/", "/a", "a/", "a//b", "./a", "../a", "a/..", "a/../b", "a/./b", "a\n",
        "a\u{85}b", "\t",
    ] {
        let is_read = path.parse::<VaultPath>().is_ok();
        assert_eq!(pattern.is_match(path), is_read, "{path:?}");
    }
    for field in ["mount", "path"] {
        let longest = schema["properties"][field]["maxLength"].as_u64().unwrap();
        let of = |length: u64| "a".repeat(length.try_into().unwrap()).parse::<VaultPath>();
        assert!(of(longest).is_ok() && of(longest + 1).is_err(), "{field}");
    }
}

/// Every form that the schema lists is read, and every field of the form is in the schema.
#[test]
fn the_crd_has_every_form_of_a_mapping() {
    let schema = mapping_schema();
    let types: Vec<_> = schema["properties"]["type"]["enum"].as_array().unwrap().clone();
    let whole = |kind: &str| match kind {
        "kv" => json!({
            "type": "kv", "mount": "secret", "path": "shop/api", "version": 3, "field": "url",
        }),
        other => json!({
            "type": other, "path": "pki/issue/web", "field": "certificate",
            "parameters": { "common_name": "a.example" },
        }),
    };
    assert_eq!(types, ["kv", "dynamic", "pki"]);
    for kind in types {
        let one = whole(kind.as_str().unwrap());
        for field in one.as_object().unwrap().keys() {
            assert!(schema["properties"][field].is_object(), "{field}");
        }
        let object = json!({ "spec": { "vault": { "A": one } } });
        let bundle: SecretBundle = serde_json::from_value(object).unwrap();
        let read = bundle.vault().unwrap().values().next().unwrap().as_ref();
        assert_eq!(serde_json::to_value(read.unwrap()).unwrap(), one);
    }
    assert_eq!(schema["required"], json!(["type", "path", "field"]));
}

/// The regular expression of the policy that looks at the login.
fn login_pattern() -> Regex {
    let all = objects(&["policy"]);
    let expressions = of_kind(&all, "ValidatingAdmissionPolicy")
        .flat_map(|policy| policy["spec"]["validations"].as_array().unwrap().clone())
        .map(|it| it["expression"].as_str().unwrap().to_owned());
    let found: Vec<_> = expressions.filter(|it| it.contains("\"auth_mount\"")).collect();
    let [expression] = &found[..] else { panic!("{found:?}") };
    let (_, pattern) = expression.split_once(".matches(").unwrap();
    let (pattern, _) = pattern.split_once(")))").unwrap_or((pattern, ""));
    // Texts between quotation marks, with a plus between them.
    let parts: Vec<&str> = pattern.split('\'').skip(1).step_by(2).collect();
    Regex::new(&parts.concat()).unwrap()
}

/// What the policy looks at.
fn head(config: &str) -> &str {
    config.split("\"poll_seconds\":").next().unwrap()
}

#[test]
fn the_policy_takes_the_login_that_the_webhook_writes_and_no_other() {
    let settings = VaultSettings {
        address: Some("https://vault.vault.svc:8200".parse().unwrap()),
        role: Some("{namespace}_{service_account}".parse().unwrap()),
        ..VaultSettings::default()
    };
    let (namespace, mount) = ("team/a".parse().unwrap(), "clusters/one".parse().unwrap());
    let other = VaultSettings { namespace: Some(namespace), auth_mount: mount, ..settings.clone() };
    let loopback = VaultSettings {
        address: Some("http://127.0.0.1:8200".parse().unwrap()),
        ..settings.clone()
    };
    let pattern = login_pattern();
    let pod = VaultPod { namespace: "shop-prod", service_account: "api.v2", agent_ends_last: true };
    let written = |settings: &VaultSettings| {
        let ca = "-----BEGIN CERTIFICATE-----\nAA+/==\n-----END CERTIFICATE-----\n";
        let source = Source::Vault(settings.source(ca, pod, VaultSecrets::new()));
        let files = Files::new("/run/secrets".into(), FileMode::OWNER);
        AgentConfig::new(source, vec!["api-prod".parse().unwrap()], files).to_json().unwrap()
    };
    for settings in [&settings, &other, &loopback] {
        let json = written(settings);
        assert!(pattern.is_match(head(&json)), "{json}");
    }
    let json = written(&settings);
    for (from, to) in [
        ("/run/enclii/identity/token", "/run/secrets/token"),
        ("/run/enclii/identity/token", "/var/run/secrets/kubernetes.io/serviceaccount/token"),
        ("\"role\":\"shop-prod_api.v2\"", "\"role\":\"a b\""),
        ("\"role\":\"shop-prod_api.v2\"", "\"role\":\"a\",\"role\":\"b\""),
        ("\"role\":\"shop-prod_api.v2\",", ""),
        ("\"type\":\"vault\"", "\"type\":\"switchyard\""),
        ("\"version\":1", "\"version\":2"),
        ("\"token_file\"", "\"address\":\"https://evil\",\"token_file\""),
        ("\"auth_mount\"", "\"address\":\"https://evil\",\"auth_mount\""),
        ("svc:8200\"", "svc:8200\",\"address\":\"https://evil\""),
    ] {
        assert!(json.contains(from), "{from}");
        let hostile = json.replacen(from, to, 1);
        assert!(!pattern.is_match(head(&hostile)), "{hostile}");
    }
}

/// The ConfigMap of the overlay is what an operator starts from.
#[test]
fn the_overlays_settings_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests/overlays/vault-only/kustomization.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let overlay: Value = serde_saphyr::from_str(&text).unwrap();
    let patches = overlay["patches"].as_array().unwrap();
    let patch = |kind: &str| -> Value {
        let found = patches.iter().find(|it| it["target"]["kind"] == kind).unwrap();
        serde_saphyr::from_str(found["patch"].as_str().unwrap()).unwrap()
    };
    let map = patch("ConfigMap");
    let text = map["data"]["webhook.yaml"].as_str().unwrap();
    for text in [text.to_owned(), text.replace("\n# vault", "\nvault")] {
        let mut settings: Value = serde_saphyr::from_str(&text).unwrap();
        let deployment = patch("Deployment");
        let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        for (variable, key) in [
            ("ENCLII_SOURCE", "source"),
            ("ENCLII_VAULT_ADDRESS", "vaultAddress"),
            ("ENCLII_VAULT_AUDIENCE", "vaultAudience"),
        ] {
            let found = env.as_array().unwrap().iter().find(|it| it["name"] == variable).unwrap();
            settings[key] = found["value"].clone();
        }
        let file: injection::OperatorFile = serde_json::from_value(settings).unwrap();
        let defaults = injection::InjectionConfig::new("a".into(), String::new(), String::new());
        let config = file.configure(defaults).unwrap();
        assert_eq!(config.source, injection::SecretSource::Vault);
    }
}

/// The registration and the policy of the component leave out just the pods that the webhook does.
#[test]
fn the_component_of_the_injector_asks_about_the_pods_that_are_injected() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/injector/kustomization.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let component: Value = serde_saphyr::from_str(&text).unwrap();
    let list = Regex::new(r"in \[([^\]]*)\]").unwrap();
    let mut lists = 0;
    for patch in component["patches"].as_array().unwrap() {
        let patch = patch["patch"].as_str().unwrap();
        assert!(patch.contains("vault.hashicorp.com/agent-inject"), "{patch}");
        let values = list.captures(patch).unwrap()[1].to_owned();
        for value in values.split(',').map(|it| it.trim().trim_matches('\'')) {
            let annotations = json!({ "vault.hashicorp.com/agent-inject": value });
            let pod = json!({ "metadata": { "annotations": annotations }, "spec": {} }).to_string();
            assert!(!asks_for_vault(&Pod::parse(&pod).unwrap()), "{value:?}");
        }
        assert_eq!(values.split(',').count(), 7);
        lists += 1;
    }
    assert_eq!(lists, 2);
}
