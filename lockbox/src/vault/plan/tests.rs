use std::collections::BTreeMap;

use contract::Version;
use proptest::prelude::*;

use super::super::entry::ValueLocation;
use super::*;

fn name(at: u8) -> SecretName {
    format!("NAME_{at}").parse().unwrap()
}

/// An engine that forgets: the KV versions that are there, and the values that lie apart.
#[derive(Default)]
struct FakeEngine {
    newest: u64,
    entries: BTreeMap<u64, (Entry, WriteId)>,
    overflow: BTreeMap<(SecretName, WriteId), Redacted>,
    max_versions: u64,
}

impl FakeEngine {
    fn latest(&self) -> Entry {
        self.entries.get(&self.newest).map(|(entry, _)| entry.clone()).unwrap_or_default()
    }

    fn read(&self, name: &SecretName, record: VersionRecord) -> Option<Redacted> {
        let there = self
            .entries
            .get(&record.entry_version.kv_version)
            .filter(|(_, write)| *write == record.entry_version.write);
        match there.map(|(entry, _)| entry.locate(name, record.version, record.entry_version)) {
            Some(ValueLocation::Inline(value)) => Some(value.clone()),
            _ => self.overflow.get(&(name.clone(), record.entry_version.write)).cloned(),
        }
    }

    fn apply(&mut self, mut plan: WritePlan) {
        for OverflowMove { name, record, value } in std::mem::take(&mut plan.moves) {
            let value = value.or_else(|| self.read(&name, record)).unwrap();
            self.overflow.insert((name, record.entry_version.write), value);
        }
        if let Some((name, record)) = plan.restore.clone() {
            plan.restored(self.read(&name, record).unwrap());
        }
        // Through the text, as Vault has it.
        let (entry, write) = Entry::parse(
            plan.entry_version.kv_version,
            plan.entry.render(plan.entry_version.kv_version, plan.entry_version.write),
        )
        .unwrap();
        self.newest = plan.entry_version.kv_version;
        if let Some(sweep) = entry.sweep.clone() {
            assert!(!sweep.contains(&self.newest));
            self.entries.retain(|kv_version, _| !sweep.contains(kv_version));
        }
        for (name, record) in plan.removed {
            self.overflow.remove(&(name, record.entry_version.write));
        }
        self.entries.insert(self.newest, (entry, write));
        self.entries.retain(|kv_version, _| *kv_version + self.max_versions > self.newest);
    }
}

#[derive(Clone, Debug)]
enum TestStep {
    Put(Vec<(u8, u8, u64)>),
    Destroy(u8, usize),
    Delete(u8),
}

fn test_step() -> impl Strategy<Value = TestStep> {
    let limit = MAX_INLINE_BYTES as u64;
    let size = prop_oneof![4 => 0u64..40, 1 => Just(limit + 1), 1 => Just(limit - 1)];
    let puts = proptest::collection::btree_map(0u8..8, (0u8..4, size), 1..4);
    let flat = |puts: BTreeMap<u8, (u8, u64)>| {
        TestStep::Put(puts.into_iter().map(|(name, (ahead, size))| (name, ahead, size)).collect())
    };
    prop_oneof![
        3 => puts.prop_map(flat),
        1 => (0u8..8, 0usize..5).prop_map(|(name, which)| TestStep::Destroy(name, which)),
        1 => (0u8..8).prop_map(TestStep::Delete),
    ]
}

