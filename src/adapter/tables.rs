//! What the adapter knows of message types, processing codes, response codes
//! and echoes, as tables: the one place of each.

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{Class, Operation};
use gapless_iso8583::{FieldSet, Message, Mti, Version};

use super::OPERATIONS;

/// What kind of message an MTI announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 0200, 0220.
    Financial(Class),
    /// 0400, 0420.
    Reversal,
    /// 0500, 0520.
    Reconciliation,
    /// 0800, 0820.
    Management,
    /// Answers something that this side never asked: 0210, 0810 and the like.
    Response,
    /// May be answered, but this product doesn't know it: 12.
    Unknown,
    /// Can't even be answered: a notification, or no MTI at all.
    Unanswerable,
}

/// What a message type is, for a link of this version of the standard. A repeat
/// (0201, 0421) is what its first sending was. Only what comes from an acquirer
/// is known (fourth digit 0 or 1), but network management may come from anybody.
pub(super) fn kind(mti: Mti, version: Version) -> Kind {
    if mti == Mti::UNKNOWN || !(1..=8).contains(&mti.class()) || mti.origin() > 5 {
        return Kind::Unanswerable;
    }
    match mti.function() {
        0 | 2 => {}
        1 | 3 => return Kind::Response,
        _ => return Kind::Unanswerable,
    }
    if mti.version() != version.mti_digit() {
        return Kind::Unknown;
    }
    match (mti.class(), mti.function(), mti.origin()) {
        (2, 0, 0 | 1) => Kind::Financial(Class::FinancialRequest),
        (2, 2, 0 | 1) => Kind::Financial(Class::FinancialAdvice),
        (4, 0 | 2, 0 | 1) => Kind::Reversal,
        (5, 0 | 2, 0 | 1) => Kind::Reconciliation,
        (8, 0 | 2, _) => Kind::Management,
        _ => Kind::Unknown,
    }
}

/// The class of a reversal's original, from the MTI in DE 90 or 56; `None` for
/// 0000 (lost) and for what is never reversed.
pub(super) fn original_class(mti: u16) -> Option<Class> {
    match mti % 1000 {
        200 | 201 => Some(Class::FinancialRequest),
        220 | 221 => Some(Class::FinancialAdvice),
        400 | 401 | 420 | 421 => Some(Class::Reversal),
        _ => None,
    }
}

/// Digits 1 and 2 of DE 3.
pub(super) fn operation(code: u64) -> Option<Operation> {
    OPERATIONS
        .into_iter()
        .find(|operation| *operation as u64 == code)
}

/// A network management message's purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Management {
    /// The peer begins to send transactions.
    SignOn,
    /// The peer stops sending transactions.
    SignOff,
    /// The peer asks whether anybody is there.
    Echo,
    /// The peer's settlement date changes.
    Cutover,
}

/// DE 70 of 1987 (FIELD.md, "Network management": the common codes, and MDS's
/// 061, 062 and 270) or the function code DE 24 of 1993 (ISO 8583:1993, 8xx:
/// system condition 801 and 802, accounting 821, audit control 831).
pub(super) fn management(code: u64, version: Version) -> Option<Management> {
    match (version, code) {
        (Version::V1987, 1 | 61) | (Version::V1993, 801) => Some(Management::SignOn),
        (Version::V1987, 2 | 62) | (Version::V1993, 802) => Some(Management::SignOff),
        (Version::V1987, 201) | (Version::V1993, 821) => Some(Management::Cutover),
        (Version::V1987, 270 | 301) | (Version::V1993, 831) => Some(Management::Echo),
        _ => None,
    }
}

/// The code by which this side says it: the common one.
pub(super) const fn management_code(purpose: Management, version: Version) -> u64 {
    match (version, purpose) {
        (Version::V1987, Management::SignOn) => 1,
        (Version::V1987, Management::SignOff) => 2,
        (Version::V1987, Management::Cutover) => 201,
        (Version::V1987, Management::Echo) => 301,
        (Version::V1993, Management::SignOn) => 801,
        (Version::V1993, Management::SignOff) => 802,
        (Version::V1993, Management::Cutover) => 821,
        (Version::V1993, Management::Echo) => 831,
    }
}

