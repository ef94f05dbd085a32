//! The canonical encoding that a record's hash covers. It is injective: different records have
//! different bytes.
//!
//! A version prefix comes first, then every field in a fixed order. Integers are big-endian. A
//! string is its length in bytes (8 bytes, big-endian) followed by its UTF-8. An optional field
//! starts with a byte 0 (absent) or 1 (present).

use crate::{Pod, Record};

/// Domain separation and format version.
const PREFIX: &[u8] = b"enclii audit record\x01";

/// The canonical bytes of a record: every field except `hash`.
#[must_use]
pub fn canonicalize(record: &Record) -> Vec<u8> {
    let Record {
        sequence,
        at,
        actor_type,
        actor_id,
        action,
        resource_type,
        resource_id,
        scope,
        version,
        outcome,
        address,
        user_agent,
        trace_id,
        pod,
        details,
        hash: _,
    } = record;
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(PREFIX);
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&at.as_nanosecond().to_be_bytes());
    for text in [actor_type, actor_id, action, resource_type, resource_id, outcome] {
        put(&mut bytes, text);
    }
    for text in [scope, address, user_agent, trace_id, details] {
        put_optional(&mut bytes, text.as_ref(), |bytes, text| put(bytes, text));
    }
    put_optional(&mut bytes, version.as_ref(), |bytes, version| {
        bytes.extend_from_slice(&version.to_be_bytes())
    });
    put_optional(
        &mut bytes,
        pod.as_ref(),
        |bytes, Pod { namespace, service_account, name, uid }| {
            for text in [namespace, service_account, name, uid] {
                put(bytes, text);
            }
        },
    );
    bytes
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    // `usize` is at most 64 bits on every supported platform.
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_optional<T>(bytes: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(bytes, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    #[test]
    fn moving_bytes_between_fields_changes_the_encoding() {
        let one = Record {
            resource_type: "secret".to_owned(),
            resource_id: "A".to_owned(),
            ..fixture::record(1)
        };
        let other = Record {
            resource_type: "secretA".to_owned(),
            resource_id: String::new(),
            ..one.clone()
        };
        assert_ne!(canonicalize(&one), canonicalize(&other));
        let absent = Record { scope: None, ..one.clone() };
        let empty = Record { scope: Some(String::new()), ..one };
        assert_ne!(canonicalize(&absent), canonicalize(&empty));
    }

    proptest! {
        #[test]
        fn the_encoding_is_injective(one in fixture::anything(), other in fixture::anything()) {
            let other = Record { hash: one.hash, ..other };
            prop_assert_eq!(canonicalize(&one) == canonicalize(&other), one == other);
        }

        #[test]
        fn every_field_is_encoded(record in fixture::anything(), field in 0..fixture::CHANGES) {
            let changed = fixture::change(&record, field);
            prop_assert_ne!(canonicalize(&record), canonicalize(&changed));
        }
    }
}
