//! Business dates: which are open, and which one an item gets (DESIGN.md, "Business dates").

use crate::date::Date;

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

    /// The preferred date if it is open, else the default.
    #[must_use]
    pub fn prefer(self, preferred: Date) -> Date {
        if self.is_open(preferred) {
            preferred
        } else {
            self.default_date()
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
            phase: match state {
                DateState::Open { .. } => None,
                DateState::Dual { phase, .. } => Some(phase),
            },
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
            assert_eq!(state.prefer(Date(19_999)), default, "{state:?}");
        }
    }
}
