//! `GET /v1/agent/host`: the machine underneath, from `/proc`.
//!
//! The field names are those of gopsutil, the library that Consul asks. What cannot be read is empty
//! or 0, as there. Source: Consul, "Agent HTTP API", host information; proc(5).

use super::error::Problem;
use crate::answer::Answer;
use crate::call::Call;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::read_to_string;
use std::time::SystemTime;

/// `GET host`.
pub async fn host(call: Call) -> Result<Answer, Problem> {
    Problem::unless(call.authorizer().operator_read(), "operator:read", "")?;
    // A disk of the network may let us wait.
    let gathered = tokio::task::spawn_blocking(gather).await;
    let gathered = gathered.map_err(|lost| Problem::Invalid(lost.to_string()))?;
    Ok(Answer::json(&gathered))
}

fn gather() -> Value {
    let mut errors = Vec::new();
    let mut read = |path: &str| {
        read_to_string(path).unwrap_or_else(|error| {
            errors.push(format!("{path}: {error}"));
            String::new()
        })
    };
    let (memory, cpus) = (read("/proc/meminfo"), read("/proc/cpuinfo"));
    let host = host_info(&mut read);
    let disk = disk(&read("/proc/self/mounts"));
    let disk = disk.unwrap_or_else(|error| {
        errors.push(format!("/: {error}"));
        Value::Null
    });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    json!({
        "Memory": memory_info(&memory),
        "CPU": cpus.split("\n\n").filter(|cpu| !cpu.trim().is_empty()).map(cpu).collect::<Vec<_>>(),
        "Host": host,
        "Disk": disk,
        "CollectionTime": u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        "Errors": (!errors.is_empty()).then_some(errors),
    })
}

/// gopsutil's name for a figure of `/proc/meminfo` that it tells as it is.
const FIGURES: [(&str, &str); 30] = [
    ("total", "MemTotal"),
    ("free", "MemFree"),
    ("active", "Active"),
    ("inactive", "Inactive"),
    ("buffers", "Buffers"),
    ("writeBack", "Writeback"),
    ("dirty", "Dirty"),
    ("writeBackTmp", "WritebackTmp"),
    ("shared", "Shmem"),
    ("slab", "Slab"),
    ("sreclaimable", "SReclaimable"),
    ("sunreclaim", "SUnreclaim"),
    ("pageTables", "PageTables"),
    ("swapCached", "SwapCached"),
    ("commitLimit", "CommitLimit"),
    ("committedAS", "Committed_AS"),
    ("highTotal", "HighTotal"),
    ("highFree", "HighFree"),
    ("lowTotal", "LowTotal"),
    ("lowFree", "LowFree"),
    ("swapTotal", "SwapTotal"),
    ("swapFree", "SwapFree"),
    ("mapped", "Mapped"),
    ("vmallocTotal", "VmallocTotal"),
    ("vmallocUsed", "VmallocUsed"),
    ("vmallocChunk", "VmallocChunk"),
    ("hugePagesTotal", "HugePages_Total"),
    ("hugePagesFree", "HugePages_Free"),
    ("hugePageSize", "Hugepagesize"),
    ("anonHugePages", "AnonHugePages"),
];

fn memory_info(text: &str) -> Value {
    let figures: HashMap<&str, u64> = text.lines().filter_map(figure).collect();
    let of = |name: &str| figures.get(name).copied().unwrap_or(0);
    let mut shown = Map::new();
    for (name, source) in FIGURES {
        shown.insert(name.to_owned(), of(source).into());
    }
    let cached = of("Cached") + of("SReclaimable");
    let used = of("MemTotal").saturating_sub(of("MemFree") + of("Buffers") + cached);
    let more = [("cached", cached), ("used", used), ("wired", 0), ("laundry", 0)];
    for (name, value) in more {
        shown.insert(name.to_owned(), value.into());
    }
    let available = figures.get("MemAvailable").copied().unwrap_or(of("MemFree") + cached);
    shown.insert("available".to_owned(), available.into());
    shown.insert("usedPercent".to_owned(), percent(used, of("MemTotal")).into());
    Value::Object(shown)
}

/// A line such as `MemTotal:  16 kB`, in bytes; counts have no unit.
fn figure(line: &str) -> Option<(&str, u64)> {
    let (name, rest) = line.split_once(':')?;
    let mut words = rest.split_whitespace();
    let value: u64 = words.next()?.parse().ok()?;
    Some((name, if words.next() == Some("kB") { value * 1024 } else { value }))
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// One processor of `/proc/cpuinfo`.
fn cpu(text: &str) -> Value {
    let fields: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let text = |name: &str| fields.get(name).copied().unwrap_or_default();
    let number = |name: &str| {
        let digits = text(name).split(' ').next().unwrap_or_default();
        digits.parse::<i64>().unwrap_or(0)
    };
    json!({
        "cpu": number("processor"),
        "vendorId": text("vendor_id"),
        "family": text("cpu family"),
        "model": text("model"),
        "stepping": number("stepping"),
        "physicalId": text("physical id"),
        "coreId": text("core id"),
        "cores": 1,
        "modelName": text("model name"),
        "mhz": text("cpu MHz").parse::<f64>().unwrap_or(0.0),
        "cacheSize": number("cache size"),
        "flags": text("flags").split_whitespace().collect::<Vec<_>>(),
        "microcode": text("microcode"),
    })
}

fn host_info(read: &mut impl FnMut(&str) -> String) -> Value {
    let mut line = |path: &str| read(path).trim().to_owned();
    let uptime = line("/proc/uptime");
    let uptime = uptime.split(['.', ' ']).next().and_then(|seconds| seconds.parse().ok());
    let stat = line("/proc/stat");
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let release = release(&read_to_string("/etc/os-release").unwrap_or_default());
    // Containers often have none.
    let id = read_to_string("/etc/machine-id").map(|id| dashed(id.trim())).unwrap_or_default();
    json!({
        "hostname": line("/proc/sys/kernel/hostname"),
        "uptime": uptime.unwrap_or(0_u64),
        "bootTime": boot.unwrap_or(0_u64),
        "procs": processes(),
        "os": std::env::consts::OS,
        "platform": release.platform,
        "platformFamily": release.family,
        "platformVersion": release.version,
        "kernelVersion": line("/proc/sys/kernel/osrelease"),
        "kernelArch": std::env::consts::ARCH,
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostId": if id.is_empty() { line("/proc/sys/kernel/random/boot_id") } else { id },
    })
}

fn processes() -> u64 {
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_number)).count() as u64
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    platform: String,
    family: String,
    version: String,
}

