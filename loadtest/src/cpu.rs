//! Processor time of this process and of others.

use std::time::Duration;

/// What this process has used so far, all threads together.
#[must_use]
pub fn own() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// What another process has used so far, all its threads together that still
/// live; `None` where the system does not tell.
#[must_use]
pub fn of_process(pid: u32) -> Option<Duration> {
    let mut ns = 0u64;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end while it is looked at.
        let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else {
            continue;
        };
        // Nanoseconds on a processor, nanoseconds waiting for one, turns.
        let own: u64 = text.split_whitespace().next()?.parse().ok()?;
        ns = ns.checked_add(own)?;
    }
    (ns > 0).then(|| Duration::from_nanos(ns))
}

/// Resident memory of another process, in bytes; `None` where the system does not
/// tell.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}
