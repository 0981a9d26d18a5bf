//! Currencies by their ISO 4217 codes, as far as the simulators show them.

/// A currency: numeric code for DE 49, alphabetic code and minor digits for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency {
    /// Three digits, as DE 49 carries them.
    pub numeric: String,
    /// The alphabetic code, where known.
    pub alphabetic: Option<&'static str>,
    /// Digits after the decimal point; none where the currency is not known.
    pub minor_digits: usize,
}

const KNOWN: [(&str, &str, usize); 7] = [
    ("410", "KRW", 0),
    ("840", "USD", 2),
    ("978", "EUR", 2),
    ("826", "GBP", 2),
    ("392", "JPY", 0),
    ("414", "KWD", 3),
    ("524", "NPR", 2),
];

impl Currency {
    /// By numeric or alphabetic code. Any three digits are accepted, so that a
    /// terminal can also ask in a currency that does not exist.
    pub fn parse(code: &str) -> Option<Currency> {
        let known = KNOWN
            .iter()
            .find(|(numeric, name, _)| *numeric == code || name.eq_ignore_ascii_case(code));
        match known {
            Some((numeric, name, digits)) => Some(Currency {
                numeric: (*numeric).to_owned(),
                alphabetic: Some(name),
                minor_digits: *digits,
            }),
            None if code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()) => Some(Currency {
                numeric: code.to_owned(),
                alphabetic: None,
                minor_digits: 0,
            }),
            None => None,
        }
    }

    /// The won, in which the demo bank keeps its accounts.
    pub fn krw() -> Currency {
        Currency {
            numeric: "410".to_owned(),
            alphabetic: Some("KRW"),
            minor_digits: 0,
        }
    }

    /// An amount in minor units as people write it: `12,500 KRW`, `1,000.00 USD`.
    pub fn show(&self, minor: i64) -> String {
        let digits = format!(
            "{:0>width$}",
            minor.unsigned_abs(),
            width = self.minor_digits + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - self.minor_digits);
        let mut grouped = String::new();
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(c);
        }
        let sign = if minor < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let name = self.alphabetic.unwrap_or(&self.numeric);
        format!("{sign}{grouped}{point}{fraction} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_their_currency() {
        let table = [
            ("KRW", 0, "0 KRW"),
            ("410", 12_500, "12,500 KRW"),
            ("krw", -100_000_000, "-100,000,000 KRW"),
            ("USD", 100_000, "1,000.00 USD"),
            ("840", 5, "0.05 USD"),
            ("840", -5, "-0.05 USD"),
            ("414", 1_234_567, "1,234.567 KWD"),
            ("999", 100, "100 999"),
        ];
        for (code, minor, shown) in table {
            assert_eq!(Currency::parse(code).unwrap().show(minor), shown);
        }
        for code in ["", "41", "4100", "KR", "won"] {
            assert_eq!(Currency::parse(code), None, "{code}");
        }
    }
}
