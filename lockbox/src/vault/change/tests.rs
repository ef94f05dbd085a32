use std::collections::BTreeMap;

use contract::Version;
use proptest::prelude::*;

use super::super::entry::Held;
use super::*;

fn name(at: u8) -> SecretName {
    format!("NAME_{at}").parse().unwrap()
}

/// An engine that forgets: the KV versions that are there, and the values that lie apart.
#[derive(Default)]
struct Engine {
    newest: u64,
    entries: BTreeMap<u64, (Entry, WriteId)>,
    apart: BTreeMap<(SecretName, WriteId), Redacted>,
    max_versions: u64,
}

impl Engine {
    fn latest(&self) -> Entry {
        self.entries.get(&self.newest).map(|(entry, _)| entry.clone()).unwrap_or_default()
    }

    fn read(&self, name: &SecretName, kept: Kept) -> Option<Redacted> {
        let there =
            self.entries.get(&kept.place.at).filter(|(_, write)| *write == kept.place.write);
        match there.map(|(entry, _)| entry.held(name, kept.version, kept.place)) {
            Some(Held::Here(value)) => Some(value.clone()),
            _ => self.apart.get(&(name.clone(), kept.place.write)).cloned(),
        }
    }

    fn apply(&mut self, mut next: Next) {
        for Move { name, kept, value } in std::mem::take(&mut next.moves) {
            let value = value.or_else(|| self.read(&name, kept)).unwrap();
            self.apart.insert((name, kept.place.write), value);
        }
        if let Some((name, kept)) = next.restore.clone() {
            next.restored(self.read(&name, kept).unwrap());
        }
        // Through the text, as Vault has it.
        let (entry, write) =
            Entry::parse(next.place.at, next.entry.render(next.place.at, next.place.write))
                .unwrap();
        self.newest = next.place.at;
        if let Some(sweep) = entry.sweep.clone() {
            assert!(!sweep.contains(&self.newest));
            self.entries.retain(|at, _| !sweep.contains(at));
        }
        for (name, kept) in next.gone {
            self.apart.remove(&(name, kept.place.write));
        }
        self.entries.insert(self.newest, (entry, write));
        self.entries.retain(|at, _| *at + self.max_versions > self.newest);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u8, u8, u64)>),
    Destroy(u8, usize),
    Delete(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![4 => 0u64..40, 1 => Just(LARGE as u64 + 1), 1 => Just(LARGE as u64 - 1)];
    let puts = proptest::collection::btree_map(0u8..8, (0u8..4, size), 1..4);
    prop_oneof![
        3 => puts.prop_map(|puts| Step::Put(puts.into_iter().map(|(name, (ahead, size))| (name, ahead, size)).collect())),
        1 => (0u8..8, 0usize..5).prop_map(|(name, which)| Step::Destroy(name, which)),
        1 => (0u8..8).prop_map(Step::Delete),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// The reference model is a list of what was put and not removed; every value is a different
    /// one.
    #[test]
    fn what_is_kept_stays_readable_and_what_is_destroyed_is_nowhere(steps in proptest::collection::vec(step(), 1..40), max_versions in 2u64..8) {
        let mut engine = Engine { max_versions, ..Engine::default() };
        let mut model: BTreeMap<(SecretName, Kept), Redacted> = BTreeMap::new();
        for (round, step) in steps.into_iter().enumerate() {
            let (latest, write) = (engine.latest(), WriteId::random());
            let base = Base { entry: &latest, newest: engine.newest, max_versions };
            let of = |model: &BTreeMap<(SecretName, Kept), Redacted>, wanted: &SecretName| -> Vec<Kept> {
                model.keys().filter(|(name, _)| name == wanted).map(|(_, kept)| *kept).collect()
            };
            match step {
                Step::Put(puts) => {
                    let puts: Vec<_> = puts.into_iter().map(|(at, ahead, size)| {
                        let mut value = format!("{round} {at} ").into_bytes();
                        value.resize(value.len().max(usize::try_from(size).unwrap()), 0xf0);
                        (name(at), Version(u64::from(ahead)), Redacted::new(value))
                    }).collect();
                    let borrowed: Vec<_> = puts.iter().map(|(name, version, value)| Put { name, version: *version, value }).collect();
                    let next = put(base, write, &borrowed);
                    let place = next.place;
                    engine.apply(next);
                    for (name, version, value) in puts {
                        model.insert((name, Kept { version, place, apart: false }), value);
                    }
                }
                Step::Destroy(at, which) => {
                    let Some(kept) = of(&model, &name(at)).get(which).copied() else { continue };
                    engine.apply(remove(base, write, &name(at), &[kept]));
                    let value = model.remove(&(name(at), kept)).unwrap();
                    prop_assert!(engine.entries.values().all(|(entry, _)| entry.values.values().chain(entry.beside.values()).all(|it| *it != value)));
                    prop_assert!(engine.apart.values().all(|it| *it != value));
                }
                Step::Delete(at) => {
                    let kept = of(&model, &name(at));
                    if kept.is_empty() { continue }
                    engine.apply(remove(base, write, &name(at), &kept));
                    model.retain(|(it, _), _| *it != name(at));
                    prop_assert!(engine.entries.values().all(|(entry, _)| !entry.kept.contains_key(&name(at)) && !entry.values.contains_key(&name(at))));
                }
            }
            let latest = engine.latest();
            prop_assert!(latest.size() <= ROOM, "{}", latest.size());
            let listed: usize = latest.kept.values().map(Vec::len).sum();
            prop_assert_eq!(listed, model.len());
            for ((name, kept), value) in &model {
                let found = engine.read(name, *kept);
                prop_assert!(found.as_ref() == Some(value), "{} {} cannot be read", name, kept);
            }
            for (name, value) in &latest.values {
                let newest = of(&model, name).into_iter().max().unwrap();
                prop_assert!(*value == model[&(name.clone(), newest)], "{} has a value that is not its newest", name);
            }
        }
    }
}

#[test]
fn a_late_value_does_not_push_a_newer_one_aside() {
    let (new, late) = (Redacted::from(b"new".as_slice()), Redacted::from(b"late".as_slice()));
    let after = |entry: &Entry, newest, version, value| {
        let put_one = Put { name: &name(0), version: Version(version), value };
        put(Base { entry, newest, max_versions: 100 }, WriteId::random(), &[put_one]).entry
    };
    let second = after(&after(&Entry::default(), 0, 3, &new), 1, 2, &late);
    assert_eq!(second.values[&name(0)], new);
    assert_eq!(second.beside[&name(0)], late);
    assert_eq!(second.newest(&name(0)).unwrap().version, Version(3));
}

#[test]
fn nothing_is_moved_while_there_is_room() {
    let value = Redacted::from(b"x".as_slice());
    let mut entry = Entry::default();
    for newest in 0..99 {
        let next = put(
            Base { entry: &entry, newest, max_versions: 100 },
            WriteId::random(),
            &[Put { name: &name(0), version: Version(newest), value: &value }],
        );
        assert_eq!(next.moves, [], "at {newest}");
        entry = next.entry;
    }
    let next = put(
        Base { entry: &entry, newest: 100, max_versions: 100 },
        WriteId::random(),
        &[Put { name: &name(1), version: Version(1), value: &value }],
    );
    assert_eq!(next.moves.len(), 1, "the first KV version is evicted by the 101st");
}
