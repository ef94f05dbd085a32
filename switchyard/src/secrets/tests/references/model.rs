//! Random writes, rollbacks, deletes and restores of secrets that refer to each other, beside a
//! model that knows nothing of tables: which are refused, what each bundle holds, and which move.

use std::collections::BTreeSet;

use e2e::random::SeededRng;

use super::*;

const SCOPES: [&str; 5] = ["shop", "shop.prod", API, WEB, DB];
const SERVICES: [&str; 3] = [API, WEB, DB];
const NAMES: [&str; 3] = ["A", "B", "C"];
const STEPS: usize = 250;
const MAX_DEPTH: usize = 8;

/// A value: texts and references in turn.
#[derive(Clone, Debug)]
enum ModelPart {
    Text(String),
    Target(SecretRef),
}

type Value = Vec<ModelPart>;

/// What a bundle holds under a name: the text, and every version that it came from.
type Held = BTreeMap<SecretName, (String, BTreeSet<(SecretRef, usize)>)>;

#[derive(Clone, Debug, Default)]
struct ModelSecret {
    versions: Vec<Value>,
    active: usize,
    is_deleted: bool,
}

#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<SecretRef, ModelSecret>);

/// What is done to a secret.
#[derive(Clone, Debug)]
enum Step {
    Write(Value),
    GoBack(usize),
    Remove,
    Restore,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Cycle,
    Missing,
    TooDeep,
    Referenced,
    Other,
}

impl Model {
    fn present(&self, of: &SecretRef) -> Option<&ModelSecret> {
        self.0.get(of).filter(|it| !it.is_deleted)
    }

    fn targets(&self, of: &SecretRef) -> BTreeSet<SecretRef> {
        let value = self.present(of).map(|it| it.versions[it.active - 1].clone());
        targets_of(&value.unwrap_or_default())
    }

    fn reaches(&self, from: &SecretRef, to: &SecretRef) -> bool {
        from == to || self.targets(from).iter().any(|it| self.reaches(it, to))
    }

    fn depth(&self, of: &SecretRef) -> usize {
        self.targets(of).iter().map(|it| self.depth(it) + 1).max().unwrap_or(0)
    }

    fn referrers(&self, of: &SecretRef) -> Vec<&SecretRef> {
        self.0.keys().filter(|it| self.targets(it).contains(of)).collect()
    }

    fn height(&self, of: &SecretRef) -> usize {
        self.referrers(of).iter().map(|it| self.height(it) + 1).max().unwrap_or(0)
    }

    /// Whether a secret may get this value.
    fn check(&self, of: &SecretRef, value: &Value) -> Outcome {
        let targets = targets_of(value);
        // Each reference by itself in the order in which they are followed.
        for target in &targets {
            if target == of {
                return Outcome::Cycle;
            }
            if self.present(target).is_none() {
                return Outcome::Missing;
            }
            if self.reaches(target, of) {
                return Outcome::Cycle;
            }
        }
        let depth = targets.iter().map(|it| self.depth(it) + 1).max().unwrap_or(0);
        let is_template = value.iter().any(|it| matches!(it, ModelPart::Target(_)));
        if is_template && depth + self.height(of) > MAX_DEPTH {
            return Outcome::TooDeep;
        }
        Outcome::Done
    }

    fn apply(&mut self, of: &SecretRef, step: &Step) -> Outcome {
        let mut secret = self.0.get(of).cloned().unwrap_or_default();
        let exists = self.present(of).is_some();
        match step {
            Step::Write(value) => {
                secret.versions.push(value.clone());
                secret.active = secret.versions.len();
                secret.is_deleted = false;
            }
            Step::GoBack(to) if exists && *to <= secret.versions.len() => secret.active = *to,
            Step::Remove if exists && self.referrers(of).is_empty() => secret.is_deleted = true,
            Step::Remove if exists => return Outcome::Referenced,
            Step::Restore if secret.is_deleted => secret.is_deleted = false,
            Step::GoBack(_) | Step::Remove | Step::Restore => return Outcome::Other,
        }
        let is_same = exists && self.0[of].active == secret.active;
        if !secret.is_deleted && !is_same {
            let outcome = self.check(of, &secret.versions[secret.active - 1]);
            if outcome != Outcome::Done {
                return outcome;
            }
        }
        self.0.insert(of.clone(), secret);
        Outcome::Done
    }

    fn resolve(&self, of: &SecretRef) -> (String, BTreeSet<(SecretRef, usize)>) {
        let secret = self.present(of).unwrap();
        let (mut text, mut from) = (String::new(), [(of.clone(), secret.active)].into());
        for part in &secret.versions[secret.active - 1] {
            match part {
                ModelPart::Text(own) => text.push_str(own),
                ModelPart::Target(target) => {
                    let (value, versions) = self.resolve(target);
                    text.push_str(&value);
                    BTreeSet::extend(&mut from, versions);
                }
            }
        }
        (text, from)
    }

