//! Encoding of reconciliations, in events (see `codec`) and in the residue.

use crate::bytes::{Put, Reader, Short};
use crate::codec::{EventError, Out, put_identity, read_currency, read_identity};
use crate::date::Date;
use crate::event::{ReconciliationAsked, ReconciliationEvent};
use crate::ids::{Currency, NetworkId};
use crate::limits::{MAX_SETTLEMENT_ACCOUNTS, RECONCILIATIONS_KEPT};
use crate::reconcile::{Asked, Books, Figures, NET, Origin, Reconciliation, Verdict};
use crate::residue::{bounded, count};

/// Settlement dates and currencies of one network that can be marked as answered:
/// totals are dropped sooner.
const MOST_ANSWERED: usize = 4096;

/// A mask of what is there, then each in as many bytes as its digits need: counts
/// and fees five, amounts seven, the net amount eight, signed.
fn put_figures(to: &mut Out, figures: &Figures) {
    let mut mask = [0; 3];
    for (bit, element) in (0u8..).zip(Figures::elements()) {
        if figures.get(element).is_some()
            && let Some(byte) = mask.get_mut(usize::from(bit / 8))
        {
            *byte |= 1 << (bit % 8);
        }
    }
    to.put(&mask);
    for (element, value) in figures.iter() {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        match element {
            NET => to.put(&[a, b, c, d, e, f, g, h]),
            86.. => to.put(&[a, b, c, d, e, f, g]),
            _ => to.put(&[a, b, c, d, e]),
        }
    }
}

fn read_figures(from: &mut Reader<'_>) -> Result<Figures, EventError> {
    let wrong = EventError::Field("figures");
    let [low, middle, high] = from.array()?;
    let mask = u32::from_le_bytes([low, middle, high, 0]);
    let mut figures = Figures::NONE;
    let mut left = mask;
    for (bit, element) in (0u32..).zip(Figures::elements()) {
        if mask >> bit & 1 == 0 {
            continue;
        }
        left &= !(1 << bit);
        let value = match element {
            NET => from.i64()?,
            86.. => {
                let [a, b, c, d, e, f, g] = from.array()?;
                i64::from_le_bytes([a, b, c, d, e, f, g, 0])
            }
            _ => {
                let [a, b, c, d, e] = from.array()?;
                i64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
            }
        };
        figures = figures.with(element, value).ok_or(wrong)?;
    }
    if left == 0 { Ok(figures) } else { Err(wrong) }
}

pub(crate) fn put_reconciliation(to: &mut Out, r: &ReconciliationEvent) {
    to.put(&[r.origin as u8, r.verdict as u8]);
    put_identity(to, &r.identity);
    to.put(&r.network.0.to_le_bytes());
    to.put(&r.settlement_date.0.to_le_bytes());
    to.put(&r.currency.0.to_le_bytes());
    put_figures(to, &r.ours);
    put_figures(to, &r.theirs);
}

pub(crate) fn read_reconciliation(
    from: &mut Reader<'_>,
) -> Result<ReconciliationEvent, EventError> {
    let [origin, verdict] = from.array()?;
    Ok(ReconciliationEvent {
        origin: Origin::from_number(origin).ok_or(EventError::Field("origin"))?,
        verdict: Verdict::from_number(verdict).ok_or(EventError::Field("verdict"))?,
        identity: read_identity(from)?,
        network: NetworkId(from.u16()?),
        settlement_date: Date(from.u16()?),
        currency: read_currency(from)?,
        ours: read_figures(from)?,
        theirs: read_figures(from)?,
    })
}

pub(crate) fn put_asked(to: &mut Out, asked: &ReconciliationAsked) {
    to.put(&asked.network.0.to_le_bytes());
    to.put(&asked.settlement_date.0.to_le_bytes());
    to.put(&asked.currency.0.to_le_bytes());
    put_figures(to, &asked.ours);
}

pub(crate) fn read_asked(from: &mut Reader<'_>) -> Result<ReconciliationAsked, EventError> {
    Ok(ReconciliationAsked {
        network: NetworkId(from.u16()?),
        settlement_date: Date(from.u16()?),
        currency: read_currency(from)?,
        ours: read_figures(from)?,
    })
}

pub(crate) fn write_books(out: &mut Out, books: &Books) {
    count(out, books.networks.len());
    for book in &books.networks {
        out.put(&book.network.0.to_le_bytes());
        out.put(&[
            u8::from(book.asked.is_some()),
            u8::from(book.announced.is_some()),
        ]);
        if let Some(asked) = &book.asked {
            out.put(&asked.seq.to_le_bytes());
            out.put(&asked.time_us.to_le_bytes());
            let Asked {
                settlement_date,
                currency,
                ours,
                ..
            } = *asked;
            put_asked(
                out,
                &ReconciliationAsked {
                    network: book.network,
                    settlement_date,
                    currency,
                    ours,
                },
            );
        }
        if let Some(announced) = book.announced {
            out.put(&announced.0.to_le_bytes());
        }
        count(out, book.answered.len());
        for (date, currency) in &book.answered {
            out.put(&date.0.to_le_bytes());
            out.put(&currency.0.to_le_bytes());
        }
        count(out, book.kept.len());
        for done in &book.kept {
            out.put(&done.seq.to_le_bytes());
            put_reconciliation(out, &done.event());
        }
    }
}

pub(crate) fn read_books(from: &mut Reader<'_>) -> Result<Books, Short> {
    let mut books = Books::default();
    for _ in 0..bounded(from, MAX_SETTLEMENT_ACCOUNTS)? {
        let network = NetworkId(from.u16()?);
        let [has_asked, has_announced] = from.array()?;
        if books
            .networks
            .last()
            .is_some_and(|last| last.network >= network)
        {
            return Err(Short);
        }
        let book = books.of_mut(network).ok_or(Short)?;
        if has_asked != 0 {
            let (seq, time_us) = (from.u64()?, from.u64()?);
            let asked = read_asked(from).map_err(|_| Short)?;
            book.asked = Some(Asked {
                seq,
                time_us,
                settlement_date: asked.settlement_date,
                currency: asked.currency,
                ours: asked.ours,
            });
        }
        if has_announced != 0 {
            book.announced = Some(Date(from.u16()?));
        }
        for _ in 0..bounded(from, MOST_ANSWERED)? {
            book.answered
                .push((Date(from.u16()?), Currency(from.u16()?)));
        }
        for _ in 0..bounded(from, RECONCILIATIONS_KEPT)? {
            let seq = from.u64()?;
            let event = read_reconciliation(from).map_err(|_| Short)?;
            book.keep(Reconciliation::of(seq, &event));
        }
        if !book.answered.is_sorted_by(|a, b| a < b) {
            return Err(Short);
        }
    }
    Ok(books)
}
