//! Process metrics: memory, open files, start time. Read from `/proc` at each scrape.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Adds the process metrics under the names that Prometheus' own clients use.
///
/// `started` is the start time of the process.
pub fn register_process(registry: &mut Registry, started: SystemTime) {
    registry.register_collector(Box::new(ProcessCollector { started }));
}

#[derive(Debug)]
struct ProcessCollector {
    started: SystemTime,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut gauge = |name, help, value: Option<f64>| {
            // A value that cannot be read is left out; zero would be wrong.
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Resident memory", resident_bytes())?;
        gauge("process_open_fds", "Open file descriptors", open_files())?;
        let started = self.started.duration_since(UNIX_EPOCH).ok();
        gauge(
            "process_start_time_seconds",
            "Start of the process, seconds since 1970",
            started.map(|since| since.as_secs_f64()),
        )
    }
}

fn resident_bytes() -> Option<f64> {
    parse_resident(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0)
}

fn open_files() -> Option<f64> {
    // The directory handle that does the counting is one of them.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_process_describes_itself() {
        let mut registry = Registry::default();
        register_process(&mut registry, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("process_start_time_seconds 1700000000.0"), "{text}");
        for name in ["process_resident_memory_bytes", "process_open_fds"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(value > 0.0, "{line}");
        }
    }

    #[test]
    fn an_unreadable_value_is_left_out() {
        assert_eq!(parse_resident("VmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        for status in ["", "VmRSS: many kB", "VmRSS: 4"] {
            assert_eq!(parse_resident(status), None, "{status:?}");
        }
    }
}
