//! Where the agent is: as the operator says and the pod asks, where that can be, in every pass.

use injection::{Decision, InjectionConfig, PlacementPolicy, PodPatch};
use serde_json::{Value, json};

use crate::support::{
    Change, admitted_by, annotate, config, decide_by, one, refused_by, with_spec,
};

fn config_of(placement: PlacementPolicy, kubernetes: &str) -> InjectionConfig {
    InjectionConfig { placement, kubernetes: kubernetes.parse().ok(), ..config() }
}

fn first() -> InjectionConfig {
    config_of(PlacementPolicy::First, "1.37")
}

/// Where the agent is in an admitted pod, and that another pass changes nothing.
fn place(pod: &Value, config: &InjectionConfig) -> String {
    let (patched, _) = admitted_by(pod, config);
    let nothing = Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() };
    match decide_by(&patched, config) {
        Decision::Inject { patch, .. } => assert_eq!(patch, PodPatch::default(), "a second pass"),
        other => panic!("the second pass: {other:?}, not {nothing:?}"),
    }
    let at = |list: &str| {
        let all = patched["spec"][list].as_array().cloned().unwrap_or_default();
        all.iter().position(|it| it["name"] == "enclii-agent").map(|at| format!("{list}[{at}]"))
    };
    let found: Vec<_> = ["containers", "initContainers"].into_iter().filter_map(at).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

const NATIVE: &str = "initContainers[0]";
const FIRST: &str = "containers[0]";

#[test]
fn the_operator_chooses_and_the_pod_within_that() {
    use PlacementPolicy::{Either, First, Native};
    for (policy, asked, expected) in [
        (Native, None, NATIVE),
        (Native, Some("native"), NATIVE),
        (First, None, FIRST),
        (First, Some("native"), NATIVE),
        (First, Some("first"), FIRST),
        (Either, None, NATIVE),
        (Either, Some("native"), NATIVE),
        (Either, Some("first"), FIRST),
    ] {
        let asks = asked.map(|asked| ("placement", asked));
        let pod = annotate(one(json!({})), asks.as_slice());
        assert_eq!(place(&pod, &config_of(policy, "1.37")), expected, "{policy} {asked:?}");
    }
    assert_eq!(
        refused_by(&annotate(one(json!({})), &[("placement", "first")]), &config()),
        "annotation enclii.io/placement: first is not allowed by the operator (agentPlacement in \
         the webhook's configuration): remove the annotation"
    );
}

#[test]
fn never_first_where_the_pod_ends_or_something_runs_before_it() {
    let plain = || one(json!({}));
    let init = |name: &str| json!({ "initContainers": [{ "name": name, "image": "x" }] });
    let mut of_job = plain();
    of_job["metadata"]["ownerReferences"] = json!([{ "kind": "Job", "name": "migrate" }]);
    let mut of_set = plain();
    of_set["metadata"]["ownerReferences"] = json!([{ "kind": "ReplicaSet", "name": "api" }]);
    let ends = "the pod ends with its application, and would not complete beside the agent";
    let runs = "init container migrate gets the secrets, and would run before the agent";
    let restarts = "the agent restarts all containers, which needs a native sidecar";
    for (pod, reason) in [
        (plain(), ""),
        (of_set, ""),
        (with_spec(plain(), json!({ "restartPolicy": "Always" })), ""),
        (with_spec(plain(), json!({ "restartPolicy": "Never" })), ends),
        (with_spec(plain(), json!({ "restartPolicy": "OnFailure" })), ends),
        (of_job, ends),
        (with_spec(plain(), init("migrate")), runs),
        // A mesh's gets none, nor one that is not named.
        (with_spec(plain(), init("istio-init")), ""),
        (annotate(with_spec(plain(), init("migrate")), &[("containers", "api")]), ""),
        (annotate(plain(), &[("reload", "restart")]), restarts),
        (annotate(plain(), &[("reload", "restart"), ("deliver", "exec")]), "-"),
    ] {
        let has_command = |mut pod: Value| {
            pod["spec"]["containers"][0]["command"] = json!(["app"]);
            pod
        };
        let pod = if reason == "-" { has_command(pod) } else { pod };
        let expected = if matches!(reason, "" | "-") { FIRST } else { NATIVE };
        assert_eq!(place(&pod, &first()), expected, "{reason}");
        // Who asks by name learns why.
        let asks = annotate(pod, &[("placement", "first")]);
        let (_, warnings) = admitted_by(&asks, &first());
        let said = warnings.iter().any(|it| it.contains("the agent is a native sidecar, because"));
        assert_eq!(said, expected == NATIVE, "{warnings:?}");
        assert!(expected == FIRST || warnings.iter().any(|it| it.contains(reason)), "{warnings:?}");
    }
}

#[test]
fn below_native_sidecars_the_agent_is_first_or_the_pod_is_refused_with_the_reason() {
    let old = |policy| config_of(policy, "1.28");
    let job = || with_spec(one(json!({})), json!({ "restartPolicy": "Never" }));
    assert_eq!(place(&one(json!({})), &old(PlacementPolicy::First)), FIRST);
    assert_eq!(
        refused_by(&one(json!({})), &old(PlacementPolicy::Native)),
        "the agent is a native sidecar, which needs Kubernetes 1.29, and the cluster has 1.28: ask \
         the operator for agentPlacement: first, or use enclii.io/deliver: init"
    );
    assert_eq!(
        refused_by(&job(), &old(PlacementPolicy::First)),
        "the agent cannot be the first container: the pod ends with its application, and would not \
         complete beside the agent; and a native sidecar needs Kubernetes 1.29, and the cluster \
         has 1.28: use enclii.io/deliver: init"
    );
    // No sidecar stays, so the pod completes on every version.
    for policy in PlacementPolicy::ALL {
        let once = annotate(job(), &[("deliver", "init")]);
        assert_eq!(place(&once, &old(policy)), NATIVE);
    }
    assert_eq!(place(&one(json!({})), &config_of(PlacementPolicy::Native, "1.29")), NATIVE);
}

