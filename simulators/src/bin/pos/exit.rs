//! The exit status of `pos`, so that scripts can tell answers apart.

use gapless_simulators::ExchangeError;

pub const OK: u8 = 0;
pub const STEP_FAILED: u8 = 1;
pub const USAGE: u8 = 64;
pub const NO_ANSWER: u8 = 101;
pub const NO_CONNECTION: u8 = 102;
pub const MALFORMED: u8 = 103;
pub const NO_CODE: u8 = 104;
pub const STATE: u8 = 105;

/// The status for an answer's DE 39. 64 would read as a usage error.
pub fn of_response(code: Option<&str>) -> u8 {
    match code.and_then(|code| code.parse::<u8>().ok()) {
        Some(USAGE) | None => NO_CODE,
        Some(code) => code.min(99),
    }
}

/// The status where there is no answer.
pub fn of_error(error: &ExchangeError) -> u8 {
    match error {
        ExchangeError::Connect { .. } => NO_CONNECTION,
        ExchangeError::Tls(_) | ExchangeError::Encode(_) => USAGE,
        ExchangeError::NoAnswer { .. } | ExchangeError::Closed | ExchangeError::Io(_) => NO_ANSWER,
        ExchangeError::Malformed(_) => MALFORMED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_codes() {
        let table = [
            (Some("00"), 0),
            (Some("05"), 5),
            (Some("51"), 51),
            (Some("96"), 96),
            (Some("64"), NO_CODE),
            (Some("N7"), NO_CODE),
            (Some("  "), NO_CODE),
            (None, NO_CODE),
        ];
        for (code, status) in table {
            assert_eq!(of_response(code), status, "{code:?}");
        }
    }
}
