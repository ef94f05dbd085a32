//! Vault as the source: everything but the source and the token is as ever.

use contract::agent_config::Source;
use contract::{AgentConfig, VaultSource};
use injection::InjectionConfig;
use serde_json::{Value, json};

use crate::support::{
    admitted, admitted_by, annotate, config, in_kv, one, vault_config, with_spec,
};

/// The agent of a patched pod, wherever it is.
fn agent(pod: &mut Value) -> &mut Value {
    let lists = ["initContainers", "containers"];
    let list = lists.iter().find(|list| {
        pod["spec"][**list]
            .as_array()
            .is_some_and(|it| it.iter().any(|it| it["name"] == "enclii-agent"))
    });
    let containers = pod["spec"][*list.unwrap()].as_array_mut().unwrap();
    containers.iter_mut().find(|it| it["name"] == "enclii-agent").unwrap()
}

fn agent_config(pod: &Value) -> AgentConfig {
    let mut pod = pod.clone();
    let text = agent(&mut pod)["env"][0]["value"].as_str().unwrap().replace("$$", "$");
    AgentConfig::from_json(&text).unwrap()
}

fn vault_source(pod: &Value) -> VaultSource {
    let Source::Vault(source) = agent_config(pod).source else { panic!("another source") };
    source
}

fn token(pod: &Value) -> &Value {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "enclii-token").unwrap();
    &token["projected"]["sources"]
}

/// Without the source, the token's audience and the fingerprint of the settings.
fn without_source(mut pod: Value) -> Value {
    let mut config = serde_json::to_value(agent_config(&pod)).unwrap();
    config["source"].take();
    agent(&mut pod)["env"][0]["value"] = config;
    for volume in pod["spec"]["volumes"].as_array_mut().unwrap() {
        if volume["name"] == "enclii-token" {
            volume["projected"]["sources"][0]["serviceAccountToken"]["audience"].take();
        }
    }
    pod
}

fn with_variables() -> Value {
    one(json!({
        "command": ["/api"],
        "env": [
            { "name": "DATABASE_URL", "value": "postgres://api:pw@db/shop" },
            { "name": "STRIPE", "valueFrom": {
                "secretKeyRef": { "name": "api-prod", "key": "STRIPE_API_KEY" },
            } },
        ],
    }))
}

#[test]
fn the_rest_of_the_injection_is_the_same() {
    let with_volume = with_spec(
        with_variables(),
        json!({ "volumes": [{ "name": "keys", "secret": { "secretName": "api-prod" } }] }),
    );
    let probe = json!({ "httpGet": { "path": "/ready", "port": 80 } });
    let pods = [
        with_variables(),
        with_volume,
        one(json!({ "readinessProbe": probe })),
        one(json!({ "envFrom": [{ "secretRef": { "name": "api-prod" } }] })),
        annotate(with_variables(), &[("secrets", "api-prod,shared-prod")]),
        annotate(with_variables(), &[("deliver", "env"), ("reload", "restart")]),
        annotate(with_variables(), &[("deliver", "exec"), ("reload", "restart")]),
        annotate(with_variables(), &[("deliver", "init")]),
        annotate(
            with_variables(),
            &[("reload", "signal=SIGHUP"), ("verify", "postgres=DATABASE_URL")],
        ),
        annotate(
            with_variables(),
            &[("reload", "http=http://127.0.0.1:80/r"), ("file-mode", "0440")],
        ),
        annotate(
            with_variables(),
            &[("dotenv-app.env", "DATABASE_URL"), ("path-DATABASE_URL", "a/b")],
        ),
        annotate(with_variables(), &[("agent-placement", "first")]),
    ];
    let either = |config: InjectionConfig| InjectionConfig {
        placement: injection::PlacementPolicy::Either,
        ..config
    };
    for pod in pods {
        let user = json!({ "securityContext": { "runAsUser": 1000, "runAsNonRoot": true } });
        let pod = with_spec(pod, user);
        let by_switchyard = admitted_by(&pod, &either(config()));
        let (by_vault, warnings) = admitted_by(&pod, &either(vault_config()));
        assert_eq!(warnings, by_switchyard.1, "{pod}");
        assert!(matches!(agent_config(&by_vault).source, Source::Vault(_)), "{pod}");
        assert_eq!(without_source(by_vault), without_source(by_switchyard.0), "{pod}");
    }
}

