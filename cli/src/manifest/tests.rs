use proptest::prelude::*;
use serde_json::json;

use super::*;

fn values(text: &str) -> Vec<Value> {
    let manifest = parse(text);
    assert!(manifest.mistakes.is_empty(), "{text}: {:?}", manifest.mistakes);
    manifest.documents.into_iter().map(|it| it.value).collect()
}

fn pointers(value: Value) -> Vec<String> {
    templates(&value).into_iter().map(|it| it.pointer).collect()
}

#[test]
fn yaml_is_what_kubectl_makes_of_it() {
    for (text, value) in [
        ("defaultMode: 0400", json!({ "defaultMode": 256 })),
        ("a: yes\nb: \"yes\"\nc: off", json!({ "a": true, "b": "yes", "c": false })),
        ("a: 1\na: 2", json!({ "a": 2 })),
        ("8080: x\ntrue: z", json!({ "8080": "x", "true": "z" })),
        ("a: !!str 8080", json!({ "a": "8080" })),
        (
            "a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}",
            json!({
                "a": { "k": 1 }, "b": { "k": 1 }, "c": { "k": 1, "l": 2 },
            }),
        ),
        // In go-yaml v2 a merge that comes later overwrites.
        ("a: {k: 1, <<: {k: 2}}", json!({ "a": { "k": 2 } })),
        ("a: {<<: [{k: 1}, {k: 2, l: 3}]}", json!({ "a": { "k": 1, "l": 3 } })),
        ("# x\na: # y\n  # z\n  b: 1 # c\n# d\n", json!({ "a": { "b": 1 } })),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", json!({ "a": "x\ny\n", "b": "x y" })),
    ] {
        assert_eq!(values(text), [value], "{text}");
    }
}

#[test]
fn lists_and_arrays_are_documents_with_their_own_lines() {
    for text in [
        "kind: List\nitems:\n- kind: A\n- kind: B\n",
        "kind: DeploymentList\nitems:\n- kind: A\n- kind: B\n",
        "# x\n\n- kind: A\n- kind: B\n",
        "{\"kind\": \"List\",\n \"items\":[\n{\"kind\": \"A\"},\n{\"kind\": \"B\"}]}",
        "\n\n[{\"kind\": \"A\"},\n{\"kind\": \"B\"}]",
    ] {
        let manifest = parse(text);
        let titles: Vec<_> = manifest.documents.iter().map(ToString::to_string).collect();
        assert_eq!(titles, ["A (line 3)", "B (line 4)"], "{text}");
    }
    assert_eq!(values("{\"kind\":\"A\"}\n{\"kind\":\"B\"}").len(), 2);
    assert_eq!(values("---\n---\nkind: A\n---\n").len(), 1);
    assert_eq!(values("").len(), 0);
}

#[test]
fn a_mistake_hides_no_other_document_and_quotes_nothing() {
    let manifest = parse("kind: A\n---\na: [hunter2\n---\nkind: C\n");
    let kinds: Vec<_> = manifest.documents.iter().map(KubernetesObject::title).collect();
    assert_eq!(kinds, ["A", "C"]);
    assert_eq!(manifest.mistakes.len(), 1);
    for text in [
        "a: [hunter2",
        "a: hunter2: hunter2",
        "{\"a\": hunter2",
        "a: *hunter2",
        "a: .inf",
        "a: &a [*a]",
        "? [a]\n: b",
        "<<: hunter2",
        "a: !!binary hunter2",
    ] {
        let mistakes = parse(text).mistakes;
        assert_eq!(mistakes.len(), 1, "{text}");
        assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
    }
    let deep = "[".repeat(5000);
    assert_eq!(parse(&deep).mistakes.len(), 1);
}

#[test]
fn aliases_are_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
    }
    assert!(parse(&bomb).mistakes[0].starts_with("too many nodes"));
    let chain = (1..400).map(|it| format!("b{it}: &b{it} [*b{}]\n", it - 1)).collect::<String>();
    let mistakes = parse(&format!("b0: &b0 []\n{chain}")).mistakes;
    assert!(mistakes[0].starts_with("nested too deeply"));
}

#[test]
fn every_node_has_its_line() {
    let manifest = parse(
        "kind: Pod\nspec:\n  containers:\n  - name: a\n    env:\n    - name: X\n      value: y\n",
    );
    let document = &manifest.documents[0];
    assert_eq!(document.line("/spec/containers/0/env/0/value"), 7);
    assert_eq!(document.line("/spec/containers/0/env/0/valueFrom"), 6);
    assert_eq!(document.line("/nothing"), 1);
}

