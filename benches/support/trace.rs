//! A bank's day as commands, the same in every run: rows of import files, and
//! payments of all kinds by scattered cards.

use gapless_engine::command::{
    AccountStatus, Amount, CardStatus, Class, Genesis, Identity, Operation, Original, PutAccount,
    PutCard, Request, Reversal, Transaction,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId, PanHash};

const KRW: Currency = Currency(410);
/// Payments that can still be reversed or repeated.
const RECENT: usize = 1024;

/// The first commands of a new journal.
pub fn founding() -> [Request; 3] {
    let internal = |network| Request::OpenInternal {
        network,
        currency: KRW,
    };
    [
        Request::Genesis(Genesis {
            business_date: Date::from_ymd(2026, 11, 22).unwrap(),
            key_check: 7,
        }),
        internal(NetworkId::OWN_TERMINALS),
        internal(NetworkId(1)),
    ]
}

/// A row of an accounts file.
pub fn put_account(number: u64) -> Request {
    Request::PutAccount(PutAccount {
        number: account(number),
        currency: KRW,
        balance_minor: 100_000_000,
        overdraft_minor: 0,
        status: AccountStatus::Active,
    })
}

/// A row of a cards file: card `number` draws on the account of that number.
pub fn put_card(number: u64, accounts: u64) -> Request {
    Request::PutCard(PutCard {
        pan: pan(number),
        bin: 941_000,
        last4: (number % 10_000) as u16,
        expiry: Expiry {
            year: 90,
            month: 12,
        },
        account: account(number % accounts.max(1)),
        status: CardStatus::Active,
    })
}

/// Payments, one after the other.
pub struct Payments {
    sent: u64,
    recent: Vec<Transaction>,
}

impl Payments {
    pub fn new() -> Self {
        Self {
            sent: 0,
            recent: Vec::with_capacity(RECENT),
        }
    }

    /// The next payment, and what it is called.
    pub fn next(&mut self, customers: u64) -> (Request, &'static str) {
        self.sent += 1;
        let roll = scatter(self.sent);
        let earlier = self.recent.get(roll as usize % RECENT).copied();
        match (roll >> 32) % 100 {
            0..5 if let Some(original) = earlier => (self.reversal(&original), "reversal"),
            5..7 => {
                // Its original has not arrived: a tombstone.
                let never_sent = transaction(u64::MAX - self.sent, customers, Operation::Purchase);
                (self.reversal(&never_sent), "reversal without original")
            }
            7..9 if let Some(repeated) = earlier => (Request::Transaction(repeated), "repeat"),
            9..12 => (
                self.remember(customers, Operation::Purchase, true),
                "advice",
            ),
            12..22 => self.request(customers, Operation::Transfer, "transfer"),
            22..30 => self.request(customers, Operation::InquiryAvailable, "inquiry"),
            30..36 => self.request(customers, Operation::Refund, "refund"),
            36..44 => self.request(customers, Operation::Cash, "cash"),
            _ => self.request(customers, Operation::Purchase, "purchase"),
        }
    }

    fn request(
        &mut self,
        customers: u64,
        operation: Operation,
        name: &'static str,
    ) -> (Request, &'static str) {
        (self.remember(customers, operation, false), name)
    }

    fn remember(&mut self, customers: u64, operation: Operation, advice: bool) -> Request {
        let mut sent = transaction(self.sent, customers, operation);
        if advice {
            sent.class = Class::FinancialAdvice;
        }
        if self.recent.len() < RECENT {
            self.recent.push(sent);
        } else {
            self.recent[self.sent as usize % RECENT] = sent;
        }
        Request::Transaction(sent)
    }

    fn reversal(&self, original: &Transaction) -> Request {
        let of = &original.identity;
        Request::Reversal(Reversal {
            identity: identity(self.sent),
            network: original.network,
            pan: original.pan,
            original: Original {
                class: Some(original.class),
                locator: Some(of.locator),
                transmitted: of.transmitted,
                rrn: of.rrn,
                acquirer: of.acquirer,
                forwarder: of.forwarder,
            },
            amount: Some(original.amount),
            settlement: None,
        })
    }
}

fn transaction(number: u64, customers: u64, operation: Operation) -> Transaction {
    let roll = scatter(!number);
    let card = roll % customers;
    let transfer = operation == Operation::Transfer;
    Transaction {
        identity: identity(number),
        class: Class::FinancialRequest,
        network: NetworkId((roll >> 60 == 0).into()),
        operation,
        pan: Some(pan(card)),
        expiry: None,
        from: transfer.then(|| account(card)),
        to: transfer.then(|| account((card + 1) % customers)),
        amount: Amount {
            minor: if operation.is_inquiry() {
                0
            } else {
                1_000 + (roll >> 20) % 5_000
            },
            currency: KRW,
        },
        billing: None,
        cashback_minor: 0,
        settlement: None,
        refusal: None,
    }
}

fn identity(number: u64) -> Identity {
    let roll = scatter(number.rotate_left(17));
    Identity {
        key: roll,
        locator: (roll >> 16) as u32 | 1,
        transmitted: 33 * 86_400 + (number % 80_000) as u32,
        rrn: roll as u16,
        acquirer: 3,
        forwarder: 0,
    }
}

fn account(number: u64) -> AccountNumber {
    AccountNumber::new((1_000_000_000 + number).to_string().as_bytes()).unwrap()
}

fn pan(card: u64) -> PanHash {
    PanHash(u128::from(scatter(card)) << 64 | u128::from(scatter(!card)))
}

/// A number that looks random, the same in every run.
pub fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
