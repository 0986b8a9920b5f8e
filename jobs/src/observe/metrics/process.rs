//! The process, under the names that Prometheus' own clients use. Read from `/proc` at every scrape; elsewhere than on Linux only the
//! version is told.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;

/// Ticks a second in `/proc/*/stat`: part of the kernel's interface, on every processor that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The collector.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        let metric = encoder.encode_descriptor(
            "gleaner_build",
            "This program",
            None,
            build.metric_type(),
        )?;
        build.encode(metric)?;
        if let Some(seconds) = cpu_seconds() {
            let cpu = ConstCounter::new(seconds);
            let help = "Processor time of user and system";
            let metric =
                encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?;
            cpu.encode(metric)?;
        }
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                resident_bytes(),
            ),
            ("process_open_fds", "Open file descriptors", open_files()),
            (
                "process_start_time_seconds",
                "Start of the process, since 1970",
                started_seconds(),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(metric)?;
            }
        }
        Ok(())
    }
}

/// The fields of `/proc/self/stat` after the program's name, which may hold anything.
fn stat() -> Option<Vec<f64>> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let rest = text.rsplit_once(')')?.1;
    // The first of them is the state, a letter.
    Some(
        rest.split_whitespace()
            .map(|field| field.parse().unwrap_or(0.0))
            .collect(),
    )
}

fn cpu_seconds() -> Option<f64> {
    // Fields 14 and 15 of proc(5), of which the first two are cut off.
    let stat = stat()?;
    Some((stat.get(11)? + stat.get(12)?) / TICKS_PER_SECOND)
}

fn started_seconds() -> Option<f64> {
    let since_boot = stat()?.get(19)? / TICKS_PER_SECOND;
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + since_boot)
}

fn resident_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // The directory that is being read is one of them.
    let open = u32::try_from(entries.count()).ok()?.saturating_sub(1);
    Some(f64::from(open))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_alive_and_of_a_plausible_size() {
        let now = std::time::SystemTime::now();
        let now = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let started = started_seconds().unwrap();
        assert!(
            started <= now + 2.0 && now - started < 86_400.0,
            "{started} {now}"
        );
        let resident = resident_bytes().unwrap();
        assert!((1e6..1e12).contains(&resident), "{resident}");
        assert!(open_files().unwrap() >= 3.0);
        let before = cpu_seconds().unwrap();
        let mut sum = 0_u64;
        while cpu_seconds().unwrap() < before + 0.05 {
            sum = sum.wrapping_add((0..100_000_u64).sum::<u64>());
        }
        assert!(std::hint::black_box(sum) > 0);
    }
}
