//! Any bytes as a pod or a workload's template that nobody asked secrets for: what the plaintext
//! policy and `enclii scan` do with it.

#![no_main]

use std::sync::LazyLock;

use enclii_fuzz::{bounded, configurations};
use injection::{InjectionConfig, PlaintextMode, Pod, ScanLimits, findings, plaintext_verdict};
use libfuzzer_sys::fuzz_target;

static CONFIGURATIONS: LazyLock<[InjectionConfig; 3]> = LazyLock::new(configurations);

fuzz_target!(|text: &str| {
    bounded(|| {
        let Ok(pod) = Pod::parse(text) else { return };
        for mode in PlaintextMode::ALL {
            let _ = plaintext_verdict(&pod, "spec.template.", mode, &CONFIGURATIONS[0]);
        }
        for finding in findings(&pod, ScanLimits::OFFLINE).list {
            assert!(!finding.to_string().contains('\n'), "a place is one line");
        }
    });
});
