//! The functions of consul-template. Their errors have no value in them.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use contract::layout::MAX_TEMPLATE_STEPS;
use gotmpl::Value;

use super::answer::{json, value};
use super::{numbers, yaml};

/// The most spaces that a line is indented by.
const MAX_INDENT: i64 = 256;

/// A function, and why it may fail.
type Function = fn(&[Value]) -> Result<Value, &'static str>;

const NEEDS_TEXT: &str = "needs a text";
const WRONG_COUNT: &str = "has too few or too many arguments";

/// The function of a name; `None` for those that read secrets.
pub(super) fn of(name: &str) -> Option<Function> {
    Some(match name {
        "add" => |it| numbers::operation(it, numbers::add),
        "base64Decode" => |it| decode(&STANDARD, it),
        "base64Encode" => |it| Ok(string(STANDARD.encode(&*one_text(it)?))),
        "base64URLDecode" => |it| decode(&URL_SAFE, it),
        "base64URLEncode" => |it| Ok(string(URL_SAFE.encode(&*one_text(it)?))),
        "contains" => |it| {
            let [item, list] = it else { return Err(WRONG_COUNT) };
            contains(list, item)
        },
        "divide" => |it| numbers::operation(it, numbers::divide),
        "in" => |it| {
            let [list, item] = it else { return Err(WRONG_COUNT) };
            contains(list, item)
        },
        "indent" => indent,
        "join" => join,
        "loop" => count,
        "maximum" => |it| numbers::operation(it, numbers::maximum),
        "minimum" => |it| numbers::operation(it, numbers::minimum),
        "modulo" => |it| numbers::operation(it, numbers::modulo),
        "multiply" => |it| numbers::operation(it, numbers::multiply),
        "parseBool" => |it| parse(it, Value::Bool(false), |text| Some(Value::Bool(boolean(text)?))),
        "parseFloat" => {
            |it| parse(it, Value::Float(0.0), |it| Some(Value::Float(it.parse().ok()?)))
        }
        "parseInt" => |it| parse(it, Value::Int(0), |it| Some(Value::Int(it.parse().ok()?))),
        "parseUint" => |it| parse(it, Value::Uint(0), |it| Some(Value::Uint(it.parse().ok()?))),
        "parseJSON" => |it| {
            parse(it, value(serde_json::json!({})), |it| {
                Some(value(serde_json::from_str(it).ok()?))
            })
        },
        "replaceAll" => |it| {
            let [from, to, text] = texts(it)?;
            Ok(string(text.replace(&*from, &to)))
        },
        "split" => |it| {
            let [separator, text] = texts(it)?;
            Ok(list(split(&separator, &text)))
        },
        "splitToMap" => split_to_map,
        "subtract" => |it| numbers::operation(it, numbers::subtract),
        "toJSON" => |it| Ok(string(escaped_html(&json(one(it)?).to_string()))),
        "toJSONPretty" => |it| Ok(string(escaped_html(&format!("{:#}", json(one(it)?))))),
        "toLower" => |it| Ok(string(one_text(it)?.to_lowercase())),
        "toTitle" => |it| Ok(string(title(&one_text(it)?))),
        "toUnescapedJSON" => |it| Ok(string(json(one(it)?).to_string())),
        "toUnescapedJSONPretty" => |it| Ok(string(format!("{:#}", json(one(it)?)))),
        "toUpper" => |it| Ok(string(one_text(it)?.to_uppercase())),
        "toYAML" => |it| Ok(string(yaml::document(&json(one(it)?)))),
        "trim" => |it| {
            let [cut, text] = texts(it)?;
            Ok(string(text.trim_matches(|it| cut.contains(it)).to_owned()))
        },
        "trimPrefix" => |it| {
            let [prefix, text] = texts(it)?;
            Ok(string(text.strip_prefix(&*prefix).unwrap_or(&text).to_owned()))
        },
        "trimSpace" => |it| Ok(string(one_text(it)?.trim().to_owned())),
        "trimSuffix" => |it| {
            let [suffix, text] = texts(it)?;
            Ok(string(text.strip_suffix(&*suffix).unwrap_or(&text).to_owned()))
        },
        _ => return None,
    })
}

/// A value as a text: a number is the text that it is in JSON.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

