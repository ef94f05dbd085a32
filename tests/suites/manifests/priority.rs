//! The system's own pods come before the applications that wait for them, and after what is
//! critical for the cluster.

use serde_json::Value;

use crate::objects::{name, objects, of_kind};

/// The largest value of a class that is not Kubernetes' own.
const MAX_VALUE: i64 = 1_000_000_000;

#[test]
fn every_deployment_has_the_class_of_the_system() {
    let all = objects(&["base", "certificates"]);
    let classes: Vec<&Value> = of_kind(&all, "PriorityClass").collect();
    assert_eq!(classes.len(), 1);
    let value = classes[0]["value"].as_i64().unwrap();
    assert!(value > 0 && value <= MAX_VALUE, "{value}");
    // Whoever names no class keeps what the cluster's default gives.
    assert_eq!(classes[0].get("globalDefault"), None);
    let deployments: Vec<&Value> = of_kind(&all, "Deployment").collect();
    assert_eq!(deployments.len(), 3);
    for deployment in deployments {
        let class = &deployment["spec"]["template"]["spec"]["priorityClassName"];
        assert_eq!(class, name(classes[0]), "{}", name(deployment));
    }
}
