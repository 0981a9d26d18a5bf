//! Rows behind the cache, in sled 0.34.7.
//!
//! sled is treated as something that may fail at any time, in any way: its own
//! thread ([`actor`]), every call isolated, every entry under our own CRC, and
//! one digest over all entries that is written with each batch, so that an
//! entry lost or gone back in time is found when the rows are read.

pub(crate) mod actor;
pub(crate) mod aside;
pub(crate) mod digest;
pub(crate) mod entry;
pub(crate) mod mark;
pub(crate) mod quiet;
pub(crate) mod store;
