//! Runs seeds.
fn main() {
    let mut args = std::env::args().skip(1);
    let from: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(0);
    let count: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let steps: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1500);
    let mut coverage = gapless_simulation::coverage::Coverage::default();
    for seed in from..from + count {
        match gapless_simulation::run(seed, steps, count == 1) {
            Ok(report) => coverage.merge(&report.coverage),
            Err(failed) => {
                for line in failed.trace.iter().rev().take(60).rev() { println!("{line}"); }
                println!("seed {seed}: {failed}");
                break;
            }
        }
    }
    println!("{coverage}\nmissing {:?}", coverage.missing());
}
