//! The registry of all numbers, and those of the process itself.
//!
//! Every part is handed its own meters and adds them here; nothing is global.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// What counts, and where all of it is told.
pub struct Numbers {
    /// Where every part adds its numbers.
    pub registry: Registry,
    /// The HTTP face's.
    pub http: httpapi::Meters,
    /// The DNS face's.
    pub dns: dns::Meters,
}

impl Default for Numbers {
    fn default() -> Numbers {
        let mut registry = Registry::with_prefix("rutter");
        registry.register_collector(Box::new(Process));
        let (http, dns) = (httpapi::Meters::default(), dns::Meters::default());
        Numbers { registry, http, dns }
    }
}

/// What the kernel tells of this process, read when it is asked for.
///
/// Source: proc(5), `/proc/PID/statm`, `stat`, `fd`.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of this process that is resident";
            let unit = Some(&Unit::Bytes);
            let gauge = encoder.encode_descriptor(
                "process_resident_memory",
                help,
                unit,
                MetricType::Gauge,
            )?;
            ConstGauge::new(bytes).encode(gauge)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            let help = "Open file descriptors";
            let gauge =
                encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
            ConstGauge::new(open.count() as u64).encode(gauge)?;
        }
        if let Ok((soft, _)) =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        {
            let help = "File descriptors that this process may have";
            let gauge =
                encoder.encode_descriptor("process_max_fds", help, None, MetricType::Gauge)?;
            ConstGauge::new(soft).encode(gauge)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let help = "Processor time used, user and system";
            let unit = Some(&Unit::Seconds);
            let counter =
                encoder.encode_descriptor("process_cpu", help, unit, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(counter)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page).ok()?)
}

/// The 14th and 15th field of `stat`, counted behind the name, which may hold blanks.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(ticks as f64 / a_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_tells_of_itself() {
        let mut text = String::new();
        let numbers = Numbers::default();
        prometheus_client::encoding::text::encode(&mut text, &numbers.registry).expect("encodes");
        for name in ["resident_memory_bytes", "open_fds", "max_fds", "cpu_seconds_total"] {
            let line = text.lines().find_map(|line| {
                line.strip_prefix(&format!("rutter_process_{name} "))?.parse::<f64>().ok()
            });
            assert!(line.is_some_and(|value| value >= 0.0), "{name} in\n{text}");
        }
    }
}
