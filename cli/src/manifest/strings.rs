//! Strings that YAML took for something else: `value: 8080` is a number, and the API server
//! refuses it.

use serde_json::Value;

/// The first string field of a pod that has another type: its JSON pointer in the pod, and the
/// type with its article.
pub(crate) fn wrong_type(pod: &Value) -> Option<(String, &'static str)> {
    wrong_types(pod).next()
}

fn wrong_types(pod: &Value) -> impl Iterator<Item = (String, &'static str)> {
    let metadata = &pod["metadata"];
    let maps = ["annotations", "labels"].into_iter().flat_map(|field| {
        let map = metadata[field].as_object();
        map.into_iter().flatten().map(move |(key, value)| {
            (format!("/metadata/{field}/{}", super::escape_step(key)), value)
        })
    });
    let names = [("/metadata/name".to_owned(), &metadata["name"])].into_iter();
    let lists = ["containers", "initContainers"].into_iter().flat_map(|list| {
        let containers = pod["spec"][list].as_array();
        containers.into_iter().flatten().enumerate().flat_map(move |(index, container)| {
            in_container(container, format!("/spec/{list}/{index}"))
        })
    });
    names.chain(maps).chain(lists).filter_map(|(pointer, value)| match value {
        Value::Number(_) => Some((pointer, "a number")),
        Value::Bool(_) => Some((pointer, "a boolean")),
        Value::Object(_) => Some((pointer, "a map")),
        Value::Array(_) => Some((pointer, "a list")),
        Value::String(_) | Value::Null => None,
    })
}

/// The pod with those fields as strings, so that a mistake hides no credential: `value: 12345` is a
/// password all the same.
pub(crate) fn with_strings(pod: &Value) -> Value {
    let pointers: Vec<_> = wrong_types(pod).map(|(pointer, _)| pointer).collect();
    let mut pod = pod.clone();
    for pointer in pointers {
        if let Some(value) = pod.pointer_mut(&pointer) {
            *value = Value::String(value.to_string());
        }
    }
    pod
}

fn in_container(container: &Value, at: String) -> impl Iterator<Item = (String, &Value)> {
    let words = ["command", "args"].into_iter().flat_map({
        let at = at.clone();
        move |field| {
            let at = at.clone();
            let list = container[field].as_array();
            list.into_iter()
                .flatten()
                .enumerate()
                .map(move |(index, value)| (format!("{at}/{field}/{index}"), value))
        }
    });
    let variables = container["env"].as_array().into_iter().flatten().enumerate();
    let variables = variables.flat_map(move |(index, variable)| {
        let at = format!("{at}/env/{index}");
        ["name", "value"].map(|field| (format!("{at}/{field}"), &variable[field]))
    });
    words.chain(variables)
}
