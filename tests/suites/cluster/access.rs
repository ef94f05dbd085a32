//! Access control on a real cluster: every refusal of the rules, grants to service accounts,
//! annotations that ask for other bundles, and rights that the system's service accounts lack.

use std::time::Duration;

use e2e::kubectl::{Namespace, kubectl, rejection};
use e2e::sample::sha256;
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{Cluster, STEP_TIMEOUT, SYSTEM, project, scope_flags, shared, value};

fn namespace(name: &str) -> Namespace {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    for account in ["api", "jobs"] {
        service_account(namespace.name(), account).unwrap();
    }
    namespace
}

/// Runs `enclii` with a token. Returns its exit code and its output.
fn with_token(
    cluster: &Cluster,
    token: &str,
    words: &[&str],
    input: &[u8],
) -> (Option<i32>, String) {
    let output = cluster.enclii_as(token, words, input).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn done(cluster: &Cluster, words: &[&str]) -> String {
    let output = cluster.enclii(words, b"").unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_role_is_refused_what_is_beyond_it() {
    let (cluster, _guard) = shared();
    let project = project("roles");
    let scopes = [project.clone(), format!("{project}.prod"), format!("{project}.prod.api")];
    for scope in &scopes {
        cluster.set(scope, "A", value("roles").as_bytes()).unwrap();
    }
    // May it read and write in each scope, and may it create tokens?
    let rows = [
        ("readonly", [false, false, false], false),
        ("developer", [false, false, true], false),
        ("admin", [true, true, true], true),
        ("owner", [true, true, true], true),
    ];
    for (role, reaches, rules) in rows {
        let name = format!("{project}-{role}");
        let token = done(
            cluster,
            &["tokens", "create", &name, "--role", role, "--scope", &project, "--ttl", "1h"],
        );
        let token = token.trim();
        for (scope, may) in scopes.iter().zip(reaches) {
            let place = scope_flags(scope);
            let words = |first: &[&'static str]| {
                first.iter().copied().chain(place.iter().map(String::as_str)).collect::<Vec<_>>()
            };
            let expect = |words: &[&str], input: &[u8], may: bool| {
                let (code, text) = with_token(cluster, token, words, input);
                assert_eq!(code, Some(if may { 0 } else { 3 }), "{role} {words:?}: {text}");
                assert!(
                    may || (text.contains("rule ") && !text.contains(&value("roles"))),
                    "{role} {words:?}: {text}"
                );
            };
            expect(&words(&["secrets", "list"]), b"", true);
            expect(&words(&["secrets", "versions", "A"]), b"", true);
            expect(&words(&["secrets", "get", "A"]), b"", may);
            expect(&words(&["secrets", "set", "A=-"]), value("roles").as_bytes(), may);
        }
        let more = format!("{name}-more");
        let (code, text) = with_token(
            cluster,
            token,
            &["tokens", "create", &more, "--role", "readonly", "--scope", &project, "--ttl", "5m"],
            b"",
        );
        assert_eq!(code, Some(if rules { 0 } else { 3 }), "{role}: {text}");
        // Nobody may grant more than they have, or outside their scope.
        for words in [
            &["tokens", "create", "climber", "--role", "owner", "--scope", &project, "--ttl", "5m"]
                [..],
            &["tokens", "create", "climber", "--role", "readonly", "--ttl", "5m"][..],
            &["grants", "add", "user:climber", "readonly", "somebody-elses"][..],
        ] {
            let own = role == "owner" && words.contains(&"owner");
            let (code, text) = with_token(cluster, token, words, b"");
            assert_eq!(code, Some(if own { 0 } else { 3 }), "{role} {words:?}: {text}");
            if own {
                done(cluster, &["tokens", "revoke", "climber", "--yes"]);
            }
        }
        done(cluster, &["tokens", "revoke", &name, "--yes"]);
        let (code, text) = with_token(cluster, token, &["whoami"], b"");
        assert_eq!(code, Some(3), "{role}: {text}");
    }
    let denied = cluster.get("/v1/audit?action=denied&limit=1000").unwrap().to_string();
    for words in ["role-too-low", "deny-by-default", "not-more-than-own"] {
        assert!(denied.contains(words), "{words}: {denied}");
    }
}

#[test]
fn a_grant_gives_a_service_account_one_secret_and_taking_it_back_takes_it_away() {
    let (cluster, _guard) = shared();
    let namespace = namespace("granted");
    let scope = format!("{}.prod.api", project("granted"));
    let granted = value("API_TOKEN");
    cluster.set(&scope, "API_TOKEN", granted.as_bytes()).unwrap();
    cluster.set(&scope, "OTHER_TOKEN", value("OTHER_TOKEN").as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "OTHER_TOKEN").unwrap();
    let account = format!("service-account:{}/jobs", namespace.name());
    let added = done(
        cluster,
        &["grants", "add", &account, "read", &scope, "--secret", "API_TOKEN", "--output", "json"],
    );
    let id = serde_json::from_str::<Value>(&added).unwrap()["id"].to_string();

    // The application reads the files that exist, and starts without the other one.
    let mut spec = pod_spec(&[("API_TOKEN", "x"), ("OTHER_TOKEN", "x")]);
    spec["containers"][0]["args"] = json!(["--allow-missing"]);
    spec["serviceAccountName"] = json!("jobs");
    admit(&pod(namespace.name(), "jobs", spec).to_string()).unwrap();
    let holds =
        wait::until_every(Duration::from_millis(500), "the granted file", STEP_TIMEOUT, || {
            Ok(state(namespace.name(), "jobs")
                .ok()
                .filter(|it| it.digests.contains_key("API_TOKEN")))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", e2e::kubectl::describe(namespace.name())));
    assert_eq!(holds.digests.get("API_TOKEN"), Some(&sha256(granted.as_bytes())));
    assert!(!holds.digests.contains_key("OTHER_TOKEN"), "{:?}", holds.digests.keys());

    // The stream ends with the last grant. The files stay as they are.
    done(cluster, &["grants", "remove", &id, "--yes"]);
    cluster.set(&scope, "API_TOKEN", value("API_TOKEN-after").as_bytes()).unwrap();
    let refused = || {
        let log = kubectl(&["-n", namespace.name(), "logs", "jobs", "-c", "enclii-agent"])
            .unwrap_or_default();
        Ok(Some(log).filter(|it| it.contains("may not read")))
    };
    wait::until("the agent to hear that it may no longer read", STEP_TIMEOUT, refused).unwrap();
    let after = state(namespace.name(), "jobs").unwrap();
    assert_eq!(after.digests.get("API_TOKEN"), Some(&sha256(granted.as_bytes())));
}

#[test]
fn a_grant_beyond_the_namespace_s_own_environment_is_refused() {
    let (cluster, _guard) = shared();
    let namespace = namespace("beyond");
    let account = format!("service-account:{}/jobs", namespace.name());
    let elsewhere = format!("{}.dev.api", project("beyond"));
    for scope in [elsewhere.as_str(), "somebody-elses.prod.api"] {
        let output = cluster.enclii(&["grants", "add", &account, "read", scope], b"").unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("its pods cannot read"), "{text}");
    }
}

/// The annotation is a request: no spelling of it reaches another bundle.
#[test]
fn an_annotation_that_names_no_bundle_of_the_namespace_is_refused() {
    let (cluster, _guard) = shared();
    let (namespace, other) = (namespace("annotation"), namespace("annotation-other"));
    for name in ["annotation", "annotation-other"] {
        cluster
            .set(&format!("{}.prod.api", project(name)), "API_TOKEN", value(name).as_bytes())
            .unwrap();
    }
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let qualified =
        [format!("{}/api-prod", other.name()), format!("{}.prod.api", project("annotation-other"))];
    let words = [
        "../api-prod",
        "*",
        "api-*",
        "+",
        "..%2fapi-prod",
        "API-PROD",
        "Api-Prod",
        "api-prod\u{200b}",
        "\u{430}pi-prod",
        "api\u{2010}prod",
        "api-prod/../web-prod",
        "api-dev",
        "web-prod",
    ];
    for bundle in words.into_iter().chain(qualified.iter().map(String::as_str)) {
        let mut pod = pod(namespace.name(), "thief", pod_spec(&[("API_TOKEN", "x")]));
        pod["metadata"]["annotations"]["enclii.io/secrets"] = json!(bundle);
        let message = rejection(&pod.to_string()).unwrap();
        assert!(
            message.contains("enclii") && !message.contains(&value("annotation-other")),
            "{bundle:?}: {message}"
        );
    }
}

/// The system's own service accounts have the rights of the manifests and no others, which limits a
/// stolen token.
#[test]
fn the_systems_accounts_have_no_right_that_they_do_not_need() {
    let (_cluster, _guard) = shared();
    let may = |account: &str, words: &[&str]| {
        let who = format!("system:serviceaccount:{SYSTEM}:{account}");
        let answer = kubectl(&[&["auth", "can-i", "--as", &who][..], words].concat());
        answer.is_ok_and(|it| it.trim() == "yes")
    };
    assert!(may("switchyard", &["create", "tokenreviews.authentication.k8s.io"]));
    for account in ["switchyard", "enclii-webhook", "enclii-certificates"] {
        for words in [
            &["get", "secrets", "--all-namespaces"][..],
            &["list", "secrets", "-n", SYSTEM][..],
            &["get", "secrets", "-n", "kube-system"][..],
            &["get", "secret/somebody-elses", "-n", SYSTEM][..],
            &["create", "pods", "--all-namespaces"][..],
            &["create", "pods/exec", "--all-namespaces"][..],
            &["create", "serviceaccounts/token", "--all-namespaces"][..],
            &["impersonate", "users"][..],
            &[
                "update",
                "mutatingwebhookconfigurations.admissionregistration.k8s.io/somebody-elses",
            ][..],
            &["create", "clusterrolebindings.rbac.authorization.k8s.io"][..],
            &["update", "namespaces"][..],
        ] {
            assert!(!may(account, words), "{account} may {words:?}");
        }
    }
    assert!(!may("enclii-webhook", &["create", "tokenreviews.authentication.k8s.io"]));
}