/// The function code of our reconciliation in 1993: final, in one currency.
pub(super) const fn reconciliation_code(version: Version) -> Option<u64> {
    match version {
        Version::V1987 => None,
        Version::V1993 => Some(502),
    }
}

/// Action codes of 1993 that answer a reconciliation.
pub(super) const IN_BALANCE: u16 = 500;
pub(super) const OUT_OF_BALANCE: u16 = 501;

/// Where a reconciliation says which date it covers: DE 15; in 1993 DE 28 (date,
/// reconciliation) if it is there.
pub(super) fn covered_date(version: Version, message: &Message<'_>) -> u8 {
    if version == Version::V1993 && message.has(RECONCILIATION_DATE_93) {
        RECONCILIATION_DATE_93
    } else {
        SETTLEMENT_DATE
    }
}

/// DE 39 as three digits: action codes of ISO 8583:1993. An approval of a
/// reversal is 400, of a reconciliation 500 (in balance), of network management 800.
pub(super) fn action_code(code: ResponseCode, message_class: u8) -> u16 {
    match (code, message_class) {
        (ResponseCode::Approved, 4) => 400,
        (ResponseCode::Approved, 5) => IN_BALANCE,
        (ResponseCode::Approved, 8) => 800,
        (ResponseCode::Approved, _) => 0,
        (ResponseCode::DoNotHonour, _) => 100,
        (ResponseCode::ExpiredCard, _) => 101,
        (ResponseCode::InvalidAmount, _) => 110,
        (ResponseCode::NoSuchCard, _) => 111,
        (
            ResponseCode::InvalidToAccount
            | ResponseCode::InvalidFromAccount
            | ResponseCode::InvalidAccount,
            _,
        ) => 114,
        (ResponseCode::InsufficientFunds, _) => 116,
        (ResponseCode::NotPermittedToCardholder, _) => 119,
        (ResponseCode::ExceedsAmountLimit, _) => 121,
        (ResponseCode::LostCard, _) => 208,
        (ResponseCode::StolenCard, _) => 209,
        (ResponseCode::InvalidTransaction, _) => 902,
        (ResponseCode::FormatError, _) => 904,
        (ResponseCode::IssuerUnavailable, _) => 907,
        (ResponseCode::Malfunction, _) => 909,
        (ResponseCode::ResponseLate, _) => 911,
        (ResponseCode::Duplicate, _) => 913,
        (ResponseCode::OriginalNotLocated, _) => 914,
    }
}

/// What this side writes into an answer itself.
pub(super) const SETTLEMENT_DATE: u8 = 15;
pub(super) const RECONCILIATION_DATE_93: u8 = 28;
pub(super) const CURRENCY: u8 = 50;
pub(super) const APPROVAL_CODE: u8 = 38;
pub(super) const RESPONSE_CODE: u8 = 39;
pub(super) const ADDITIONAL_AMOUNTS: u8 = 54;

