//! SARIF 2.1.0, <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use injection::{Confidence, rules};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::finding::ScanFinding;

/// A log of one run. Files are named relative to the working directory, as code hosts expect.
pub(super) fn log(findings: &[ScanFinding]) -> Value {
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "enclii",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules().map(rule).collect::<Vec<_>>(),
            } },
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn rule(rule: &injection::Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": format!("Finds {} in plain text", rule.what) },
        "defaultConfiguration": { "level": level(rule.confidence == Confidence::Certain) },
    })
}

fn level(is_certain: bool) -> &'static str {
    if is_certain { "error" } else { "warning" }
}

fn result(finding: &ScanFinding) -> Value {
    let place = format!("{}: {}", finding.document, finding.field);
    json!({
        "ruleId": finding.rule,
        "level": level(finding.is_certain()),
        "message": { "text": format!("{place}: {}", finding.message()) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&finding.file) },
                "region": { "startLine": finding.line },
            },
            "logicalLocations": [{ "fullyQualifiedName": place }],
        }],
        // The same finding after lines have moved.
        "partialFingerprints": { "encliiPlace/v1": format!("{place}: {}", finding.name) },
    })
}

/// A path as a relative reference; standard input has a name of its own.
fn uri(file: &str) -> String {
    if file == "-" {
        return "stdin".to_owned();
    }
    let file = file.strip_prefix("./").unwrap_or(file);
    let encode =
        |step: &str| byte_serialize(step.as_bytes()).collect::<String>().replace('+', "%20");
    let path = file.split('/').map(encode).collect::<Vec<_>>().join("/");
    if path.starts_with('/') { format!("file://{path}") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references() {
        for (file, expected) in [
            ("./a/b.yaml", "a/b.yaml"),
            ("/a/b c.yaml", "file:///a/b%20c.yaml"),
            ("-", "stdin"),
            ("a#1/%.yaml", "a%231/%25.yaml"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
