//! Which date is to be closed, and how far its end has got.

use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde_json::{Value, json};

use super::client::{Client, Fault, refusal};
use super::report::Event;
use super::run::{BatchError, Options};

/// Pause between two looks at the dates.
const LOOK: Duration = Duration::from_millis(250);

/// How far a date's end has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is open, and nothing closes it yet.
    Open,
    /// A network has opened the next date.
    Early,
    /// The bank has cut over.
    Grace,
    /// It takes entries.
    Frozen,
    /// It is final.
    Sealed,
    /// Before the open dates, and not among the last ones that the daemon tells of.
    Unknown,
}

/// The dates as the daemon tells them.
struct Dates {
    closing: Date,
    standing: Standing,
    sealed: Vec<Date>,
}

impl Dates {
    fn ask(client: &Client) -> Result<Dates, BatchError> {
        let (status, told) = client.get("/v1/business-date")?;
        if status != 200 {
            return Err(refusal(status, &told).into());
        }
        Dates::read(&told).ok_or_else(|| {
            BatchError::Wrong("the daemon's dates are not as they should be".to_owned())
        })
    }

    fn read(told: &Value) -> Option<Dates> {
        let standing = match (told.get("state")?.as_str()?, told.get("phase")?.as_str()) {
            ("open", _) => Standing::Open,
            (_, Some("early")) => Standing::Early,
            (_, Some("grace")) => Standing::Grace,
            (_, Some("frozen")) => Standing::Frozen,
            _ => return None,
        };
        let sealed = told.get("ends")?.as_array()?.iter().filter_map(|day| {
            day.get("seal_sequence")?.as_u64()?;
            day.get("date")?.as_str()?.parse().ok()
        });
        Some(Dates {
            closing: told.get("closing")?.as_str()?.parse().ok()?,
            standing,
            sealed: sealed.collect(),
        })
    }

    fn of(&self, date: Date) -> Standing {
        if date == self.closing {
            self.standing
        } else if self.sealed.contains(&date) {
            Standing::Sealed
        } else if date < self.closing {
            Standing::Unknown
        } else {
            Standing::Open
        }
    }
}

/// Waits until the date is frozen (or sealed), and orders what it was asked to order.
pub(super) fn wait_for(
    client: &Client,
    options: &Options,
    observer: &mut dyn FnMut(&Event),
) -> Result<(Date, Standing), BatchError> {
    let until = Instant::now() + options.wait;
    let mut date = options.date;
    let mut told: Option<(Date, Standing)> = None;
    loop {
        let dates = Dates::ask(client)?;
        let ours = *date.get_or_insert(dates.closing);
        let standing = dates.of(ours);
        if standing == Standing::Unknown {
            return Err(BatchError::Unknown {
                date: ours,
                closing: dates.closing,
            });
        }
        if told != Some((ours, standing)) {
            told = Some((ours, standing));
            observer(&Event::Window {
                date: ours,
                standing: standing.text(),
            });
        }
        match standing {
            Standing::Frozen | Standing::Sealed => return Ok((ours, standing)),
            Standing::Open | Standing::Early if options.cutover && ours == dates.closing => {
                step(client, "cutover", &json!({"date": ours.to_string()}))?;
                continue;
            }
            Standing::Grace if options.freeze => {
                step(client, "freeze", &json!({"date": ours.to_string()}))?;
                continue;
            }
            // Without a date of its own it takes whichever closes next.
            Standing::Open if options.date.is_none() => date = None,
            Standing::Open | Standing::Early | Standing::Grace | Standing::Unknown => {}
        }
        if Instant::now() >= until {
            return Err(BatchError::NoWindow {
                date: ours,
                standing: standing.text(),
            });
        }
        std::thread::sleep(LOOK);
    }
}

impl Standing {
    pub fn text(self) -> &'static str {
        match self {
            Standing::Open => "open",
            Standing::Early => "early",
            Standing::Grace => "grace",
            Standing::Frozen => "frozen",
            Standing::Sealed => "sealed",
            Standing::Unknown => "unknown",
        }
    }
}

/// Orders a step; whether it had been done before.
pub(super) fn step(client: &Client, step: &str, body: &Value) -> Result<bool, BatchError> {
    let (status, told) = client.post(&format!("/v1/business-date/{step}"), body)?;
    if status != 200 {
        let fault: Fault = refusal(status, &told);
        return Err(BatchError::from(fault).at(step));
    }
    Ok(told.get("repeated").and_then(Value::as_bool) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn the_daemons_dates_are_read() {
        let told = |state: &str, phase: Value| {
            json!({
                "state": state, "phase": phase,
                "closing": "2026-11-26", "opening": "2026-11-27", "default": "2026-11-27",
                "ends": [
                    {"date": "2026-11-25", "seal_sequence": 9},
                    {"date": "2026-11-26", "seal_sequence": null},
                ],
            })
        };
        let days = [24, 25, 26, 27].map(|day| date(2026, 11, day));
        let table = [
            (
                told("open", Value::Null),
                ["unknown", "sealed", "open", "open"],
            ),
            (
                told("dual", json!("early")),
                ["unknown", "sealed", "early", "open"],
            ),
            (
                told("dual", json!("grace")),
                ["unknown", "sealed", "grace", "open"],
            ),
            (
                told("dual", json!("frozen")),
                ["unknown", "sealed", "frozen", "open"],
            ),
        ];
        for (told, expected) in table {
            let dates = Dates::read(&told).unwrap();
            assert_eq!(days.map(|day| dates.of(day).text()), expected, "{told}");
        }
        assert!(Dates::read(&told("dual", json!("late"))).is_none());
        assert!(Dates::read(&Value::Null).is_none());
    }
}
