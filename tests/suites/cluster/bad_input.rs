//! Bad input gets a clear message that names the field and the fix, and changes nothing.

use e2e::kubectl::{Namespace, apply, object, rejection};
use e2e::sample::sha256;
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{STEP_TIMEOUT, marker, project, scope_flags, shared, value};

fn namespace(name: &str) -> Namespace {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    service_account(namespace.name(), "api").unwrap();
    namespace
}

fn scope(name: &str) -> String {
    format!("{}.prod.api", project(name))
}

/// A bundle that does not exist yet: refused, and admitted once it does.
#[test]
fn a_pod_is_refused_until_its_bundle_exists() {
    let (cluster, _guard) = shared();
    let namespace = namespace("later");
    let manifest = pod(namespace.name(), "early", pod_spec(&[("API_TOKEN", "x")])).to_string();
    let message = rejection(&manifest).unwrap();
    assert!(message.contains("api-prod") && message.contains("enclii secrets set"), "{message}");
    cluster.set(&scope("later"), "API_TOKEN", value("later").as_bytes()).unwrap();
    admit(&manifest).unwrap();
}

/// People look at the Deployment and its events, not at the API server's answer to a ReplicaSet.
#[test]
fn a_refusal_is_an_event_of_the_workload() {
    let (_cluster, _guard) = shared();
    let namespace = namespace("events");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": namespace.name()},
        "spec": {
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {
                    "labels": {"app": "api"},
                    "annotations": {"enclii.io/secrets": "api-prod"}
                },
                "spec": pod_spec(&[("API_TOKEN", "x")])
            }
        }
    });
    apply(&deployment.to_string()).unwrap();
    let selector = "--field-selector=reason=FailedCreate";
    let message = wait::until("the ReplicaSet's event", STEP_TIMEOUT, || {
        let events = ["-n", namespace.name(), "get", "events", selector, "-o", "json"];
        let events: Value = serde_json::from_str(&e2e::kubectl::kubectl(&events)?)?;
        Ok(events["items"][0]["message"].as_str().map(str::to_owned))
    })
    .unwrap();
    for part in ["bundle api-prod does not exist", "enclii secrets set"] {
        assert!(message.contains(part), "{message}");
    }
    let found = object(namespace.name(), "deployment", "api").unwrap().unwrap();
    let conditions = found["status"]["conditions"].to_string();
    assert!(conditions.contains("ReplicaFailure"), "{conditions}");
}

#[test]
fn pods_that_cannot_be_injected_are_refused_with_the_reason() {
    let (cluster, _guard) = shared();
    let namespace = namespace("wrong");
    cluster.set(&scope("wrong"), "API_TOKEN", value("wrong").as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let good = || pod(namespace.name(), "wrong", pod_spec(&[("API_TOKEN", "x")]));
    // The webhook watches bundles: it admits the good pod once it knows this one.
    admit(&good().to_string()).unwrap();
    e2e::kubectl::kubectl(&["-n", namespace.name(), "delete", "pod", "wrong", "--now"]).unwrap();

    let annotated = |key: &str, value: &str| {
        let mut pod = good();
        pod["metadata"]["annotations"][key] = json!(value);
        pod
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = good();
        change(&mut pod["spec"]);
        pod
    };
    let mount = |path: &'static str| {
        with(&move |spec| {
            spec["volumes"] = json!([{"name": "mine", "emptyDir": {}}]);
            spec["containers"][0]["volumeMounts"] = json!([{"name": "mine", "mountPath": path}]);
        })
    };
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("malformed list", annotated("enclii.io/secrets", "api-prod,,"), &["enclii.io/secrets"]),
        (
            "reload",
            annotated("enclii.io/reload", "signal=SIGKILL"),
            &["enclii.io/reload", "SIGKILL"],
        ),
        ("file mode", annotated("enclii.io/file-mode", "0777"), &["enclii.io/file-mode"]),
        (
            "containers",
            annotated("enclii.io/containers", "nobody"),
            &["enclii.io/containers", "nobody"],
        ),
        ("mount", mount("/run/secrets"), &["/run/secrets"]),
        ("mount over the agent's files", mount("/var/run/secrets/..data"), &["..data"]),
        (
            "an application named like the agent",
            with(&|spec| {
                let mut twin = spec["containers"][0].clone();
                twin["name"] = json!("enclii-agent");
                spec["containers"].as_array_mut().unwrap().push(twin);
            }),
            &["enclii-agent"],
        ),
        (
            "a credential that is not in the bundle",
            with(&|spec| {
                spec["containers"][0]["env"].as_array_mut().unwrap().push(
                    json!({"name": "OTHER_URL", "value": "postgres://u:plaintext-password@h/d"}),
                )
            }),
            &[
                "enclii secrets set OTHER_URL=- --service api --env prod --project wrong-",
                "enclii.io/plain-env",
            ],
        ),
    ];
    for (name, manifest, words) in cases {
        // One of the two webhooks may know the bundle a moment later than the other.
        let refused = || {
            Ok(Some(rejection(&manifest.to_string())?).filter(|it| !it.contains("does not exist")))
        };
        let message = wait::until("the refusal", STEP_TIMEOUT, refused)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for word in words {
            assert!(message.contains(word), "{name}: {message}");
        }
        assert!(!message.contains("plaintext-password"), "{message}");
    }
    assert!(object(namespace.name(), "pod", "wrong").unwrap().is_none());
}

