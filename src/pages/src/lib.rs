//! Larger pages for memory that is read at random.
//!
//! A read in a table of hundreds of megabytes waits for its line, and before that for the
//! page tables that say where it is. With pages of 2 MiB instead of 4 KiB, those stay in
//! the processor. But whoever touches such a page first waits until the system has found
//! and cleared it, and one that is made of small pages later holds up for milliseconds
//! whoever needs it then (docs/performance.md). So they are for memory that is filled
//! before anybody waits: [`prefer`] before it is touched, [`settle`] when it is filled.

use std::ops::Range;

/// Bytes of a small page.
const PAGE: usize = 4096;

/// Has the system back memory with large pages, where it can, when it is touched first.
/// `memory` is a range of addresses of this process, of which nothing has been touched.
pub fn prefer(memory: Range<usize>) {
    advise(whole_pages(memory), true);
}

/// Has the system leave memory as it is: what is in large pages stays there, and what
/// is touched later comes in small ones.
pub fn settle(memory: Range<usize>) {
    advise(whole_pages(memory), false);
}

/// What of the range is whole pages: of others, the rest is somebody else's.
fn whole_pages(memory: Range<usize>) -> Range<usize> {
    let start = memory
        .start
        .checked_next_multiple_of(PAGE)
        .unwrap_or(memory.end);
    start..(memory.end / PAGE * PAGE).max(start)
}

#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the one call of the system that has no safe form"
)]
fn advise(memory: Range<usize>, large: bool) {
    use rustix::mm::Advice;
    if memory.is_empty() {
        return;
    }
    let advice = if large {
        Advice::LinuxHugepage
    } else {
        Advice::LinuxNoHugepage
    };
    let address = std::ptr::without_provenance_mut(memory.start);
    // SAFETY: neither advice moves an address or changes a content, whatever memory it is
    // given; of what is not mapped it is an error. Nothing is read or written here.
    let advised = unsafe { rustix::mm::madvise(address, memory.len(), advice) };
    // A system that cannot, or is told not to, goes on with small ones.
    let _ = advised;
}

#[cfg(not(target_os = "linux"))]
fn advise(_: Range<usize>, _: bool) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_are_spoken_of() {
        assert_eq!(whole_pages(PAGE..3 * PAGE), PAGE..3 * PAGE);
        assert_eq!(whole_pages(PAGE + 1..3 * PAGE + 1), 2 * PAGE..3 * PAGE);
        assert!(whole_pages(PAGE + 1..2 * PAGE - 1).is_empty());
        assert!(whole_pages(PAGE + 1..PAGE + 2).is_empty());
        assert!(whole_pages(0..0).is_empty());
        assert!(whole_pages(usize::MAX - 1..usize::MAX).is_empty());
    }

    #[test]
    fn what_is_written_is_there_whatever_the_system_makes_of_it() {
        let mut words: Vec<u64> = Vec::with_capacity(1 << 20);
        let start = words.as_ptr().addr();
        prefer(start..start + (8 << 20));
        words.extend(0..1 << 20);
        settle(start..start + (8 << 20));
        assert!((0..).zip(&words).all(|(n, word)| n == *word));
        // Of what is not mapped.
        prefer(1 << 46..(1 << 46) + 8 * PAGE);
        settle(1 << 46..(1 << 46) + 8 * PAGE);
    }
}
