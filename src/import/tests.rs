use std::fmt::Write as _;
use std::sync::Arc;

use gapless_engine::command::Request;

use super::{Kind, Parsed, Parser, Rows, load_demo};
use crate::adapter::PanKeys;

fn keys() -> Arc<PanKeys> {
    Arc::new(PanKeys::from_bytes(&[7; 32]))
}

/// What a file gives, one line a row; fed in pieces of so many bytes.
fn read(kind: Kind, file: &[u8], piece: usize) -> String {
    let mut parser = Parser::new(Some(kind), keys());
    let mut told = String::new();
    let mut tell = |parsed| match parsed {
        Parsed::Row { line, request } => match request {
            Request::PutAccount(put) => writeln!(
                told,
                "{line}: {} {} {} {} {:?}",
                put.number, put.currency, put.balance_minor, put.overdraft_minor, put.status
            )
            .unwrap(),
            Request::PutCard(put) => writeln!(
                told,
                "{line}: {:06}..{:04} {:04} {} {:?}",
                put.bin,
                put.last4,
                put.expiry.yymm(),
                put.account,
                put.status
            )
            .unwrap(),
            other => panic!("{other:?}"),
        },
        Parsed::Refused(refused) => writeln!(told, "{}! {}", refused.line, refused.why).unwrap(),
    };
    for mut input in file.chunks(piece) {
        loop {
            match parser.next_row(&mut input) {
                Ok(Some(parsed)) => tell(parsed),
                Ok(None) => break,
                Err(error) => return format!("{error}"),
            }
        }
    }
    match parser.finish() {
        Ok(Some(parsed)) => tell(parsed),
        Ok(None) => {}
        Err(error) => return format!("{error}"),
    }
    told.trim_end().to_owned()
}

/// However the bytes come, the same.
#[track_caller]
fn check(kind: Kind, row: &str, expected: &str) {
    let file = format!("{}\n{row}", kind.header());
    for piece in [1, 7, 4096] {
        assert_eq!(read(kind, file.as_bytes(), piece), expected, "{row}");
    }
}

#[test]
#[rustfmt::skip] // one row a line
fn rows_of_accounts() {
    let check = |row, expected| check(Kind::Accounts, row, expected);
    check("1,KRW,0,0,active", "2: 1 410 0 0 Active");
    check("1,KRW,0,0,active\r\n", "2: 1 410 0 0 Active");
    check("\"a,b\",USD,-5,7,blocked\n", "2: a,b 840 -5 7 Blocked");
    check("\"a\"\"b\",KWD,999999999999,0,closed", "2: a\"b 414 999999999999 0 Closed");
    check("-,KRW,-999999999999,999999999999,active", "2: - 410 -999999999999 999999999999 Active");
    check("\n\n1,KRW,0,0,active\n\n", "4: 1 410 0 0 Active");
    check("x\n1,KRW,0,0,active", "2! 5 columns expected, 1 found\n3: 1 410 0 0 Active");
    check("1,KRW,0,0", "2! 5 columns expected, 4 found");
    check("1,KRW,0,0,active,", "2! 5 columns expected, 6 found");
    check("1,KRW,0,0,active,,,,", "2! 5 columns expected, 6 found");
    check(",KRW,0,0,active", "2! account: 1 to 28 printable ASCII characters expected, no blanks around them");
    check(" 1,KRW,0,0,active", "2! account: 1 to 28 printable ASCII characters expected, no blanks around them");
    check("1234567890123456789012345678,KRW,0,0,active", "2: 1234567890123456789012345678 410 0 0 Active");
    check("12345678901234567890123456789,KRW,0,0,active", "2! account: 1 to 28 printable ASCII characters expected, no blanks around them");
    check("é,KRW,0,0,active", "2! account: 1 to 28 printable ASCII characters expected, no blanks around them");
    check("1,krw,0,0,active", "2! currency: an alphabetic code of ISO 4217 expected, as in KRW");
    check("1,410,0,0,active", "2! currency: an alphabetic code of ISO 4217 expected, as in KRW");
    check("1,KRW,,0,active", "2! balance_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW,-,0,active", "2! balance_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW,+1,0,active", "2! balance_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW,1.0,0,active", "2! balance_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW, 1,0,active", "2! balance_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW,1000000000000,0,active", "2! balance_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW,0,x,active", "2! overdraft_minor: an integer in minor units expected, at most 12 digits");
    check("1,KRW,0,-1,active", "2! overdraft_minor: not negative");
    check("1,KRW,0,0,Active", "2! status: active, blocked or closed expected");
    check("1,KRW,0,0,lost", "2! status: active, blocked or closed expected");
    check("\"1,KRW,0,0,active\n2,KRW,0,0,active", "2! a quote that does not end on this line\n3: 2 410 0 0 Active");
}

