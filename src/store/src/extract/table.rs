//! The tables of an extract and their columns. Part of the format: what is here
//! decides each byte of an extract.

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// RFC 4180, lines ended by a line feed, with a header.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// As names end in it, and as it is asked for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Csv, Self::Jsonl]
            .into_iter()
            .find(|format| format.name() == name)
    }
}

/// A table of an extract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Every posting of the date, in the order of the journal.
    Postings,
    /// Every account at the closing date.
    Balances,
    /// Debits and credits of the date by currency.
    TrialBalance,
    /// Totals by network, settlement date and currency, as at the freeze.
    Settlement,
}

impl Table {
    /// In the order of the manifest.
    pub const ALL: [Self; 4] = [
        Self::Postings,
        Self::Balances,
        Self::TrialBalance,
        Self::Settlement,
    ];

    /// Its file's name without the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postings => "postings",
            Self::Balances => "balances",
            Self::TrialBalance => "trial-balance",
            Self::Settlement => "settlement",
        }
    }

    /// Its file's name.
    #[must_use]
    pub fn file(self, format: Format) -> String {
        format!("{}.{}", self.name(), format.name())
    }

    /// Its columns, as in the CSV header.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Postings => {
                "sequence,leg,account,role,currency,amount_minor,business_date,settlement_date,network,kind,original_sequence"
            }
            Self::Balances => "account,currency,role,closing_balance_minor,overdraft_minor,status",
            Self::TrialBalance => {
                "business_date,currency,debit_count,debit_minor,credit_count,credit_minor"
            }
            Self::Settlement => {
                "network,settlement_date,currency,debit_count,debit_minor,credit_count,credit_minor,debit_reversal_count,debit_reversal_minor,credit_reversal_count,credit_reversal_minor,transfer_count,transfer_minor,transfer_reversal_count,transfer_reversal_minor,inquiry_count"
            }
        }
    }
}

/// Whether a column is a number in JSON. Amounts are strings there: they may be
/// larger than what many readers hold without loss.
pub(super) fn is_number(column: &str) -> bool {
    matches!(column, "sequence" | "original_sequence" | "leg" | "network")
        || column.ends_with("_count")
}
