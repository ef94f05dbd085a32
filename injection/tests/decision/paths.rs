//! Files at other paths below the secrets directory: `enclii.io/path-FILE`.

use serde_json::{Value, json};

use crate::support::{admitted, annotate, one, refused};

fn with(annotations: &[(&str, &str)]) -> Value {
    annotate(one(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] })), annotations)
}

#[test]
fn the_agent_makes_the_path_and_the_variable_names_it() {
    let pod = with(&[
        ("path-DATABASE_URL", "db/url"),
        ("path-app.env", "config/app.env"),
        ("format-app.env", "dotenv"),
    ]);
    let (patched, warnings) = admitted(&pod);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        patched["spec"]["containers"][0]["env"],
        json!([{ "name": "DATABASE_URL_FILE", "value": "/run/secrets/db/url" }])
    );
    let config = patched["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    let paths = r#""paths":{"DATABASE_URL":"db/url","app.env":"config/app.env"}"#;
    assert!(config.contains(paths), "{config}");
    assert_eq!(admitted(&patched).0, patched);
}

#[test]
fn a_path_that_is_in_the_way_of_a_file_or_a_mount_is_refused() {
    for path in ["STRIPE_API_KEY", "STRIPE_API_KEY/x", "DATABASE_URL", "app.env/x"] {
        let pod = with(&[("path-DATABASE_URL", path), ("format-app.env", "dotenv")]);
        let message = refused(&pod);
        let expected = format!("annotation enclii.io/path-DATABASE_URL: {path} begins with");
        assert!(message.contains(&expected), "{message}");
    }
    let mut pod = with(&[("path-DATABASE_URL", "azure/url")]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "v", "mountPath": "/var/run/secrets/azure/tokens" }]);
    assert!(refused(&pod).contains("an annotation enclii.io/path-… has the agent make that name"));
}

#[test]
fn a_path_of_no_file_is_a_warning() {
    let (_, warnings) = admitted(&with(&[("path-DATABASE_ULR", "db/url")]));
    assert_eq!(
        warnings,
        ["annotation enclii.io/path-DATABASE_ULR: no bundle of the pod has that key, and no \
          annotation renders that file"]
    );
}

#[test]
fn a_path_needs_the_volume_where_every_secret_is_a_variable() {
    let pod = with(&[("deliver", "env"), ("path-DATABASE_URL", "db/url")]);
    let (patched, _) = admitted(&pod);
    let mounts = patched["spec"]["containers"][0]["volumeMounts"].to_string();
    assert!(mounts.contains("\"/run/secrets\""), "{mounts}");
}
