//! A terminal: who it is, how it numbers its messages, what it can ask for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::amounts::{AdditionalAmount, CASHBACK};
use crate::card::Card;
use crate::connection::{Connection, Exchange, ExchangeError};
use crate::currency::Currency;
use crate::fields::FieldError;
use crate::message::Message;
use crate::tls::TlsOptions;

/// The largest system trace audit number (DE 11 has six digits; 0 is not used).
const MAX_STAN: u32 = 999_999;
/// Merchant category of a cash withdrawal: a bank's cash machine.
const CASH_MERCHANT_TYPE: &str = "6011";

/// What a terminal says of itself in every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// DE 41, at most 8 characters.
    pub terminal: String,
    /// DE 42, at most 15 characters.
    pub merchant: String,
    /// DE 43: name (25), city (13), country (2).
    pub name_location: String,
    /// DE 18, four digits.
    pub merchant_type: String,
    /// DE 22, three digits. Key entered by default: neither track nor chip is sent.
    pub entry_mode: String,
    /// DE 25, two digits.
    pub condition: String,
    /// DE 32, at most 11 digits.
    pub acquirer: Option<String>,
    /// DE 33, at most 11 digits.
    pub forwarder: Option<String>,
    /// DE 49.
    pub currency: Currency,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            terminal: "POS00001".to_owned(),
            merchant: "GAPLESS00000001".to_owned(),
            name_location: format!("{:<25}{:<13}KR", "GAPLESS DEMO STORE", "SEOUL"),
            merchant_type: "5411".to_owned(),
            entry_mode: "012".to_owned(),
            condition: "00".to_owned(),
            acquirer: Some("410001".to_owned()),
            forwarder: None,
            currency: Currency::krw(),
        }
    }
}

impl Profile {
    /// The default profile under another terminal id.
    pub fn of_terminal(terminal: &str) -> Profile {
        Profile {
            terminal: terminal.to_owned(),
            ..Profile::default()
        }
    }
}

/// Network management functions (DE 70).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// 001
    SignOn,
    /// 002
    SignOff,
    /// 201; from a network, with the date in DE 15
    Cutover,
    /// 301
    Echo,
}

impl Network {
    fn code(self) -> &'static str {
        match self {
            Network::SignOn => "001",
            Network::SignOff => "002",
            Network::Cutover => "201",
            Network::Echo => "301",
        }
    }
}

/// What is known of the transaction that a reversal names in DE 90. Parts that
/// are lost stay zero (FIELD.md, DE 90).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalData {
    /// Message type, four digits.
    pub mti: String,
    /// DE 11.
    pub stan: String,
    /// DE 7.
    pub transmitted: String,
    /// DE 32.
    pub acquirer: String,
    /// DE 33.
    pub forwarder: String,
}

impl OriginalData {
    /// Of a message at hand. A repeat counts as its first: the original is 0200.
    pub fn of(message: &Message) -> OriginalData {
        let part = |de| message.get(de).unwrap_or_default().to_owned();
        let mut mti = message.mti().to_owned();
        if let Some(last) = mti.pop() {
            mti.push(match last {
                '1' => '0',
                '3' => '2',
                '5' => '4',
                other => other,
            });
        }
        OriginalData {
            mti,
            stan: part(11),
            transmitted: part(7),
            acquirer: part(32),
            forwarder: part(33),
        }
    }

    /// The 42 digits of DE 90.
    pub fn encode(&self) -> String {
        format!(
            "{:0>4}{:0>6}{:0>10}{:0>11}{:0>11}",
            self.mti, self.stan, self.transmitted, self.acquirer, self.forwarder
        )
    }
}

/// Builds a terminal's messages: its profile, its numbers, its clock.
#[derive(Clone, Debug)]
pub struct Till {
    /// What every message says of the terminal.
    pub profile: Profile,
    next_stan: Option<u32>,
}

impl Till {
    /// Numbers come from one counter of the whole process that starts at the
    /// time of day, so tills that share a terminal id do not collide.
    pub fn new(profile: Profile) -> Till {
        Till {
            profile,
            next_stan: None,
        }
    }

    /// Numbers go on from `first` (DE 11), for a caller that keeps count itself.
    pub fn numbered_from(profile: Profile, first: u32) -> Till {
        Till {
            profile,
            next_stan: Some(first),
        }
    }

    /// Purchase (0200, processing code 00). Amounts are minor units throughout.
    ///
    /// # Errors
    /// As all builders: [`FieldError`] when the card, the amount or the profile
    /// does not fit its element.
    pub fn purchase(&mut self, card: &Card, amount_minor: u64) -> Result<Message, FieldError> {
        self.financial("000000", card, amount_minor)
    }