#[test]
fn first_has_the_same_agent_without_a_restart_policy() {
    let pod = one(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] }));
    let (native, _) = admitted_by(&pod, &config());
    let (placed, _) = admitted_by(&pod, &first());
    let mut expected = native["spec"]["initContainers"][0].clone();
    expected.as_object_mut().unwrap().remove("restartPolicy");
    assert_eq!(placed["spec"]["containers"][0], expected);
    assert_eq!(expected["lifecycle"]["postStart"]["exec"]["command"][1], "wait");
    assert_eq!(placed["spec"]["containers"][1], native["spec"]["containers"][0]);
    assert_eq!(placed["spec"].get("initContainers"), None);

    // Without a name, `kubectl logs` and `kubectl exec` still mean the application.
    let default = "kubectl.kubernetes.io/default-container";
    let annotations = |pod: &Value| pod["metadata"]["annotations"].clone();
    assert_eq!(annotations(&placed)[default], "api");
    assert_eq!(annotations(&native)[default], Value::Null);
    let mut named = pod;
    named["metadata"]["annotations"][default] = json!("other");
    assert_eq!(annotations(&admitted_by(&named, &first()).0)[default], "other");
}

#[test]
fn an_agent_that_is_elsewhere_is_moved() {
    let pod = one(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] }));
    let (native, _) = admitted_by(&pod, &config());
    let (placed, _) = admitted_by(&pod, &first());
    // The operator has changed the setting between two passes.
    assert_eq!(place(&native, &first()), FIRST);
    assert_eq!(place(&placed, &config()), NATIVE);
    assert_eq!(
        admitted_by(&native, &first()).0["spec"]["containers"],
        placed["spec"]["containers"]
    );
    // Another webhook has put an init container there that gets the secrets.
    let init = json!([{ "name": "migrate", "image": "x" }]);
    assert_eq!(
        place(&with_spec(placed.clone(), json!({ "initContainers": init })), &first()),
        NATIVE
    );

    // A container before the agent that reads secrets comes behind it; another one stays.
    for (name, config, expected) in [
        ("proxy", &config(), NATIVE),
        ("istio-proxy", &config(), "initContainers[1]"),
        ("proxy", &first(), FIRST),
        ("istio-proxy", &first(), "containers[1]"),
    ] {
        let base = if config.placement == PlacementPolicy::First { &placed } else { &native };
        let list = expected.split('[').next().unwrap();
        let mut later = base.clone();
        let containers = later["spec"][list].as_array_mut().unwrap();
        containers.insert(0, json!({ "name": name, "image": "x" }));
        assert_eq!(place(&later, config), expected, "{name}");
    }
}

#[test]
fn what_runs_in_an_agent_among_the_containers_is_put_back() {
    let pod = one(json!({ "securityContext": { "runAsUser": 1000 } }));
    let (canonical, _) = admitted_by(&pod, &first());
    let changes: [Change; 6] = [
        |agent| agent["image"] = json!("evil"),
        |agent| agent["command"] = json!(["sh"]),
        |agent| agent["restartPolicy"] = json!("Never"),
        |agent| agent["lifecycle"] = json!(null),
        |agent| agent["securityContext"]["privileged"] = json!(true),
        |agent| agent["env"] = json!([]),
    ];
    for change in changes {
        let mut changed = canonical.clone();
        change(&mut changed["spec"]["containers"][0]);
        assert_ne!(changed, canonical);
        assert_eq!(admitted_by(&changed, &first()).0, canonical);
    }
}

#[test]
fn a_status_says_what_was_done_and_nobody_else_writes_it() {
    let status = |pod: &Value, config: &InjectionConfig| {
        let (patched, warnings) = admitted_by(pod, config);
        assert_eq!(warnings, [""; 0]);
        let text =
            patched["metadata"]["annotations"]["enclii.io/status"].as_str().unwrap().to_owned();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let version = env!("CARGO_PKG_VERSION");
    let plain = one(json!({}));
    let once = annotate(plain.clone(), &[("deliver", "init")]);
    for (pod, config, agent) in
        [(&plain, &config(), "native"), (&plain, &first(), "first"), (&once, &first(), "init")]
    {
        let expected = json!({ "agent": agent, "configuration": "default", "version": version });
        assert_eq!(status(pod, config), expected);
        let forged = annotate(pod.clone(), &[("status", "{\"agent\":\"native\",\"evil\":1}")]);
        assert_eq!(status(&forged, config), expected);
    }
    let file = |size: &str| {
        let file: injection::OperatorFile =
            serde_json::from_value(json!({ "volumeSize": size })).unwrap();
        status(&plain, &file.configure(config()).unwrap())["configuration"].clone()
    };
    assert!(file("8Mi") == file("8Mi") && file("8Mi") != file("9Mi") && file("8Mi") != "default");
}
