//! Postings: signed deltas, the customer's money positive. What one account
//! gains another loses, so a transaction's postings sum to zero per currency.

use crate::ids::AccountIx;
use crate::limits::MAX_LEGS;

/// One posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The account.
    pub account: AccountIx,
    /// Minor units of the account's currency; negative takes from the account.
    pub delta_minor: i64,
}

/// The postings of one event; each account is there at most once, and never with zero.
#[derive(Clone, Copy)]
pub struct Legs {
    len: u8,
    legs: [Leg; MAX_LEGS],
}

/// More accounts than an event can post to, or an amount out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Legs {
    const NONE_LEG: Leg = Leg {
        account: AccountIx(u32::MAX),
        delta_minor: 0,
    };

    /// No postings.
    pub const EMPTY: Self = Self {
        len: 0,
        legs: [Self::NONE_LEG; MAX_LEGS],
    };

    /// From one account to another.
    #[inline]
    pub(crate) const fn pair(from: AccountIx, to: AccountIx, amount_minor: i64) -> Self {
        let mut legs = [Self::NONE_LEG; MAX_LEGS];
        legs[0] = Leg {
            account: from,
            delta_minor: -amount_minor,
        };
        legs[1] = Leg {
            account: to,
            delta_minor: amount_minor,
        };
        Self { len: 2, legs }
    }

    /// As [`Self::pair`], written in place: the hot path copies no legs.
    #[inline(always)]
    pub(crate) const fn set_pair(&mut self, from: AccountIx, to: AccountIx, amount_minor: i64) {
        self.legs[0] = Leg {
            account: from,
            delta_minor: -amount_minor,
        };
        self.legs[1] = Leg {
            account: to,
            delta_minor: amount_minor,
        };
        self.len = 2;
    }

    /// The postings.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[Leg] {
        self.legs.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Takes all postings out.
    pub(crate) const fn clear(&mut self) {
        *self = Self::EMPTY;
    }

    /// As [`Self::clear`], but what was there is not overwritten.
    #[inline]
    pub(crate) const fn restart(&mut self) {
        self.len = 0;
    }

    /// Whether nothing is posted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds as is; for what was checked when it was written.
    pub(crate) fn push(&mut self, leg: Leg) -> Result<(), TooMuch> {
        *self.legs.get_mut(usize::from(self.len)).ok_or(TooMuch)? = leg;
        self.len += 1;
        Ok(())
    }

    /// Adds a posting, merged with one to the same account; what comes to zero is left out.
    pub(crate) fn add(&mut self, account: AccountIx, delta_minor: i64) -> Result<(), TooMuch> {
        let at = self
            .as_slice()
            .iter()
            .position(|leg| leg.account == account);
        let Some(at) = at else {
            if delta_minor == 0 {
                return Ok(());
            }
            return self.push(Leg {
                account,
                delta_minor,
            });
        };
        let leg = self.legs.get_mut(at).ok_or(TooMuch)?;
        leg.delta_minor = leg.delta_minor.checked_add(delta_minor).ok_or(TooMuch)?;
        if leg.delta_minor == 0 {
            let end = usize::from(self.len);
            if let Some(rest) = self.legs.get_mut(at..end) {
                rest.rotate_left(1);
            }
            self.len -= 1;
            if let Some(last) = self.legs.get_mut(usize::from(self.len)) {
                *last = Self::NONE_LEG;
            }
        }
        Ok(())
    }

    /// Adds all of `other`.
    pub(crate) fn add_all(&mut self, other: &Self) -> Result<(), TooMuch> {
        other
            .as_slice()
            .iter()
            .try_for_each(|leg| self.add(leg.account, leg.delta_minor))
    }

    /// The same postings the other way.
    pub(crate) fn negated(&self) -> Result<Self, TooMuch> {
        let mut out = *self;
        for leg in out.legs.iter_mut().take(usize::from(self.len)) {
            leg.delta_minor = leg.delta_minor.checked_neg().ok_or(TooMuch)?;
        }
        Ok(out)
    }

    /// What is posted to `account`.
    pub(crate) fn delta_of(&self, account: AccountIx) -> i64 {
        self.as_slice()
            .iter()
            .find(|leg| leg.account == account)
            .map_or(0, |leg| leg.delta_minor)
    }
}

impl PartialEq for Legs {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Legs {}

impl std::fmt::Debug for Legs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_to_one_account_merge_and_zero_disappears() {
        let (a, b, c) = (AccountIx(1), AccountIx(2), AccountIx(3));
        let mut legs = Legs::pair(a, b, 100);
        legs.add(c, 0).unwrap();
        legs.add(a, 100).unwrap();
        assert_eq!(legs.as_slice().len(), 1);
        assert_eq!(legs.delta_of(a), 0);
        assert_eq!(legs.delta_of(b), 100);
        legs.add(c, -100).unwrap();
        legs.add_all(&legs.negated().unwrap()).unwrap();
        assert_eq!(legs, Legs::EMPTY);
    }

    #[test]
    fn too_many_accounts_are_refused() {
        let mut legs = Legs::EMPTY;
        for n in 0..6 {
            legs.add(AccountIx(n), 1).unwrap();
        }
        assert_eq!(legs.add(AccountIx(6), 1), Err(TooMuch));
        assert_eq!(legs.add(AccountIx(5), i64::MAX), Err(TooMuch));
    }
}