    /// Cash withdrawal (processing code 01).
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn cash(&mut self, card: &Card, amount_minor: u64) -> Result<Message, FieldError> {
        let mut message = self.financial("010000", card, amount_minor)?;
        message.set(18, CASH_MERCHANT_TYPE)?;
        Ok(message)
    }

    /// Purchase with cashback (processing code 09): `amount_minor` is the total,
    /// `cashback_minor` its cash part, in DE 54 under amount type 40.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn cashback(
        &mut self,
        card: &Card,
        amount_minor: u64,
        cashback_minor: u64,
    ) -> Result<Message, FieldError> {
        let group = AdditionalAmount {
            account_type: "00".to_owned(),
            amount_type: CASHBACK.to_owned(),
            currency: self.profile.currency.numeric.clone(),
            // Cash handed out is a debit to the account, hence the sign.
            minor: -i64::try_from(cashback_minor).unwrap_or(i64::MAX),
        };
        let mut message = self.financial("090000", card, amount_minor)?;
        message.set(54, &group.encode()?)?;
        Ok(message)
    }

    /// Refund (processing code 20).
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn refund(&mut self, card: &Card, amount_minor: u64) -> Result<Message, FieldError> {
        self.financial("200000", card, amount_minor)
    }

    /// Balance inquiry (processing code 31, or 30 if `available_only`): amount
    /// zero, the answer's DE 54 has the balances.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn balance(&mut self, card: &Card, available_only: bool) -> Result<Message, FieldError> {
        let code = if available_only { "300000" } else { "310000" };
        self.financial(code, card, 0)
    }

    /// On-us transfer (processing code 40) from the account in DE 102 to the one
    /// in DE 103.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn transfer(
        &mut self,
        card: &Card,
        amount_minor: u64,
        from: &str,
        to: &str,
    ) -> Result<Message, FieldError> {
        let mut message = self.financial("400000", card, amount_minor)?;
        message.set(102, from)?.set(103, to)?;
        Ok(message)
    }

    /// Reversal (0400) of a message of ours, with a number of its own. DE 12, 13
    /// and 37 stay those of the original, and DE 90 names it. `approval` is the
    /// answer's DE 38, if one came. `final_minor` makes it partial: DE 95 then
    /// has the amount that really was dispensed.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn reversal(
        &mut self,
        original: &Message,
        approval: Option<&str>,
        final_minor: Option<u64>,
    ) -> Result<Message, FieldError> {
        let stamp = self.stamp();
        let mut message = Message::new("0400");
        for de in [
            2, 3, 4, 6, 12, 13, 14, 18, 22, 25, 32, 33, 37, 41, 42, 43, 49, 51, 102, 103,
        ] {
            if let Some(value) = original.get(de) {
                message.set(de, value)?;
            }
        }
        message.set(7, &stamp.transmitted)?.set(11, &stamp.stan)?;
        message.set(90, &OriginalData::of(original).encode())?;
        if let Some(approval) = approval {
            message.set(38, approval)?;
        }
        if let Some(minor) = final_minor {
            message.set(95, &format!("{minor:0>12}{}", "0".repeat(30)))?;
        }
        Ok(message)
    }

    /// Network management (0800) with the terminal's id.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn network(&mut self, function: Network) -> Result<Message, FieldError> {
        let stamp = self.stamp();
        let mut message = Message::new("0800");
        message
            .set(7, &stamp.transmitted)?
            .set(11, &stamp.stan)?
            .set(12, &stamp.time)?
            .set(13, &stamp.date)?
            .set(41, &self.profile.terminal)?
            .set(70, function.code())?;
        Ok(message)
    }

    /// A message of any type with the elements that identify it (DE 7, 11, 12,
    /// 13, 37, 41), for the caller to fill.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn blank(&mut self, mti: &str) -> Result<Message, FieldError> {
        let stamp = self.stamp();
        let mut message = Message::new(mti);
        message
            .set(7, &stamp.transmitted)?
            .set(11, &stamp.stan)?
            .set(12, &stamp.time)?
            .set(13, &stamp.date)?
            .set(37, &stamp.reference)?
            .set(41, &self.profile.terminal)?;
        Ok(message)
    }

    fn financial(
        &mut self,
        processing: &str,
        card: &Card,
        amount_minor: u64,
    ) -> Result<Message, FieldError> {
        let mut message = self.blank("0200")?;
        let profile = &self.profile;
        message
            .set(2, &card.pan)?
            .set(3, processing)?
            .set(4, &amount_minor.to_string())?
            .set(18, &profile.merchant_type)?
            .set(22, &profile.entry_mode)?
            .set(25, &profile.condition)?
            .set(42, &profile.merchant)?
            .set(43, &profile.name_location)?
            .set(49, &profile.currency.numeric)?;
        let optional = [
            (14, &card.expiry),
            (32, &profile.acquirer),
            (33, &profile.forwarder),
        ];
        for (de, value) in optional {
            if let Some(value) = value {
                message.set(de, value)?;
            }
        }
        Ok(message)
    }

    fn stamp(&mut self) -> Stamp {
        let stan = match self.next_stan {
            Some(number) => number.clamp(1, MAX_STAN),
            None => process_wide_stan(),
        };
        if let Some(next) = &mut self.next_stan {
            *next = after(stan);
        }
        Stamp::at(Timestamp::now(), stan)
    }
}

