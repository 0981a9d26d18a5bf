//! Rules of the adapter as tables.
