//! The live view: repainted in place on a terminal, a line a second elsewhere.
#![allow(
    clippy::float_arithmetic,
    reason = "latencies for people are real numbers; no money here"
)]

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use gapless_loadtest::report::grouped;

use crate::scene::{Line, Scene, Stage};

/// Events that stay in sight.
const TOLD: usize = 7;
/// Width of the batch's bar.
const BAR: u16 = 24;
/// Without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Draws the scene.
pub struct Screen {
    is_terminal: bool,
    painted_lines: usize,
    last_line: Option<Instant>,
    told: usize,
}

impl Screen {
    /// On standard output.
    pub fn new() -> Self {
        Self {
            is_terminal: std::io::stdout().is_terminal(),
            painted_lines: 0,
            last_line: None,
            told: 0,
        }
    }

    /// Draws it, if it is time to.
    pub fn draw(&mut self, scene: &Scene, now: Instant) {
        let mut text = String::new();
        if self.is_terminal {
            let picture = picture(scene, now);
            text = repaint(&picture, self.painted_lines);
            self.painted_lines = picture.lines().count();
        } else {
            for (at, what) in scene.told.iter().skip(self.told) {
                let _ = writeln!(text, "{:6.1} s  ** {what}", scene.seconds(*at));
            }
            self.told = scene.told.len();
            let due = self
                .last_line
                .is_none_or(|last| now.saturating_duration_since(last) >= LINE_EVERY);
            if due && scene.traffic.is_some() {
                self.last_line = Some(now);
                let _ = writeln!(text, "{}", one_line(scene, now));
            }
        }
        // A screen that is gone is no reason to stop the day.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Over the lines of the picture before. A line that a narrow terminal wrapped would
/// take two, and the next picture begin too low, so wrapping is off meanwhile.
fn repaint(picture: &str, painted_lines: usize) -> String {
    let mut text = "\x1b[?7l".to_owned();
    if painted_lines > 0 {
        let _ = write!(text, "\x1b[{painted_lines}A");
    }
    for line in picture.lines() {
        let _ = writeln!(text, "\x1b[2K{line}");
    }
    text.push_str("\x1b[?7h");
    text
}

fn ms(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us / 1_000.0))
}

fn one_line(scene: &Scene, now: Instant) -> String {
    let mut text = format!("{:6.1} s  {:8}", scene.seconds(now), scene.stage().name());
    if let Some(traffic) = &scene.traffic {
        let _ = write!(
            text,
            "  {:>6}/s  p50 {}  p99 {}  declined {}  lost {}  longest gap {} ms",
            grouped(traffic.last_second),
            ms(traffic.p50_us),
            ms(traffic.p99_us),
            traffic.sums.declined + traffic.sums.refused + traffic.sums.faulty,
            traffic.sums.lost + traffic.sums.late,
            traffic.longest_gap.as_millis(),
        );
    }
    if scene.buffer.postings > 0 && scene.stage() > Stage::Day && scene.stage() < Stage::NextDay {
        let _ = write!(text, "  buffer {}", grouped(scene.buffer.postings));
    }
    if let Some((what, percent)) = &scene.batch {
        let _ = write!(text, "  batch: {what} {percent} %");
    }
    text
}

/// All of it, the same number of lines each time.
fn picture(scene: &Scene, now: Instant) -> String {
    let mut text = String::new();
    let bold = |word: &str| format!("\x1b[1;7m {word} \x1b[0m");
    let _ = writeln!(
        text,
        "\x1b[1mGapless: a day and its night\x1b[0m  {:>44.1} s",
        scene.seconds(now)
    );
    let mut stages = String::new();
    for stage in [
        Stage::Day,
        Stage::Early,
        Stage::Grace,
        Stage::Frozen,
        Stage::NextDay,
    ] {
        let name = match stage == scene.stage() {
            true => bold(stage.name()),
            false => format!(" {} ", stage.name()),
        };
        let _ = write!(stages, "{name} ");
    }
    let _ = writeln!(text, "\n  {stages}");
    let dates = &scene.dates;
    let open = match scene.stage() {
        Stage::Day | Stage::NextDay => format!("open {}", dates.default),
        Stage::Early | Stage::Grace => {
            format!(
                "open {} (closing) and {} (opening)",
                dates.closing, dates.opening
            )
        }
        Stage::Frozen => format!("frozen {}, open {}", dates.closing, dates.opening),
    };
    let _ = writeln!(text, "  dates      {open}");
    if let Some(traffic) = &scene.traffic {
        let sums = &traffic.sums;
        let _ = writeln!(
            text,
            "  terminals  {:>6}/s  p50 {}  p99 {}  longest gap {} ms",
            grouped(traffic.last_second),
            ms(traffic.p50_us),
            ms(traffic.p99_us),
            traffic.longest_gap.as_millis(),
        );
        let _ = writeln!(
            text,
            "             approved {}  declined {}  refused {}  lost {}  in flight {}",
            grouped(sums.accepted),
            sums.declined,
            sums.refused + sums.faulty,
            sums.lost + sums.late,
            traffic.in_flight,
        );
    } else {
        text.push_str("  terminals\n\n");
    }
    for name in ["east", "west"] {
        let line = scene.lines.get(name);
        let _ = writeln!(
            text,
            "  {name:10} {}",
            line.map_or_else(String::new, network)
        );
    }
    let _ = writeln!(
        text,
        "  buffer     {}",
        match scene.stage() {
            Stage::Early | Stage::Grace | Stage::Frozen => format!(
                "{} postings dated {}, {} KRW moved",
                grouped(scene.buffer.postings),
                dates.opening,
                grouped(u64::try_from(scene.buffer.moved_minor).unwrap_or(u64::MAX)),
            ),
            _ => String::new(),
        }
    );
    let _ = writeln!(
        text,
        "  batch      {}",
        scene
            .batch
            .as_ref()
            .map_or_else(String::new, |(what, percent)| {
                format!("{} {percent:>3} %  {what}", bar(*percent))
            })
    );
    text.push('\n');
    let from = scene.told.len().saturating_sub(TOLD);
    let told: Vec<_> = scene.told.iter().skip(from).collect();
    for place in 0..TOLD {
        let line = told.get(place).map_or_else(String::new, |(at, what)| {
            format!("  {:5.1} s  {what}", scene.seconds(*at))
        });
        let _ = writeln!(text, "{line}");
    }
    text
}

