//! The goals that a bench is held to, one line for each:
//! `cargo bench | grep ^goal` is the whole list.

/// Whether a short run will do: `GAPLESS_BENCH_QUICK=1`, `cargo bench -- --quick`,
/// or a plain `cargo test --benches`, which only asks whether it runs.
pub fn quick() -> bool {
    let args: Vec<String> = std::env::args().collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    has("--quick") || has("--test") || !has("--bench") || is_set("GAPLESS_BENCH_QUICK")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// The goals of one bench.
pub struct Goals {
    judged: bool,
    missed: bool,
}

impl Goals {
    /// A quick run is too small to judge by.
    pub fn new() -> Self {
        Self {
            judged: !quick(),
            missed: false,
        }
    }

    /// The figure must not be above its limit.
    pub fn at_most(&mut self, what: &str, figure: f64, limit: f64, unit: &str) {
        self.line(what, figure, "at most", limit, unit, figure <= limit);
    }

    /// The figure must not be below its limit.
    pub fn at_least(&mut self, what: &str, figure: f64, limit: f64, unit: &str) {
        self.line(what, figure, "at least", limit, unit, figure >= limit);
    }

    fn line(&mut self, what: &str, figure: f64, bound: &str, limit: f64, unit: &str, met: bool) {
        let verdict = match (met, self.judged) {
            (true, _) => "met",
            (false, true) => "MISSED",
            (false, false) => "not judged in a quick run",
        };
        self.missed |= self.judged && !met;
        let digits = if figure < 10.0 { 2 } else { 0 };
        println!("goal: {what}: {figure:.digits$} {unit}, {bound} {limit}: {verdict}");
    }

    /// Ends the process. A missed goal fails it only with `GAPLESS_BENCH_STRICT=1`:
    /// a busy or small machine should still see all of its figures.
    pub fn finish(self) {
        if self.missed && is_set("GAPLESS_BENCH_STRICT") {
            std::process::exit(1);
        }
    }
}
