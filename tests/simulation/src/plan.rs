//! What a seed's bank, networks and troubles are.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::auditor::calendar::{Hours, date_of, day_of};
use crate::auditor::model::{Day, Status};
use crate::message::Form;
use crate::rng::Rng;

/// Won, dollar, dinar of three digits.
pub const CURRENCIES: [u16; 3] = [410, 840, 414];

/// A link: its network (0 for the bank's own terminals), form and rules.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    /// Whose.
    pub network: u16,
    /// How it writes.
    pub form: Form,
    /// Whether it must sign on.
    pub sign_on: bool,
    /// Operations that may be asked for.
    pub allow: Vec<u64>,
    /// Transfers without a card.
    pub cardless: bool,
    /// By currency.
    pub max_amount: BTreeMap<u16, u64>,
    /// Of inquiries without DE 49.
    pub default_currency: u16,
    /// Answers later than this are kept back.
    pub answer_limit_s: Option<u64>,
    /// Requests that may wait.
    pub max_in_flight: u32,
}

/// A network.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// Its number.
    pub id: u16,
    /// Its cutover, in seconds after the bank's (before it: negative).
    pub offset_s: i64,
    /// Whether its cutover message names the date that has ended.
    pub names_ended: bool,
    /// Whether it sends a cutover message at all.
    pub tells: bool,
    /// How often its messages carry DE 15, in a hundred.
    pub dated: u64,
    /// Currencies in which it settles.
    pub currencies: Vec<u16>,
}

/// An account to begin with.
#[derive(Clone, Debug)]
pub struct AccountPlan {
    /// Its number.
    pub number: String,
    /// Its currency.
    pub currency: u16,
    /// What it begins with.
    pub balance: i64,
    /// Allowed overdraft.
    pub overdraft: i64,
    /// Its status.
    pub status: Status,
}

/// A card to begin with.
#[derive(Clone, Debug)]
pub struct CardPlan {
    /// Its PAN.
    pub pan: String,
    /// Its account.
    pub account: String,
    /// YYMM.
    pub expiry: u16,
    /// Its status.
    pub status: Status,
}

/// Troubles, each as a weight.
#[derive(Clone, Copy, Debug)]
pub struct Troubles {
    /// Kills and power losses, per thousand steps.
    pub crashes: u64,
    /// Failing disk operations, per thousand steps.
    pub disk: u64,
    /// Times of a full disk, per thousand steps.
    pub full: u64,
    /// Connections cut, per thousand steps.
    pub cuts: u64,
    /// Messages twice, in a hundred.
    pub duplicates: u64,
    /// Longest delay of a message, milliseconds.
    pub delay_ms: u64,
    /// Clock jumps, per thousand steps.
    pub clock: u64,
}

/// Everything that a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// First time, microseconds.
    pub start_us: u64,
    /// The bank's hours.
    pub hours: Hours,
    /// The zone's name.
    pub zone: &'static str,
    /// Links; the first one or two are the bank's own.
    pub links: Vec<LinkPlan>,
    /// Networks.
    pub networks: Vec<NetworkPlan>,
    /// Accounts.
    pub accounts: Vec<AccountPlan>,
    /// Cards.
    pub cards: Vec<CardPlan>,
    /// Troubles.
    pub troubles: Troubles,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Events between base files.
    pub base_after_events: u64,
    /// Whether they wait as well until the journal has grown by the last one's size.
    pub base_after_growth: bool,
    /// Events between attestations.
    pub attest_every: u64,
    /// Remembered transactions in memory; the others lie in files.
    pub in_memory: u32,
    /// How many times fewer messages, and so more nights in as many steps.
    pub sparse: u64,
}

const ZONES: [&str; 5] = [
    "Asia/Seoul",
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Pacific/Auckland",
];

