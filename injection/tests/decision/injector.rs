//! Pods with the annotations of the Vault Agent Injector, and only the operator's switch.

use contract::AgentConfig;
use contract::agent_config::Source;
use injection::{
    AnnotationForm, Decision, InjectionConfig, OperatorFile, Pod, Treatment, VAULT_ANNOTATIONS,
    VAULT_PREFIX, explain,
};
use serde_json::{Value, json};

use crate::support::{NAMESPACE, admitted_by, config, decide_by, one, refused_by, vault_config};

/// Shaped as public ones are; the cluster can run them.
const MANIFESTS: [(&str, &str); 10] = [
    ("01", include_str!("../../../tests/injector/01-default-template.yaml")),
    ("02", include_str!("../../../tests/injector/02-connection-string.yaml")),
    ("03", include_str!("../../../tests/injector/03-exports.yaml")),
    ("04", include_str!("../../../tests/injector/04-job.yaml")),
    ("05", include_str!("../../../tests/injector/05-certificate.yaml")),
    ("06", include_str!("../../../tests/injector/06-properties.yaml")),
    ("07", include_str!("../../../tests/injector/07-json-case.yaml")),
    ("08", include_str!("../../../tests/injector/08-delimiters-containers.yaml")),
    ("09", include_str!("../../../tests/injector/09-tuned.yaml")),
    ("10", include_str!("../../../tests/injector/10-mixed.yaml")),
];

fn switched_on() -> InjectionConfig {
    let text = include_str!("../../../tests/injector/webhook.yaml");
    let file: OperatorFile = serde_saphyr::from_str(text).unwrap();
    file.configure(config()).unwrap()
}

/// The pod of a manifest.
fn pod_of(text: &str) -> Value {
    let manifest: Value = serde_saphyr::from_str(text).unwrap();
    let paths = ["/spec/jobTemplate/spec/template", "/spec/template", ""];
    let found = paths.iter().filter_map(|path| manifest.pointer(path));
    let template = found.into_iter().find(|it| it["spec"].get("containers").is_some()).unwrap();
    json!({ "metadata": template["metadata"], "spec": template["spec"] })
}

/// A pod with these annotations of the Injector.
fn annotated(annotations: &[(&str, &str)]) -> Value {
    let mut pod = one(json!({ "securityContext": { "runAsUser": 1000 } }));
    pod["metadata"]["annotations"] = json!({
        "vault.hashicorp.com/agent-inject": "true",
        "vault.hashicorp.com/agent-inject-secret-db": "database/creds/app",
    });
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("{VAULT_PREFIX}{key}")] = json!(value);
    }
    pod
}

fn agent(pod: &Value) -> &Value {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|it| it["name"] == "enclii-agent").unwrap()
}

fn agent_config(pod: &Value) -> AgentConfig {
    let text = agent(pod)["env"][0]["value"].as_str().unwrap().replace("$$", "$");
    AgentConfig::from_json(&text).unwrap()
}