/// What `/etc/os-release` says; the family is what the platform says that it is like first.
fn release(text: &str) -> Release {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    let platform = value("ID");
    let family = value("ID_LIKE").split(' ').next().unwrap_or_default().to_owned();
    let family = if family.is_empty() { platform.clone() } else { family };
    Release { platform, family, version: value("VERSION_ID") }
}

/// A machine's id with dashes where a UUID has them.
fn dashed(id: &str) -> String {
    match uuid::Uuid::try_parse(id) {
        Ok(id) => id.to_string(),
        Err(_) => id.to_owned(),
    }
}

/// The disk of the root directory.
fn disk(mounts: &str) -> nix::Result<Value> {
    let figures = nix::sys::statvfs::statvfs("/")?;
    let block = figures.fragment_size();
    let bytes = |blocks: u64| blocks.saturating_mul(block);
    let total = bytes(figures.blocks());
    let free = bytes(figures.blocks_available());
    let used = total.saturating_sub(bytes(figures.blocks_free()));
    let (inodes, inodes_free) = (figures.files(), figures.files_free());
    let inodes_used = inodes.saturating_sub(inodes_free);
    Ok(json!({
        "path": "/",
        "fstype": file_system(mounts),
        "total": total,
        "free": free,
        "used": used,
        "usedPercent": percent(used, used + free),
        "inodesTotal": inodes,
        "inodesUsed": inodes_used,
        "inodesFree": inodes_free,
        "inodesUsedPercent": percent(inodes_used, inodes),
    }))
}

/// The type of what is mounted at the root last.
fn file_system(mounts: &str) -> &str {
    let of_root = |line: &&str| line.split(' ').nth(1) == Some("/");
    let line = mounts.lines().rfind(of_root).unwrap_or_default();
    line.split(' ').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        let text = "MemTotal:  100 kB\nMemFree: 20 kB\nBuffers: 5 kB\nCached: 10 kB\n\
                    SReclaimable: 5 kB\nHugePages_Total:  3\nodd\n";
        let shown = memory_info(text);
        for (name, value) in
            [("total", 102_400), ("cached", 15_360), ("used", 61_440), ("hugePagesTotal", 3)]
        {
            assert_eq!(shown[name], value, "{name}");
        }
        assert_eq!(shown["usedPercent"], 60.0);
        assert_eq!(shown["available"], 35 * 1024, "an old kernel does not say");
        assert_eq!(memory_info("")["total"], 0);
    }

    #[test]
    fn a_processor_is_told_by_its_fields() {
        let shown =
            cpu("processor\t: 1\nmodel name\t: X 9\ncpu MHz\t: 2.5\ncache size\t: 512 KB\n\
                         flags\t: fpu vme\n");
        assert_eq!((&shown["cpu"], &shown["modelName"]), (&json!(1), &json!("X 9")));
        assert_eq!((&shown["mhz"], &shown["cacheSize"]), (&json!(2.5), &json!(512)));
        assert_eq!(shown["flags"], json!(["fpu", "vme"]));
    }

    #[test]
    fn a_platform_is_of_the_family_it_is_like() {
        let is = |text| {
            let Release { platform, family, version } = release(text);
            format!("{platform} {family} {version}")
        };
        assert_eq!(
            is("NAME=\"U\"\nID=ubuntu\nID_LIKE=\"debian x\"\nVERSION_ID=\"24.04\"\n"),
            "ubuntu debian 24.04"
        );
        assert_eq!(is("ID=alpine\nVERSION_ID=3.20\n"), "alpine alpine 3.20");
    }

    #[test]
    fn the_root_is_of_the_file_system_mounted_last() {
        let mounts = "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\noverlay / overlay rw 0 0\n";
        assert_eq!(file_system(mounts), "overlay");
        assert_eq!(file_system(""), "");
    }

    #[test]
    fn this_host_is_told() {
        let shown = gather();
        assert!(shown["Memory"]["total"].as_u64().is_some_and(|bytes| bytes > 0), "{shown}");
        assert!(shown["CPU"].as_array().is_some_and(|cpus| !cpus.is_empty()), "{shown}");
        assert!(shown["Disk"]["total"].as_u64().is_some_and(|bytes| bytes > 0), "{shown}");
        assert_eq!(shown["Host"]["os"], "linux");
    }
}
