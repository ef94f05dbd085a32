//! The bytes that a record's hash is over: one form for each record and no other record with it.
//!
//! A version, then every field in a fixed order. Numbers are big-endian, a text is its length (8
//! bytes) and its UTF-8, what may be absent has a byte 0 or 1 before it.

use crate::{Pod, Record};

/// What these bytes are, and in which form.
const FORM: &[u8] = b"enclii audit record\x01";

/// The canonical bytes of a record, all of it but its hash.
#[must_use]
pub fn canonical(record: &Record) -> Vec<u8> {
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
    bytes.extend_from_slice(FORM);
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&at.as_nanosecond().to_be_bytes());
    for text in [actor_type, actor_id, action, resource_type, resource_id, outcome] {
        put(&mut bytes, text);
    }
    for text in [scope, address, user_agent, trace_id, details] {
        put_if_there(&mut bytes, text.as_ref(), |bytes, text| put(bytes, text));
    }
    put_if_there(&mut bytes, version.as_ref(), |bytes, version| {
        bytes.extend_from_slice(&version.to_be_bytes())
    });
    put_if_there(
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
    // A length fits into eight bytes on every machine.
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_if_there<T>(bytes: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
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
    fn a_field_that_ends_later_is_another_record() {
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
        assert_ne!(canonical(&one), canonical(&other));
        let absent = Record { scope: None, ..one.clone() };
        let empty = Record { scope: Some(String::new()), ..one };
        assert_ne!(canonical(&absent), canonical(&empty));
    }

    proptest! {
        #[test]
        fn the_same_bytes_are_the_same_record(one in fixture::anything(), other in fixture::anything()) {
            let other = Record { hash: one.hash, ..other };
            prop_assert_eq!(canonical(&one) == canonical(&other), one == other);
        }

        #[test]
        fn every_field_is_in_it(record in fixture::anything(), field in 0..fixture::CHANGES) {
            let changed = fixture::change(&record, field);
            prop_assert_ne!(canonical(&record), canonical(&changed));
        }
    }
}