#[test]
fn the_configuration_has_the_operators_login_and_the_bundles_mapping() {
    let (found, _) = admitted_by(&with_variables(), &vault_config());
    let source = vault_source(&found);
    assert_eq!(
        serde_json::to_value(&source).unwrap(),
        json!({
            "address": "https://vault.vault.svc:8200",
            "ca": "PEM\n",
            "auth_mount": "kubernetes",
            "role": "shop-prod_api",
            "token_file": "/run/enclii/identity/token",
            "poll_seconds": 30,
            "secrets": { "api-prod": {
                "DATABASE_URL": in_kv("DATABASE_URL"),
                "STRIPE_API_KEY": in_kv("STRIPE_API_KEY"),
            } },
        })
    );
    let expected = json!([{ "serviceAccountToken": {
        "audience": "vault", "expirationSeconds": 600, "path": "token",
    } }]);
    assert_eq!(token(&found), &expected);
}

#[test]
fn every_setting_of_the_operator_reaches_the_agent() {
    let mut config = vault_config();
    let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    config.vault.ca = Some(pem.parse().unwrap());
    config.vault.namespace = Some("team-a".parse().unwrap());
    config.vault.auth_mount = "clusters/one".parse().unwrap();
    config.vault.role = Some("shared".parse().unwrap());
    config.vault.audience = "https://vault.example.com".parse().unwrap();
    config.vault.poll_seconds = 5.try_into().unwrap();
    config.vault.revoke_on_shutdown = true;
    let (found, _) = admitted_by(&with_variables(), &config);
    let mut source = serde_json::to_value(vault_source(&found)).unwrap();
    source["secrets"].take();
    assert_eq!(
        source,
        json!({
            "address": "https://vault.vault.svc:8200",
            "ca": pem,
            "namespace": "team-a",
            "auth_mount": "clusters/one",
            "role": "shared",
            "token_file": "/run/enclii/identity/token",
            "poll_seconds": 5,
            "revoke_on_shutdown": true,
            "secrets": null,
        })
    );
    assert_eq!(token(&found)[0]["serviceAccountToken"]["audience"], "https://vault.example.com");
    // An agent among the containers is told to stop together with the application.
    let first = InjectionConfig { placement: injection::PlacementPolicy::First, ..config.clone() };
    for (config, is_revoked) in [(config, true), (first, false)] {
        let (found, _) = admitted_by(&with_variables(), &config);
        assert_eq!(vault_source(&found).revoke_on_shutdown, is_revoked);
    }
}

#[test]
fn no_annotation_changes_the_login() {
    let hostile = annotate(
        with_variables(),
        &[
            ("vault-role", "admin"),
            ("vault-address", "https://evil.example"),
            ("vaultRole", "admin"),
            ("source", "switchyard"),
        ],
    );
    let (plain, hostile) = (
        admitted_by(&with_variables(), &vault_config()).0,
        admitted_by(&hostile, &vault_config()).0,
    );
    assert_eq!(agent_config(&plain), agent_config(&hostile));
    // Not even a name with the braces of the template: the API server refuses the pod later.
    let mut odd = with_variables();
    odd["spec"]["serviceAccountName"] = json!("{namespace}");
    let (odd, _) = admitted_by(&odd, &vault_config());
    assert_eq!(vault_source(&odd).role, "shop-prod_{namespace}");
}

#[test]
fn a_pod_that_was_made_with_another_source_becomes_one_of_this() {
    for (earlier, now) in [(config(), vault_config()), (vault_config(), config())] {
        let (once, _) = admitted_by(&with_variables(), &earlier);
        let (again, _) = admitted_by(&once, &now);
        assert_eq!(again, admitted_by(&with_variables(), &now).0);
    }
    // Only the audience may differ.
    let (mut once, _) = admitted(&with_variables());
    once["spec"]["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"]["path"] =
        json!("x");
    let message = crate::support::refused_by(&once, &vault_config());
    assert!(message.contains("enclii-token"), "{message}");
}

#[test]
fn a_mapping_is_ignored_where_switchyard_is_the_source() {
    let (found, _) = admitted(&with_variables());
    let text = agent_config(&found).to_json().unwrap();
    assert!(!text.contains("\"mount\"") && text.contains("switchyard"), "{text}");
}

/// The name of Vault counts, and not that of a switchyard which is not there.
#[test]
fn a_pod_on_the_hosts_network_has_to_resolve_vaults_name() {
    let pod = annotate(
        with_spec(one(json!({})), json!({ "hostNetwork": true })),
        &[("secrets", "api-prod")],
    );
    let mut config = vault_config();
    assert!(crate::support::refused_by(&pod, &config).contains("spec.hostNetwork: is true"));
    config.vault.address = Some("https://vault.example.com:8200".parse().unwrap());
    admitted_by(&pod, &config);
}
