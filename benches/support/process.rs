//! What a process or a thread has used, and processes of a bench's own.

#![allow(dead_code, reason = "no bench needs all of it")]

use std::ffi::OsStr;
use std::process::Command;

/// CPU time of this thread in nanoseconds.
pub fn cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// What the machine does to steps that nothing can hold up: a loop of some microseconds,
/// timed as a bench's steps are. Where another guest of the host takes the processor in
/// the middle of one, its time counts as this thread's.
#[derive(Clone, Copy, Default)]
pub struct Control {
    /// Steps, and their CPU time in nanoseconds, all and at most.
    pub steps: (u64, u64, u64),
}

impl Control {
    /// Goes on for so many nanoseconds of CPU time more.
    pub fn run(&mut self, ns: u64) {
        let (count, sum, most) = &mut self.steps;
        let until = *sum + ns;
        while *sum < until {
            let began = cpu_ns();
            for step in 0..2_000u32 {
                std::hint::black_box(step);
            }
            let took = cpu_ns() - began;
            *count += 1;
            *sum += took;
            *most = took.max(*most);
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
