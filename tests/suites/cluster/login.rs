//! Attacks on the login of pods. A token has to be of a living pod of this cluster, with our
//! audience, or the login is refused with 401. A valid one reads its own bundle and no other.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::kubectl::{Namespace, apply, kubectl, object};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{pod_spec, service_account, token};
use crate::harness::{Cluster, STEP_TIMEOUT, own_cluster_setting, project, shared, value};

/// A namespace with a pod `api` that asks for nothing, and a bundle that it may read.
fn namespace_with_pod(cluster: &Cluster, name: &str) -> Namespace {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    for account in ["api", "web"] {
        service_account(namespace.name(), account).unwrap();
    }
    cluster.set(&format!("{project}.prod.api"), "API_TOKEN", value(name).as_bytes()).unwrap();
    run(&namespace, "bare", "api");
    namespace
}

/// Starts a pod without an annotation, which has no agent, and gives its UID.
fn run(namespace: &Namespace, name: &str, account: &str) -> String {
    let mut spec = pod_spec(&[]);
    spec["serviceAccountName"] = json!(account);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace.name()}, "spec": spec
    });
    apply(&pod.to_string()).unwrap();
    uid_of(namespace, name)
}

fn uid_of(namespace: &Namespace, pod: &str) -> String {
    object(namespace.name(), "pod", pod).unwrap().unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A token as kubelet would give it to the agent of this pod.
fn bound(namespace: &Namespace, account: &str, pod: &str, uid: &str) -> String {
    let binding =
        ["--bound-object-kind", "Pod", "--bound-object-name", pod, "--bound-object-uid", uid];
    token(
        namespace,
        account,
        &[&["--audience", "enclii.io", "--duration", "10m"][..], &binding].concat(),
    )
}

/// The same claims with other times, signed with the cluster's own key: what a token is when its
/// time is over, since the API server issues none for less than ten minutes. `None` on a foreign
/// cluster, whose key is out of reach.
fn at_another_time(token: &str, seconds: i64) -> Option<String> {
    let pem = std::fs::read_to_string(own_cluster_setting("SERVICE_ACCOUNT_KEY")?).unwrap();
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap();
    let mut parts = token.split('.');
    let (head, claims) = (parts.next().unwrap(), parts.next().unwrap());
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    for time in ["exp", "iat", "nbf"] {
        claims[time] = json!(claims[time].as_i64().unwrap() + seconds);
    }
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[test]
fn a_token_is_valid_only_in_its_time() {
    let (cluster, _guard) = shared();
    let namespace = namespace_with_pod(cluster, "expired");
    let uid = uid_of(&namespace, "bare");
    let good = bound(&namespace, "api", "bare", &uid);
    // Without the key only the API server can sign, and it signs no expired token.
    let Some(same) = at_another_time(&good, -60) else { return };
    assert_eq!(cluster.login(&same, "bundle=api-prod").unwrap().0, 101);
    for (name, seconds) in [("expired", -3600), ("of tomorrow", 24 * 3600)] {
        let (status, detail) =
            cluster.login(&at_another_time(&good, seconds).unwrap(), "bundle=api-prod").unwrap();
        assert_eq!(status, 401, "{name}: {detail}");
    }
    assert_eq!(cluster.login(&good, "bundle=api-prod").unwrap().0, 101);
}

#[test]
fn a_token_that_is_not_of_a_pod_of_this_cluster_for_us_is_refused() {
    let (cluster, _guard) = shared();
    let namespace = namespace_with_pod(cluster, "attacks");
    let uid = uid_of(&namespace, "bare");
    let good = bound(&namespace, "api", "bare", &uid);
    assert_eq!(cluster.login(&good, "bundle=api-prod").unwrap().0, 101);

    let pod =
        ["--bound-object-kind", "Pod", "--bound-object-name", "bare", "--bound-object-uid", &uid];
    let legacy = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "legacy", "namespace": namespace.name(),
            "annotations": {"kubernetes.io/service-account.name": "api"}
        },
    });
    apply(&legacy.to_string()).unwrap();
    let secret = wait::until("the legacy token", STEP_TIMEOUT, || {
        let secret = object(namespace.name(), "secret", "legacy")?;
        Ok(secret.filter(|it| it["data"]["token"].is_string()))
    })
    .unwrap();
    let legacy =
        String::from_utf8(STANDARD.decode(secret["data"]["token"].as_str().unwrap()).unwrap())
            .unwrap();
    let by_secret =
        ["--bound-object-kind", "Secret", "--bound-object-name", "legacy", "--bound-object-uid"];
    let secret_uid = secret["metadata"]["uid"].as_str().unwrap();
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let mut other: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    other["kubernetes.io"]["pod"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    let changed = URL_SAFE_NO_PAD.encode(other.to_string());
    let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);

    let attacks = [
        ("for the API server", token(&namespace, "api", &pod)),
        (
            "for another audience",
            token(&namespace, "api", &[&["--audience", "vault"][..], &pod].concat()),
        ),
        (
            "for an audience that looks alike",
            token(&namespace, "api", &[&["--audience", "Enclii.io"][..], &pod].concat()),
        ),
        ("bound to no pod", token(&namespace, "api", &["--audience", "enclii.io"])),
        (
            "bound to a Secret",
            token(
                &namespace,
                "api",
                &[&["--audience", "enclii.io"][..], &by_secret, &[secret_uid]].concat(),
            ),
        ),
        ("a Secret's, from before tokens ended", legacy),
        ("with another pod in it", format!("{head}.{changed}.{signature}")),
        ("without a signature", format!("{unsigned}.{claims}.")),
        ("with another signature", format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 256]))),
        ("cut", good[..good.len() - 8].to_owned()),
        ("a token of the API's form", format!("enclii_{}", "0".repeat(72))),
    ];
    for (name, token) in &attacks {
        let (status, detail) = cluster.login(token, "bundle=api-prod").unwrap();
        assert_eq!(status, 401, "{name}: {detail}");
        assert!(!detail.contains(&token[..16]), "{name}: {detail}");
    }
    let events =
        cluster.get("/v1/audit?action=login&outcome=denied&limit=1000").unwrap().to_string();
    // Of a token for another audience the API server says only that it is not valid.
    assert!(
        !events.contains(signature)
            && events.contains("not bound to a pod")
            && events.contains("the token is not valid"),
        "{events}"
    );
    // The pod itself may still log in.
    assert_eq!(cluster.login(&good, "bundle=api-prod").unwrap().0, 101);
}