#[test]
fn duplicate_keys_are_known() {
    let manifest = parse("kind: Pod\nspec: {}\nspec:\n  a: 1\n  a: 2\n");
    assert_eq!(manifest.documents[0].duplicates, [(5, "a".to_owned()), (3, "spec".to_owned())]);
}

#[test]
fn pods_are_found_in_every_kind() {
    let template = json!({ "spec": { "containers": [] } });
    for (kind, spec, expected) in [
        ("Deployment", json!({ "template": template }), &["/spec/template"][..]),
        ("DeploymentConfig", json!({ "template": template }), &["/spec/template"]),
        ("Rollout", json!({ "template": template }), &["/spec/template"]),
        ("CloneSet", json!({ "template": template }), &["/spec/template"]),
        ("Service", json!({ "template": template }), &["/spec/template"]),
        (
            "CronJob",
            json!({ "jobTemplate": { "spec": { "template": template } } }),
            &["/spec/jobTemplate/spec/template"],
        ),
        (
            "TFJob",
            json!({ "PS": { "template": template }, "W": { "template": template } }),
            &["/spec/PS/template", "/spec/W/template"],
        ),
        ("Service", json!({ "ports": [] }), &[]),
        ("Rollout", json!({ "workloadRef": { "kind": "Deployment" } }), &[]),
    ] {
        assert_eq!(pointers(json!({ "kind": kind, "spec": spec })), expected, "{kind}");
    }
    assert_eq!(pointers(json!({ "kind": "PodTemplate", "template": template })), ["/template"]);
    assert_eq!(pointers(json!({ "kind": "Pod", "spec": {} })), [""]);
    assert_eq!(pointers(json!({ "kind": "Pod" })), [""; 0]);
    let own = templates(&json!({ "kind": "SidecarSet", "spec": { "containers": [] } }));
    assert_eq!(own, [Template { pointer: String::new(), makes_pods: false }]);
}

#[test]
fn a_string_of_another_type_is_found() {
    for (pod, expected) in [
        (
            json!({ "spec": { "containers": [{ "env": [{ "name": "A", "value": 8080 }] }] } }),
            Some(("/spec/containers/0/env/0/value", "a number")),
        ),
        (
            json!({ "spec": { "initContainers": [{ "args": ["a", true] }] } }),
            Some(("/spec/initContainers/0/args/1", "a boolean")),
        ),
        (
            json!({ "metadata": { "annotations": { "a/b": 1 } } }),
            Some(("/metadata/annotations/a~1b", "a number")),
        ),
        (json!({ "spec": { "containers": [{ "env": [{ "name": "A", "value": null }] }] } }), None),
    ] {
        let found = wrong_type(&pod);
        assert_eq!(found.as_ref().map(|(at, what)| (&**at, *what)), expected, "{pod}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "[0-9_.:eExob+-]{1,8}",
        "[a-z\n ]{0,20}",
        prop::sample::select(vec![
            "yes",
            "no",
            "on",
            "y",
            "~",
            "null",
            "0400",
            "0o400",
            "1_000",
            "0x1F",
            "1:30",
            "<<",
            "2001-01-01",
            "12e03",
            ".5",
            "=",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#",
            "|",
            "\n",
            " a",
            "a\n",
            "a\n\n",
            "\ta",
            "a\n b\n",
            "key:",
            "{",
            "*a",
            "&a",
            "!x",
            "'",
            "\"",
            "%a",
            "@a",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_000_000_i64..1_000_000_000).prop_map(|it| json!(it as f64 / 8.0 + 0.0625)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(value in any_value()) {
        let document = json!({ "kind": "X", "value": value });
        for is_json in [false, true] {
            let text = print(&[document.clone(), json!({ "kind": "Y" })], is_json).unwrap();
            let manifest = parse(&text);
            prop_assert!(manifest.mistakes.is_empty(), "{}", text);
            let read: Vec<_> = manifest.documents.into_iter().map(|it| it.value).collect();
            prop_assert_eq!(&read, &[document.clone(), json!({ "kind": "Y" })], "{}", text);
            // And by a reader of YAML 1.2.
            if !is_json {
                let other: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
                prop_assert_eq!(&other, &read, "{}", text);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9:&*<{}\\[\\]\"'|>#!? \n-]{0,60}") {
        let _ = parse(&text);
    }
}
