//! What a program exposes as metrics, held against `docs/metrics.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A metric as a page or a program has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Described {
    kind: String,
    help: String,
}

/// Panics unless the page documents exactly the metrics of `exposition` (OpenMetrics text) that
/// begin with one of `prefixes`, each with its type and its help text.
///
/// A family without a sample is left out of an exposition, so a caller touches every family first.
pub fn assert_documented(exposition: &str, prefixes: &[&str]) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("read {page:?}: {error}"));
    let of_program = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let mut documented = documented(&page);
    documented.retain(|name, _| of_program(name));
    let mut exposed = exposed(exposition);
    exposed.retain(|name, _| of_program(name));
    assert!(!exposed.is_empty(), "nothing begins with {prefixes:?}");
    assert_eq!(exposed, documented, "left: the program; right: docs/metrics.md");
    for (name, Described { kind, .. }) in &exposed {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
}

/// The rows of the page's tables: name, type, labels, help.
fn documented(page: &str) -> BTreeMap<String, Described> {
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, _labels, help] = cells.as_slice() else { return None };
        let name = name.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        Some((name, Described { kind: (*kind).to_owned(), help: (*help).to_owned() }))
    });
    rows.collect()
}

/// The families of an exposition, under the names that queries use: a counter's ends in `_total`.
fn exposed(exposition: &str) -> BTreeMap<String, Described> {
    let mut helps = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in exposition.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            helps.insert(name, help.trim_end_matches('.').to_owned());
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            found.insert(format!("{name}{suffix}"), (name, kind.to_owned()));
        }
    }
    let described = found.into_iter().map(|(full, (name, kind))| {
        let help = helps.get(name).cloned().unwrap_or_default();
        (full, Described { kind, help })
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_an_exposition_describe_the_same_metric() {
        let page = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n\
                    | `a_total` | counter | `x` | Things |\n";
        let exposition = "# HELP a Things.\n# TYPE a counter\na_total{x=\"1\"} 3\n# EOF\n";
        assert_eq!(documented(page), exposed(exposition));
        assert_eq!(documented(page).len(), 1);
    }
}
