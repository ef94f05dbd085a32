use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::key::LocalKey;

struct OwnedValueId {
    scope: Scope,
    name: SecretName,
    version: Version,
}

impl OwnedValueId {
    fn new(scope: &str, name: &str, version: u64) -> Self {
        Self {
            scope: scope.parse().unwrap(),
            name: name.parse().unwrap(),
            version: Version(version),
        }
    }

    fn value_id(&self) -> ValueId<'_> {
        ValueId { scope: &self.scope, name: &self.name, version: self.version }
    }
}

fn owned_id() -> OwnedValueId {
    OwnedValueId::new("shop.prod.api", "A", 2)
}

fn key(byte: u8) -> Arc<LocalKey> {
    Arc::new(LocalKey::new(&[byte; KEY_BYTES]).unwrap())
}

fn ring(current: u8, previous: &[u8]) -> KeyRing {
    KeyRing::new(
        key(current),
        previous.iter().map(|byte| key(*byte) as Arc<dyn KeyWrapper>).collect(),
    )
}

// A local key answers at once.
fn sealed(ring: &KeyRing, owned_id: &OwnedValueId, value: &Redacted) -> (Reference, Sealed) {
    seal(ring, &[(owned_id.value_id(), value)]).now_or_never().unwrap().unwrap().remove(0)
}

fn opened(ring: &KeyRing, row: RowId<'_>, sealed: &Sealed) -> Result<Redacted, SealError> {
    open(ring, row, sealed).now_or_never().unwrap()
}