#[test]
fn ten_manifests_run_with_only_the_switch() {
    let mut shown = String::new();
    for (name, text) in MANIFESTS {
        let pod = pod_of(text);
        let (patched, warnings) = admitted_by(&pod, &switched_on());
        // Another pass changes nothing.
        match decide_by(&patched, &switched_on()) {
            Decision::Inject { patch, .. } => assert!(patch.is_empty(), "{name}: {patch}"),
            other => panic!("{name}: {other:?}"),
        }
        let config = agent_config(&patched);
        let Source::Vault(source) = &config.source else { panic!("{name}") };
        let mounts = |it: &Value| {
            let mounts = it["volumeMounts"].as_array().into_iter().flatten();
            let mounts = mounts.filter(|it| !it["name"].as_str().unwrap().starts_with("enclii-"));
            mounts.map(|it| format!("{} at {}", it["name"], it["mountPath"])).collect::<Vec<_>>()
        };
        let containers = patched["spec"]["containers"].as_array().unwrap().iter();
        let containers = containers.map(|it| (it["name"].as_str().unwrap().to_owned(), mounts(it)));
        let summary = json!({
            "role": source.role,
            "auth": source.auth_mount,
            "poll": source.poll_seconds,
            "revokes": source.revoke_on_shutdown,
            "reads": source.secrets,
            "rendered": config.files.rendered,
            "volumes": config.files.volumes,
            "reload": config.reload,
            "once": agent(&patched)["args"],
            "mounts": containers.collect::<std::collections::BTreeMap<_, _>>(),
            "warnings": warnings,
        });
        let summary = serde_json::to_string_pretty(&summary).unwrap();
        shown.push_str(&format!("# {name}\n{summary}\n"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn without_the_switch_or_the_annotation_the_pod_is_left_alone() {
    let pod = annotated(&[]);
    for config in [config(), vault_config()] {
        assert!(matches!(decide_by(&pod, &config), Decision::Skip(_)));
    }
    let off = annotated(&[("agent-inject", "false")]);
    assert!(matches!(decide_by(&off, &switched_on()), Decision::Skip(_)));
    let file: OperatorFile = serde_json::from_value(json!({ "compatVault": {} })).unwrap();
    let error = file.configure(config()).unwrap_err().to_string();
    assert_eq!(error, "compatVault needs source: vault");
}

#[test]
fn refusals_name_the_annotation_and_the_way_out() {
    for (annotations, expected) in [
        (
            &[("service", "https://evil.example")][..],
            "service: the address of Vault is the operator's",
        ),
        (&[("tls-skip-verify", "true")], "tls-skip-verify: Vault's certificate is always checked"),
        (&[("ca-cert", "/vault/tls/ca.crt")], "ca-cert: the CAs of Vault are"),
        (&[("agent-json-patch", "[]")], "agent-json-patch: the agent's container"),
        (&[("agent-configmap", "x")], "agent-configmap: a configuration of Vault Agent"),
        (&[("agent-inject-token", "true")], "agent-inject-token: the application would act"),
        (&[("auth-type", "aws")], "auth-type: `kubernetes`; any other method is refused"),
        (&[("auth-path", "auth/other")], "auth-path: the operator does not let a pod choose"),
        (&[("namespace", "team-b")], "namespace: the operator does not let a pod choose"),
        (&[("agent-inject", "maybe")], "agent-inject: must be true or false"),
        (&[("agent-inject-command-db", "touch /tmp/x")], "write `enclii.io/reload: signal=SIGHUP`"),
        (
            &[("agent-inject-template-db", "{{ with secret (printf \"%s\" .x) }}{{ end }}")],
            "agent-inject-template-db: line 1: secret has a path or parameter that the template",
        ),
        (
            &[("agent-inject-template-db", "\n{{ env \"HOME\" }}")],
            "agent-inject-template-db: line 2: function env is not offered",
        ),
        (&[("agent-inject-secret-db", "a//b")], "parse path in Vault"),
        (&[("agent-inject-template-db", "plain")], "no template of the pod reads a secret"),
        (&[("template-static-secret-render-interval", "1ms")], "is not a duration"),
        (
            &[("agent-inject-secret-x", "a"), ("agent-inject-file-x", "db")],
            "two files are to be at",
        ),
    ] {
        let message = refused_by(&annotated(annotations), &switched_on());
        assert!(message.contains(expected), "{annotations:?}: {message}");
    }
    let mut both = annotated(&[]);
    both["metadata"]["annotations"]["enclii.io/secrets"] = json!("api-prod");
    let message = refused_by(&both, &switched_on());
    assert!(message.contains("annotation enclii.io/secrets: the pod has"), "{message}");
    let mut other = annotated(&[]);
    other["metadata"]["annotations"]["enclii.io/format-all"] = json!("json");
    let message = refused_by(&other, &switched_on());
    assert!(message.contains("with vault.hashicorp.com/agent-inject there is no bundle"));
    let mut taken = annotated(&[]);
    taken["spec"]["volumes"] = json!([{ "name": "vault-secrets", "emptyDir": {} }]);
    let message = refused_by(&taken, &switched_on());
    assert!(message.starts_with("spec.volumes[0]: vault-secrets is the name"), "{message}");
}

#[test]
fn a_role_is_the_operators_to_allow() {
    let mut config = switched_on();
    config.vault_compat.as_mut().unwrap().roles.clear();
    let message = refused_by(&annotated(&[("role", "admin")]), &config);
    assert!(message.contains("does not let this pod log in as admin"), "{message}");
    let own = format!("{NAMESPACE}_api");
    let (patched, _) = admitted_by(&annotated(&[("role", &own)]), &config);
    let Source::Vault(source) = agent_config(&patched).source else { panic!() };
    assert_eq!(source.role, own);
}

#[test]
fn annotations_of_this_system_go_with_it() {
    let mut pod = annotated(&[("agent-inject-command-db", "touch /tmp/x")]);
    pod["metadata"]["annotations"]["enclii.io/reload"] = json!("http=http://127.0.0.1:80/r");
    let (patched, warnings) = admitted_by(&pod, &switched_on());
    assert_eq!(patched["metadata"]["annotations"]["enclii.io/secrets"], "vault-annotations");
    let reload = serde_json::to_value(agent_config(&patched).reload).unwrap();
    assert_eq!(reload, json!({ "reload": "http=http://127.0.0.1:80/r" }));
    assert!(warnings[0].contains("enclii.io/reload of the pod counts"), "{warnings:?}");
}

#[test]
fn each_annotation_is_explained() {
    let pod = annotated(&[
        ("agent-inject-command-db", "pkill -HUP app"),
        ("agent-image", "x"),
        ("ca-cert", "/ca"),
        ("agent-inject-perms-none", "0400"),
        ("made-up", "x"),
    ]);
    let json = pod.to_string();
    let pod = Pod::parse(&json).unwrap();
    let mapping = explain(&pod, NAMESPACE, &switched_on());
    let lines = mapping.annotations.iter().map(|it| {
        let name = it.annotation.strip_prefix(VAULT_PREFIX).unwrap();
        format!("{name} {}: {}", it.treatment.as_str(), it.outcome)
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(
        lines,
        [
            "agent-image ignored: the agent's image is the operator's",
            "agent-inject used: the pod gets an agent",
            "agent-inject-command-db used: enclii.io/reload: signal=SIGHUP",
            "agent-inject-perms-none ignored: no annotation asks for a file of that name",
            "agent-inject-secret-db used: file /vault/secrets/db, as the Injector writes it by \
             default",
            "ca-cert refused: the CAs of Vault are the operator's `vaultCa`; remove the annotation",
            "made-up ignored: the Injector has no such annotation",
        ]
    );
    assert_eq!(mapping.errors.len(), 1);
}

/// With those of this system, mistakes too.
#[test]
fn annotations_of_this_system_are_explained() {
    let explained = |annotations: Value| {
        let mut pod = one(json!({}));
        pod["metadata"]["annotations"] = annotations;
        let json = pod.to_string();
        let mapping = explain(&Pod::parse(&json).unwrap(), NAMESPACE, &config());
        let lines = mapping
            .annotations
            .into_iter()
            .map(|it| format!("{} {}: {}", it.annotation, it.treatment.as_str(), it.outcome));
        lines.collect::<Vec<_>>()
    };
    let found = explained(json!({
        "enclii.io/secrets": "api-prod,shared-prod",
        "enclii.io/reload": "signal=SIGHUP",
        "enclii.io/verify": "postgres=DATABASE_URL",
        "enclii.io/deliver": "env",
        "enclii.io/plain-env": "A,B",
        "enclii.io/file-mode": "440",
        "enclii.io/placement": "native",
        "enclii.io/template-db.ini": "x",
        "enclii.io/format-all.env": "dotenv",
        "enclii.io/path-db.ini": "conf/db.ini",
        "enclii.io/relaod": "none",
        "enclii.io/status": "x",
        "example.com/other": "x",
    }));
    assert_eq!(
        found,
        [
            "enclii.io/deliver used: values are delivered as env",
            "enclii.io/file-mode used: the files have the mode 0440",
            "enclii.io/format-all.env used: all secrets as dotenv in /run/secrets/all.env",
            "enclii.io/path-db.ini used: db.ini is at /run/secrets/conf/db.ini too",
            "enclii.io/placement used: the agent is native",
            "enclii.io/plain-env used: left alone: A, B",
            "enclii.io/relaod ignored: it is not known; did you mean enclii.io/reload?",
            "enclii.io/reload used: new values are told by signal=SIGHUP",
            "enclii.io/secrets used: each secret of api-prod, shared-prod is a file in \
             /run/secrets",
            "enclii.io/status ignored: the webhook writes it",
            "enclii.io/template-db.ini used: renders /run/secrets/db.ini",
            "enclii.io/verify used: checked after a change: postgres=DATABASE_URL",
        ]
    );
    let found = explained(json!({ "enclii.io/secrets": "api-prod", "enclii.io/file-mode": "9" }));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("enclii.io/file-mode refused: "), "{found:?}");
    let found = explained(json!({ "enclii.io/reload": "none" }));
    assert_eq!(found, ["enclii.io/reload ignored: the pod has no enclii.io/secrets"]);
}

/// A key that nobody explains would be said to be unknown.
#[test]
fn every_annotation_of_this_system_is_explained() {
    let value = |key: &str| match key {
        "enclii.io/reload-timeout" => "5s",
        "enclii.io/verify" => "tls=8443",
        "enclii.io/metrics" => "9090/metrics",
        "enclii.io/placement" => "native",
        "enclii.io/agent-metrics" => "9876",
        "enclii.io/agent-resources" => "limits.memory=64Mi",
        "enclii.io/file-mode" => "0400",
        "enclii.io/deliver" => "files",
        "enclii.io/reload" => "none",
        _ => "a-prod",
    };
    let keys = contract::annotations::KEYS.iter().map(|(key, _)| *key);
    for key in keys.filter(|key| *key != contract::annotations::STATUS) {
        let mut pod = one(json!({}));
        pod["metadata"]["annotations"] = json!({ "enclii.io/secrets": "a-prod" });
        // Only a POST has a time.
        pod["metadata"]["annotations"]["enclii.io/reload"] = json!("http=http://127.0.0.1:1/");
        pod["metadata"]["annotations"][key] = json!(value(key));
        let json = pod.to_string();
        let mapping = explain(&Pod::parse(&json).unwrap(), NAMESPACE, &config());
        let of_key = mapping.annotations.iter().find(|it| it.annotation == key).unwrap();
        assert_eq!(of_key.treatment, Treatment::Used, "{key}: {}", of_key.outcome);
    }
    // With the Injector's annotations a pod needs no bundle of its own.
    let mut pod = annotated(&[]);
    pod["metadata"]["annotations"]["enclii.io/reload"] = json!("signal=SIGHUP");
    let json = pod.to_string();
    let mapping = explain(&Pod::parse(&json).unwrap(), NAMESPACE, &switched_on());
    let reload = mapping.annotations.iter().find(|it| it.annotation == "enclii.io/reload");
    assert_eq!(reload.unwrap().treatment, Treatment::Used);
}

#[test]
fn a_pod_of_the_injector_may_ask_for_the_agents_metrics() {
    let mut pod = annotated(&[]);
    pod["metadata"]["annotations"]["enclii.io/agent-metrics"] = json!("9876");
    let (patched, _) = admitted_by(&pod, &switched_on());
    assert_eq!(agent(&patched)["ports"][0]["containerPort"], 9876);
    assert_eq!(agent_config(&patched).agent_metrics.map(u16::from), Some(9876));
    // With the Injector's own way to have no agent stay, too.
    pod["metadata"]["annotations"]["vault.hashicorp.com/agent-pre-populate-only"] = json!("true");
    let refusal = refused_by(&pod, &switched_on());
    assert!(refusal.contains("enclii.io/agent-metrics: the metrics need an agent"), "{refusal}");
}

/// Each path has a name of its own, also where all their letters are written alike.
#[test]
fn what_templates_read_is_named_and_bounded() {
    let template = |count: u32| -> String {
        let path = |at| char::from_u32(0x4e00 + at).unwrap();
        (0..count).map(|at| format!("{{{{secret \"a/{}\"}}}}", path(at))).collect()
    };
    let with = |text: &str| annotated(&[("agent-inject-template-db", text)]);
    let (patched, _) = admitted_by(&with(&template(256)), &switched_on());
    let Source::Vault(source) = agent_config(&patched).source else { panic!() };
    assert_eq!(source.secrets.values().map(|it| it.len()).sum::<usize>(), 256);
    let refusal = refused_by(&with(&template(257)), &switched_on());
    assert!(refusal.contains("the pod reads more than 256 secrets"), "{refusal}");
    // One fault of a template is said.
    let faulty = "{{secret \"a?x=1\"}}".repeat(500);
    let refusal = refused_by(&with(&faulty), &switched_on());
    assert_eq!(refusal.matches("only version=NUMBER").count(), 1, "{refusal}");
    // What is too long is refused before it is parsed.
    let mut pod = with("{{ not parsed");
    for file in ["b", "c"] {
        let key = format!("{VAULT_PREFIX}agent-inject-template-{file}");
        pod["metadata"]["annotations"][key] = json!("{{ x }}".repeat(4000));
        let key = format!("{VAULT_PREFIX}agent-inject-secret-{file}");
        pod["metadata"]["annotations"][key] = json!("a/b");
    }
    let refusal = refused_by(&pod, &switched_on());
    assert!(refusal.contains("bytes together") && !refusal.contains("syntax"), "{refusal}");
}

#[test]
fn a_volume_cannot_be_in_another() {
    let pod = annotated(&[
        ("agent-inject-secret-b", "a/b"),
        ("secret-volume-path-b", "/vault/secrets/b"),
    ]);
    let refusal = refused_by(&pod, &switched_on());
    assert!(refusal.contains("/vault/secrets/b is in /vault/secrets"), "{refusal}");
}

/// The whole table of the documentation, row by row.
#[test]
fn the_documentation_has_every_annotation() {
    let page = include_str!("../../../docs/from-vault-agent-injector.md");
    let row = |it: &injection::VaultAnnotation| {
        let name = match it.form {
            AnnotationForm::Pod => format!("`{}`", it.name),
            AnnotationForm::File => format!("`{}-FILE`", it.name),
            AnnotationForm::Both => format!("`{}`, `{}-FILE`", it.name, it.name),
        };
        format!("| {name} | {} | {} |", it.treatment.as_str(), it.outcome)
    };
    let rows: Vec<String> = VAULT_ANNOTATIONS.iter().map(row).collect();
    let is_row = |line: &&str| {
        let treatments = [Treatment::Used, Treatment::Ignored, Treatment::Refused];
        treatments.iter().any(|it| line.contains(&format!("` | {} | ", it.as_str())))
    };
    let documented: Vec<&str> = page.lines().filter(is_row).collect();
    assert_eq!(documented, rows, "left: the page; right: the code");
}
