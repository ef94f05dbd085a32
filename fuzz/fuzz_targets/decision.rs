//! The whole decision on a pod: no panic, a bounded cost, and a second pass that changes nothing.

#![no_main]

use std::sync::LazyLock;

use enclii_fuzz::{Bundles, NAMESPACE, bounded, configurations};
use injection::{Decision, InjectionConfig, Pod, admit};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

static BUNDLES: LazyLock<Bundles> = LazyLock::new(Bundles::default);
static CONFIGURATIONS: LazyLock<[InjectionConfig; 3]> = LazyLock::new(configurations);

fuzz_target!(|text: &str| -> Corpus {
    let mut is_interesting = false;
    for config in CONFIGURATIONS.iter() {
        let decision = bounded(|| decide(text, config));
        is_interesting |=
            matches!(decision, Some(Decision::Inject { .. } | Decision::Refuse { .. }));
        if let Some(Decision::Inject { patch, .. }) = decision {
            let mut pod: Value = serde_json::from_str(text).expect("a pod is JSON");
            let patch = patch.operations().expect("the patch is one");
            json_patch::patch(&mut pod, &patch).expect("the patch applies");
            match decide(&pod.to_string(), config) {
                Some(Decision::Inject { patch, .. }) => {
                    assert!(patch.is_empty(), "the second pass changes something: {patch}");
                }
                other => panic!("the second pass: {other:?}"),
            }
        }
    }
    // What is no pod, or asks for nothing, leads to no more code.
    if is_interesting { Corpus::Keep } else { Corpus::Reject }
});

/// The decision, or `None` if the text is no pod.
fn decide(text: &str, config: &InjectionConfig) -> Option<Decision> {
    let pod = Pod::parse(text).ok()?;
    Some(admit(&pod, NAMESPACE, &*BUNDLES, config))
}
