//! Which secret each key of a file becomes. A key that cannot be a secret's name does not block the
//! file: it is renamed or skipped, and the error lists every such key with what to type.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Redacted, SecretName};

use super::SecretValues;

/// An error lists at most this many keys.
const MAX_LISTED: usize = 20;

/// The length of the longest secret name.
const MAX_NAME_LEN: usize = 253;

/// Keys to rename and to skip, as the command line gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyRules {
    rename: BTreeMap<String, SecretName>,
    skip: BTreeSet<String>,
}

/// A key of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    text: &'a str,
    /// The line, in a format of lines. There, the text may be a part of a value.
    line: Option<usize>,
}

/// The values read so far, and the keys that cannot be names.
pub(super) struct Collector<'a> {
    rules: &'a KeyRules,
    values: SecretValues,
    invalid: Vec<InvalidKey>,
    used: BTreeSet<&'a str>,
}

/// A key that cannot be a name.
struct InvalidKey {
    /// Absent if it may be a part of a value.
    text: Option<String>,
    line: Option<usize>,
}

impl KeyRules {
    /// The rules of `--rename` and `--skip`. Fails if one key has two rules.
    pub(crate) fn new(
        rename: impl IntoIterator<Item = (String, SecretName)>,
        skip: impl IntoIterator<Item = String>,
    ) -> Result<Self, String> {
        let mut rules = Self { rename: BTreeMap::new(), skip: skip.into_iter().collect() };
        for (key, name) in rename {
            if rules.skip.contains(&key) || rules.rename.contains_key(&key) {
                return Err(format!("--rename {key}: the key has two rules"));
            }
            rules.rename.insert(key, name);
        }
        Ok(rules)
    }
}

impl<'a> Key<'a> {
    /// A key of a format whose keys cannot be mistaken for values.
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, line: None }
    }

    /// A key of a format of lines.
    pub(super) fn at_line(text: &'a str, line: usize) -> Self {
        Self { text, line: Some(line) }
    }

    /// The text to show. In a format of lines, only what is written like a name of several words is
    /// shown, and never what has the characters of base64.
    fn shown(self) -> Option<String> {
        let like_a_name = |c: char| c.is_ascii_alphanumeric() || "_.:-[]".contains(c);
        let is_shown = self.line.is_none()
            || self.text.contains(['_', '.', ':', '-', '['])
                && self.text.chars().all(like_a_name)
                && self.text.len() <= 64;
        is_shown.then(|| self.text.chars().take(80).collect())
    }
}

impl<'a> Collector<'a> {
    pub(super) fn new(rules: &'a KeyRules) -> Self {
        Self { rules, values: SecretValues::default(), invalid: vec![], used: BTreeSet::new() }
    }

    /// The secret that the key becomes. `None` if it is skipped, or cannot be a name.
    pub(super) fn name(&mut self, key: Key<'_>) -> Option<SecretName> {
        if let Some(skipped) = self.rules.skip.get(key.text) {
            self.used.insert(skipped);
            return None;
        }
        if let Some((old, new)) = self.rules.rename.get_key_value(key.text) {
            self.used.insert(old);
            return Some(new.clone());
        }
        let name = key.text.parse().ok();
        if name.is_none() {
            self.invalid.push(InvalidKey { text: key.shown(), line: key.line });
        }
        name
    }

    /// Adds a value: see [`SecretValues::add`].
    pub(super) fn add(&mut self, name: SecretName, value: Redacted) -> Result<(), String> {
        self.values.add(name, value)
    }

    /// All values. Fails if a key cannot be a name, or a rule names a key that the file lacks.
    pub(super) fn finish(self) -> Result<SecretValues, String> {
        if !self.invalid.is_empty() {
            return Err(self.invalid_keys());
        }
        let all = self.rules.rename.keys().chain(&self.rules.skip);
        match all.into_iter().find(|key| !self.used.contains(key.as_str())) {
            Some(unused) => Err(format!("--rename and --skip: the file has no key {unused}")),
            None => Ok(self.values),
        }
    }

    fn invalid_keys(&self) -> String {
        let listed = &self.invalid[..self.invalid.len().min(MAX_LISTED)];
        let mut taken: BTreeSet<String> =
            self.values.iter().map(|(name, _)| name.to_string()).collect();
        let (mut keys, mut arguments) = (Vec::new(), Vec::new());
        for InvalidKey { text, line } in listed {
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let Some(text) = text else {
                keys.push(format!("{place}the text before the '='"));
                continue;
            };
            keys.push(format!("{place}{}", text.escape_debug()));
            let name = suggest(text, &taken);
            arguments.push(format!("--rename {}", quote(&format!("{text}={name}"))));
            taken.insert(name);
        }
        if self.invalid.len() > MAX_LISTED {
            keys.push(format!("{} more", self.invalid.len() - MAX_LISTED));
        }
        if arguments.is_empty() {
            arguments.push("--rename KEY=NAME".to_owned());
        }
        format!(
            "{} cannot be the name of a secret: it starts with a letter or '_' and goes on with \
             letters, digits, '_', '.' or '-', at most {MAX_NAME_LEN} in all; add {}, or --skip \
             KEY for a key that is not needed",
            keys.join(", "),
            arguments.join(" ")
        )
    }
}

