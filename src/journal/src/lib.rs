//! Write-ahead journal: append, group commit, segments, recovery.
