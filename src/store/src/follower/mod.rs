//! The follower: a thread of low priority that applies the durable groups to a
//! second instance of the core, and alone writes sled rows and base files.

mod base_due;
mod base_job;
mod bases;
mod checkpoint;
mod extracts;
mod handle;
mod inline;
mod pace;
mod rebuild;
mod rows;
mod worker;

#[cfg(test)]
pub(crate) use base_job::BaseJob;
#[cfg(test)]
pub(crate) use checkpoint::{Checkpoint, Step};
pub(crate) use rows::sled_options;

pub use handle::{Follower, FollowerError, FollowerHandle, FollowerOptions, RowsState, Status};
pub use inline::InlineFollower;