fn string(text: String) -> Value {
    Value::String(text.into())
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> Value {
    Value::List(texts.into_iter().map(|it| Value::String(it.into())).collect())
}

fn one(arguments: &[Value]) -> Result<&Value, &'static str> {
    match arguments {
        [value] => Ok(value),
        _ => Err(WRONG_COUNT),
    }
}

fn one_text(arguments: &[Value]) -> Result<Cow<'_, str>, &'static str> {
    text(one(arguments)?).ok_or(NEEDS_TEXT)
}

fn texts<const N: usize>(arguments: &[Value]) -> Result<[Cow<'_, str>; N], &'static str> {
    let texts: Option<Vec<_>> = arguments.iter().map(text).collect();
    texts.ok_or(NEEDS_TEXT)?.try_into().map_err(|_| WRONG_COUNT)
}

fn decode(engine: &impl base64::Engine, arguments: &[Value]) -> Result<Value, &'static str> {
    let bytes = engine.decode(&*one_text(arguments)?).map_err(|_| "needs base64")?;
    String::from_utf8(bytes).map(string).map_err(|_| "gives what is not UTF-8")
}

fn contains(list: &Value, item: &Value) -> Result<Value, &'static str> {
    let found = match list {
        Value::List(items) => items.contains(item),
        Value::String(whole) => whole.contains(&*text(item).ok_or(NEEDS_TEXT)?),
        _ => return Err("needs a list"),
    };
    Ok(Value::Bool(found))
}

fn indent(arguments: &[Value]) -> Result<Value, &'static str> {
    let [Value::Int(spaces @ 0..=MAX_INDENT), text_of] = arguments else {
        return Err("needs a number of spaces up to 256 and a text");
    };
    let prefix = " ".repeat(usize::try_from(*spaces).unwrap_or_default());
    let text = text(text_of).ok_or(NEEDS_TEXT)?;
    let lines = text.split_inclusive('\n').map(|line| match line {
        "\n" => line.to_owned(),
        line => format!("{prefix}{line}"),
    });
    Ok(string(lines.collect()))
}

fn join(arguments: &[Value]) -> Result<Value, &'static str> {
    let [separator, Value::List(items)] = arguments else { return Err("needs a text and a list") };
    let items: Option<Vec<_>> = items.iter().map(text).collect();
    let separator = text(separator).ok_or(NEEDS_TEXT)?;
    Ok(string(items.ok_or("needs a list of texts")?.join(&separator)))
}

fn count(arguments: &[Value]) -> Result<Value, &'static str> {
    let (from, to) = match arguments {
        [Value::Int(to)] => (0, *to),
        [Value::Int(from), Value::Int(to)] => (*from, *to),
        _ => return Err("needs one integer or two"),
    };
    match u64::try_from(to.saturating_sub(from)) {
        Ok(MAX_TEMPLATE_STEPS..) => Err("goes on for too long"),
        _ => Ok(Value::List((from..to).map(Value::Int).collect())),
    }
}

/// Of an empty text, as consul-template has it, the value is the one of nothing.
fn parse(
    arguments: &[Value],
    nothing: Value,
    parse: fn(&str) -> Option<Value>,
) -> Result<Value, &'static str> {
    let text = one_text(arguments)?;
    match text.is_empty() {
        true => Ok(nothing),
        false => parse(&text).ok_or("cannot read the text"),
    }
}

/// As Go reads one.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn split<'t>(separator: &'t str, text: &'t str) -> Vec<&'t str> {
    match text.trim() {
        "" => Vec::new(),
        text => text.split(separator).collect(),
    }
}

fn split_to_map(arguments: &[Value]) -> Result<Value, &'static str> {
    let [between, within, text] = texts(arguments)?;
    let pairs = split(&between, &text).into_iter().filter_map(|it| it.split_once(&*within));
    let pairs = pairs.map(|(key, it)| (Arc::from(key), Value::String(it.into())));
    Ok(Value::Map(Arc::new(pairs.collect())))
}

/// What Go's encoder escapes, so that JSON can be in HTML.
fn escaped_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_inside = false;
    for character in text.chars() {
        match is_inside {
            false => out.extend(character.to_uppercase()),
            true => out.push(character),
        }
        is_inside = character.is_alphanumeric() || matches!(character, '\'' | '_');
    }
    out
}
