//! The store as a whole, with real engines, journals and sled databases.

mod bank;
mod bases;
mod crash;
mod damage;
mod extracts;
mod fixture;
mod remembered;
mod restart;
mod rows;
mod verify;
