//! Business dates: which are open, and which one an item gets (DESIGN.md, "Business dates").

use crate::date::Date;
use crate::outcome::NightRefusal;

/// A step of a day's end. Each names the date that it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Step {
    /// A network has cut over: the next date opens beside this one.
    OpenEarly = 1,
    /// The bank cuts over.
    Cutover = 2,
    /// The date takes batch entries only from here on.
    Freeze = 3,
    /// The date is final.
    Seal = 4,
}

/// Where a day's end has got to, while two dates are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// A network has cut over before the bank.
    Early = 1,
    /// The bank has cut over; late items still post to the closing date.
    Grace = 2,
    /// The closing date takes batch entries only.
    Frozen = 3,
}

/// The open dates: at most two, and neighbours in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateState {
    /// One open date.
    Open {
        /// It.
        date: Date,
    },
    /// The closing date and the opening one are both open.
    Dual {
        /// The date that ends.
        closing: Date,
        /// The day after it.
        opening: Date,
        /// How far its end has got.
        phase: Phase,
    },
}

impl DateState {
    /// The date whose entries go to a row's `balance`; rows are viewed at this epoch.
    #[must_use]
    pub const fn closing(self) -> Date {
        match self {
            Self::Open { date } => date,
            Self::Dual { closing, .. } => closing,
        }
    }

    /// The newest open date.
    #[must_use]
    pub const fn opening(self) -> Date {
        match self {
            Self::Open { date } => date,
            Self::Dual { opening, .. } => opening,
        }
    }

    /// How far the end of the closing date has got; `None` while one date is open.
    #[must_use]
    pub const fn phase(self) -> Option<Phase> {
        match self {
            Self::Open { .. } => None,
            Self::Dual { phase, .. } => Some(phase),
        }
    }

    /// The date of an item that names none.
    #[must_use]
    pub const fn default_date(self) -> Date {
        match self {
            Self::Open { date } => date,
            Self::Dual {
                closing,
                phase: Phase::Early,
                ..
            } => closing,
            Self::Dual { opening, .. } => opening,
        }
    }

    /// Whether customers' items and reversals may post to `date`. A frozen date
    /// takes batch entries only.
    #[must_use]
    pub fn is_open(self, date: Date) -> bool {
        match self {
            Self::Open { date: open } => date == open,
            Self::Dual {
                closing,
                opening,
                phase,
            } => date == opening || (date == closing && phase != Phase::Frozen),
        }
    }

    /// Whether the batch may post entries to `date`: only once it is frozen.
    #[must_use]
    pub fn takes_entries(self, date: Date) -> bool {
        matches!(self, Self::Dual { closing, phase: Phase::Frozen, .. } if closing == date)
    }

    /// The state after a step that closes `date`. No date is ever skipped.
    ///
    /// # Errors
    /// [`NightRefusal`]: another date closes next, or another step comes first.
    pub fn after(self, step: Step, date: Date) -> Result<Self, NightRefusal> {
        let closing = self.closing();
        if date < closing {
            return Err(NightRefusal::Sealed { named: date });
        }
        if date > closing {
            return Err(NightRefusal::OtherDate {
                named: date,
                closing,
            });
        }
        let opening = date.next();
        if opening == date {
            return Err(NightRefusal::EndOfCalendar);
        }
        let dual = |phase| Self::Dual {
            closing,
            opening,
            phase,
        };
        let phase = match self {
            Self::Open { .. } => None,
            Self::Dual { phase, .. } => Some(phase),
        };
        match (step, phase) {
            (Step::OpenEarly, None) => Ok(dual(Phase::Early)),
            (Step::Cutover, None | Some(Phase::Early)) => Ok(dual(Phase::Grace)),
            (Step::Freeze, Some(Phase::Grace)) => Ok(dual(Phase::Frozen)),
            (Step::Seal, Some(Phase::Frozen)) => Ok(Self::Open { date: opening }),
            (Step::Freeze | Step::Seal, None | Some(Phase::Early)) => {
                Err(NightRefusal::NotCutOver { closing })
            }
            (Step::Seal, Some(Phase::Grace)) => Err(NightRefusal::NotFrozen { closing }),
            (Step::OpenEarly, Some(_)) | (Step::Cutover | Step::Freeze, Some(_)) => {
                Err(NightRefusal::AlreadyDone { closing })
            }
        }
    }
}

/// The business dates, as reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusinessDates {
    /// Whether one or two dates are open.
    pub state: DateState,
    /// How far the end of the closing date has got; `None` while one date is open.
    pub phase: Option<Phase>,
    /// The closing date; in `Open` all three are equal.
    pub closing: Date,
    /// The opening date.
    pub opening: Date,
    /// The date of an item that names none.
    pub default: Date,
}

impl From<DateState> for BusinessDates {
    fn from(state: DateState) -> Self {
        Self {
            state,
            phase: state.phase(),
            closing: state.closing(),
            opening: state.opening(),
            default: state.default_date(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_dates_are_open_and_which_is_the_default() {
        let (d, e) = (Date(20_000), Date(20_001));
        let dual = |phase| DateState::Dual {
            closing: d,
            opening: e,
            phase,
        };
        // state, closing open, opening open, default
        let rows = [
            (DateState::Open { date: d }, true, false, d),
            (dual(Phase::Early), true, true, d),
            (dual(Phase::Grace), true, true, e),
            (dual(Phase::Frozen), false, true, e),
        ];
        for (state, closing, opening, default) in rows {
            assert_eq!(state.is_open(d), closing, "{state:?}");
            assert_eq!(state.is_open(e), opening, "{state:?}");
            assert_eq!(state.default_date(), default, "{state:?}");
            assert!(!state.is_open(Date(19_999)), "{state:?}");
        }
    }

    #[test]
    fn each_step_in_its_place_and_no_date_skipped() {
        use Step::{Cutover, Freeze, OpenEarly, Seal};
        let (d, e) = (Date(20_000), Date(20_001));
        let open = DateState::Open { date: d };
        let dual = |phase| DateState::Dual {
            closing: d,
            opening: e,
            phase,
        };
        let (early, grace, frozen) = (dual(Phase::Early), dual(Phase::Grace), dual(Phase::Frozen));
        let not_cut_over = Err(NightRefusal::NotCutOver { closing: d });
        let not_frozen = Err(NightRefusal::NotFrozen { closing: d });
        let done = Err(NightRefusal::AlreadyDone { closing: d });
        // state: open early, cutover, freeze, seal
        let rows = [
            (open, [Ok(early), Ok(grace), not_cut_over, not_cut_over]),
            (early, [done, Ok(grace), not_cut_over, not_cut_over]),
            (grace, [done, done, Ok(frozen), not_frozen]),
            (frozen, [done, done, done, Ok(DateState::Open { date: e })]),
        ];
        for (state, expected) in rows {
            for (step, expected) in [OpenEarly, Cutover, Freeze, Seal].into_iter().zip(expected) {
                assert_eq!(state.after(step, d), expected, "{state:?} {step:?}");
                let other = NightRefusal::OtherDate {
                    named: e,
                    closing: d,
                };
                assert_eq!(state.after(step, e), Err(other), "{state:?} {step:?}");
                let before = Date(19_999);
                let sealed = NightRefusal::Sealed { named: before };
                assert_eq!(state.after(step, before), Err(sealed), "{state:?} {step:?}");
            }
        }
        let last = DateState::Open {
            date: Date(u16::MAX),
        };
        assert_eq!(
            last.after(Cutover, Date(u16::MAX)),
            Err(NightRefusal::EndOfCalendar)
        );
    }
}
