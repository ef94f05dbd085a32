//! Files that the agent renders: `enclii.io/template-FILE` and `enclii.io/format-FILE`.

use serde_json::{Value, json};

use crate::support::{admitted, annotate, one, refused, with_spec};

fn agent_config(pod: &Value) -> Value {
    let text = pod["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    serde_json::from_str(&text.replace("$$", "$")).unwrap()
}

#[test]
fn the_agent_gets_templates_and_formats_and_it_alone_their_config_maps() {
    let pod = annotate(
        one(json!({})),
        &[
            ("template-db.ini", "url={{ DATABASE_URL }} $(HOME)\n"),
            ("template-web.conf", "configmap=web/nginx.conf"),
            ("template-b.conf", "configmap=web/b"),
            ("format-app.env", "dotenv"),
        ],
    );
    let (patched, warnings) = admitted(&pod);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(
        agent_config(&patched)["files"]["rendered"],
        json!([
            { "file": "app.env", "format": "dotenv" },
            { "file": "b.conf", "template_file": "/run/enclii/templates/b.conf" },
            { "file": "db.ini", "template": "url={{ DATABASE_URL }} $(HOME)\n" },
            { "file": "web.conf", "template_file": "/run/enclii/templates/web.conf" },
        ])
    );
    assert_eq!(
        patched["spec"]["volumes"][2],
        json!({ "name": "enclii-templates", "projected": { "defaultMode": 420, "sources": [
            { "configMap": { "name": "web", "items": [
                { "key": "b", "path": "b.conf" },
                { "key": "nginx.conf", "path": "web.conf" },
            ] } },
        ] } })
    );
    let mounts = |container: &Value| container["volumeMounts"].to_string();
    assert!(mounts(&patched["spec"]["initContainers"][0]).contains("/run/enclii/templates"));
    assert!(!mounts(&patched["spec"]["containers"][0]).contains("enclii-templates"));
    assert_eq!(admitted(&patched).0, patched);
}

#[test]
fn names_that_are_taken_are_refused() {
    let pod = annotate(one(json!({})), &[("format-DATABASE_URL", "json")]);
    assert!(refused(&pod).contains("bundle api-prod has a key of that name"));
    let mounts = json!([{ "name": "v", "mountPath": "/run/secrets/app.env" }]);
    let pod = annotate(one(json!({ "volumeMounts": mounts })), &[("format-app.env", "json")]);
    assert!(refused(&pod).contains("a secret of the pod's bundles is a file of that name"));
    let mounts = json!([{ "name": "enclii-templates", "mountPath": "/t" }]);
    let pod = annotate(one(json!({ "volumeMounts": mounts })), &[("template-a", "configmap=a/b")]);
    assert!(refused(&pod).contains("mounts the volume enclii-templates"));
    let volumes = json!({ "volumes": [{ "name": "enclii-templates", "emptyDir": {} }] });
    let pod = annotate(one(json!({})), &[("template-a", "configmap=a/b")]);
    assert!(refused(&with_spec(pod, volumes)).contains("is named enclii-templates"));
}

/// Kubelet reads variables for the application. Nobody reads a rendered file for it.
#[test]
fn a_rendered_file_is_mounted_where_every_secret_is_a_variable() {
    for (deliver, rendered, is_mounted, mode) in [
        ("env", None, false, "0400"),
        ("env", Some(("format-app.env", "dotenv")), true, "0444"),
        ("env,init", Some(("template-db.ini", "x")), true, "0444"),
    ] {
        let asked: Vec<_> = rendered.into_iter().chain([("deliver", deliver)]).collect();
        let (patched, warnings) = admitted(&annotate(one(json!({})), &asked));
        assert!(warnings.is_empty(), "{warnings:?}");
        let mounts = patched["spec"]["containers"][0]["volumeMounts"].to_string();
        assert_eq!(mounts.contains("\"/run/secrets\""), is_mounted, "{asked:?}: {mounts}");
        assert_eq!(agent_config(&patched)["files"]["mode"], mode, "{asked:?}");
    }
}

#[test]
fn a_template_that_cannot_be_rendered_is_refused_with_its_line_and_cause() {
    for (text, expected) in [
        ("a\n{{ DATABASE_URL | jsn }}", "line 2: there is no filter jsn"),
        ("{{ DATABASE_URL", "line 1: syntax error"),
        ("{% include \"/etc/passwd\" %}", "line 1: syntax error: unknown statement include"),
        (
            "\n{{ DATABASE_ULR }}",
            "line 2: DATABASE_ULR is no key of the pod's bundles: write it with `enclii secrets \
             set DATABASE_ULR=- --service api --env prod --project shop`, or have the template do \
             without it ({% if DATABASE_ULR is defined %})",
        ),
        ("{{ secrets[\"tls.key\"] }}", "line 1: tls.key is no key of the pod's bundles"),
    ] {
        let message = refused(&annotate(one(json!({})), &[("template-db.ini", text)]));
        let expected = format!("annotation enclii.io/template-db.ini: {expected}");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn a_template_may_do_without_a_secret_and_use_one_that_the_author_lists() {
    let text = "{{ DATABASE_URL }}{% if HOST is defined %}{{ HOST }}{% endif %}{{ PORT | d(1) }}\
                {{ LATER }}{% for n in [\"A\"] %}{{ secrets[n] }}{% endfor %}";
    let pod = annotate(one(json!({})), &[("template-db.ini", text), ("env", "LATER")]);
    let (patched, _) = admitted(&pod);
    assert_eq!(agent_config(&patched)["files"]["rendered"][0]["template"], text);
}