fn rewrapped(ring: &KeyRing, rows: &[(RowId<'_>, Sealed)]) -> Vec<Result<Rewrapped, SealError>> {
    rewrap(ring, rows).now_or_never().unwrap().unwrap()
}

/// Seals as the first releases did.
fn sealed_as_format_1(byte: u8, row: RowId<'_>, value: &Redacted) -> Sealed {
    let key = key(byte);
    let key_id = key.key_id().clone();
    let (data_key, value) =
        under_new_key(&layer::format_1(Layer::Value, &key_id, row), value).unwrap();
    let wrapped_key =
        key.wrap_format_1(&layer::format_1(Layer::Key, &key_id, row), data_key.expose()).unwrap();
    Sealed { format: 1, key_id, wrapped_key, value }
}

fn apply(sealed: &Sealed, rewrapped: Rewrapped) -> Sealed {
    let Rewrapped { key: WrappedKey { key_id, bytes }, value } = rewrapped;
    Sealed {
        format: FORMAT,
        key_id,
        wrapped_key: bytes,
        value: value.unwrap_or_else(|| sealed.value.clone()),
    }
}

fn is_integrity(answer: &Result<Redacted, SealError>, row: RowId<'_>) -> bool {
    matches!(answer, Err(SealError::Integrity(named)) if *named == row.to_string())
}

#[test]
fn a_value_opens_only_under_its_own_id() {
    let (ring, value) = (ring(1, &[]), Redacted::from(b"hunter2".as_slice()));
    let (reference, sealed) = sealed(&ring, &owned_id(), &value);
    assert_eq!(opened(&ring, owned_id().value_id().row(&reference), &sealed).unwrap(), value);
    for other in [
        OwnedValueId::new("shop.prod.web", "A", 2),
        OwnedValueId::new("shop.prod", "A", 2),
        OwnedValueId::new("shop.prod.api", "B", 2),
        OwnedValueId::new("shop.prod.api", "A", 1),
    ] {
        let row = other.value_id().row(&reference);
        let answer = opened(&ring, row, &sealed);
        assert!(is_integrity(&answer, row), "{row}: {answer:?}");
        assert!(!answer.unwrap_err().to_string().contains("hunter2"));
    }
}

#[test]
fn a_reference_names_one_ciphertext() {
    let (ring, value) = (ring(1, &[]), Redacted::from(b"same".as_slice()));
    let (one, first) = sealed(&ring, &owned_id(), &value);
    let (two, second) = sealed(&ring, &owned_id(), &value);
    assert!(one != two && first.value != second.value && first.wrapped_key != second.wrapped_key);
    // The parts of two seals of one id cannot be mixed.
    for (key, value, reference) in
        [(0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1)]
    {
        let (seals, references) = ([&first, &second], [&one, &two]);
        let mixed = Sealed { wrapped_key: seals[key].wrapped_key.clone(), ..seals[value].clone() };
        let owned_id = owned_id();
        let row = owned_id.value_id().row(references[reference]);
        assert!(
            is_integrity(&opened(&ring, row, &mixed), row),
            "key {key}, value {value}, reference {reference}"
        );
    }
    // Neither do the halves of two references, nor a reference without its hash.
    let (token, hash) = one.as_str().split_once('.').unwrap();
    let (other_token, other_hash) = two.as_str().split_once('.').unwrap();
    for text in [
        format!("{token}.{other_hash}"),
        format!("{other_token}.{hash}"),
        token.to_owned(),
        format!("{token}."),
        String::new(),
    ] {
        let (owned_id, reference) = (owned_id(), Reference::new(text));
        let row = owned_id.value_id().row(&reference);
        assert!(is_integrity(&opened(&ring, row, &first), row), "{reference}");
    }
}

#[test]
fn an_unknown_key_or_format_is_named() {
    let owned_id = owned_id();
    let (reference, sealed) =
        sealed(&ring(1, &[]), &owned_id, &Redacted::from(b"hunter2".as_slice()));
    let row = owned_id.value_id().row(&reference);
    let error = opened(&ring(2, &[3]), row, &sealed).unwrap_err();
    let (text, keys) = (error.to_string(), [key(2), key(3)]);
    assert!(
        matches!(error, SealError::KeyMissing { .. }) && text.contains("shop.prod.api/A version 2"),
        "{text}"
    );
    assert!(keys.iter().all(|key| text.contains(key.key_id().as_str())), "{text}");
    assert_eq!(opened(&ring(2, &[1]), row, &sealed).unwrap().expose(), b"hunter2");
    // A row that lies about its key does not open under the key that it names.
    let lying = Sealed { key_id: key(2).key_id().clone(), ..sealed.clone() };
    assert!(is_integrity(&opened(&ring(2, &[1]), row, &lying), row));
    for format in [0, 3, 255] {
        let newer = Sealed { format, ..sealed.clone() };
        assert!(matches!(
            opened(&ring(1, &[]), row, &newer),
            Err(SealError::Format { format: named, .. }) if named == format
        ));
    }
    let downgraded = Sealed { format: 1, ..sealed };
    assert!(is_integrity(&opened(&ring(1, &[]), row, &downgraded), row));
}

#[test]
fn format_1_is_read_and_rewrapped_as_format_2() {
    let (owned_id, value, reference) =
        (owned_id(), Redacted::from(b"hunter2".as_slice()), Reference::new("0123".into()));
    let row = owned_id.value_id().row(&reference);
    let first = sealed_as_format_1(1, row, &value);
    let both = ring(2, &[1]);
    assert_eq!(opened(&both, row, &first).unwrap(), value);
    let upgraded = Sealed { format: 2, ..first.clone() };
    assert!(is_integrity(&opened(&both, row, &upgraded), row));
    let second = apply(&first, rewrapped(&both, &[(row, first.clone())]).remove(0).unwrap());
    assert_ne!(second.value, first.value);
    assert_eq!(opened(&ring(2, &[]), row, &second).unwrap(), value);
    // A damaged value is not sealed again.
    let cut = Sealed { value: first.value[1..].to_vec(), ..first };
    assert!(matches!(&rewrapped(&both, &[(row, cut)])[0], Err(SealError::Integrity(_))));
}

#[test]
fn layers_cannot_be_swapped() {
    let (owned_id, value) = (owned_id(), Redacted::from([7u8; KEY_BYTES].as_slice()));
    for format in [1, 2] {
        let (mut reference, mut sealed) = sealed(&ring(1, &[]), &owned_id, &value);
        if format == 1 {
            reference = Reference::new("0123".into());
            sealed = sealed_as_format_1(1, owned_id.value_id().row(&reference), &value);
        }
        let row = owned_id.value_id().row(&reference);
        let crossed = Sealed {
            wrapped_key: sealed.value.clone(),
            value: sealed.wrapped_key.clone(),
            ..sealed
        };
        assert!(is_integrity(&opened(&ring(1, &[]), row, &crossed), row));
    }
}

#[test]
fn each_row_is_rewrapped_independently_and_keeps_its_value() {
    let (owned_id, rings) = (owned_id(), [ring(1, &[]), ring(2, &[1]), ring(3, &[2, 1])]);
    let value = |text: &str| Redacted::from(text.as_bytes());
    let (a, sealed_a) = sealed(&rings[0], &owned_id, &value("a"));
    let (b, sealed_b) = sealed(&rings[1], &owned_id, &value("b"));
    let (c, sealed_c) = sealed(&rings[0], &owned_id, &value("c"));
    let (d, sealed_d) = sealed(&ring(9, &[]), &owned_id, &value("d"));
    let row = |reference| owned_id.value_id().row(reference);
    let damaged = Sealed { wrapped_key: sealed_c.wrapped_key[1..].to_vec(), ..sealed_c };
    let unknown = Sealed { format: 7, ..sealed_a.clone() };
    let valueless = Sealed { value: Vec::new(), ..sealed_b.clone() };
    let rows = [
        (row(&a), sealed_a.clone()),
        (row(&c), damaged),
        (row(&d), sealed_d),
        (row(&a), unknown),
        (row(&b), valueless),
    ];
    let mut answers = rewrapped(&rings[2], &rows);
    let new_b = apply(&sealed_b, answers.pop().unwrap().unwrap());
    assert!(matches!(answers.pop().unwrap(), Err(SealError::Format { .. })));
    assert!(matches!(answers.pop().unwrap(), Err(SealError::KeyMissing { .. })));
    assert!(matches!(
        answers.pop().unwrap(),
        Err(SealError::Integrity(named)) if named == row(&c).to_string()
    ));
    let new_a = apply(&sealed_a, answers.pop().unwrap().unwrap());
    for (reference, old, new, text) in [(&a, &sealed_a, &new_a, "a"), (&b, &sealed_b, &new_b, "b")]
    {
        assert_eq!(old.value, new.value, "the value was touched");
        assert_eq!(opened(&ring(3, &[]), row(reference), new).unwrap(), value(text));
        assert!(matches!(
            opened(&ring(3, &[]), row(reference), old),
            Err(SealError::KeyMissing { .. })
        ));
    }
}

proptest! {
    #[test]
    fn values_round_trip(value: Vec<u8>) {
        let (owned_id, value) = (owned_id(), Redacted::new(value));
        let (reference, sealed) = sealed(&ring(1, &[]), &owned_id, &value);
        let row = owned_id.value_id().row(&reference);
        prop_assert_eq!(&opened(&ring(1, &[]), row, &sealed).unwrap(), &value);
        let rewrapped = rewrapped(&ring(2, &[1]), &[(row, sealed.clone())]).remove(0).unwrap();
        prop_assert_eq!(opened(&ring(2, &[]), row, &apply(&sealed, rewrapped)).unwrap(), value);
    }

    #[test]
    fn a_value_does_not_open_under_another_id(
        one in ("[a-c]{1,2}", "[A-C]{1,2}", 1u64..4), other in ("[a-c]{1,2}", "[A-C]{1,2}", 1u64..4)
    ) {
        let make = |(service, name, version): &(String, String, u64)| {
            OwnedValueId::new(&format!("p.e.{service}"), name, *version)
        };
        let (ring, mine, theirs) = (ring(1, &[]), make(&one), make(&other));
        let (reference, sealed) = sealed(&ring, &mine, &Redacted::from(b"x".as_slice()));
        let opened = opened(&ring, theirs.value_id().row(&reference), &sealed);
        prop_assert_eq!(opened.is_ok(), one == other);
    }
}

/// Every bit and every length, of both parts and of both formats.
#[test]
fn no_bit_can_be_flipped_and_no_byte_removed() {
    let (owned_id, ring, value) = (owned_id(), ring(1, &[]), Redacted::from(b"hunter2".as_slice()));
    let (reference, second) = sealed(&ring, &owned_id, &value);
    let plain = Reference::new("0123".into());
    let first = sealed_as_format_1(1, owned_id.value_id().row(&plain), &value);
    for (reference, sealed) in [(&reference, second), (&plain, first)] {
        let row = owned_id.value_id().row(reference);
        for is_key in [true, false] {
            let part = if is_key { &sealed.wrapped_key } else { &sealed.value };
            let flips = (0..part.len() * 8).map(|bit| {
                let mut flipped = part.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                flipped
            });
            let cuts = (0..part.len()).map(|length| part[..length].to_vec());
            let longer = std::iter::once([part.as_slice(), &[0]].concat());
            for damaged in flips.chain(cuts).chain(longer) {
                let mut attacked = sealed.clone();
                *(if is_key { &mut attacked.wrapped_key } else { &mut attacked.value }) = damaged;
                let answer = opened(&ring, row, &attacked);
                assert!(is_integrity(&answer, row), "{answer:?}");
                assert!(!answer.unwrap_err().to_string().contains("hunter2"));
            }
        }
    }
}
