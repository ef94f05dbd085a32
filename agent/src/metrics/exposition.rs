//! The metrics as OpenMetrics text, which the other programs expose too. Pure.

use std::fmt;

use super::{AgentMetrics, CHECK_OUTCOMES, RELOAD_OUTCOMES, STAGES, STEPS};

/// The media type.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl fmt::Display for AgentMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = "1 if the source of the secrets answers, 0 if not";
        family(f, "connected", "gauge", help)?;
        writeln!(f, "enclii_agent_connected {}", u8::from(self.is_connected))?;

        let help = "Generation of the bundle that the files hold";
        family(f, "bundle_generation", "gauge", help)?;
        for it in &self.bundles {
            if let Some(generation) = it.generation {
                let bundle = &it.bundle;
                writeln!(f, "enclii_agent_bundle_generation{{bundle=\"{bundle}\"}} {generation}")?;
            }
        }
        let help = "Since when the files hold this generation, in seconds since the Unix epoch";
        family(f, "bundle_held_since_timestamp_seconds", "gauge", help)?;
        for it in &self.bundles {
            if let Some(since) = it.since {
                let bundle = &it.bundle;
                let name = "enclii_agent_bundle_held_since_timestamp_seconds";
                writeln!(f, "{name}{{bundle=\"{bundle}\"}} {since}")?;
            }
        }
        self.counters(f)?;
        let help = "Generations newer than what the files hold that failed a check in this pod";
        family(f, "refused_generations", "gauge", help)?;
        writeln!(f, "enclii_agent_refused_generations {}", self.refused)?;
        f.write_str("# EOF\n")
    }
}

impl AgentMetrics {
    fn counters(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let help = "Times that the application was to be told of new files, by outcome";
        family(f, "reloads", "counter", help)?;
        for (outcome, count) in RELOAD_OUTCOMES.iter().zip(counts.reloads) {
            let outcome = outcome.as_str();
            writeln!(f, "enclii_agent_reloads_total{{outcome=\"{outcome}\"}} {count}")?;
        }
        family(f, "checks", "counter", "Checks, by when they ran and their outcome")?;
        for (stage, counts) in STAGES.iter().zip(counts.checks) {
            for (outcome, count) in CHECK_OUTCOMES.iter().zip(counts) {
                let (stage, outcome) = (stage.as_str(), outcome.as_str());
                let labels = format_args!("stage=\"{stage}\",outcome=\"{outcome}\"");
                writeln!(f, "enclii_agent_checks_total{{{labels}}} {count}")?;
            }
        }
        let help = "Attempts to bring a generation into use that failed, by the step";
        family(f, "failed_generations", "counter", help)?;
        for (step, count) in STEPS.iter().zip(counts.failed) {
            let step = step.as_str();
            writeln!(f, "enclii_agent_failed_generations_total{{step=\"{step}\"}} {count}")?;
        }
        let help = "Generations that came back because a later one failed a check";
        family(f, "restored_generations", "counter", help)?;
        writeln!(f, "enclii_agent_restored_generations_total {}", counts.restored)
    }
}

/// The head of a metric family. The samples of a counter have `_total` after its name.
fn family(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP enclii_agent_{name} {help}.\n# TYPE enclii_agent_{name} {kind}")
}

#[cfg(test)]
mod tests {
    use contract::Generation;
    use contract::agent_status::BundleStatus;
    use contract::stream::{CheckOutcome, CheckStage, FailedStep, ReloadOutcome};

    use super::*;

    fn bundle(name: &str, generation: Option<u64>) -> BundleStatus {
        BundleStatus {
            bundle: name.parse().unwrap(),
            generation: generation.map(Generation),
            tag: None,
            since: generation.map(|_| 1_790_000_000),
            secrets: None,
        }
    }

    #[test]
    fn the_text_has_every_outcome_from_the_beginning() {
        let bundles = vec![bundle("api-prod", Some(6)), bundle("shared-prod", None)];
        let mut metrics =
            AgentMetrics { is_connected: true, bundles, refused: 2, ..AgentMetrics::default() };
        let counts = &mut metrics.counts;
        counts.reloaded(ReloadOutcome::NotNeeded);
        counts.reloaded(ReloadOutcome::Signalled);
        counts.reloaded(ReloadOutcome::Signalled);
        counts.checked(CheckStage::Before, CheckOutcome::Failed);
        counts.checked(CheckStage::After, CheckOutcome::Passed);
        counts.checked(CheckStage::After, CheckOutcome::Skipped);
        counts.failed(FailedStep::Check);
        counts.restored();
        // What no agent says of itself has no place.
        counts.checked(CheckStage::Unknown, CheckOutcome::Passed);
        counts.checked(CheckStage::After, CheckOutcome::Unknown);
        counts.failed(FailedStep::Unknown);
        assert_eq!(metrics.to_string(), include_str!("golden.txt"));
    }

    #[test]
    fn every_metric_is_documented() {
        e2e::metrics::assert_documented(&AgentMetrics::default().to_string(), &["enclii_agent_"]);
    }
}
