//! Manifests: YAML as kubectl reads it, or JSON; one or more documents, lists and arrays.

mod print;
mod scalar;
pub(crate) mod sources;
mod strings;
mod workload;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use contract::text::escape;
use serde_json::{Map, Value};

pub(crate) use strings::{with_strings, wrong_type};
pub(crate) use workload::{Template, templates};
use yaml::{Content, YamlNode};

/// The documents of a manifest.
pub(crate) struct Manifest {
    pub(crate) documents: Vec<KubernetesObject>,
    /// Why others could not be read, with the line. Quotes nothing of them.
    pub(crate) mistakes: Vec<String>,
    /// Whether the text is JSON. What is printed then is JSON too.
    pub(crate) is_json: bool,
}

/// An object of Kubernetes, alone or an item of a list.
pub(crate) struct KubernetesObject {
    pub(crate) value: Value,
    /// The line of each node, by its JSON pointer.
    lines: BTreeMap<String, usize>,
    /// Keys that a mapping has twice, each with its line.
    pub(crate) duplicates: Vec<(usize, String)>,
}

/// As messages name it: `Deployment api (line 3)`.
impl fmt::Display for KubernetesObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())?;
        write!(f, " (line {})", self.line(""))
    }
}

impl KubernetesObject {
    /// The kind and the name.
    pub(crate) fn title(&self) -> String {
        let kind = self.value["kind"].as_str().unwrap_or("document");
        let metadata = &self.value["metadata"];
        let name = metadata["name"].as_str().or_else(|| metadata["generateName"].as_str());
        let name = name.map(|name| format!(" {}", escape(name))).unwrap_or_default();
        format!("{}{name}", escape(kind))
    }

    /// The namespace that it names.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.value.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    /// Whether there is a node at a JSON pointer.
    pub(crate) fn has(&self, pointer: &str) -> bool {
        self.value.pointer(pointer).is_some()
    }

    /// The line of the node at a JSON pointer, or of the nearest one above it.
    pub(crate) fn line(&self, pointer: &str) -> usize {
        let mut pointer = pointer;
        loop {
            match (self.lines.get(pointer), pointer.rfind('/')) {
                (Some(line), _) => return *line,
                (None, Some(parent)) => pointer = &pointer[..parent],
                (None, None) => return 1,
            }
        }
    }
}

/// Reads a manifest. The items of a `List` and of an array are documents themselves.
pub(crate) fn parse(text: &str) -> Manifest {
    let is_json = text.trim_start().starts_with(['{', '[']) && is_json(text);
    let mut manifest = Manifest { documents: Vec::new(), mistakes: Vec::new(), is_json };
    // JSON is YAML, so its lines are known too; only several values without `---` are not.
    let values = if is_json { json_values(text) } else { Vec::new() };
    let documents = yaml::documents(text);
    if values.len() > 1 || (is_json && documents.iter().any(|it| it.content.is_err())) {
        for value in values {
            let document =
                KubernetesObject { value, lines: BTreeMap::new(), duplicates: Vec::new() };
            manifest.add(document);
        }
        return manifest;
    }
    for found in documents {
        match found.content {
            Ok(node) => {
                let mut lines = BTreeMap::new();
                let value = to_value(node, &mut String::new(), &mut lines);
                manifest.add(KubernetesObject { value, lines, duplicates: found.duplicates });
            }
            Err(reason) => manifest.mistakes.push(reason),
        }
    }
    manifest
}

/// Formats documents in the language that they came in.
pub(crate) fn print(documents: &[Value], json: bool) -> Result<String, String> {
    let one = |document: &Value| {
        if json {
            serde_json::to_string_pretty(document)
                .map(|text| text + "\n")
                .map_err(|error| error.to_string())
        } else {
            Ok(print::yaml(document))
        }
    };
    let texts = documents.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join(if json { "" } else { "---\n" }))
}

impl Manifest {
    fn add(&mut self, document: KubernetesObject) {
        let is_list = document.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        let items = match (&document.value, document.value.get("items")) {
            (Value::Null, _) => return,
            (Value::Array(_), _) => "",
            (_, Some(Value::Array(_))) if is_list => "/items",
            _ => return self.documents.push(document),
        };
        let KubernetesObject { mut value, lines, duplicates } = document;
        let list = value.pointer_mut(items).map(Value::take);
        let Some(Value::Array(list)) = list else { return };
        let mut lines_of: Vec<BTreeMap<String, usize>> = vec![BTreeMap::new(); list.len()];
        for (pointer, line) in lines {
            let rest = pointer.strip_prefix(items).and_then(|rest| rest.strip_prefix('/'));
            let Some(rest) = rest else { continue };
            let (index, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if let Some(own) = index.parse::<usize>().ok().and_then(|it| lines_of.get_mut(it)) {
                own.insert(below.to_owned(), line);
            }
        }
        // Which item has a key twice is not kept: the first one names them all.
        let mut duplicates = Some(duplicates);
        for (value, lines) in list.into_iter().zip(lines_of) {
            let duplicates = duplicates.take().unwrap_or_default();
            self.add(KubernetesObject { value, lines, duplicates });
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::Deserializer::from_str(text)
        .into_iter::<serde::de::IgnoredAny>()
        .all(|it| it.is_ok())
}

fn json_values(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text).into_iter().filter_map(Result::ok).collect()
}

fn to_value(node: YamlNode, pointer: &mut String, lines: &mut BTreeMap<String, usize>) -> Value {
    lines.insert(pointer.clone(), node.line);
    let length = pointer.len();
    let mut below = |step: &str, node: YamlNode| {
        pointer.push('/');
        pointer.push_str(step);
        let value = to_value(node, pointer, lines);
        pointer.truncate(length);
        value
    };
    match node.content {
        Content::Scalar(value) => value,
        Content::Sequence(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| below(&index.to_string(), item))
            .collect(),
        Content::Mapping(pairs) => pairs
            .into_iter()
            .map(|(key, value)| {
                let value = below(&escape_step(&key), value);
                (key, value)
            })
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// A key as a step of a JSON pointer.
pub(crate) fn escape_step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A JSON pointer as messages write a field: `spec.containers[0].name`.
pub(crate) fn field(pointer: &str) -> String {
    let mut field = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.bytes().all(|b| b.is_ascii_digit()) || step.contains(['/', '.']) {
            field.push_str(&format!("[{}]", escape(&step)));
        } else {
            field.push_str(if field.is_empty() { "" } else { "." });
            field.push_str(&escape(&step));
        }
    }
    field
}

#[cfg(test)]
mod tests;
