//! Which metrics count requests, in common frameworks and proxies. Pure.

use super::exposition::Sample;

/// How one framework counts its requests.
#[derive(Debug, PartialEq)]
pub(super) struct Preset {
    /// The counter of requests.
    pub(super) requests: &'static str,
    /// The labels of the counter that say how a request ended; the first that is there counts.
    status: &'static [&'static str],
    /// Labels that a sample has to have, with a value.
    only: &'static [(&'static str, &'static str)],
    /// Labels that a sample may not have with that value.
    except: &'static [(&'static str, &'static str)],
    /// The buckets of the latency histogram; empty without one.
    buckets: &'static str,
    /// How many microseconds the unit of a bound is.
    unit: f64,
}

const SECONDS: f64 = 1e6;
const MILLISECONDS: f64 = 1e3;

/// What several libraries call the status.
const STATUS: &[&str] = &["code", "status", "status_code", "http_status_code", "http_status"];

const fn plain(requests: &'static str, buckets: &'static str, unit: f64) -> Preset {
    Preset { requests, status: STATUS, only: &[], except: &[], buckets, unit }
}

/// Proxies beside the application come first, since they see every request; what is more special
/// comes before what many programs use.
pub(super) const PRESETS: &[Preset] = &[
    // linkerd-proxy: what its pod answered.
    Preset {
        status: &["classification"],
        only: &[("direction", "inbound")],
        ..plain("response_total", "response_latency_ms_bucket", MILLISECONDS)
    },
    // Istio's proxies, likewise.
    Preset {
        status: &["response_code"],
        only: &[("reporter", "destination")],
        ..plain("istio_requests_total", "istio_request_duration_milliseconds_bucket", MILLISECONDS)
    },
    // Envoy: without its own admin port.
    Preset {
        status: &["envoy_response_code_class"],
        except: &[("envoy_http_conn_manager_prefix", "admin")],
        ..plain("envoy_http_downstream_rq_xx", "envoy_http_downstream_rq_time_bucket", MILLISECONDS)
    },
    // Spring Boot: Micrometer.
    plain("http_server_requests_seconds_count", "http_server_requests_seconds_bucket", SECONDS),
    // OpenTelemetry, as its Prometheus exporters name it: now, and before its conventions were
    // stable.
    Preset {
        status: &["http_response_status_code"],
        ..plain(
            "http_server_request_duration_seconds_count",
            "http_server_request_duration_seconds_bucket",
            SECONDS,
        )
    },
    plain(
        "http_server_duration_milliseconds_count",
        "http_server_duration_milliseconds_bucket",
        MILLISECONDS,
    ),
    // nginx with the module vts. The exporter of stub_status does not tell errors apart.
    Preset {
        except: &[("code", "total"), ("host", "*")],
        ..plain(
            "nginx_vts_server_requests_total",
            "nginx_vts_server_request_duration_seconds_bucket",
            SECONDS,
        )
    },
    plain(
        "nginx_ingress_controller_requests",
        "nginx_ingress_controller_request_duration_seconds_bucket",
        SECONDS,
    ),
    // HAProxy's own exporter has no histogram.
    plain("haproxy_frontend_http_responses_total", "", SECONDS),
    plain(
        "traefik_service_requests_total",
        "traefik_service_request_duration_seconds_bucket",
        SECONDS,
    ),
    plain(
        "caddy_http_request_duration_seconds_count",
        "caddy_http_request_duration_seconds_bucket",
        SECONDS,
    ),
    plain(
        "prometheus_http_requests_total",
        "prometheus_http_request_duration_seconds_bucket",
        SECONDS,
    ),
    // The names that most libraries use: client_golang's examples, Express, FastAPI, Rails.
    plain("http_requests_total", "http_request_duration_seconds_bucket", SECONDS),
    // Libraries that have a histogram and no counter.
    plain("http_request_duration_seconds_count", "http_request_duration_seconds_bucket", SECONDS),
];

/// What a sample counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Requests, which failed or not.
    Requests { failed: bool },
    /// Requests that took at most so many microseconds; `u64::MAX` for all.
    Bucket(u64),
}

impl Preset {
    /// What a sample counts, if it is one of this framework's. `own_path` is that of the metrics:
    /// the agent's own requests are not the application's.
    pub(super) fn counted(&self, sample: &Sample<'_>, own_path: &str) -> Option<Counted> {
        let is_requests = sample.name == self.requests;
        if !is_requests && (self.buckets.is_empty() || sample.name != self.buckets) {
            return None;
        }
        let has = |(name, value): &(&str, &str)| sample.label(name) == Some(value);
        if !self.only.iter().all(has) || self.except.iter().any(has) {
            return None;
        }
        let is_own = |(name, value): (&str, &str)| {
            value == own_path && matches!(name, "handler" | "path" | "uri" | "route" | "http_route")
        };
        if sample.pairs().any(is_own) {
            return None;
        }
        match is_requests {
            true => {
                let status = self.status.iter().find_map(|name| sample.label(name))?;
                Some(Counted::Requests { failed: is_failure(status) })
            }
            false => Some(Counted::Bucket(self.micros(sample.label("le")?)?)),
        }
    }

