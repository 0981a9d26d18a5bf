//! DE 54, additional amounts: groups of twenty characters (MDS; FIELD.md, DE 54).

use crate::fields::FieldError;

/// Amount type of a ledger balance.
pub const LEDGER: &str = "01";
/// Amount type of an available balance.
pub const AVAILABLE: &str = "02";
/// Amount type of the cash part of a purchase with cashback.
pub const CASHBACK: &str = "40";

const GROUP: usize = 20;

/// One group of DE 54.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdditionalAmount {
    /// Two digits: 00 default, 10 savings, 20 checking, 30 credit.
    pub account_type: String,
    /// Two digits, see the constants here.
    pub amount_type: String,
    /// Three characters, as in DE 49.
    pub currency: String,
    /// Minor units; a debit (`D`) is negative.
    pub minor: i64,
}

impl AdditionalAmount {
    /// The group as it stands in DE 54.
    ///
    /// # Errors
    /// [`FieldError::Length`] when the parts do not make twenty characters, as
    /// with an amount of more than twelve digits.
    pub fn encode(&self) -> Result<String, FieldError> {
        let sign = if self.minor < 0 { 'D' } else { 'C' };
        let amount = self.minor.unsigned_abs();
        let group = format!(
            "{}{}{}{sign}{amount:012}",
            self.account_type, self.amount_type, self.currency
        );
        if group.len() != GROUP {
            return Err(FieldError::Length {
                de: 54,
                expected: "groups of 20 characters".to_owned(),
                got: group.len(),
            });
        }
        Ok(group)
    }
}

/// The groups of a DE 54, or nothing if it does not consist of whole, sane groups.
pub fn parse(de54: &str) -> Option<Vec<AdditionalAmount>> {
    if !de54.is_ascii() || !de54.len().is_multiple_of(GROUP) {
        return None;
    }
    (0..de54.len())
        .step_by(GROUP)
        .map(|at| {
            let part = |from: usize, to: usize| de54.get(at + from..at + to);
            let digits = part(8, GROUP).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
            let amount: i64 = digits.parse().ok()?;
            Some(AdditionalAmount {
                account_type: part(0, 2)?.to_owned(),
                amount_type: part(2, 4)?.to_owned(),
                currency: part(4, 7)?.to_owned(),
                minor: match part(7, 8)? {
                    "C" => amount,
                    "D" => -amount,
                    _ => return None,
                },
            })
        })
        .collect()
}

/// The amount of that type in a DE 54, in minor units.
pub fn of_type(de54: &str, amount_type: &str) -> Option<i64> {
    parse(de54)?
        .into_iter()
        .find(|group| group.amount_type == amount_type)
        .map(|group| group.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_with_their_sign() {
        let de54 = "0001410C0000000125000002410D000000000050";
        assert_eq!(of_type(de54, LEDGER), Some(12_500));
        assert_eq!(of_type(de54, AVAILABLE), Some(-50));
        assert_eq!(of_type(de54, CASHBACK), None);
        let groups = parse(de54).unwrap();
        assert_eq!(
            groups
                .iter()
                .map(|g| g.encode().unwrap())
                .collect::<String>(),
            de54
        );
        assert_eq!(parse(""), Some(vec![]));
    }

    #[test]
    fn broken_groups_are_not_read() {
        for de54 in [
            "0001410C00000001250",
            "0001410X000000012500",
            "0001410C00000001250x",
            "0001410C+00000012500",
            "0001410C00000001250\u{e9}",
        ] {
            assert_eq!(parse(de54), None, "{de54}");
        }
    }
}