#[test]
fn two_bundles_with_the_same_key_are_refused() {
    let (_cluster, _guard) = shared();
    let namespace = namespace("twice");
    for name in ["api-prod", "other-prod"] {
        let bundle = json!({
            "apiVersion": "enclii.io/v1", "kind": "SecretBundle",
            "metadata": {"name": name, "namespace": namespace.name()}, "spec": {"keys": ["SAME"]}
        });
        apply(&bundle.to_string()).unwrap();
    }
    let mut manifest = pod(namespace.name(), "twice", pod_spec(&[]));
    manifest["metadata"]["annotations"]["enclii.io/secrets"] = json!("api-prod,other-prod");
    let message = wait::until("the refusal", STEP_TIMEOUT, || {
        let refused = Some(rejection(&manifest.to_string())?);
        Ok(refused.filter(|it| it.contains("have keys in common")))
    })
    .unwrap();
    assert!(message.contains("api-prod") && message.contains("other-prod"), "{message}");
    // The webhook cannot tell who asks, so it does not say which.
    assert!(!message.contains("SAME"), "{message}");
}

#[test]
fn an_unknown_annotation_is_a_warning() {
    let (cluster, _guard) = shared();
    let namespace = namespace("typo");
    cluster.set(&scope("typo"), "API_TOKEN", value("typo").as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let mut manifest = pod(namespace.name(), "typo", pod_spec(&[("API_TOKEN", "x")]));
    manifest["metadata"]["annotations"]["enclii.io/relaod"] = json!("none");
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("typo.json");
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        manifest.to_string().as_bytes(),
    )
    .unwrap();
    let warned = wait::until("the pod to be taken", STEP_TIMEOUT, || {
        let output =
            std::process::Command::new("kubectl").args(["apply", "-f"]).arg(&path).output()?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
    })
    .unwrap();
    assert!(
        warned.contains("enclii.io/relaod") && warned.contains("did you mean enclii.io/reload"),
        "{warned}"
    );
}

/// Values are bytes: the command line and the pod return them unchanged.
#[test]
fn values_are_returned_unchanged() {
    let (cluster, _guard) = shared();
    let namespace = namespace("bytes");
    let marked = marker().into_bytes();
    let values: Vec<(&str, Vec<u8>)> = vec![
        ("EMPTY", Vec::new()),
        ("NUL", [b"a\0b".as_slice(), &marked].concat()),
        ("NEWLINE", [marked.as_slice(), b"\n\n"].concat()),
        ("BINARY", [b"\xff\xfe\x80".as_slice(), &marked, b"\xc3"].concat()),
        ("LARGE", marked.iter().copied().cycle().take(1 << 20).collect()),
    ];
    for (name, value) in &values {
        cluster.set(&scope("bytes"), name, value).unwrap();
        let mut words = vec!["secrets".to_owned(), "get".to_owned(), (*name).to_owned()];
        words.extend(scope_flags(&scope("bytes")));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = cluster.enclii(&words, b"").unwrap();
        assert!(output.status.success() && output.stdout == *value, "{name} came out otherwise");
    }
    cluster.wait_for_bundle(namespace.name(), "api-prod", "LARGE").unwrap();
    let literals: Vec<_> = values.iter().map(|(name, _)| (*name, "x")).collect();
    let manifest = pod(namespace.name(), "bytes", pod_spec(&literals)).to_string();
    admit(&manifest).unwrap();
    let state =
        wait::until("the application", STEP_TIMEOUT, || Ok(state(namespace.name(), "bytes").ok()))
            .unwrap();
    for (name, value) in &values {
        assert_eq!(state.digests[*name], sha256(value), "{name}");
    }
}

#[test]
fn the_command_line_refuses_what_cannot_be_stored() {
    let (cluster, _guard) = shared();
    let refuse = |words: &[&str], input: &[u8], code: i32| {
        let mut all = vec!["secrets", "set"];
        all.extend_from_slice(words);
        let place = scope_flags(&scope("refused"));
        all.extend(place.iter().map(String::as_str));
        let output = cluster.enclii(&all, input).unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {message}");
        message
    };
    // It may be a misplaced value, so it is not quoted.
    let message = refuse(&["1BAD=x"], b"", 2);
    assert!(
        message.contains("does not start with a digit") && !message.contains("1BAD"),
        "{message}"
    );
    assert!(refuse(&["kubernetes.io=x"], b"", 2).contains("reserved"));
    let large = vec![b'x'; (1 << 20) + 1];
    assert!(refuse(&["LARGE=-"], &large, 2).contains("LARGE"));
    let list = cluster
        .enclii(
            &[
                "secrets",
                "get",
                "LARGE",
                "--project",
                &project("refused"),
                "--env",
                "prod",
                "--service",
                "api",
            ],
            b"",
        )
        .unwrap();
    assert_eq!(list.status.code(), Some(4), "nothing was stored");
}
