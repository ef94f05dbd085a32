//! The value of one variable under a name that hints and one that does not: the rules that find
//! credentials, on the shapes that strangers choose.

#![no_main]

use enclii_fuzz::bounded;
use injection::{Pod, ScanLimits, findings};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|value: &str| {
    let containers = json!([{
        "name": "api",
        "env": [{ "name": "DB_PASSWORD", "value": value }, { "name": "SETTING", "value": value }],
        "command": ["app", value],
        "args": ["--token", value],
    }]);
    let pod = json!({
        "metadata": { "annotations": { "example.com/setting": value } },
        "spec": { "containers": containers },
    });
    let text = pod.to_string();
    bounded(|| {
        let Ok(pod) = Pod::parse(&text) else { return };
        for finding in findings(&pod, ScanLimits::ADMISSION).list {
            // A place has names and numbers. A value that is one of these words says nothing.
            let place = format!("{finding} {}", finding.rule.id);
            assert!(value.len() < 24 || !place.contains(value), "a value is in {place}");
        }
    });
});
