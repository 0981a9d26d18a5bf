//! In steady state a message takes no memory from the heap: neither reading it,
//! nor making its request, nor answering it, in any dialect.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gapless::adapter::{Adapter, PanKeys, Rules};
use gapless::link::session::{Given, Session, SessionLimits, Taken};
use gapless_engine::code::ResponseCode;
use gapless_engine::date::Date;
use gapless_engine::ids::Currency;
use gapless_engine::outcome::{Balances, Outcome};
use gapless_iso8583::{Dialect, Framing, LengthForm, Mti};

/// Counts this thread's allocations, since tests run beside each other.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn messages(dialect: &Dialect) -> Vec<Vec<u8>> {
    let pan = b"9410000000000018";
    let de_90 = b"020000000111220903050000000012300000000456";
    let message = |mti, own: &[(u8, &[u8])]| {
        let mut fields: Vec<(u8, &[u8])> = vec![
            (3, b"000000"),
            (4, b"000000010000"),
            (7, b"1122090305"),
            (11, b"000001"),
            (12, b"180305"),
            (13, b"1122"),
            (32, b"123"),
            (37, b"632609000001"),
            (41, b"TERM0001"),
            (42, b"MERCHANT0000001"),
            (49, b"410"),
        ];
        fields.retain(|(field, _)| !own.iter().any(|(other, _)| other == field));
        fields.extend(own);
        fields.sort_by_key(|(field, _)| *field);
        let mut bytes = Vec::new();
        {
            let mut builder = dialect.builder(&mut bytes, Mti::new(mti).unwrap());
            for (field, text) in fields {
                builder.text(field, text);
            }
            builder.finish().unwrap();
        }
        bytes
    };
    vec![
        message(200, &[(2, pan)]),
        message(200, &[(3, b"301000"), (2, pan)]),
        message(200, &[(35, b"9410000000000018=30121010000012345678")]),
        message(
            200,
            &[(3, b"090000"), (2, pan), (54, b"0040410D000000003000")],
        ),
        message(
            200,
            &[(3, b"400000"), (102, b"1000000000"), (103, b"1000000001")],
        ),
        message(420, &[(2, pan), (90, de_90)]),
        message(800, &[(70, b"301")]),
        // Refused without the engine.
        message(200, &[(3, b"990000"), (2, pan)]),
    ]
}

fn exchange(session: &mut Session, frames: &[Vec<u8>], out: &mut Vec<u8>) {
    let today = Date(20_500);
    let outcome = Outcome {
        code: ResponseCode::Approved,
        seq: 1,
        durable_at: 1,
        business_date: today,
        settlement_date: today,
        balances: Some(Balances {
            currency: Currency(410),
            ledger_minor: 1,
            available_minor: -1,
        }),
        is_repeat: false,
    };
    let mut waiting = [None; 8];
    for (frame, place) in frames.iter().zip(&mut waiting) {
        match session.take(frame, None, Instant::now(), today, out) {
            Taken::Submit(tag, _) => *place = Some(tag),
            Taken::Answered { .. } => {}
            Taken::Replied(replied) => panic!("{replied:?}"),
            Taken::Ignored(note) => panic!("{note}"),
        }
    }
    for tag in waiting.into_iter().flatten().rev() {
        let given = session.give(tag, &outcome, Instant::now(), out);
        assert!(matches!(given, Given::Answered { .. }), "{given:?}");
    }
}

#[test]
fn no_allocation_per_message() {
    for name in [
        "iso87-ascii",
        "iso87-ascii-hex",
        "iso87-bcd",
        "iso87-ebcdic",
    ] {
        let dialect = Dialect::builtin(name).unwrap();
        let frames = messages(&dialect);
        let keys = Arc::new(PanKeys::from_bytes(&[7; 32]));
        let adapter = Adapter::new(keys, dialect, Rules::own_terminals(Currency(410)));
        let limits = SessionLimits {
            max_in_flight: 16,
            answer_limit: None,
            sign_on_required: false,
        };
        let framing = Framing::new(LengthForm::Binary2);
        let mut session = Session::new(Rc::new(adapter), framing, limits);
        let mut out = Vec::new();
        for _ in 0..3 {
            out.clear();
            exchange(&mut session, &frames, &mut out);
        }
        let before = ALLOCATIONS.get();
        for _ in 0..100 {
            out.clear();
            exchange(&mut session, &frames, &mut out);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{name}");
    }
    assert!(ALLOCATIONS.get() > 0, "it counts");
}
