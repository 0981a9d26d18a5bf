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
    /// An advice (0220) of a purchase that the network has already approved.
    Advice,
    /// A reversal (0420) of a transaction that was approved before.
    Reversal,
    /// The same message again (0201, 0221): it must be answered as the first time.
    Repeat,
}

impl Kind {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::Purchase,
        Self::Cash,
        Self::Refund,
        Self::Balance,
        Self::Transfer,
        Self::Advice,
        Self::Reversal,
        Self::Repeat,
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
            Self::Advice => "advice",
            Self::Reversal => "reversal",
            Self::Repeat => "repeat",
        }
    }

    /// Whether it needs an earlier transaction.
    pub(crate) const fn follows(self) -> bool {
        matches!(self, Self::Reversal | Self::Repeat)
    }

    /// DE 3; a reversal's and a repeat's is that of the first message.
    #[must_use]
    pub const fn processing_code(self) -> &'static [u8; 6] {
        match self {
            Self::Purchase | Self::Advice | Self::Reversal | Self::Repeat => b"000000",
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
pub(crate) const MAX_SHARE: u32 = 1_000_000;

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut shares: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part
                .split_once('=')
                .ok_or_else(|| MixError(format!("{part:?} is not TYPE=SHARE")))?;
            let kind = kind(name).map_err(MixError)?;
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
        Self::of(shares)
    }
}

/// The type of this name, or what is allowed.
pub(crate) fn kind(name: &str) -> Result<Kind, String> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| {
            let known = Kind::ALL.map(Kind::name).join(", ");
            format!("{name:?} is no type; known are {known}")
        })
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
    /// With these shares, each type once.
    ///
    /// # Errors
    /// All of them are 0, or only types that follow others have a share.
    pub(crate) fn of(shares: Vec<(Kind, u32)>) -> Result<Self, MixError> {
        let total = shares.iter().map(|(_, share)| share).sum();
        if total == 0 {
            return Err(MixError("all shares are 0".to_owned()));
        }
        if shares
            .iter()
            .all(|(kind, share)| kind.follows() || *share == 0)
        {
            return Err(MixError(
                "reversals and repeats need something to follow".to_owned(),
            ));
        }
        Ok(Self { shares, total })
    }

    /// Shares that are known to be good.
    pub(crate) fn usual(shares: &[(Kind, u32)]) -> Self {
        Self {
            shares: shares.to_vec(),
            total: shares.iter().map(|(_, share)| share).sum(),
        }
    }

    /// Whether a type has a share.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.shares
            .iter()
            .any(|(known, share)| *known == kind && *share > 0)
    }

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
                "\"buy\" is no type; known are purchase, cash, refund, balance, transfer, advice, reversal, repeat",
            ),
            ("cash=-1", "\"cash=-1\": a share is 0 to 1000000"),
            ("cash=1000001", "\"cash=1000001\": a share is 0 to 1000000"),
            ("cash=1,cash=2", "cash stands here twice"),
            ("cash=0", "all shares are 0"),
            (
                "cash=0,repeat=1",
                "reversals and repeats need something to follow",
            ),
            ("", "\"\" is not TYPE=SHARE"),
        ] {
            assert_eq!(text.parse::<Mix>().unwrap_err().to_string(), why);
        }
    }
}