/// A name like `key` that no other secret of the file has.
fn suggest(key: &str, taken: &BTreeSet<String>) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let text: String = key.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    let text = text.trim_start_matches(['.', '-']).trim_end_matches('_');
    let first = match text.chars().next() {
        Some(c) if c.is_ascii_digit() => "_",
        Some(_) => "",
        None => "NAME",
    };
    // Cut for a number at the end.
    let text: String = format!("{first}{text}").chars().take(MAX_NAME_LEN - 4).collect();
    let is_free = |name: &String| name.parse::<SecretName>().is_ok() && !taken.contains(name);
    let numbered = (2..10_000).map(|number| format!("{text}_{number}"));
    std::iter::once(text.clone()).chain(numbered).find(is_free).unwrap_or(text)
}

/// One word of a shell.
fn quote(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-=/@%+,".contains(c)) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rename: &[(&str, &str)], skip: &[&str]) -> Result<KeyRules, String> {
        KeyRules::new(
            rename.iter().map(|(old, new)| ((*old).to_owned(), new.parse().unwrap())),
            skip.iter().map(|it| (*it).to_owned()),
        )
    }

    /// The names that the keys become.
    fn names(rules: &KeyRules, keys: &[Key<'_>]) -> Result<Vec<String>, String> {
        let mut collector = Collector::new(rules);
        for key in keys {
            if let Some(name) = collector.name(*key) {
                collector.add(name, Redacted::default())?;
            }
        }
        Ok(collector.finish()?.iter().map(|(name, _)| name.to_string()).collect())
    }

    #[test]
    fn keys_are_renamed_and_skipped() {
        let keys = [".dockerconfigjson", "A", "B:C"].map(Key::of);
        let rules = rules(&[("B:C", "B_C")], &[".dockerconfigjson"]).unwrap();
        assert_eq!(names(&rules, &keys).unwrap(), ["A", "B_C"]);
        assert!(names(&rules, &keys[1..]).unwrap_err().contains("no key .dockerconfigjson"));
    }

    #[test]
    fn a_rule_cannot_contradict_another() {
        assert!(rules(&[("A", "B")], &["A"]).is_err());
        assert!(rules(&[("A", "B"), ("A", "C")], &[]).is_err());
        let one = rules(&[("A", "B")], &[]).unwrap();
        assert_eq!(names(&one, &["A", "B"].map(Key::of)).unwrap_err(), "B occurs twice");
    }

    #[test]
    fn every_key_that_cannot_be_a_name_is_listed_with_what_to_type() {
        let keys = [
            ".dockerconfigjson",
            "ConnectionStrings:Default",
            "OK",
            "1x",
            "$(a) 'b'",
            "kubernetes.io",
        ];
        let message = names(&KeyRules::default(), &keys.map(Key::of)).unwrap_err();
        for part in [
            ".dockerconfigjson, ConnectionStrings:Default, 1x, $(a) \\'b\\', ",
            ", kubernetes.io cannot be the name of a secret",
            "--rename .dockerconfigjson=dockerconfigjson ",
            "--rename ConnectionStrings:Default=ConnectionStrings_Default ",
            "--rename 1x=_1x ",
            "--rename '$(a) '\\''b'\\''=__a___b' ",
            "--rename kubernetes.io=kubernetes.io_2, or --skip KEY",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let many: Vec<String> = (0..25).map(|at| format!("{at}")).collect();
        let many: Vec<_> = many.iter().map(|it| Key::of(it)).collect();
        let message = names(&KeyRules::default(), &many).unwrap_err();
        assert!(message.contains("19, 5 more cannot be"), "{message}");
    }

    #[test]
    fn what_may_be_a_part_of_a_value_is_not_shown() {
        for (text, shown) in [
            ("spring.datasource.url[0]", true),
            (".dockerconfigjson", true),
            ("1hunter2", false),
            ("hun+ter2", false),
            ("h u-n", false),
        ] {
            let message = names(&KeyRules::default(), &[Key::at_line(text, 3)]);
            assert_eq!(message.is_err_and(|it| it.contains(text)), shown, "{text}");
        }
        let message = names(&KeyRules::default(), &[Key::at_line("1hunter2", 3)]).unwrap_err();
        assert!(message.starts_with("line 3: the text before the '=' cannot be"), "{message}");
    }

    #[test]
    fn a_suggestion_is_a_free_name() {
        let taken = ["a".to_owned(), "a_2".to_owned()].into_iter().collect();
        for (key, expected) in
            [(".a", "a_3"), ("..", "NAME"), ("\u{e4}", "NAME"), ("x y:", "x_y"), ("9", "_9")]
        {
            assert_eq!(suggest(key, &taken), expected, "{key}");
        }
        assert!(suggest(&"x".repeat(400), &taken).parse::<SecretName>().is_ok());
    }
}
