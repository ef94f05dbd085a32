//! Everything that is read from one word. What is read is written as it was, or as something that
//! is read the same.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use contract::{
    BundleRef, Delivery, GenerationTag, Label, ReloadRequest, Scope, SecretName, SecretRef,
};
use contract::{Credential, annotations::FileMode, metadata::Tag};
use enclii_fuzz::bounded;
use injection::KubernetesVersion;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bounded(|| {
        round_trip::<BundleRef>(text);
        round_trip::<Delivery>(text);
        round_trip::<GenerationTag>(text);
        round_trip::<Label>(text);
        round_trip::<ReloadRequest>(text);
        round_trip::<Scope>(text);
        round_trip::<SecretName>(text);
        round_trip::<SecretRef>(text);
        round_trip::<FileMode>(text);
        round_trip::<KubernetesVersion>(text);
        let _ = text.parse::<Credential>();
        let _ = text.parse::<Tag>();
    });
});

fn round_trip<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    let written = read.to_string();
    match written.parse::<T>() {
        Ok(again) => assert_eq!(read, again, "{text:?} is written as {written:?}"),
        Err(_) => panic!("{text:?} is written as {written:?}, which is refused"),
    }
}
