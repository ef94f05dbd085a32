//! One line of the corpus, and the pod that holds it.

use std::fmt;

use serde_json::{Value, json};

/// A literal in its place, and whether it is a credential.
pub(crate) struct Literal {
    pub(crate) is_credential: bool,
    context: String,
    name: String,
    value: String,
    line: String,
}

/// The line without what the braces stand for, which no message may show.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

pub(crate) fn is_literal(line: &str) -> bool {
    line.starts_with(['+', '-'])
}

pub(crate) fn all(text: &str) -> impl Iterator<Item = Literal> {
    text.lines().filter(|line| is_literal(line)).enumerate().map(|(number, line)| {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (label, context, name, value) = (next(), next(), next(), next());
        let value = Filler(number as u64 + 1).fill(&unescape(&value.replace('¦', "")));
        Literal { is_credential: label == "+", context, name, value, line: line.to_owned() }
    })
}

impl Literal {
    /// A pod with the literal in it and nothing else.
    pub(crate) fn pod(&self) -> String {
        let (mut container, mut annotations) = (json!({ "name": "app" }), json!({}));
        match self.context.as_str() {
            "env" => container["env"] = json!([{ "name": self.name, "value": self.value }]),
            "arg" => container["args"] = self.value.split("||").map(Value::from).collect(),
            "header" => {
                container["livenessProbe"] = json!({ "httpGet": {
                    "httpHeaders": [{ "name": self.name, "value": self.value }],
                } });
            }
            "annotation" => annotations[&self.name] = json!(self.value),
            other => panic!("context {other}"),
        }
        json!({
            "metadata": { "annotations": annotations }, "spec": { "containers": [container] },
        })
        .to_string()
    }
}

fn unescape(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => unescaped.push('\n'),
                Some(other) => unescaped.push(other),
                None => unescaped.push('\\'),
            },
            _ => unescaped.push(c),
        }
    }
    unescaped
}

/// Fills braces in, with the same characters in every run.
struct Filler(u64);

impl Filler {
    fn fill(&mut self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            let inner = &rest[at + 1..];
            let end = closing(inner);
            match end.and_then(|end| self.content(&inner[..end])) {
                Some(content) => {
                    filled.push_str(&content);
                    rest = &inner[end.unwrap_or_default() + 1..];
                }
                None => {
                    filled.push('{');
                    rest = inner;
                }
            }
        }
        filled + rest
    }

    fn content(&mut self, brace: &str) -> Option<String> {
        if brace == "uuid" {
            let digits = self.random("0123456789abcdef", 32);
            let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20]];
            return Some(format!("{}-{}", groups.join("-"), &digits[20..]));
        }
        let (kind, rest) = brace.split_once(':')?;
        if kind == "base64" {
            return Some(base64(self.fill(rest).as_bytes()));
        }
        const DIGITS: &str = "0123456789";
        const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";
        const LARGE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let alphabet = match kind {
            "hex" => format!("{DIGITS}abcdef"),
            "HEX" => format!("{DIGITS}ABCDEF"),
            "digits" => DIGITS.to_owned(),
            "letters" => format!("{SMALL}{LARGE}"),
            "lower" => format!("{DIGITS}{SMALL}"),
            "upper" => format!("{LARGE}234567"),
            "alnum" => format!("{DIGITS}{SMALL}{LARGE}"),
            "b64" => format!("{DIGITS}{SMALL}{LARGE}+/"),
            "word" => format!("{DIGITS}{SMALL}{LARGE}_-"),
            _ => return None,
        };
        Some(self.random(&alphabet, rest.parse().ok()?))
    }

    fn random(&mut self, alphabet: &str, count: usize) -> String {
        let bytes = alphabet.as_bytes();
        let next = || {
            // SplitMix64
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            char::from(bytes[((mixed ^ (mixed >> 31)) % bytes.len() as u64) as usize])
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

/// Where the brace closes that is open at the start.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.char_indices().find_map(|(at, c)| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        (depth == 0).then_some(at)
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            (0..4).map(move |index| match index <= chunk.len() {
                true => char::from(ALPHABET[(bits >> (18 - 6 * index)) as usize & 63]),
                false => '=',
            })
        })
        .collect()
}
