//! `/metrics`: what was counted, read at the moment it is asked for.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::control::Counters;
use crate::server::Shared;

/// Everything, in OpenMetrics text.
pub(crate) fn scrape(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("narrows");
    let labels =
        vec![("version", shared.version.to_owned()), ("gateway", shared.store.gateway.to_string())];
    registry.register("build", "The running build", Info::new(labels));
    registry.register_collector(Box::new(Reading {
        counters: shared.control.counters(),
        live: as_gauge(shared.store.live.count()),
        pending: as_gauge(shared.store.approvals.pending().len()),
        memory: memory_bytes(),
        files: open_files(),
    }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Reading {
    counters: Counters,
    live: i64,
    pending: i64,
    memory: Option<i64>,
    files: Option<i64>,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = &self.counters;
        let out = &mut encoder;
        gauge(out, "connections", "Client connections now", as_i64(counters.connections))?;
        gauge(out, "sessions_live", "Sessions carried now", self.live)?;
        gauge(out, "holds_pending", "Operations that wait for a person", self.pending)?;
        let withheld = as_i64(counters.withheld_bytes);
        gauge(out, "withheld_bytes", "Bytes of replies withheld now", withheld)?;
        if let Some(bytes) = self.memory {
            gauge(out, "process_resident_memory_bytes", "Memory of the process", bytes)?;
        }
        if let Some(files) = self.files {
            gauge(out, "process_open_fds", "Open file descriptors", files)?;
        }
        counter(out, "sessions", "Sessions let in", counters.sessions_total)?;
        counter(out, "rows", "Rows sent to clients", counters.rows)?;
        counter(out, "reply_bytes", "Bytes of replies sent to clients", counters.bytes)?;
        counter(out, "alerts", "Alerts given", counters.alerts)?;
        let errors = counters.journal_errors;
        counter(out, "journal_append_errors", "Batches the journal could not take", errors)?;
        let unrecorded = as_i64(counters.unrecorded);
        gauge(out, "operations_unrecorded", "Operations not recorded yet", unrecorded)?;
        if let Some(archive) = counters.archive {
            counter(out, "archive_manifests", "Manifests signed", archive.manifests)?;
            let last = as_i64(archive.last_event);
            gauge(out, "archive_last_event", "Number of the last event archived", last)?;
            let failing = i64::from(archive.failing);
            gauge(out, "archive_failing", "1 while the archive is behind", failing)?;
        }
        let decisions = counters.decisions.iter().map(|(word, count)| (*word, *count));
        family(out, "operations", "Operations decided", "decision", decisions)?;
        let refused = counters.refused.iter().map(|(word, count)| (&**word, *count));
        family(out, "sessions_refused", "Clients turned away", "reason", refused)?;
        let errors = counters.upstream_errors.iter().map(|(word, count)| (&**word, *count));
        family(out, "upstream_errors", "Upstreams that could not be used", "reason", errors)
    }
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: i64,
) -> Result<(), fmt::Error> {
    let metric = ConstGauge::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> Result<(), fmt::Error> {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (word, value) in values {
        let metric = ConstCounter::new(value);
        metric.encode(family.encode_family(&[(label, word)])?)?;
    }
    Ok(())
}

fn as_gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Resident memory, from `VmRSS` of `/proc/self/status`.
fn memory_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn open_files() -> Option<i64> {
    // The listing itself has one open.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    i64::try_from(count).ok()
}