/// The number after `stan`, with 0 left out.
pub(crate) fn after(stan: u32) -> u32 {
    stan % MAX_STAN + 1
}

/// A number to begin with: milliseconds of the UTC day, so that a terminal that
/// lost its count is unlikely to hit its numbers of a moment ago.
pub(crate) fn stan_of_day() -> u32 {
    const DAY_MS: i64 = 86_400_000;
    let ms = Timestamp::now().as_millisecond().rem_euclid(DAY_MS);
    u32::try_from(ms).unwrap_or_default() % MAX_STAN + 1
}

fn process_wide_stan() -> u32 {
    // 0 stands for "not started": it is no number that is ever sent.
    static LAST: AtomicU32 = AtomicU32::new(0);
    let next = |last| {
        Some(if last == 0 {
            stan_of_day()
        } else {
            after(last)
        })
    };
    match LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
        Ok(0) => LAST.load(Ordering::Relaxed).max(1),
        Ok(last) | Err(last) => after(last),
    }
}

struct Stamp {
    transmitted: String,
    time: String,
    date: String,
    stan: String,
    reference: String,
}

impl Stamp {
    fn at(now: Timestamp, stan: u32) -> Stamp {
        let utc = now.to_zoned(TimeZone::UTC);
        let local = now.to_zoned(TimeZone::system());
        let stan = format!("{stan:06}");
        Stamp {
            transmitted: utc.strftime("%m%d%H%M%S").to_string(),
            time: local.strftime("%H%M%S").to_string(),
            date: local.strftime("%m%d").to_string(),
            // Last digit of the year, day of the year, hour, DE 11: the usual make.
            reference: format!(
                "{}{}{stan}",
                utc.year().rem_euclid(10),
                utc.strftime("%j%H")
            ),
            stan,
        }
    }
}

/// A terminal that is connected to its host.
#[derive(Debug)]
pub struct Terminal {
    /// Builds the messages.
    pub till: Till,
    /// Waits at most so long for an answer.
    pub timeout: Duration,
    connection: Connection,
}

impl Terminal {
    /// How long a terminal waits unless told otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Connects to `address` (`host:port`) in the clear, as the default profile.
    ///
    /// # Errors
    /// [`ExchangeError::Connect`].
    pub fn connect(address: &str) -> Result<Terminal, ExchangeError> {
        Terminal::connect_as(address, Profile::default())
    }

    /// Connects in the clear as the terminal of that profile.
    ///
    /// # Errors
    /// [`ExchangeError::Connect`].
    pub fn connect_as(address: &str, profile: Profile) -> Result<Terminal, ExchangeError> {
        Terminal::open(address, Till::new(profile), Terminal::TIMEOUT, None)
    }

    /// Connects with all options.
    ///
    /// # Errors
    /// [`ExchangeError::Connect`], [`ExchangeError::Tls`].
    pub fn open(
        address: &str,
        till: Till,
        timeout: Duration,
        tls: Option<&TlsOptions>,
    ) -> Result<Terminal, ExchangeError> {
        let connection = Connection::open(address, timeout, tls)?;
        Ok(Terminal {
            till,
            timeout,
            connection,
        })
    }

    /// Sends a request and returns the answer that belongs to it.
    ///
    /// # Errors
    /// Any [`ExchangeError`].
    pub fn exchange(&mut self, request: &Message) -> Result<Message, ExchangeError> {
        self.exchange_timed(request).map(|done| done.answer)
    }

    /// Like [`exchange`](Terminal::exchange), with the time it took and the
    /// messages that were passed over.
    ///
    /// # Errors
    /// Any [`ExchangeError`].
    pub fn exchange_timed(&mut self, request: &Message) -> Result<Exchange, ExchangeError> {
        self.connection.exchange(request, self.timeout)
    }

    /// The line itself, for sending and receiving apart.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests;
