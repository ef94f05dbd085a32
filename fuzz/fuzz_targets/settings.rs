//! Configuration that is written as JSON: the operator's file, the agent's, and that of a command's
//! parent. A pod's author can write the last two before the webhook sees the pod.

#![no_main]

use contract::{AgentConfig, ExecConfig};
use enclii_fuzz::{bounded, configurations};
use injection::OperatorFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bounded(|| {
        if let Ok(config) = AgentConfig::from_json(text) {
            let written = config.to_json().expect("a configuration is written");
            assert_eq!(AgentConfig::from_json(&written).ok(), Some(config));
        }
        if let Ok(config) = ExecConfig::from_json(text) {
            let written = config.to_json().expect("a configuration is written");
            assert_eq!(ExecConfig::from_json(&written).ok(), Some(config));
        }
        if let Ok(file) = serde_json::from_str::<OperatorFile>(text) {
            let [config, ..] = configurations();
            let _ = file.configure(config);
        }
    });
});
