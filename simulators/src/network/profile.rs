//! How one network differs from another: all of it is data.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;

use super::framing::{Framing, Length};

/// Which date DE 15 of a cutover message names (FIELD.md, Network management).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutoverDate {
    /// The settlement date that begins.
    New,
    /// The one that has ended.
    Ended,
}

impl FromStr for CutoverDate {
    type Err = String;

    fn from_str(text: &str) -> Result<CutoverDate, String> {
        match text {
            "new" => Ok(CutoverDate::New),
            "ended" => Ok(CutoverDate::Ended),
            _ => Err("new or ended".to_owned()),
        }
    }
}

impl CutoverDate {
    /// What DE 15 says when the settlement date `new` begins.
    ///
    /// # Errors
    /// The calendar's first day has none before it.
    pub fn named(self, new: Date) -> Result<Date, jiff::Error> {
        match self {
            CutoverDate::New => Ok(new),
            CutoverDate::Ended => new.yesterday(),
        }
    }
}

/// How a settlement date's totals are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciliation {
    /// 0500: the host compares.
    Request,
    /// 0520: the host is told.
    Advice,
}

impl FromStr for Reconciliation {
    type Err = String;

    fn from_str(text: &str) -> Result<Reconciliation, String> {
        match text {
            "request" => Ok(Reconciliation::Request),
            "advice" => Ok(Reconciliation::Advice),
            _ => Err("request or advice".to_owned()),
        }
    }
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What reports call it.
    pub name: String,
    /// Its host, `host:port`.
    pub address: String,
    /// The host's framing.
    pub framing: Framing,
    /// DE 15 of its cutover message.
    pub cutover_date: CutoverDate,
    /// Its settlement dates are days of this zone (IANA).
    pub zone: String,
    /// DE 32, at most 11 digits.
    pub acquirer: String,
    /// Whether it carries transfers.
    pub transfers: bool,
    /// How it reconciles.
    pub reconciliation: Reconciliation,
    /// An answer later than this is late, and the message is repeated.
    pub answer_timeout: Duration,
    /// So many repeats of a request; then it is given up and reversed.
    pub repeats: u32,
    /// Pause between two echoes.
    pub echo_every: Duration,
}

impl Profile {
    /// The networks of `config/networks.toml`: `east` and `west`.
    pub fn named(name: &str) -> Option<Profile> {
        let framing = |length| Framing {
            length,
            inclusive: false,
        };
        let east = Profile {
            name: "east".to_owned(),
            address: "127.0.0.1:8591".to_owned(),
            framing: framing(Length::Binary2),
            cutover_date: CutoverDate::New,
            zone: "Asia/Seoul".to_owned(),
            acquirer: "410100".to_owned(),
            transfers: true,
            reconciliation: Reconciliation::Request,
            answer_timeout: Duration::from_secs(5),
            repeats: 3,
            echo_every: Duration::from_secs(10),
        };
        match name {
            "east" => Some(east),
            "west" => Some(Profile {
                name: "west".to_owned(),
                address: "127.0.0.1:8592".to_owned(),
                framing: framing(Length::Ascii4),
                cutover_date: CutoverDate::Ended,
                acquirer: "410200".to_owned(),
                transfers: false,
                reconciliation: Reconciliation::Advice,
                ..east
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_cutover_names_the_date_of_its_profile() {
        let new = date(2028, 3, 1);
        assert_eq!(CutoverDate::New.named(new).unwrap(), new);
        assert_eq!(CutoverDate::Ended.named(new).unwrap(), date(2028, 2, 29));
    }
}
