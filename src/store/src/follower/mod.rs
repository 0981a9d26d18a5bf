//! The follower: a thread of low priority that applies the durable groups to a
//! second instance of the core, and alone writes sled rows and base files.

mod base_job;
mod bases;
mod checkpoint;
mod handle;
mod pace;
mod rows;
mod worker;

pub(crate) use rows::sled_options;

pub use handle::{
    Follower, FollowerError, FollowerHandle, FollowerOptions, RowsState, Status, Waker,
};
