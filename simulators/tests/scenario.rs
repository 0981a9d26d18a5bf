//! Scenarios against a small bank that keeps one account.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use gapless_simulators::scenario::{RunError, Scenario, StepReport};
use gapless_simulators::{Message, Profile, Terminal};
use support::{FakeHost, answer, frame};

#[derive(Default)]
struct Bank {
    balance: i64,
    /// Answers by DE 37, and whether they were reversed.
    answers: BTreeMap<String, (Message, bool)>,
}

impl Bank {
    fn answer(&mut self, request: &Message) -> Message {
        let reference = request.get(37).unwrap_or_default().to_owned();
        let minor: i64 = request.get(4).unwrap_or("0").parse().unwrap_or(0);
        if request.mti().starts_with("04") {
            if let Some((first, reversed)) = self.answers.get_mut(&reference)
                && !*reversed
                && first.response_code() == Some("00")
            {
                *reversed = true;
                self.balance += minor;
            }
            return answer(request, "00");
        }
        if let Some((first, reversed)) = self.answers.get(&reference) {
            return if *reversed {
                answer(request, "05")
            } else {
                first.clone()
            };
        }
        let mut reply = match request.get(3) {
            Some("310000") => answer(request, "00"),
            Some("000000") if minor > self.balance => answer(request, "51"),
            Some("000000") => {
                self.balance -= minor;
                answer(request, "00")
            }
            None => answer(request, "00"),
            Some(_) => answer(request, "12"),
        };
        if request.get(3) == Some("310000") {
            let balance = self.balance;
            reply
                .set(54, &format!("0001410C{balance:012}0002410C{balance:012}"))
                .unwrap();
        }
        self.answers.insert(reference, (reply.clone(), false));
        reply
    }
}

fn run(text: &str) -> (Result<(), RunError>, Vec<StepReport>) {
    let bank = Mutex::new(Bank {
        balance: 1000,
        ..Bank::default()
    });
    let host = FakeHost::start(move |request| Some(frame(&bank.lock().unwrap().answer(request))));
    let mut terminal =
        Terminal::connect_as(&host.address(), Profile::of_terminal("SCEN0001")).unwrap();
    let scenario = Scenario::parse(text, Path::new("x.toml")).unwrap();
    let mut reports = Vec::new();
    let result = scenario.run(&mut terminal, |report| reports.push(report.clone()));
    (result, reports)
}

const BALANCE: &str = r#"
[[step]]
name = "balance"
send = { command = "balance", card = 1 }
expect = { 39 = "00" }
capture = { before = "54.ledger" }
"#;

#[test]
fn captured_values_carry_over() {
    let (result, reports) = run(&format!(
        r#"{BALANCE}
[[step]]
name = "all but one"
id = "buy"
send = {{ command = "purchase", card = 1, amount = "$before - 1" }}
expect = {{ mti = "0210", 39 = "00", 4 = {{ sum = "$before - 1" }}, 38 = {{ matches = "[A-Z][0-9]{{5}}" }} }}
capture = {{ approval = "38", reference = "37" }}

[[step]]
name = "repeat"
send = {{ repeat_of = "buy" }}
expect = {{ 39 = "00", 37 = "$reference" }}

[[step]]
name = "left"
send = {{ command = "balance", card = 1 }}
expect = {{ "54.ledger" = 1, "54.available" = 1 }}

[[step]]
name = "too much"
send = {{ command = "purchase", card = 1, amount = 2 }}
expect = {{ 39 = ["51", "61"], 38 = false }}

[[step]]
name = "reverse"
send = {{ reverse_of = "buy" }}
expect = {{ mti = "0410", 39 = "00", 41 = true }}

[[step]]
name = "repeat after the reversal"
send = {{ repeat_of = "buy" }}
expect = {{ 39 = {{ not = "00" }} }}

[[step]]
name = "back"
send = {{ command = "balance", card = 1 }}
expect = {{ "54.ledger" = {{ sum = "$before" }} }}
"#
    ));
    result.unwrap();
    assert_eq!(reports.len(), 8);
    let types: Vec<&str> = reports.iter().map(|r| r.request.mti()).collect();
    assert_eq!(
        types,
        [
            "0200", "0200", "0201", "0200", "0200", "0400", "0201", "0200"
        ]
    );
    let approval = reports.get(5).unwrap().request.get(38);
    assert_eq!(approval, Some("A12345"));
}

