//! What this machine has: the default of what jobs may take together.

use crate::admission::Cost;

/// Cores and memory that this process may use, its control group's limits included (cgroups(7), version 2).
pub fn capacity() -> Cost {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let machine = total_megabytes(&read("/proc/meminfo"));
    let group = read("/sys/fs/cgroup/memory.max").trim().parse::<f64>();
    let group = group.ok().map(|bytes| bytes / 1e6);
    let memory_mb = match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (Some(one), None) | (None, Some(one)) => one,
        // Nothing is known, so nothing is refused for it.
        (None, None) => f64::MAX,
    };
    Cost {
        cores: cores as f64,
        memory_mb,
    }
}

/// `MemTotal` of proc_meminfo(5), which counts in units of 1024 bytes.
fn total_megabytes(meminfo: &str) -> Option<f64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_cores_and_memory() {
        let text = "MemTotal:       16384000 kB\nMemFree:        1 kB\n";
        assert_eq!(total_megabytes(text), Some(16_777.216));
        let found = capacity();
        assert!(found.cores >= 1.0 && found.memory_mb > 100.0, "{found}");
    }
}
