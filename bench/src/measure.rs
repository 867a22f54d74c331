//! What is measured and how it is printed: CPU and memory of a process, medians and ranges.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Turns of each side in an interleaved run.
pub const ROUNDS: usize = 5;

/// A tick of `/proc/PID/stat`; Linux tells every program 100 a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, user and system, that the kernel booked so far on a process and on the children that
/// it waited for.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The second field is the program's name in parentheses, which may hold blanks.
    let (_, rest) = stat.rsplit_once(')').context("stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Fields 14 to 17 of the manual page (user, system, and both of children), counted from the third.
    let ticks: Result<Vec<f64>, _> = fields[11..15].iter().map(|field| field.parse()).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// The same of a process and of all children that live, such as another server's workers.
pub fn tree_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let mut seconds = cpu_seconds(pid)?;
    for child in children.split_whitespace() {
        seconds += tree_seconds(child.parse()?)?;
    }
    Ok(seconds)
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<f64> {
    status_bytes(pid, "VmRSS:")
}

/// The most that was resident since the start, or since [`forget_peak`].
pub fn peak_bytes(pid: u32) -> Result<f64> {
    status_bytes(pid, "VmHWM:")
}

/// Has the peak of resident memory begin anew.
pub fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("write {path}"))
}

fn status_bytes(pid: u32, field: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0)
}

/// What one turn of load gave.
pub struct Turn {
    /// Operations finished.
    pub operations: f64,
    /// How long it took.
    pub took: Duration,
    /// CPU that the measured process spent meanwhile.
    pub cpu_seconds: f64,
    /// CPU that this process spent to make the load.
    pub generator_seconds: f64,
}

impl Turn {
    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.operations / self.took.as_secs_f64()
    }

    /// CPU microseconds an operation.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.operations
    }

    /// CPU microseconds that asking for an operation cost this process.
    pub fn generator_us(&self) -> f64 {
        self.generator_seconds * 1e6 / self.operations
    }
}

/// Measures one turn: `load` runs and says how many operations it finished.
pub fn turn(pid: u32, load: impl FnOnce() -> Result<u64>) -> Result<Turn> {
    let own = std::process::id();
    let (before, own_before) = (tree_seconds(pid)?, cpu_seconds(own)?);
    let began = Instant::now();
    let operations = load()? as f64;
    let took = began.elapsed();
    let (cpu_seconds, generator_seconds) =
        (tree_seconds(pid)? - before, cpu_seconds(own)? - own_before);
    Ok(Turn { operations, took, cpu_seconds, generator_seconds })
}

/// The middle of some figures, with the lowest and the highest.
pub struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Self { median, low: sorted[0], high: sorted[sorted.len() - 1] }
    }

    /// `median (low to high)` with some digits after the point.
    pub fn show(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.low, self.high)
    }
}

/// Prints rates and CPU of both sides and the ratios of their medians.
pub fn compare(operation: &str, ours: &[Turn], peer: &str, theirs: &[Turn]) {
    let rate = |turns: &[Turn]| Spread::of(turns.iter().map(Turn::rate));
    let cpu = |turns: &[Turn]| Spread::of(turns.iter().map(Turn::cpu_us));
    for (name, turns) in [("rutter", ours), (peer, theirs)] {
        println!("  {name:8} {operation}/s   {}", rate(turns).show(0));
        println!("  {name:8} CPU µs/{operation}   {}", cpu(turns).show(2));
        let generator = Spread::of(turns.iter().map(Turn::generator_us));
        println!("  {name:8} generator's CPU µs/{operation}   {}", generator.show(2));
    }
    let rates = rate(ours).median / rate(theirs).median;
    let cpus = cpu(ours).median / cpu(theirs).median;
    println!("  rutter to {peer}: rate × {rates:.2}, CPU per {operation} × {cpus:.2}");
}

/// The class of machine, for the line above the figures.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}, load {load} before", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_low_and_high() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).show(1), "2.0 (1.0 to 3.0)");
        assert_eq!(Spread::of([4.0, 1.0]).show(1), "2.5 (1.0 to 4.0)");
    }

    #[test]
    fn our_own_process_has_memory_and_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).expect("read") > 0.0);
        assert!(cpu_seconds(pid).expect("read") >= 0.0);
    }
}