/// The values that were put and not removed.
type Model = BTreeMap<(SecretName, VersionRecord), Redacted>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// The reference model is a list of what was put and not removed; every value is a different
    /// one.
    #[test]
    fn listed_versions_stay_readable_and_destroyed_ones_are_gone(
        steps in proptest::collection::vec(test_step(), 1..40),
        max_versions in 2u64..8,
    ) {
        let mut engine = FakeEngine { max_versions, ..FakeEngine::default() };
        let mut model = Model::new();
        for (round, test_step) in steps.into_iter().enumerate() {
            let (latest, write) = (engine.latest(), WriteId::random());
            let input = PlanInput { entry: &latest, newest: engine.newest, max_versions };
            let of = |model: &Model, wanted: &SecretName| -> Vec<VersionRecord> {
                model.keys().filter(|(name, _)| name == wanted).map(|(_, record)| *record).collect()
            };
            match test_step {
                TestStep::Put(puts) => {
                    let puts: Vec<_> = puts.into_iter().map(|(at, ahead, size)| {
                        let mut value = format!("{round} {at} ").into_bytes();
                        value.resize(value.len().max(usize::try_from(size).unwrap()), 0xf0);
                        (name(at), Version(u64::from(ahead)), Redacted::new(value))
                    }).collect();
                    let borrowed: Vec<_> = puts
                        .iter()
                        .map(|(name, version, value)| Put { name, version: *version, value })
                        .collect();
                    let plan = put(input, write, &borrowed);
                    let entry_version = plan.entry_version;
                    engine.apply(plan);
                    for (name, version, value) in puts {
                        let record = VersionRecord { version, entry_version, overflow: false };
                        model.insert((name, record), value);
                    }
                }
                TestStep::Destroy(at, which) => {
                    let records = of(&model, &name(at));
                    let Some(record) = records.get(which).copied() else { continue };
                    engine.apply(remove(input, write, &name(at), &[record]));
                    let value = model.remove(&(name(at), record)).unwrap();
                    for (entry, _) in engine.entries.values() {
                        let mut inline = entry.values.values().chain(entry.superseded.values());
                        prop_assert!(inline.all(|it| *it != value));
                    }
                    prop_assert!(engine.overflow.values().all(|it| *it != value));
                }
                TestStep::Delete(at) => {
                    let record = of(&model, &name(at));
                    if record.is_empty() { continue }
                    engine.apply(remove(input, write, &name(at), &record));
                    model.retain(|(it, _), _| *it != name(at));
                    let entries = engine.entries.values().map(|(entry, _)| entry);
                    let name = name(at);
                    let mut holders = entries.filter(|entry| {
                        entry.versions.contains_key(&name) || entry.values.contains_key(&name)
                    });
                    prop_assert!(holders.next().is_none());
                }
            }
            let latest = engine.latest();
            prop_assert!(latest.size() <= MAX_ENTRY_BYTES, "{}", latest.size());
            let listed: usize = latest.versions.values().map(Vec::len).sum();
            prop_assert_eq!(listed, model.len());
            for ((name, record), value) in &model {
                let found = engine.read(name, *record);
                prop_assert!(found.as_ref() == Some(value), "{} {} cannot be read", name, record);
            }
            for (name, value) in &latest.values {
                let newest = of(&model, name).into_iter().max().unwrap();
                let expected = &model[&(name.clone(), newest)];
                prop_assert!(value == expected, "{} has a value that is not its newest", name);
            }
        }
    }
}

#[test]
fn a_late_value_does_not_replace_a_newer_one() {
    let (new, late) = (Redacted::from(b"new".as_slice()), Redacted::from(b"late".as_slice()));
    let after = |entry: &Entry, newest, version, value| {
        let put_one = Put { name: &name(0), version: Version(version), value };
        put(PlanInput { entry, newest, max_versions: 100 }, WriteId::random(), &[put_one]).entry
    };
    let second = after(&after(&Entry::default(), 0, 3, &new), 1, 2, &late);
    assert_eq!(second.values[&name(0)], new);
    assert_eq!(second.superseded[&name(0)], late);
    assert_eq!(second.newest(&name(0)).unwrap().version, Version(3));
}

#[test]
fn nothing_moves_until_vault_would_evict_it() {
    let value = Redacted::from(b"x".as_slice());
    let mut entry = Entry::default();
    for newest in 0..99 {
        let plan = put(
            PlanInput { entry: &entry, newest, max_versions: 100 },
            WriteId::random(),
            &[Put { name: &name(0), version: Version(newest), value: &value }],
        );
        assert_eq!(plan.moves, [], "at {newest}");
        entry = plan.entry;
    }
    let plan = put(
        PlanInput { entry: &entry, newest: 100, max_versions: 100 },
        WriteId::random(),
        &[Put { name: &name(1), version: Version(1), value: &value }],
    );
    assert_eq!(plan.moves.len(), 1, "the first KV version is evicted by the 101st");
}