/// The fields that an answer returns as its request has them.
///
/// They are what the standard marks so in responses, and what FIELD.md asks
/// for: enough to match on (2, 7, 11, 32, 33, 37, 41, 42), amounts with their
/// currencies and rates (3 to 10, 49 to 51), terminal time unaltered (12, 13),
/// the terminal's network identifier (24 in 1987, which POS hosts route by; a
/// function code in 1993), accounts (102, 103), a reversal's original (90 or
/// 56) and amounts (95 or 30). Never echoed: what identifies or authenticates a
/// cardholder beyond the PAN (14, 35, 45, 52, 55), and private fields.
pub(super) fn echo(version: Version, message_class: u8) -> FieldSet {
    const TRANSACTION: &[u8] = &[
        2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 32, 33, 37, 41, 42, 49, 50, 51, 102, 103,
    ];
    const RECONCILIATION: &[u8] = &[7, 11, 12, 15, 32, 33, 37, 41, 42, 50, 99, 100];
    let (common, own): (&[u8], &[u8]) = match (version, message_class) {
        (Version::V1987, 4) => (TRANSACTION, &[13, 24, 90, 95]),
        (Version::V1993, 4) => (TRANSACTION, &[30, 56]),
        // Date and currency of the figures come back as they were sent.
        (Version::V1987, 5) => (RECONCILIATION, &[13, 24]),
        (Version::V1993, 5) => (RECONCILIATION, &[24, 28, 93, 94]),
        (Version::V1987, 8) => (&[7, 11, 12, 33, 37, 41, 42], &[13, 24, 70, 100]),
        (Version::V1993, 8) => (&[7, 11, 12, 33, 37, 41, 42], &[24, 93, 94]),
        (Version::V1987, _) => (TRANSACTION, &[13, 24]),
        (Version::V1993, _) => (TRANSACTION, &[]),
    };
    own.iter()
        .fold(FieldSet::of(common), |set, field| set.with(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_message_types() {
        use Version::{V1987, V1993};
        let request = Kind::Financial(Class::FinancialRequest);
        let advice = Kind::Financial(Class::FinancialAdvice);
        for (mti, version, expected) in [
            (200, V1987, request),
            (201, V1987, request),
            (220, V1987, advice),
            (221, V1987, advice),
            (400, V1987, Kind::Reversal),
            (401, V1987, Kind::Reversal),
            (420, V1987, Kind::Reversal),
            (421, V1987, Kind::Reversal),
            (800, V1987, Kind::Management),
            (801, V1987, Kind::Management),
            (820, V1987, Kind::Management),
            (1200, V1993, request),
            (1221, V1993, advice),
            (1420, V1993, Kind::Reversal),
            (1804, V1993, Kind::Management),
            (1200, V1987, Kind::Unknown),
            (200, V1993, Kind::Unknown),
            (100, V1987, Kind::Unknown),
            (120, V1987, Kind::Unknown),
            (202, V1987, Kind::Unknown),
            (300, V1987, Kind::Unknown),
            (500, V1987, Kind::Reconciliation),
            (501, V1987, Kind::Reconciliation),
            (520, V1987, Kind::Reconciliation),
            (521, V1987, Kind::Reconciliation),
            (1520, V1993, Kind::Reconciliation),
            (502, V1987, Kind::Unknown),
            (510, V1987, Kind::Response),
            (600, V1987, Kind::Unknown),
            (210, V1987, Kind::Response),
            (230, V1987, Kind::Response),
            (810, V1987, Kind::Response),
            (1814, V1993, Kind::Response),
            (240, V1987, Kind::Unanswerable),
            (206, V1987, Kind::Unanswerable),
            (900, V1987, Kind::Unanswerable),
            (0, V1987, Kind::Unanswerable),
        ] {
            let mti = Mti::new(mti).unwrap();
            assert_eq!(kind(mti, version), expected, "{mti} {version:?}");
        }
    }

    #[test]
    fn every_operation_is_known_by_its_own_code() {
        for code in 0..=99 {
            let known = operation(code);
            assert_eq!(
                known.is_some(),
                matches!(code, 0 | 1 | 9 | 20 | 30 | 31 | 40),
                "{code}"
            );
            if let Some(operation) = known {
                assert_eq!(operation as u64, code);
            }
        }
    }

    /// 1993: an approved answer is below 100 or the class's own "accepted"; no
    /// refusal may read as one.
    #[test]
    fn action_codes_of_refusals_are_refusals() {
        for code in ResponseCode::ALL {
            for class in [2, 4, 5, 8] {
                let action = action_code(code, class);
                let approves = action < 100 || matches!(action, 400 | 500 | 800);
                assert_eq!(approves, code.is_approved(), "{code:?} in class {class}");
                assert_ne!(action, 906, "cutover in process never leaves");
                assert!(action <= 999);
            }
        }
    }

    #[test]
    fn nothing_of_the_cardholder_but_the_pan_is_echoed() {
        for version in [Version::V1987, Version::V1993] {
            for class in [1, 2, 4, 5, 8] {
                let fields = echo(version, class);
                for never in [14, 20, 35, 36, 45, 48, 52, 53, 55, 60, 61, 62, 63, 64, 128] {
                    assert!(!fields.has(never), "{never} of class {class}");
                }
                for ours in [
                    SETTLEMENT_DATE,
                    APPROVAL_CODE,
                    RESPONSE_CODE,
                    ADDITIONAL_AMOUNTS,
                ] {
                    let date_of_figures = (class, ours) == (5, SETTLEMENT_DATE);
                    assert_eq!(fields.has(ours), date_of_figures, "{ours} of class {class}");
                }
                for always in [7, 11, 37, 41, 42] {
                    assert!(fields.has(always), "{always} of class {class}");
                }
            }
        }
    }
}
