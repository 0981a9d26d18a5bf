//! The onlooker: asks ten times a second which dates are open and what is dated
//! the opening one, and tells the load tester where the window begins and ends.

use std::time::{Duration, Instant};

use gapless_loadtest::open_loop::Control;

use crate::admin::Admin;
use crate::scene::{Buffer, Dates, Period, Scene, Stage, Stageplay};

const EVERY: Duration = Duration::from_millis(100);

/// Where a state belongs, if the day that ends is `first`.
fn stage(dates: &Dates, first: &str) -> Stage {
    match (dates.state.as_str(), dates.phase.as_deref()) {
        ("dual", Some("early")) => Stage::Early,
        ("dual", Some("grace")) => Stage::Grace,
        ("dual", _) => Stage::Frozen,
        _ if dates.default == first => Stage::Day,
        _ => Stage::NextDay,
    }
}

/// Takes down a look, and marks the window's ends.
fn take_down(scene: &mut Scene, now: Instant, dates: Dates, buffer: Buffer, traffic: &Control) {
    let first = match scene.stages.is_empty() {
        true => dates.default.clone(),
        false => scene.dates.closing.clone(),
    };
    let (before, after) = (scene.stage(), stage(&dates, &first));
    if scene.stages.is_empty() || after > before {
        scene.stages.push((now, after));
        if after != Stage::Day {
            let told = match after {
                Stage::NextDay => format!("{first} is sealed; {} is open", dates.default),
                _ => format!(
                    "{}: {} closes, {} opens",
                    after.name(),
                    dates.closing,
                    dates.opening
                ),
            };
            scene.tell(told);
        }
        let borders = before.period()..after.period();
        if borders.contains(&Period::Before) {
            traffic.mark();
        }
        if borders.contains(&Period::Inside) {
            traffic.mark();
        }
    }
    scene.buffer = buffer;
    if buffer.postings > scene.fullest.postings && dates.state == "dual" {
        scene.fullest = buffer;
    }
    // The closing date stays the day that ends.
    scene.dates = match after {
        Stage::NextDay => Dates {
            closing: first,
            ..dates
        },
        _ => dates,
    };
}

/// Looks until `over`.
pub fn watch(admin: &Admin, play: &Stageplay, traffic: &Control, over: &dyn Fn() -> bool) {
    while !over() {
        let looked = admin
            .dates()
            .and_then(|dates| Ok((admin.trial_balance()?.buffer(&dates.opening), dates)));
        match looked {
            Ok((buffer, dates)) => {
                take_down(&mut play.scene(), Instant::now(), dates, buffer, traffic);
            }
            Err(error) => {
                play.scene().trouble(format!("{error:#}"));
                return;
            }
        }
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_from_states() {
        let dates = |state: &str, phase: Option<&str>, default: &str| Dates {
            state: state.to_owned(),
            phase: phase.map(str::to_owned),
            default: default.to_owned(),
            ..Dates::default()
        };
        for (state, phase, default, expected) in [
            ("open", None, "D", Stage::Day),
            ("dual", Some("early"), "D", Stage::Early),
            ("dual", Some("grace"), "E", Stage::Grace),
            ("dual", Some("frozen"), "E", Stage::Frozen),
            ("open", None, "E", Stage::NextDay),
        ] {
            assert_eq!(stage(&dates(state, phase, default), "D"), expected);
        }
    }
}
