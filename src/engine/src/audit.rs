//! The audit of a whole state: everything that can be recomputed, is. O(n); for
//! tests and `gapless verify`.

use crate::date::Date;
use crate::engine::{Engine, Hashes, pan_hash};
use crate::ids::CardIx;
use crate::invariants::{self as inv, Breach};
use crate::limits::SEALS_UNTIL_FORGOTTEN;
use crate::memory::seq_of;
use crate::record::flags;

/// Recomputes sums, hashes and counts from the rows and compares.
///
/// # Errors
/// The first breach found. Before [`Engine::consistent_from`] the rows do not
/// belong together, and an audit says so.
pub fn audit(engine: &Engine) -> Result<(), Breach> {
    inv::dates_are_neighbours(engine.dates)?;
    let epoch = engine.dates.closing();
    let mut hashes = Hashes {
        rolled: engine.hashes.rolled,
        ..Hashes::default()
    };
    let mut sums = vec![(0i128, 0i128); engine.currencies.len()];
    let mut buffers = vec![0i128; engine.currencies.len()];
    for (ix, row) in (0..).zip(engine.accounts.iter()) {
        if row.last_seq == 0 || row.last_seq > engine.last_seq {
            return Err(Breach::Place);
        }
        hashes.fixed = hashes.fixed.wrapping_add(row.hash_fixed(ix));
        hashes.live = hashes.live.wrapping_add(row.hash_live(ix));
        hashes.next = hashes.next.wrapping_add(row.hash_next(ix, epoch));
        let view = row.view(epoch);
        // There are no holds yet.
        if view.held != 0 {
            return Err(Breach::Held);
        }
        let ledger = i128::from(view.ledger().ok_or(Breach::Range)?);
        let slot = engine.slot(row.currency).ok_or(Breach::NoAccount)?;
        let sum = sums.get_mut(usize::from(slot)).ok_or(Breach::NoAccount)?;
        if let Some(buffer) = buffers.get_mut(usize::from(slot)) {
            *buffer += i128::from(view.next);
        }
        if row.is_customer() {
            sum.0 += ledger;
        } else {
            sum.1 += ledger;
        }
        if let Some(number) = row.number()
            && engine.options.indexed
            && engine.find_account(&number).map(|found| found.0) != Some(ix)
        {
            return Err(Breach::Place);
        }
    }
    for (slot, (customers, internal)) in engine.currencies.iter().zip(sums) {
        if customers + internal != 0 {
            return Err(Breach::Unbalanced(slot.currency));
        }
        if customers != slot.customers_minor || internal != slot.internal_minor {
            return Err(Breach::Totals(slot.currency));
        }
    }
    // 1 and 6: each open date balances by itself, so the closing balances do, too.
    for (slot, buffer) in engine.currencies.iter().zip(buffers) {
        if buffer != 0 {
            return Err(Breach::Totals(slot.currency));
        }
    }
    engine
        .totals
        .dates
        .iter()
        .try_for_each(inv::debits_equal_credits)?;
    audit_cards(engine, &mut hashes)?;
    audit_memory(engine)?;
    if hashes != engine.hashes {
        return Err(Breach::Hash);
    }
    Ok(())
}

fn audit_cards(engine: &Engine, hashes: &mut Hashes) -> Result<(), Breach> {
    let dropped = has_dropped(engine);
    for (ix, row) in (0..).zip(engine.cards.iter()) {
        if row.last_seq == 0 || row.last_seq > engine.last_seq {
            return Err(Breach::Place);
        }
        hashes.cards = hashes.cards.wrapping_add(row.hash(ix));
        if engine.accounts.get(row.account.0).is_none() {
            return Err(Breach::NoAccount);
        }
        if engine.options.indexed && engine.find_card(row.pan()).map(|found| found.0) != Some(ix) {
            return Err(Breach::Place);
        }
        if let Some(pans) = &engine.by_pan
            && pans.account_of(pan_hash(row.pan()), CardIx(ix)) != Some(row.account)
        {
            return Err(Breach::Place);
        }
        // Until a generation has been dropped, every chain starts somewhere.
        if row.newest.is_some() && !dropped && !engine.newest_reference(row).is_some() {
            return Err(Breach::Chain);
        }
    }
    Ok(())
}

/// Whether a generation has been dropped by now.
fn has_dropped(engine: &Engine) -> bool {
    let first = engine
        .genesis
        .map_or(Date(0), |genesis| genesis.business_date);
    engine.dates.closing().0 > first.0.saturating_add(SEALS_UNTIL_FORGOTTEN)
}

fn audit_memory(engine: &Engine) -> Result<(), Breach> {
    let dropped = has_dropped(engine);
    let mut used = 0u32;
    for generation in &engine.memory.generations {
        let mut last = 0;
        used = used.saturating_add(generation.records.len());
        for record in generation.records.iter().filter(|r| !r.is_continuation()) {
            // Sequences ascend, and references point back.
            if record.seq_delta() < last
                || generation.base_seq + u64::from(record.seq_delta()) > engine.last_seq
            {
                return Err(Breach::Chain);
            }
            last = record.seq_delta();
            // One into a generation that was dropped may name a newer one.
            if !dropped
                && record.prev().is_some()
                && !engine
                    .memory
                    .is_kept(record.prev(), seq_of(generation, record))
            {
                return Err(Breach::Chain);
            }
            let older = engine.memory.held(record.prev()).filter(|_| !dropped);
            if older.is_some_and(|(of, older)| seq_of(of, older) >= seq_of(generation, record)) {
                return Err(Breach::Chain);
            }
            if record.has(flags::POSTED) {
                for account in [record.debit(), record.credit()] {
                    if engine.accounts.get(account).is_none() {
                        return Err(Breach::NoAccount);
                    }
                }
            }
        }
    }
    if used != engine.memory.used {
        return Err(Breach::Chain);
    }
    Ok(())
}
