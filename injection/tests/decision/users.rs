//! The agent's user and SELinux level, and file systems that cannot be written to.

use injection::{AgentUser, Decision, InjectionConfig, PodPatch};
use serde_json::{Value, json};

use crate::support::{
    Change, admitted, admitted_by, annotate, config, decide_by, one, pod, refused, with_spec,
};

fn assigned() -> InjectionConfig {
    InjectionConfig { agent_user: AgentUser::Namespace, ..config() }
}

fn context(pod: &Value) -> Value {
    pod["spec"]["initContainers"][0]["securityContext"].clone()
}

#[test]
fn no_user_is_fixed_where_the_namespace_assigns_one() {
    let user = |uid: Value| one(json!({ "securityContext": { "runAsUser": uid } }));
    for (pod, fixed, namespace) in [
        (one(json!({})), json!(65532), Value::Null),
        // The application's own, as before.
        (user(json!(1000)), json!(1000), json!(1000)),
        (user(json!(0)), json!(0), json!(0)),
        (
            with_spec(one(json!({})), json!({ "securityContext": { "runAsUser": 7 } })),
            json!(7),
            json!(7),
        ),
    ] {
        assert_eq!(context(&admitted(&pod).0)["runAsUser"], fixed);
        let found = context(&admitted_by(&pod, &assigned()).0);
        assert_eq!(found["runAsUser"], namespace);
        assert_eq!(found["runAsNonRoot"], json!(namespace != 0));
    }
    // Everybody may read files whose owner is not known to be the application's.
    let (patched, _) = admitted_by(&one(json!({})), &assigned());
    let agent = &patched["spec"]["initContainers"][0];
    assert!(agent["env"][0]["value"].as_str().unwrap().contains(r#""mode":"0444""#));
}

#[test]
fn a_signal_needs_no_user_where_the_namespace_gives_both_the_same() {
    let signal = annotate(one(json!({})), &[("reload", "signal=SIGHUP")]);
    assert!(refused(&signal).contains("runAsUser is not set"));
    assert_eq!(context(&admitted_by(&signal, &assigned()).0).get("runAsUser"), None);
}

/// OpenShift's admission sets the user after the first pass, and checks it after the last.
#[test]
fn a_second_pass_leaves_what_the_namespace_assigned() {
    let (first, _) = admitted_by(&one(json!({})), &assigned());
    let changes: [(Change, bool); 7] = [
        (|context| context["runAsUser"] = json!(1_000_680_000), true),
        (|context| context["seLinuxOptions"] = json!({ "level": "s0:c26,c5" }), true),
        (|context| context["privileged"] = json!(false), true),
        (|context| context["runAsUser"] = json!(0), false),
        (|context| context["privileged"] = json!(true), false),
        (|context| context["seLinuxOptions"] = json!({ "type": "spc_t" }), false),
        (|context| context["runAsNonRoot"] = json!(false), false),
    ];
    for (change, stays) in changes {
        let mut changed = first.clone();
        change(&mut changed["spec"]["initContainers"][0]["securityContext"]);
        let (again, _) = admitted_by(&changed, &assigned());
        assert_eq!(again, if stays { changed } else { first.clone() });
        let nothing = Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() };
        assert_eq!(decide_by(&again, &assigned()), nothing);
    }
    // A user that is fixed stays the one that it is.
    let (first, _) = admitted(&one(json!({})));
    let mut changed = first.clone();
    changed["spec"]["initContainers"][0]["securityContext"]["runAsUser"] = json!(7);
    assert_eq!(admitted(&changed).0, first);
}

#[test]
fn the_agent_has_the_selinux_level_of_the_application() {
    let level = |level: &str| json!({ "seLinuxOptions": { "level": level, "type": "spc_t" } });
    let of = |contexts: [Value; 2]| {
        let [first, second] = contexts;
        pod(json!([
            { "name": "a", "securityContext": first },
            { "name": "b", "securityContext": second },
        ]))
    };
    let (patched, warnings) = admitted(&of([level("s0:c1,c2"), level("s0:c1,c2")]));
    // The level alone: a type may give more rights.
    assert_eq!(context(&patched)["seLinuxOptions"], json!({ "level": "s0:c1,c2" }));
    assert_eq!(warnings, [""; 0]);
    let (patched, warnings) = admitted(&of([level("s0:c1,c2"), json!({})]));
    assert_eq!(context(&patched).get("seLinuxOptions"), None);
    assert!(warnings[0].contains("different SELinux levels"), "{warnings:?}");
    // A level of the pod is the agent's without a word.
    let of_pod = with_spec(one(json!({})), json!({ "securityContext": level("s0:c1,c2") }));
    let (patched, warnings) = admitted(&of_pod);
    assert_eq!((context(&patched).get("seLinuxOptions"), warnings), (None, Vec::new()));
}

#[test]
fn a_user_namespace_and_a_read_only_root_change_nothing() {
    let plain = one(json!({ "securityContext": { "readOnlyRootFilesystem": true } }));
    let (before, _) = admitted(&plain);
    let (after, warnings) = admitted(&with_spec(plain, json!({ "hostUsers": false })));
    assert_eq!(after["spec"]["hostUsers"], false);
    assert_eq!(after["spec"]["initContainers"], before["spec"]["initContainers"]);
    assert_eq!(after["spec"]["containers"], before["spec"]["containers"]);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_volume_at_run_must_hold_the_secrets_directory() {
    let at_run = |volume: Value, read_only: bool| {
        let mount = json!({ "name": "v", "mountPath": "/run", "readOnly": read_only });
        let mut volume = volume;
        volume["name"] = json!("v");
        with_spec(one(json!({ "volumeMounts": [mount] })), json!({ "volumes": [volume] }))
    };
    let at = "spec.containers[0].volumeMounts[0] in container api: ";
    for keyed in [
        json!({ "configMap": { "name": "x" } }),
        json!({ "secret": { "secretName": "x" } }),
        json!({ "projected": { "sources": [] } }),
        json!({ "downwardAPI": {} }),
    ] {
        assert_eq!(
            refused(&at_run(keyed, false)),
            format!(
                "{at}mounts a volume at /run that cannot hold a directory secrets, where the \
                 secrets are mounted: mount it below /run, or leave the container out of \
                 enclii.io/containers"
            )
        );
    }
    for other in [json!({ "emptyDir": {} }), json!({ "hostPath": { "path": "/x" } })] {
        assert_eq!(admitted(&at_run(other.clone(), false)).1, [""; 0]);
        let warning = "mounts a read-only volume at /run, so the container does not start unless \
            that has a directory secrets";
        assert_eq!(admitted(&at_run(other, true)).1, [format!("{at}{warning}")]);
    }
}