    fn held(&self, service: &Scope) -> Held {
        let mut held = Held::new();
        let scopes = std::iter::successors(Some(service.clone()), Scope::parent);
        for scope in scopes {
            for name in NAMES {
                let of = SecretRef { scope: scope.clone(), name: name.parse().unwrap() };
                if self.present(&of).is_some() && !held.contains_key(&of.name) {
                    held.insert(of.name.clone(), self.resolve(&of));
                }
            }
        }
        held
    }
}

fn targets_of(value: &Value) -> BTreeSet<SecretRef> {
    let target = |part: &ModelPart| match part {
        ModelPart::Text(_) => None,
        ModelPart::Target(target) => Some(target.clone()),
    };
    value.iter().filter_map(target).collect()
}

fn written(value: &Value) -> String {
    let part = |part: &ModelPart| match part {
        ModelPart::Text(text) => text.replace("${", "$${"),
        ModelPart::Target(target) => format!("${{{target}}}"),
    };
    value.iter().map(part).collect()
}

fn outcome<T>(result: Result<T, SecretsError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(SecretsError::Change(ChangeError::References { source, .. })) => match *source {
            ReferenceError::Cycle(_) => Outcome::Cycle,
            ReferenceError::Missing(_) => Outcome::Missing,
            ReferenceError::TooDeep => Outcome::TooDeep,
            other => panic!("{other:?}"),
        },
        Err(SecretsError::Change(ChangeError::Referenced { .. })) => Outcome::Referenced,
        Err(SecretsError::Change(
            ChangeError::NotFound(_) | ChangeError::NotDeleted(_) | ChangeError::NoVersion { .. },
        )) => Outcome::Other,
        Err(error) => panic!("{error:?}"),
    }
}

fn random_secret(random: &mut SeededRng) -> SecretRef {
    let one =
        |random: &mut SeededRng, of: &[&str]| of[random.below(of.len() as u64) as usize].to_owned();
    let (scope, name) = (one(random, &SCOPES), one(random, &NAMES));
    secret(&format!("{scope}/{name}"))
}

fn random_step(random: &mut SeededRng, at: usize) -> Step {
    match random.below(10) {
        0..=5 => {
            let mut value = vec![ModelPart::Text(format!("{at}${{"))];
            for _ in 0..random.below(4) {
                value.push(ModelPart::Target(random_secret(random)));
                value.push(ModelPart::Text("|".into()));
            }
            Step::Write(value)
        }
        6..=7 => Step::GoBack(1 + random.below(5) as usize),
        8 => Step::Remove,
        _ => Step::Restore,
    }
}

pub(super) async fn references_follow_a_model(fixture: SecretsFixture) {
    let seed = u64::from(std::process::id());
    let (mut random, mut model) = (SeededRng::new(seed), Model::default());
    let mut generations: BTreeMap<(&str, u64), Vec<String>> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for at in 0..STEPS {
        let (of, step) = (random_secret(&mut random), random_step(&mut random, at));
        let before = model.clone();
        let expected = model.apply(&of, &step);
        let path = of.to_string();
        let found = match &step {
            Step::Write(value) => outcome(fixture.refer(&path, &written(value)).await),
            Step::GoBack(to) => outcome(fixture.go_back(&path, *to as u64).await),
            Step::Remove => outcome(fixture.remove(&path).await),
            Step::Restore => outcome(fixture.restore(&path).await),
        };
        let context = format!("seed {seed}, step {at}: {path} {step:?}");
        assert_eq!(found, expected, "{context}");
        *seen.entry(format!("{found:?}")).or_insert(0) += 1;
        for service in SERVICES {
            let scope: Scope = service.parse().unwrap();
            if fixture.secrets.repository.bundle(&scope).await.unwrap().is_none() {
                continue;
            }
            let (number, held) = fixture.held(service).await.unwrap();
            let expected = model.held(&scope);
            let texts: Vec<String> =
                expected.iter().map(|(name, (text, _))| format!("{name}={text}")).collect();
            assert_eq!(held, texts, "{context}: {service}");
            let last = generations.keys().filter(|(it, _)| *it == service).map(|it| it.1).max();
            if let Some(last) = last {
                let moves = u64::from(before.held(&scope) != expected);
                assert_eq!(number, last + moves, "{context}: {service} moves");
            }
            generations.insert((service, number), held);
        }
    }
    for ((service, number), held) in &generations {
        assert_eq!(fixture.held_in(service, *number).await.unwrap(), *held, "seed {seed}");
    }
    assert!(fixture.secrets.repository.check_ledger().await.unwrap());
    for outcome in ["Done", "Cycle", "Missing", "Referenced", "Other"] {
        assert!(seen.contains_key(outcome), "seed {seed}: no {outcome} in {seen:?}");
    }
}
