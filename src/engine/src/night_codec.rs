//! Encoding of the night's events (see `codec`).

use crate::bytes::{Put, Reader};
use crate::codec::{
    EventError, Out, put_identity, put_legs, read_bool, read_currency, read_identity, read_legs,
};
use crate::date::Date;
use crate::event::{EntryEvent, NetworkCutoverEvent, SealEvent};
use crate::ids::NetworkId;
use crate::limits::MAX_ENTRY_CURRENCIES;
use crate::night::EntrySums;

pub(crate) fn put_seal(to: &mut Out, seal: &SealEvent) {
    to.put(&seal.date.0.to_le_bytes());
    put_sums(to, &seal.entries);
}

pub(crate) fn read_seal(from: &mut Reader<'_>) -> Result<SealEvent, EventError> {
    Ok(SealEvent {
        date: Date(from.u16()?),
        entries: read_sums(from)?,
    })
}

pub(crate) fn put_sums(to: &mut Out, sums: &EntrySums) {
    // At most MAX_ENTRY_CURRENCIES.
    to.put(&[sums.as_slice().len() as u8]);
    for sum in sums.as_slice() {
        to.put(&sum.currency.0.to_le_bytes());
        to.put(&sum.count.to_le_bytes());
        to.put(&sum.sum_minor.to_le_bytes());
    }
}

pub(crate) fn read_sums(from: &mut Reader<'_>) -> Result<EntrySums, EventError> {
    let wrong = EventError::Field("sums of entries");
    let count = from.u8()?;
    if usize::from(count) > MAX_ENTRY_CURRENCIES {
        return Err(wrong);
    }
    let mut sums = EntrySums::EMPTY;
    let mut last = None;
    for _ in 0..count {
        let currency = read_currency(from)?;
        // Ascending, so that there is one way to write them.
        if last.is_some_and(|last| last >= currency) {
            return Err(wrong);
        }
        last = Some(currency);
        sums = sums.with(currency, from.u32()?, from.i64()?).ok_or(wrong)?;
    }
    Ok(sums)
}

pub(crate) fn put_network_cutover(to: &mut Out, cutover: &NetworkCutoverEvent) {
    to.put(&cutover.network.0.to_le_bytes());
    to.put(&cutover.date.0.to_le_bytes());
    to.put(&[u8::from(cutover.opens)]);
}

pub(crate) fn read_network_cutover(
    from: &mut Reader<'_>,
) -> Result<NetworkCutoverEvent, EventError> {
    Ok(NetworkCutoverEvent {
        network: NetworkId(from.u16()?),
        date: Date(from.u16()?),
        opens: read_bool(from)?,
    })
}

pub(crate) fn put_entry(to: &mut Out, entry: &EntryEvent) {
    put_identity(to, &entry.identity);
    to.put(&entry.business_date.0.to_le_bytes());
    put_legs(to, &entry.legs);
}

pub(crate) fn read_entry(from: &mut Reader<'_>) -> Result<EntryEvent, EventError> {
    Ok(EntryEvent {
        identity: read_identity(from)?,
        business_date: Date(from.u16()?),
        legs: read_legs(from)?,
    })
}
