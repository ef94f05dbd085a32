//! Recognizes credentials by their form or by the name beside them.
//!
//! One table of rules, in `rules`, serves the webhook, `enclii inject` and `enclii scan`. A rule is
//! certain where only credentials have the form; the others are warned of.
//!
//! Matching takes time in proportion to the text: there are no regular expressions, each byte
//! begins at most a few comparisons, and each of those ends after at most [`TOKEN_BYTES`].

mod address;
pub(crate) mod arguments;
mod base64;
mod document;
mod name;
mod named;
mod pairs;
mod rule;
mod rules;
mod value;
mod words;

use std::sync::LazyLock;

use name::Name;
pub use rule::{Confidence, Rule};
use rule::{NamedTest, RuleShape, TextTest, Token};

/// How much of a token is looked at.
const TOKEN_BYTES: usize = 512;

/// Shorter than the shortest token or address.
const SHORTEST_FORM: usize = 8;

/// What a browser gets in some products, and is no secret where the name says so.
const MAY_BE_PUBLIC: &[&str] = &["json-web-token", "google-api-key", "url-token", "bearer-token"];

/// Longer texts are not tried as base64.
const BASE64_BYTES: usize = 32 * 1024;

/// The rule that finds the literal `value` of a variable, an option, a header or the like.
pub(crate) fn detect(name: &str, value: &str) -> Option<&'static Rule> {
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    let name = Name::new(name);
    let by_form =
        detect_form(value).filter(|rule| !name.is_public() || !MAY_BE_PUBLIC.contains(&rule.id));
    if by_form.is_some_and(|rule| rule.confidence == Confidence::Certain) {
        return by_form;
    }
    let by_name = || detect_name(&name, value);
    match by_name() {
        Some(rule) if rule.confidence == Confidence::Certain => Some(rule),
        found => by_form.or(found),
    }
}

/// The rule that finds a form in the text, or in what the text is the base64 of.
pub(crate) fn detect_form(text: &str) -> Option<&'static Rule> {
    let text = text.trim();
    if text.len() < SHORTEST_FORM {
        return None;
    }
    best(by_form(text)).or_else(|| {
        let is_base64 = (24..=BASE64_BYTES).contains(&text.len()) && !text.contains(' ');
        let decoded = if is_base64 { base64::decode(text) } else { None };
        decoded.and_then(|inner| best(by_form(inner.trim())))
    })
}

/// The rule that finds a value by its name alone.
pub(crate) fn detect_named(name: &str, value: &str) -> Option<&'static Rule> {
    detect_name(&Name::new(name), value.trim())
}

/// As [`detect`], where names tell little: a name counts only beside a random value.
pub(crate) fn detect_in_note(name: &str, value: &str) -> Option<&'static Rule> {
    let by_name = || {
        let rule = detect_named(name, value)?;
        value::is_random(value).then_some(rule)
    };
    detect_form(value).or_else(by_name)
}

fn detect_name(name: &Name, value: &str) -> Option<&'static Rule> {
    if name.is_public() {
        return None;
    }
    INDEX.named.iter().find(|it| (it.finds)(name, value)).map(|it| it.rule)
}

/// The first certain rule, or else the first one.
fn best(mut rules: impl Iterator<Item = &'static Rule>) -> Option<&'static Rule> {
    let first = rules.next()?;
    if first.confidence == Confidence::Certain {
        return Some(first);
    }
    Some(rules.find(|rule| rule.confidence == Confidence::Certain).unwrap_or(first))
}

fn by_form(text: &str) -> impl Iterator<Item = &'static Rule> {
    let words = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~')))
        .filter(|word| word.len() >= 30);
    let by_word = words.flat_map(|word| INDEX.words.iter().filter(move |it| (it.finds)(word)));
    let by_text = INDEX.texts.iter().filter(move |it| (it.finds)(text));
    tokens(text).chain(by_word.chain(by_text).map(|it| it.rule))
}

/// The tokens that begin where a word does.
fn tokens(text: &str) -> impl Iterator<Item = &'static Rule> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let begins = at == 0 || !is_in_word(bytes[at - 1]);
            let start = at;
            at += 1;
            if !begins {
                continue;
            }
            for (rule, token) in &INDEX.tokens[usize::from(bytes[start] & 0x7f)] {
                match token.find(&bytes[start..]) {
                    Found::No => {}
                    Found::Yes => return Some(*rule),
                    // What looks like a body is looked at once, which keeps the scan linear.
                    Found::Body(length) => at = at.max(start + length),
                }
            }
        }
        None
    })
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

enum Found {
    No,
    Yes,
    /// So many bytes look like the prefix and the body, but are none.
    Body(usize),
}

impl Token {
    fn find(&self, text: &[u8]) -> Found {
        let Some(rest) = text.strip_prefix(self.prefix.as_bytes()) else { return Found::No };
        let most = self.most.min(TOKEN_BYTES);
        let length = rest.iter().take(most + 1).take_while(|byte| self.body.has(**byte)).count();
        // The dot, comma or padding that ends a sentence is not the token's.
        let length = length.min(most + 1);
        if length < self.least {
            return Found::No;
        }
        let ends = length <= most && rest.get(length).is_none_or(|byte| !is_in_word(*byte));
        let is_open = self.most > TOKEN_BYTES && length > most;
        let body = std::str::from_utf8(&rest[..length.min(most)]).unwrap_or_default();
        if (ends || is_open) && value::is_varied(body, self.body.is_mixed()) {
            Found::Yes
        } else {
            Found::Body(self.prefix.len() + length)
        }
    }
}

/// The table, by shape.
struct Index {
    /// By the first byte of the prefix.
    tokens: [Vec<(&'static Rule, &'static Token)>; 128],
    words: Vec<Entry<TextTest>>,
    texts: Vec<Entry<TextTest>>,
    named: Vec<Entry<NamedTest>>,
}

struct Entry<F> {
    rule: &'static Rule,
    finds: F,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index {
        tokens: [const { Vec::new() }; 128],
        words: Vec::new(),
        texts: Vec::new(),
        named: Vec::new(),
    };
    for rule in rules::RULES {
        match &rule.shape {
            RuleShape::Token(token) => {
                index.tokens[usize::from(token.prefix.as_bytes()[0])].push((rule, token));
            }
            RuleShape::Word(finds) => index.words.push(Entry { rule, finds: *finds }),
            RuleShape::Text(finds) => index.texts.push(Entry { rule, finds: *finds }),
            RuleShape::Named(finds) => index.named.push(Entry { rule, finds: *finds }),
        }
    }
    index
});

/// The rules that a report can name, each once.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let mut seen = std::collections::BTreeSet::new();
    rules::RULES.iter().filter(move |rule| seen.insert(rule.id))
}

#[cfg(test)]
mod tests;
