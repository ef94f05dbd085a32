//! A pod's annotations, one in each line with `:` after the key: all of `enclii.io/…`.

#![no_main]

use contract::Annotations;
use enclii_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bounded(|| {
        // A zero byte ends an annotation, so that a value may have several lines.
        let pairs = text.split('\0').filter_map(|pair| pair.split_once(':'));
        let parsed = Annotations::parse(pairs.map(|(key, value)| (key.trim(), value)));
        if let Err(errors) = parsed {
            assert!(!errors.to_string().is_empty(), "a refusal has a reason");
        }
    });
});