fn network(line: &Line) -> String {
    line.progress.as_ref().map_or_else(String::new, |progress| {
        format!(
            "{} answered, {} waiting, settlement date {}{}",
            grouped(progress.answered),
            progress.waiting,
            progress.settlement_date,
            if progress.signed_on {
                ""
            } else {
                ", line down"
            },
        )
    })
}

fn bar(percent: u8) -> String {
    let full = u16::from(percent.min(100)) * BAR / 100;
    (0..BAR)
        .map(|at| if at < full { '█' } else { '░' })
        .collect()
}

#[cfg(test)]
mod tests {
    use gapless_loadtest::open_loop::Snapshot;
    use gapless_loadtest::stats::Counts;

    use super::*;
    use crate::scene::{Buffer, Dates};

    #[test]
    fn the_picture_has_the_same_height_whatever_is_known() {
        let mut scene = Scene::default();
        let now = Instant::now();
        let height = picture(&scene, now).lines().count();
        scene.batch = Some(("posting entries".to_owned(), 50));
        scene.lines.insert("east".to_owned(), Line::default());
        for n in 0..20 {
            scene.tell(format!("event {n}"));
        }
        scene.stages.push((now, Stage::Frozen));
        let picture = picture(&scene, now);
        assert_eq!(picture.lines().count(), height);
        assert!(
            picture.contains("event 19") && !picture.contains("event 12"),
            "{picture}"
        );
        assert_eq!(bar(50).matches('█').count(), usize::from(BAR) / 2);
    }

    /// Columns that a line takes on a terminal.
    fn width(line: &str) -> usize {
        line.replace("\x1b[1;7m", "")
            .replace("\x1b[1m", "")
            .replace("\x1b[0m", "")
            .chars()
            .count()
    }

    #[test]
    fn a_busy_picture_fits_into_eighty_columns() {
        let mut scene = Scene {
            began: Some(Instant::now()),
            dates: Dates {
                closing: "2026-11-25".to_owned(),
                opening: "2026-11-26".to_owned(),
                default: "2026-11-26".to_owned(),
                ..Dates::default()
            },
            buffer: Buffer {
                postings: 1_234_567,
                moved_minor: 12_345_678_901,
            },
            traffic: Some(Snapshot {
                elapsed: Duration::from_secs(30),
                lasts: None,
                phase: String::new(),
                connections: 8,
                silence: Duration::ZERO,
                sums: Counts {
                    accepted: 1_999_999,
                    ..Counts::default()
                },
                in_flight: 1_000,
                last_second: 50_000,
                p50_us: Some(999_990.0),
                p99_us: Some(1_999_990.0),
                longest_gap: Duration::from_millis(1_234),
            }),
            batch: Some(("posts entries, 10,000 of 10,006".to_owned(), 99)),
            ..Scene::default()
        };
        let now = Instant::now();
        for stage in [Stage::Day, Stage::Early, Stage::Frozen, Stage::NextDay] {
            scene.stages.push((now, stage));
            for line in picture(&scene, now).lines() {
                assert!(width(line) < 80, "{} columns: {line}", width(line));
            }
        }
    }

    #[test]
    fn a_repaint_goes_up_by_what_is_painted_and_wraps_nothing() {
        assert_eq!(
            repaint("a\nb\n", 2),
            "\x1b[?7l\x1b[2A\x1b[2Ka\n\x1b[2Kb\n\x1b[?7h"
        );
        assert!(!repaint("a\n", 0).contains("\x1b[0A"));
    }
}
