//! What a process or a thread has used, and processes of a bench's own.

#![allow(dead_code, reason = "no bench needs all of it")]

use std::ffi::OsStr;
use std::process::Command;

/// CPU time of this thread in nanoseconds.
pub fn cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// How often something was done, and its CPU time in nanoseconds.
#[derive(Clone, Copy, Default)]
pub struct Steps {
    pub count: u64,
    pub sum: u64,
    pub most: u64,
}

impl Steps {
    pub fn add(&mut self, took: u64) {
        self.count += 1;
        self.sum += took;
        self.most = took.max(self.most);
    }

    /// Adds steps of arithmetic until all of them have taken so many nanoseconds: what the
    /// machine does to steps that nothing can hold up. Where another guest of the host
    /// takes the processor in the middle of one, its time counts as this thread's.
    pub fn arithmetic(&mut self, until: u64) {
        while self.sum < until {
            let began = cpu_ns();
            for step in 0..2_000u32 {
                std::hint::black_box(step);
            }
            self.add(cpu_ns() - began);
        }
    }
}

/// Resident bytes of this process.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// What this bench prints as a process of its own, with fresh memory: `--child` and
/// these arguments.
pub fn child(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--child")
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
