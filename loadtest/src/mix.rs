//! Which types of transaction a run sends, and in which shares.

use std::str::FromStr;

use crate::rng::Rng;

/// A type of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DE 3 00.
    Purchase,
    /// DE 3 01.
    Cash,
    /// DE 3 20.
    Refund,
    /// DE 3 31, a balance inquiry.
    Balance,
    /// DE 3 40, from the card's account to another one.
    Transfer,
}

impl Kind {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::Purchase,
        Self::Cash,
        Self::Refund,
        Self::Balance,
        Self::Transfer,
    ];

    /// As the mix names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Cash => "cash",
            Self::Refund => "refund",
            Self::Balance => "balance",
            Self::Transfer => "transfer",
        }
    }

    /// DE 3.
    #[must_use]
    pub const fn processing_code(self) -> &'static [u8; 6] {
        match self {
            Self::Purchase => b"000000",
            Self::Cash => b"010000",
            Self::Refund => b"200000",
            Self::Balance => b"310000",
            Self::Transfer => b"400000",
        }
    }
}

/// Shares by type: `purchase=80,balance=10,transfer=10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    shares: Vec<(Kind, u32)>,
    total: u32,
}

/// What is wrong with a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixError(String);

impl std::fmt::Display for MixError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MixError {}

/// The highest share, so that sums stay small.
const MAX_SHARE: u32 = 1_000_000;

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut shares: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part
                .split_once('=')
                .ok_or_else(|| MixError(format!("{part:?} is not TYPE=SHARE")))?;
            let kind = Kind::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| {
                    let known = Kind::ALL.map(Kind::name).join(", ");
                    MixError(format!("{name:?} is no type; known are {known}"))
                })?;
            let share = share
                .parse()
                .ok()
                .filter(|share| *share <= MAX_SHARE)
                .ok_or_else(|| MixError(format!("{part:?}: a share is 0 to {MAX_SHARE}")))?;
            if shares.iter().any(|(earlier, _)| *earlier == kind) {
                return Err(MixError(format!("{name} stands here twice")));
            }
            shares.push((kind, share));
        }
        let total = shares.iter().map(|(_, share)| share).sum();
        if total == 0 {
            return Err(MixError("all shares are 0".to_owned()));
        }
        Ok(Self { shares, total })
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (kind, share)) in self.shares.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={share}", kind.name())?;
        }
        Ok(())
    }
}

impl Mix {
    /// The next type.
    pub(crate) fn pick(&self, rng: &mut Rng) -> Kind {
        let mut drawn = rng.below(self.total);
        for (kind, share) in &self.shares {
            match drawn.checked_sub(*share) {
                None => return *kind,
                Some(rest) => drawn = rest,
            }
        }
        // The shares sum up to the total, so that one has been found.
        Kind::Purchase
    }

    /// Whether it never asks for a transfer.
    #[must_use]
    pub fn has_no_transfer(&self) -> bool {
        !self
            .shares
            .iter()
            .any(|(kind, share)| *kind == Kind::Transfer && *share > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        let mix: Mix = "purchase=80,balance=0,transfer=20".parse().unwrap();
        let mut rng = Rng::new(1);
        let mut transfers = 0;
        for _ in 0..10_000 {
            match mix.pick(&mut rng) {
                Kind::Purchase => {}
                Kind::Transfer => transfers += 1,
                other => panic!("{other:?} has no share"),
            }
        }
        assert!((1_800..2_200).contains(&transfers), "{transfers}");
        assert_eq!(mix.to_string(), "purchase=80,balance=0,transfer=20");
    }

    #[test]
    fn what_is_no_mix_is_told() {
        for (text, why) in [
            ("purchase", "\"purchase\" is not TYPE=SHARE"),
            (
                "buy=1",
                "\"buy\" is no type; known are purchase, cash, refund, balance, transfer",
            ),
            ("cash=-1", "\"cash=-1\": a share is 0 to 1000000"),
            ("cash=1000001", "\"cash=1000001\": a share is 0 to 1000000"),
            ("cash=1,cash=2", "cash stands here twice"),
            ("cash=0", "all shares are 0"),
            ("", "\"\" is not TYPE=SHARE"),
        ] {
            assert_eq!(text.parse::<Mix>().unwrap_err().to_string(), why);
        }
    }
}
