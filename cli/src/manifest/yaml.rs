//! YAML with the line of every node. Anchors, merge keys and duplicate keys are as in go-yaml v2.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::Value;

use super::scalar;

/// A node and its line, which counts from 1.
#[derive(Clone, Debug)]
pub(super) struct YamlNode {
    pub(super) line: usize,
    depth: usize,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Scalar(Value),
    Sequence(Vec<YamlNode>),
    Mapping(Vec<(String, YamlNode)>),
}

/// A document, or why it could not be read. The reason quotes nothing of it.
pub(super) struct YamlDocument {
    pub(super) content: Result<YamlNode, String>,
    /// The lines where a mapping has a key again, and the keys.
    pub(super) duplicates: Vec<(usize, String)>,
}

/// Deeper nodes are refused.
const MAX_DEPTH: usize = 200;

/// Nodes of a file, those that aliases repeat included: more is an attack.
const MAX_NODES: usize = 2_000_000;

/// Reads every document. After a mistake it goes on with the next one.
pub(super) fn documents(text: &str) -> Vec<YamlDocument> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        duplicates: Vec::new(),
    };
    let mut documents = Vec::new();
    loop {
        match reader.next_document() {
            Ok(None) => return documents,
            Ok(Some(node)) => {
                let duplicates = std::mem::take(&mut reader.duplicates);
                documents.push(YamlDocument { content: Ok(node), duplicates });
            }
            Err(Mistake(reason)) => {
                let duplicates = std::mem::take(&mut reader.duplicates);
                documents.push(YamlDocument { content: Err(reason), duplicates });
                if !matches!(reader.parser.proceed_next_document(), Ok(true)) {
                    return documents;
                }
            }
        }
    }
}

struct Mistake(String);

fn mistake<T>(line: usize, reason: &str) -> Result<T, Mistake> {
    Err(Mistake(format!("{reason}, at line {line}")))
}

impl From<ScanError> for Mistake {
    fn from(error: ScanError) -> Self {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        Self(format!("not YAML at line {line}, column {column}"))
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, YamlNode>,
    nodes: usize,
    duplicates: Vec<(usize, String)>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Mistake> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn next_document(&mut self) -> Result<Option<YamlNode>, Mistake> {
        loop {
            match self.next()?.0 {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    let (event, span) = self.next()?;
                    return self.node(event, &span, 0).map(Some);
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<YamlNode, Mistake> {
        let line = span.start.line();
        self.count(1, line)?;
        if depth > MAX_DEPTH {
            return mistake(line, "nested too deeply");
        }
        let (anchor, content) = match event {
            Event::Alias(id) => return self.alias(id, line, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_value(&text, style, tag.as_deref(), line)?;
                (anchor, Content::Scalar(value))
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                }
                (anchor, Content::Sequence(items))
            }
            Event::MappingStart(_, anchor, _) => (anchor, Content::Mapping(self.mapping(depth)?)),
            // An empty document has no node.
            _ => (0, Content::Scalar(Value::Null)),
        };
        let below = match &content {
            Content::Scalar(_) => None,
            Content::Sequence(items) => items.iter().map(|it| it.depth).max(),
            Content::Mapping(pairs) => pairs.iter().map(|(_, it)| it.depth).max(),
        };
        let node = YamlNode { line, depth: below.map_or(0, |below| below + 1), content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, line: usize, depth: usize) -> Result<YamlNode, Mistake> {
        let Some(node) = self.anchors.get(&id) else {
            return mistake(line, "an alias refers to the node that it is in");
        };
        if depth + node.depth > MAX_DEPTH {
            return mistake(line, "nested too deeply");
        }
        // Counted before it is copied: aliases of aliases grow without bound.
        self.count(node.size(), line)?;
        match self.anchors.get(&id).cloned() {
            Some(node) => Ok(YamlNode { line, ..node }),
            None => mistake(line, "an alias without an anchor"),
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Mistake> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES { mistake(line, "too many nodes") } else { Ok(()) }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(String, YamlNode)>, Mistake> {
        let mut pairs = Pairs::default();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(pairs.list);
            }
            let line = span.start.line();
            let is_merge =
                matches!(&event, Event::Scalar(key, ScalarStyle::Plain, _, None) if key == "<<");
            let key = self.node(event, &span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            if is_merge {
                merge(&mut pairs, value)?;
            } else {
                let key = key_text(key)?;
                if pairs.at.contains_key(&key) {
                    self.duplicates.push((line, key.clone()));
                }
                pairs.set(key, value);
            }
        }
    }
}

impl YamlNode {
    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar(_) => 0,
            Content::Sequence(items) => items.iter().map(Self::size).sum(),
            Content::Mapping(pairs) => pairs.iter().map(|(_, it)| it.size()).sum(),
        }
    }
}

#[derive(Default)]
struct Pairs {
    list: Vec<(String, YamlNode)>,
    at: HashMap<String, usize>,
}

impl Pairs {
    /// The last value of a key counts.
    fn set(&mut self, key: String, value: YamlNode) {
        match self.at.get(&key) {
            Some(at) => self.list[*at].1 = value,
            None => {
                self.at.insert(key.clone(), self.list.len());
                self.list.push((key, value));
            }
        }
    }
}

/// `<<`: of several mappings, the first one counts.
fn merge(pairs: &mut Pairs, value: YamlNode) -> Result<(), Mistake> {
    let line = value.line;
    match value.content {
        Content::Mapping(merged) => merged.into_iter().for_each(|(key, it)| pairs.set(key, it)),
        Content::Sequence(items) => {
            for item in items.into_iter().rev() {
                match item.content {
                    Content::Mapping(_) => merge(pairs, item)?,
                    _ => return mistake(line, "a merge key needs mappings"),
                }
            }
        }
        Content::Scalar(_) => return mistake(line, "a merge key needs mappings"),
    }
    Ok(())
}

/// A key is a string in JSON.
fn key_text(key: YamlNode) -> Result<String, Mistake> {
    match key.content {
        Content::Scalar(Value::String(text)) => Ok(text),
        Content::Scalar(value @ (Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        _ => mistake(key.line, "a key is no string"),
    }
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    line: usize,
) -> Result<Value, Mistake> {
    match tag.and_then(Tag::core_suffix) {
        _ if tag.is_some_and(|tag| tag.suffix() == "binary") => {
            return mistake(line, "the tag !!binary is not supported");
        }
        Some("str") => return Ok(Value::String(text.to_owned())),
        None if tag.is_some() => return Ok(Value::String(text.to_owned())),
        None if style != ScalarStyle::Plain => return Ok(Value::String(text.to_owned())),
        _ => {}
    }
    match scalar::resolve(text) {
        Some(value) => Ok(value),
        None => mistake(line, "JSON has no such number"),
    }
}
