//! Memory of this machine and this process.

use serde::Serialize;

/// Memory of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct SystemMemory {
    /// Installed.
    pub(crate) total_bytes: u64,
    /// Free or easily freed.
    pub(crate) available_bytes: u64,
}

impl SystemMemory {
    /// What Linux says; other systems are not asked.
    pub(crate) fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(meminfo: &str) -> Option<Self> {
        Some(Self {
            total_bytes: kib(meminfo, "MemTotal:")?,
            available_bytes: kib(meminfo, "MemAvailable:")?,
        })
    }
}

/// The most memory that this process has held, in bytes; Linux only.
pub(crate) fn peak_memory() -> Option<u64> {
    kib(
        &std::fs::read_to_string("/proc/self/status").ok()?,
        "VmHWM:",
    )
}

/// The value of a `key:  N kB` line, in bytes.
fn kib(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_kib() {
        let text = "MemTotal:        4096 kB\nMemFree:  1 kB\nMemAvailable:    1024 kB\n";
        let memory = SystemMemory::parse(text).unwrap();
        assert_eq!(memory.total_bytes, 4096 * 1024);
        assert_eq!(memory.available_bytes, 1024 * 1024);
        assert_eq!(SystemMemory::parse("MemTotal: 1 kB\n"), None);
    }
}