/// Days worth beginning at: before the leap day, the year's end, a month's end, the
/// nights in which clocks change.
const DAYS: [(i16, i8, i8); 8] = [
    (2028, 2, 27),
    (2026, 12, 30),
    (2027, 2, 27),
    (2026, 11, 29),
    (2026, 3, 7),
    (2026, 10, 24),
    (2027, 3, 27),
    (2026, 9, 26),
];

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let zone = *rng.pick(&ZONES);
        let (hour, minute) = *rng.pick(&[(0, 0), (0, 0), (23, 30), (2, 30), (1, 0)]);
        let hours = Hours {
            zone: TimeZone::get(zone).unwrap(),
            hour,
            minute,
            grace_s: *rng.pick(&[30, 300, 1_800]),
            early_s: *rng.pick(&[600, 2_400, 7_200]),
        };
        let day = match rng.percent(50) {
            true => {
                let (year, month, day) = *rng.pick(&DAYS);
                day_of(jiff::civil::Date::new(year, month, day).unwrap())
            }
            false => 20_600 + rng.below(700) as Day,
        };
        let noon = date_of(day).at(12, 0, 0, 0).to_zoned(hours.zone.clone());
        let start_us =
            noon.unwrap().timestamp().as_microsecond() as u64 + rng.below(4 * 3_600_000_000);
        let networks: Vec<_> = (1..=rng.within(1, 4) as u16)
            .map(|id| network(&mut rng, id))
            .collect();
        let own = rng.within(1, 2);
        let mut links: Vec<_> = (0..own).map(|_| link(&mut rng, 0)).collect();
        for network in &networks {
            for _ in 0..1 + u64::from(rng.percent(20)) {
                links.push(link(&mut rng, network.id));
            }
        }
        let accounts = accounts(&mut rng);
        let cards = cards(&mut rng, &accounts, day);
        Self {
            seed,
            start_us,
            hours,
            zone,
            links,
            networks,
            accounts,
            cards,
            troubles: troubles(&mut rng),
            segment_bytes: *rng.pick(&[64 << 10, 64 << 10, 256 << 10]),
            base_after_events: *rng.pick(&[100, 400, 2_000]),
            base_after_growth: seed.is_multiple_of(5),
            attest_every: *rng.pick(&[16, 64, 256]),
            sparse: *rng.pick(&[1, 1, 2, 8, 40]),
            in_memory: if seed % 3 == 1 { 260 } else { u32::MAX },
        }
    }

    /// The network of this number.
    #[must_use]
    pub fn network(&self, id: u16) -> Option<&NetworkPlan> {
        self.networks.iter().find(|network| network.id == id)
    }
}

fn network(rng: &mut Rng, id: u16) -> NetworkPlan {
    NetworkPlan {
        id,
        offset_s: match rng.below(6) {
            0 => 0,
            1 => 1,
            2 => -1,
            _ => rng.below(3_600) as i64 - 1_800,
        },
        names_ended: rng.percent(50),
        tells: rng.percent(75),
        dated: *rng.pick(&[100, 100, 50, 0]),
        currencies: CURRENCIES[..rng.within(1, 3) as usize].to_vec(),
    }
}

fn link(rng: &mut Rng, network: u16) -> LinkPlan {
    let all = vec![0, 1, 9, 20, 30, 31, 40];
    let mut allow = all.clone();
    if rng.percent(20) {
        allow.remove(rng.below(7) as usize);
    }
    LinkPlan {
        network,
        form: Form::builtin(rng.next()),
        sign_on: network != 0 && rng.percent(60),
        allow,
        cardless: rng.percent(80),
        max_amount: match rng.percent(30) {
            true => BTreeMap::from([(410, 15_000)]),
            false => BTreeMap::new(),
        },
        default_currency: 410,
        answer_limit_s: (network != 0).then_some(15),
        max_in_flight: *rng.pick(&[4, 16, 64]),
    }
}

fn accounts(rng: &mut Rng) -> Vec<AccountPlan> {
    (0..rng.within(6, 16))
        .map(|number| AccountPlan {
            number: format!("{}", 1_000_000_000 + number),
            currency: match rng.below(10) {
                0 => 840,
                1 => 414,
                _ => 410,
            },
            balance: rng.below(80_000) as i64,
            overdraft: match rng.below(4) {
                0 => rng.below(20_000) as i64,
                _ => 0,
            },
            status: match rng.below(16) {
                0 => Status::Blocked,
                1 => Status::Closed,
                _ => Status::Active,
            },
        })
        .collect()
}

/// A PAN with its check digit.
#[must_use]
pub fn pan(number: u64) -> String {
    let digits = format!("941000{number:09}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn cards(rng: &mut Rng, accounts: &[AccountPlan], day: Day) -> Vec<CardPlan> {
    let this_month = crate::auditor::calendar::year_month(day);
    let spare = rng.within(0, 3);
    (0..accounts.len() as u64 + spare)
        .map(|number| CardPlan {
            pan: pan(number),
            account: match accounts.get(number as usize) {
                Some(account) => account.number.clone(),
                None => rng.pick(accounts).number.clone(),
            },
            expiry: match rng.below(10) {
                0 => this_month,
                1 => 2_401,
                _ => 3_012,
            },
            status: match rng.below(16) {
                0 => Status::Lost,
                1 => Status::Stolen,
                2 => Status::Blocked,
                _ => Status::Active,
            },
        })
        .collect()
}

fn troubles(rng: &mut Rng) -> Troubles {
    let quiet = rng.percent(25);
    let mut some = |most: u64| if quiet { 0 } else { rng.below(most + 1) };
    Troubles {
        crashes: some(14),
        disk: some(8),
        full: some(4),
        cuts: some(12),
        duplicates: some(10),
        delay_ms: 1 + some(4_000),
        clock: some(4),
    }
}
