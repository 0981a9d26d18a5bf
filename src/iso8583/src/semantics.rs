//! What a dialect means where the versions of the standard differ.

use serde::Deserialize;

/// The version of ISO 8583 that a dialect follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Version {
    /// ISO 8583:1987. MTIs begin with 0.
    #[serde(rename = "1987")]
    V1987,
    /// ISO 8583:1993. MTIs begin with 1.
    #[serde(rename = "1993")]
    V1993,
}

impl Version {
    /// The first digit of the version's MTIs.
    pub const fn mti_digit(self) -> u8 {
        match self {
            Version::V1987 => 0,
            Version::V1993 => 1,
        }
    }
}

/// Where a reversal names its original, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginalData {
    /// The field: 90 in 1987 (n42, always whole), 56 in 1993 (n..35).
    pub field: u8,
    /// Digits of the original's date and time after MTI (4) and STAN (6):
    /// 10 (DE 7, MMDDhhmmss) in 1987, 12 (DE 12, YYMMDDhhmmss) in 1993.
    pub time_digits: u8,
    /// Whether acquirer and forwarder follow as eleven zero-filled digits each
    /// (1987). Otherwise the acquirer alone follows, after two digits that
    /// tell its length (1993).
    pub fixed_institutions: bool,
    /// Whether the ten digits are the original's local date and time (DE 13,
    /// then DE 12, as NCHL writes them) instead of DE 7.
    #[serde(default)]
    pub local_time: bool,
}

/// What the adapter must know of a dialect beyond bytes. Field numbers are
/// data elements; `None` means that the version has no such element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Semantics {
    /// The version of the standard.
    pub version: Version,
    /// Digits of DE 39: 2 (response code, 1987) or 3 (action code, 1993).
    pub action_code_digits: u8,
    /// Where a reversal names its original.
    pub original_data: OriginalData,
    /// Which element tells what a network management message is about:
    /// 70 in 1987, 24 (function code) in 1993.
    pub network_code: u8,
    /// Digits of DE 12: 6 (hhmmss, with MMDD in DE 13; 1987) or 12
    /// (YYMMDDhhmmss; 1993).
    pub local_time_digits: u8,
    /// Digits of DE 15, settlement date: 4 (MMDD, 1987) or 6 (YYMMDD, 1993).
    pub settlement_date_digits: u8,
    /// Which element tells a message's purpose within its class: 24 in 1993.
    pub function_code: Option<u8>,
    /// Which element tells why a message was sent: 25 in 1993.
    pub message_reason: Option<u8>,
    /// Which element holds the replacement amounts of a partial reversal:
    /// 95 in 1987 (42 characters; the first 12 are the actual amount).
    pub replacement_amounts: Option<u8>,
    /// Which element holds the original amounts of a partial reversal, DE 4
    /// then being the amount to reverse: 30 in 1993 (n24).
    pub original_amounts: Option<u8>,
    /// Which element answers a reconciliation: 66 in 1987. In 1993 the action
    /// code tells.
    pub settlement_code: Option<u8>,
}