#[test]
#[rustfmt::skip] // one row a line
fn rows_of_cards() {
    let check = |row, expected| check(Kind::Cards, row, expected);
    check("9410000000000005,3012,1000000000,active", "2: 941000..0005 3012 1000000000 Active");
    check("9410000000000005,2001,a,lost", "2: 941000..0005 2001 a Lost");
    check("9410000000000005,2001,a,stolen", "2: 941000..0005 2001 a Stolen");
    check("9410000000000005,2001,a,blocked", "2: 941000..0005 2001 a Blocked");
    check("000000000000,2001,a,active", "2: 000000..0000 2001 a Active");
    check("9410000000000006,3012,a,active", "2! pan: its check digit is wrong");
    check("94100000000,3012,a,active", "2! pan: 12 to 19 digits expected");
    check("94100000000000050000,3012,a,active", "2! pan: 12 to 19 digits expected");
    check("9410 0000 0000 0005,3012,a,active", "2! pan: 12 to 19 digits expected");
    check("9410000000000005,3013,a,active", "2! expiry: YYMM expected");
    check("9410000000000005,3000,a,active", "2! expiry: YYMM expected");
    check("9410000000000005,312,a,active", "2! expiry: YYMM expected");
    check("9410000000000005,+312,a,active", "2! expiry: YYMM expected");
    check("9410000000000005,3012,,active", "2! account: 1 to 28 printable ASCII characters expected, no blanks around them");
    check("9410000000000005,3012,a,closed", "2! status: active, lost, stolen or blocked expected");
}

#[test]
fn a_long_line_is_refused_and_held_in_part_only() {
    let long = "9".repeat(100_000);
    let file = format!(
        "{}\n{long}\n9410000000000005,3012,a,active\n{long}",
        Kind::Cards.header()
    );
    for piece in [3, 1000, 1 << 20] {
        assert_eq!(
            read(Kind::Cards, file.as_bytes(), piece),
            "2! the line has more than 512 bytes\n\
             3: 941000..0005 3012 a Active\n\
             4! the line has more than 512 bytes"
        );
    }
}

#[test]
fn without_its_header_nothing_of_a_file_is_taken() {
    let expected = "line 1: the header pan,expiry,account,status expected";
    for file in [
        "",
        "\n",
        "9410000000000005,3012,a,active\n",
        "account,currency,balance_minor,overdraft_minor,status\n",
        "pan,expiry,account,status,\n",
        "PAN,expiry,account,status\n",
        &"x".repeat(1000),
    ] {
        assert_eq!(read(Kind::Cards, file.as_bytes(), 5), expected, "{file:?}");
    }
    let marked = "\u{feff}pan,expiry,account,status\r\n";
    assert_eq!(read(Kind::Cards, marked.as_bytes(), 5), "");
}

/// Whatever the row, its reason shows no digits of it.
#[test]
fn no_reason_shows_what_stood_there() {
    let pan = "9410000000000006";
    for row in [
        format!("{pan},3012,a,active"),
        format!("a,{pan},{pan},active"),
        format!("{pan}{pan},3012,a,active"),
        format!("{pan},{pan},{pan},{pan},{pan},{pan}"),
        format!("9410000000000005,3012,{pan}{pan},active"),
        format!("9410000000000005,3012,a,{pan}"),
        format!("\"{pan}"),
    ] {
        for kind in [Kind::Accounts, Kind::Cards] {
            let file = format!("{}\n{row}\n", kind.header());
            let told = read(kind, file.as_bytes(), 4096);
            assert!(told.contains('!'), "{row} is refused: {told}");
            assert!(!told.contains("0000"), "{told}");
        }
    }
}

#[test]
fn the_demo_files_are_right_and_come_in_batches() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo");
    let batches: Vec<Vec<Request>> = load_demo(folder.as_ref(), &keys())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(batches.iter().all(|batch| (1..=256).contains(&batch.len())));
    let rows: Vec<&Request> = batches.iter().flatten().collect();
    let accounts = rows
        .iter()
        .take_while(|row| matches!(row, Request::PutAccount(_)))
        .count();
    let cards = rows
        .iter()
        .filter(|row| matches!(row, Request::PutCard(_)))
        .count();
    assert_eq!((accounts, cards, rows.len()), (10_008, 10_008, 20_016));
}

#[test]
fn a_wrong_file_stops_at_its_first_fault_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cards.csv");
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut rows = Rows::open(&path, Kind::Cards, keys()).unwrap();
        let error = rows.by_ref().find_map(Result::err).unwrap().to_string();
        assert!(rows.next().is_none(), "nothing comes after the fault");
        error.replace(&path.display().to_string(), "cards.csv")
    };
    let header = Kind::Cards.header();
    assert_eq!(
        told("x"),
        "cards.csv: line 1: the header pan,expiry,account,status expected"
    );
    assert_eq!(
        told(&format!(
            "{header}\n9410000000000005,3012,a,active\n9410000000000006,3012,a,active\n9\n"
        )),
        "cards.csv:3: pan: its check digit is wrong"
    );
    let error = Rows::open(&dir.path().join("none.csv"), Kind::Cards, keys())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("none.csv: No such file"),
        "{error}"
    );
}
