//! What an answer says: DE 39.

/// Response code, DE 39 (FIELD.md, "Response codes"). 90, cut-off in process,
/// is not among them: this product never sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ResponseCode {
    /// 00
    Approved = 0,
    /// 05: the original was reversed, or its reversal came before it.
    DoNotHonour = 5,
    /// 12: unknown message type, processing code or currency.
    InvalidTransaction = 12,
    /// 13
    InvalidAmount = 13,
    /// 14
    NoSuchCard = 14,
    /// 25
    OriginalNotLocated = 25,
    /// 30
    FormatError = 30,
    /// 41
    LostCard = 41,
    /// 43
    StolenCard = 43,
    /// 51
    InsufficientFunds = 51,
    /// 54
    ExpiredCard = 54,
    /// 57
    NotPermittedToCardholder = 57,
    /// 61
    ExceedsAmountLimit = 61,
    /// 68
    ResponseLate = 68,
    /// 76
    InvalidToAccount = 76,
    /// 77
    InvalidFromAccount = 77,
    /// 78
    InvalidAccount = 78,
    /// 91: refused at the door, with no effect.
    IssuerUnavailable = 91,
    /// 94: the same key with another amount or account.
    Duplicate = 94,
    /// 96: the command would have broken an invariant; no effect.
    Malfunction = 96,
}

impl ResponseCode {
    /// Every code that can leave.
    pub const ALL: [Self; 20] = [
        Self::Approved,
        Self::DoNotHonour,
        Self::InvalidTransaction,
        Self::InvalidAmount,
        Self::NoSuchCard,
        Self::OriginalNotLocated,
        Self::FormatError,
        Self::LostCard,
        Self::StolenCard,
        Self::InsufficientFunds,
        Self::ExpiredCard,
        Self::NotPermittedToCardholder,
        Self::ExceedsAmountLimit,
        Self::ResponseLate,
        Self::InvalidToAccount,
        Self::InvalidFromAccount,
        Self::InvalidAccount,
        Self::IssuerUnavailable,
        Self::Duplicate,
        Self::Malfunction,
    ];

    /// The two digits of DE 39 as a number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code with these two digits, if this product knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Whether the request was approved.
    #[must_use]
    pub const fn is_approved(self) -> bool {
        matches!(self, Self::Approved)
    }
}
