//! A pod's annotations, each with `:` after its key and a zero byte at its end.

#![no_main]

use contract::Annotations;
use enclii_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bounded(|| {
        // So that a value may have several lines.
        let pairs = text.split('\0').filter_map(|pair| pair.split_once(':'));
        let parsed = Annotations::parse(pairs.map(|(key, value)| (key.trim(), value)));
        if let Err(errors) = parsed {
            assert!(!errors.to_string().is_empty(), "a refusal has a reason");
        }
    });
});