#[test]
fn a_held_message_goes_out_later_unchanged() {
    let (result, reports) = run(r#"
[[step]]
name = "built"
id = "late"
hold = true
send = { command = "purchase", card = 1, amount = 5 }

[[step]]
name = "reversed first"
send = { reverse_of = "late", advice = true }
expect = { mti = "0430", 39 = "00" }

[[step]]
name = "sent"
send = { deliver = "late" }
expect = { 39 = "00" }
"#);
    result.unwrap();
    let [held, reversal, sent] = reports.as_slice() else {
        panic!("{reports:?}");
    };
    assert!(held.answer.is_none());
    assert_eq!(held.request, sent.request);
    assert_eq!(reversal.request.mti(), "0420");
    let original = reversal.request.get(90).unwrap();
    assert_eq!(
        original.get(..10),
        Some(format!("0200{}", held.request.get(11).unwrap()).as_str())
    );
}

#[test]
fn overrides_are_sent_as_told() {
    let (result, reports) = run(r#"
[[step]]
name = "strange"
send = { command = "purchase", card = 1, amount = 5, mti = "0100", fields = { 3 = "99" }, raw = { 43 = "short" }, unset = [14] }
expect = { 39 = true }

[[step]]
name = "bare"
send = { mti = "0800", fields = { 70 = "1" } }
expect = { mti = "0810", 70 = "001" }
"#);
    // A DE 43 that is too short shifts what follows, so the host cannot read it.
    assert!(
        matches!(result, Err(RunError::Exchange { number: 1, .. })),
        "{result:?}"
    );
    assert_eq!(reports.len(), 0);
}

#[test]
fn a_mismatch_names_step_field_expected_and_got() {
    let (result, reports) = run(r#"
[[step]]
name = "one purchase"
send = { command = "purchase", card = 1, amount = 5 }
expect = { 39 = "51", 2 = "9410000000000021", 44 = true, 38 = false, "54.ledger" = 7, 4 = ["000000000006"] }

[[step]]
name = "never reached"
send = { command = "echo" }
"#);
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "step 1 (one purchase) failed");
    assert_eq!(reports.len(), 1);
    let shown: Vec<String> = reports
        .iter()
        .flat_map(|r| &r.mismatches)
        .map(|m| format!("{}: {} / {}", m.field, m.expected, m.got))
        .collect();
    assert_eq!(
        shown,
        [
            "DE 2 (Primary account number): 941000******0021 / 941000******0013",
            "DE 4 (Amount, transaction): one of 000000000006 / 000000000005",
            "DE 38 (Authorisation id response): absent / A12345",
            "DE 39 (Response code): 51 / 00",
            "DE 44 (Additional response data): present / nothing",
            "DE 54 ledger: 7 / nothing",
        ]
    );
}

#[test]
fn a_capture_of_nothing_fails_its_step() {
    let (result, reports) = run(r#"
[[step]]
name = "a"
send = { command = "echo" }
capture = { x = "54.ledger" }
"#);
    assert!(
        matches!(result, Err(RunError::Mismatch { number: 1, .. })),
        "{result:?}"
    );
    assert_eq!(reports.first().unwrap().mismatches.len(), 1);
}

#[test]
fn a_negative_amount_cannot_be_sent() {
    let (result, _) = run(&format!(
        "{BALANCE}\n[[step]]\nname = \"b\"\nsend = {{ command = \"cash\", card = 1, amount = \"$before - 1001\" }}\n"
    ));
    let error = result.unwrap_err().to_string();
    assert_eq!(error, "step 2 (b): -1 is no amount to send");
}
