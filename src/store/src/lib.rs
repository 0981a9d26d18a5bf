//! The follower side: sled rows behind the cache, base files, verification.