    /// A bound in microseconds.
    fn micros(&self, bound: &str) -> Option<u64> {
        let bound: f64 = bound.parse().ok()?;
        if bound == f64::INFINITY {
            return Some(u64::MAX);
        }
        let micros = (bound * self.unit).round();
        (micros > 0.0 && micros < 1e15).then_some(micros as u64)
    }
}

/// Whether a status is the server's fault: 500 to 599, `5xx`, Envoy's class `5`, or linkerd's word.
fn is_failure(status: &str) -> bool {
    let is_5xx = status.starts_with('5') && matches!(status.len(), 1 | 3);
    is_5xx || status == "failure"
}

#[cfg(test)]
mod tests {
    use super::super::exposition::samples;
    use super::*;

    fn counted(line: &str) -> Option<(&'static str, Counted)> {
        let sample = samples(line).next().unwrap();
        let mut found =
            PRESETS.iter().filter_map(|it| Some((it.requests, it.counted(&sample, "/metrics")?)));
        found.next()
    }

    #[test]
    fn what_frameworks_count() {
        let requests = |failed| Counted::Requests { failed };
        for (line, expected) in [
            (
                r#"http_requests_total{code="200",method="get"} 3"#,
                Some(("http_requests_total", requests(false))),
            ),
            (
                r#"http_requests_total{status="5xx",handler="/x"} 3"#,
                Some(("http_requests_total", requests(true))),
            ),
            (r#"http_requests_total{code="200",handler="/metrics"} 3"#, None),
            (r#"http_requests_total{method="get"} 3"#, None),
            (
                r#"http_request_duration_seconds_bucket{le="0.25"} 3"#,
                Some(("http_requests_total", Counted::Bucket(250_000))),
            ),
            (
                r#"http_server_requests_seconds_count{exception="None",status="503",uri="/a"} 1.0"#,
                Some(("http_server_requests_seconds_count", requests(true))),
            ),
            (
                concat!(
                    r#"envoy_http_downstream_rq_xx{envoy_response_code_class="5","#,
                    r#"envoy_http_conn_manager_prefix="ingress"} 1"#,
                ),
                Some(("envoy_http_downstream_rq_xx", requests(true))),
            ),
            (
                concat!(
                    r#"envoy_http_downstream_rq_xx{envoy_response_code_class="2","#,
                    r#"envoy_http_conn_manager_prefix="admin"} 1"#,
                ),
                None,
            ),
            (
                r#"envoy_http_downstream_rq_time_bucket{le="0.5"} 1"#,
                Some(("envoy_http_downstream_rq_xx", Counted::Bucket(500))),
            ),
            (
                r#"response_total{direction="inbound",classification="failure"} 1"#,
                Some(("response_total", requests(true))),
            ),
            (r#"response_total{direction="outbound",classification="failure"} 1"#, None),
            (
                r#"response_latency_ms_bucket{direction="inbound",le="+Inf"} 1"#,
                Some(("response_total", Counted::Bucket(u64::MAX))),
            ),
            (
                r#"nginx_vts_server_requests_total{host="a",code="5xx"} 1"#,
                Some(("nginx_vts_server_requests_total", requests(true))),
            ),
            (r#"nginx_vts_server_requests_total{host="*",code="5xx"} 1"#, None),
            (
                r#"istio_requests_total{reporter="destination",response_code="404"} 1"#,
                Some(("istio_requests_total", requests(false))),
            ),
            (
                r#"http_server_request_duration_seconds_count{http_response_status_code="500"} 1"#,
                Some(("http_server_request_duration_seconds_count", requests(true))),
            ),
            (
                r#"prometheus_http_requests_total{code="200",handler="/-/ready"} 1"#,
                Some(("prometheus_http_requests_total", requests(false))),
            ),
            ("go_goroutines 9", None),
            (r#"nginx_http_requests_total 9"#, None),
        ] {
            assert_eq!(counted(line), expected, "{line}");
        }
    }

    #[test]
    fn what_a_status_says() {
        for status in ["500", "503", "5xx", "5", "failure"] {
            assert!(is_failure(status), "{status}");
        }
        for status in ["200", "404", "50", "5000", "2xx", "success", "", "x5x"] {
            assert!(!is_failure(status), "{status}");
        }
    }
}
