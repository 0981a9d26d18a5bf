//! The adapter's rules as tables: fields to request or refusal, outcome to fields.

mod answers;
mod identity;
mod intake;
mod reconcile;

use std::fmt::Write as _;
use std::sync::Arc;

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{Amount, Class, Operation, Request, Reversal, Transaction};
use gapless_engine::date::{Date, MonthDay};
use gapless_engine::ids::{Currency, Expiry, NetworkId};
use gapless_engine::outcome::{Balances, Outcome};
use gapless_iso8583::{Dialect, Mti, Scratch};

use super::{Adapter, Intake, PanKeys, Rules};

const KRW: Currency = Currency(410);
const USD: Currency = Currency(840);
/// Between two years, for dates without one.
const TODAY: Date = Date(20_453);
const PAN: &str = "9410000000000018";

/// Fields of a message, ascending.
type Fields<'a> = &'a [(u8, &'a str)];

fn keys() -> Arc<PanKeys> {
    Arc::new(PanKeys::from_bytes(&[7; 32]))
}

fn rules() -> Rules {
    Rules {
        currencies: vec![(*b"KRW", KRW), (*b"USD", USD)],
        ..Rules::own_terminals(KRW)
    }
}

fn adapter_for(dialect: &str, rules: Rules) -> Adapter {
    Adapter::new(keys(), Dialect::builtin(dialect).unwrap(), rules)
}

fn encode(dialect: &Dialect, mti: u16, fields: Fields<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut builder = dialect.builder(&mut bytes, Mti::new(mti).unwrap());
        for (field, text) in fields {
            builder.text(*field, text.as_bytes());
        }
        builder.finish().unwrap();
    }
    bytes
}

/// A request's fields with some changed, added, or (empty text) taken away.
fn with<'t>(base: &[(u8, &'t str)], changes: &[(u8, &'t str)]) -> Vec<(u8, &'t str)> {
    let mut fields: Vec<_> = base
        .iter()
        .filter(|(field, _)| !changes.iter().any(|(changed, _)| changed == field))
        .chain(changes.iter().filter(|(_, text)| !text.is_empty()))
        .copied()
        .collect();
    fields.sort_by_key(|(field, _)| *field);
    fields
}

fn intake(adapter: &Adapter, mti: u16, fields: Fields<'_>) -> Intake {
    let bytes = encode(adapter.dialect(), mti, fields);
    let message = adapter.dialect().decode(&bytes).unwrap();
    adapter.intake(&message, &mut Scratch::new())
}

fn transaction(adapter: &Adapter, mti: u16, fields: Fields<'_>) -> Transaction {
    match intake(adapter, mti, fields) {
        Intake::Engine(Request::Transaction(transaction)) => transaction,
        other => panic!("{mti} {fields:?}: {other:?}"),
    }
}

fn reversal(adapter: &Adapter, mti: u16, fields: Fields<'_>) -> Reversal {
    match intake(adapter, mti, fields) {
        Intake::Engine(Request::Reversal(reversal)) => reversal,
        other => panic!("{mti} {fields:?}: {other:?}"),
    }
}

/// What an intake comes to, in a few words.
fn said(intake: &Intake) -> String {
    match intake {
        Intake::Engine(Request::Transaction(transaction)) => match transaction.refusal {
            Some(code) => format!("engine, refusal {:02}", code.number()),
            None => "engine".to_owned(),
        },
        Intake::Engine(_) => "engine".to_owned(),
        Intake::Management(purpose) => format!("{purpose:?}"),
        Intake::NetworkCutover(cutover) => format!("{:?}", cutover.request(TODAY)),
        Intake::Answer(refusal) => {
            let mut said = format!("{:02}", refusal.code.number());
            if let Some(fault) = refusal.fault {
                write!(said, " {fault}").unwrap();
            }
            said
        }
        Intake::Ignore(why) => why.to_string(),
    }
}

const PURCHASE: Fields<'static> = &[
    (2, PAN),
    (3, "000000"),
    (4, "000000010000"),
    (7, "1122090305"),
    (11, "000001"),
    (12, "180305"),
    (13, "1122"),
    (14, "3012"),
    (22, "051"),
    (32, "00000000123"),
    (37, "632609000001"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (49, "410"),
];

const TRANSFER: Fields<'static> = &[
    (3, "400000"),
    (4, "000000010000"),
    (7, "1122090305"),
    (11, "000002"),
    (37, "632609000002"),
    (41, "TERM0001"),
    (49, "410"),
    (102, "1000000000"),
    (103, "1000000001"),
];

const PURCHASE_93: Fields<'static> = &[
    (2, PAN),
    (3, "000000"),
    (4, "000000010000"),
    (7, "1122090305"),
    (11, "000001"),
    (12, "261122180305"),
    (24, "200"),
    (32, "123"),
    (37, "632609000001"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (49, "410"),
];

fn outcome(code: ResponseCode) -> Outcome {
    Outcome {
        code,
        seq: 41,
        durable_at: 41,
        business_date: Date::from_ymd(2026, 11, 22).unwrap(),
        settlement_date: Date::from_ymd(2026, 11, 23).unwrap(),
        balances: None,
        is_repeat: false,
    }
}
