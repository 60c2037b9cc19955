//! What the API counts while a test looks.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// A recorder of one test. Its thread starts the API, so that `metrics::set_default_local_recorder` there is enough.
pub fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// A counter without labels.
pub fn count(of: &PrometheusRecorder, name: &str) -> u64 {
    let rendered = of.handle().render();
    let value = rendered.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}: {rendered}")).parse().unwrap()
}