#[test]
fn the_token_of_a_deleted_pod_is_refused() {
    let (cluster, _guard) = shared();
    let namespace = namespace_with_pod(cluster, "gone");
    let uid = uid_of(&namespace, "bare");
    let old = bound(&namespace, "api", "bare", &uid);
    assert_eq!(cluster.login(&old, "bundle=api-prod").unwrap().0, 101);
    kubectl(&["-n", namespace.name(), "delete", "pod", "bare", "--wait", "--grace-period=1"])
        .unwrap();
    // The API server may remember a token that it has just seen for a few seconds.
    let refused = || {
        Ok(Some(cluster.login(&old, "bundle=api-prod")?.0)
            .filter(|status| *status == 401)
            .map(drop))
    };
    wait::until_every(
        Duration::from_secs(1),
        "the token of a deleted pod to be refused",
        Duration::from_secs(60),
        refused,
    )
    .unwrap();

    // Another pod of that name is another pod.
    let new = run(&namespace, "bare", "api");
    assert_ne!(uid, new);
    assert_eq!(cluster.login(&old, "bundle=api-prod").unwrap().0, 401);
    assert_eq!(
        cluster.login(&bound(&namespace, "api", "bare", &new), "bundle=api-prod").unwrap().0,
        101
    );
}

#[test]
fn a_pod_names_its_own_bundle_or_gets_nothing() {
    let (cluster, _guard) = shared();
    let namespace = namespace_with_pod(cluster, "names");
    let other = namespace_with_pod(cluster, "names-other");
    let uid = run(&namespace, "web", "web");
    let web = bound(&namespace, "web", "web", &uid);
    let (status, detail) = cluster.login(&web, "bundle=api-prod").unwrap();
    assert!(
        status == 403 && detail.contains("api-prod") && detail.contains("no grant"),
        "{status} {detail}"
    );

    let uid = uid_of(&namespace, "bare");
    let api = bound(&namespace, "api", "bare", &uid);
    let elsewhere = format!("bundle={}.prod.api", project("names-other"));
    for query in [
        "bundle=api-dev",
        "bundle=web-prod",
        "bundle=../api-prod",
        "bundle=*",
        "bundle=api-*",
        "bundle=+",
        "bundle=api-prod+",
        "bundle=api%2dprod",
        "bundle=..%2fapi-prod",
        "bundle=API-PROD",
        "bundle=Api-prod",
        "bundle=api-prod%20",
        "bundle=api-prod%00",
        "bundle=%D0%B0pi-prod",
        "bundle=api-prod%E2%80%8B",
        "bundle=api%E2%80%90prod",
        "bundle=api-prod&bundle=web-prod",
        "bundle=api-prod&namespace=other",
        elsewhere.as_str(),
    ] {
        let (status, detail) = cluster.login(&api, query).unwrap();
        assert!(matches!(status, 400 | 403 | 404), "{query}: {status} {detail}");
        assert!(!detail.contains(&value("names-other")), "{query}");
    }
    drop(other);
}
