//! When and how the system backs memory with pages.
//!
//! # Larger ones
//!
//! A read in a table of hundreds of megabytes waits for its line, and before that for the
//! page tables that say where it is. With pages of 2 MiB instead of 4 KiB, those stay in
//! the processor. But whoever touches such a page first waits until the system has found
//! and cleared it, and one that is made of small pages later holds up for milliseconds
//! whoever needs it then (docs/performance.md). So they are for memory that is filled
//! before anybody waits: [`prefer`] before it is touched, [`settle`] when it is filled.
//!
//! # Before they are needed
//!
//! Memory that fills up while payments are made is touched for the first time by each
//! 93rd of them, and that one waits until the system has found and cleared a page.
//! [`touch_ahead`] has another thread wait instead.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// Bytes of a small page.
const PAGE: usize = 4096;
/// So many bytes are asked for at once: whoever reserves memory meanwhile waits for that.
const TOUCHED_AT_ONCE: usize = 256 << 10;

#[derive(Clone, Copy)]
enum Wish {
    Large,
    Small,
    Now,
}

/// Has the system back memory with large pages, where it can, when it is touched first.
/// `memory` is a range of addresses of this process, of which nothing has been touched.
pub fn prefer(memory: Range<usize>) {
    // A system that cannot, or is told not to, goes on with small ones.
    let _ = advise(whole_pages(memory), Wish::Large);
}

/// Has the system leave memory as it is: what is in large pages stays there, and what
/// is touched later comes in small ones.
pub fn settle(memory: Range<usize>) {
    let _ = advise(whole_pages(memory), Wish::Small);
}

/// Has the system back memory with pages now, on a thread of its own, whoever touches it
/// meanwhile. `memory` is a range of addresses of this process; its content stays, and
/// it may be given back before its turn comes. The thread starts with the first call.
pub fn touch_ahead(memory: Range<usize>) {
    static THREAD: OnceLock<Option<Sender<Range<usize>>>> = OnceLock::new();
    if let Some(thread) = THREAD.get_or_init(start) {
        // It ends with the process.
        let _ = thread.send(memory);
    }
}

/// The thread, if the system gives one: without it, memory is touched when it is needed.
fn start() -> Option<Sender<Range<usize>>> {
    let (thread, asked) = channel();
    thread::Builder::new()
        .name("pages".to_owned())
        .spawn(move || asked.into_iter().for_each(touch))
        .ok()
        .map(|_| thread)
}

fn touch(memory: Range<usize>) {
    let mut rest = whole_pages(memory);
    while !rest.is_empty() {
        let end = rest.start.saturating_add(TOUCHED_AT_ONCE).min(rest.end);
        if !advise(rest.start..end, Wish::Now) {
            // Given back by now, or the system cannot.
            return;
        }
        rest.start = end;
    }
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
fn advise(memory: Range<usize>, wish: Wish) -> bool {
    use rustix::mm::Advice;
    if memory.is_empty() {
        return true;
    }
    let advice = match wish {
        Wish::Large => Advice::LinuxHugepage,
        Wish::Small => Advice::LinuxNoHugepage,
        Wish::Now => Advice::LinuxPopulateWrite,
    };
    let address = std::ptr::without_provenance_mut(memory.start);
    // SAFETY: none of these moves an address or changes a content. Of what is not mapped,
    // or may not be written, it is an error; of a file's mapping, pages would be written
    // back for nothing, and this process has none. Nothing is read or written here.
    let advised = unsafe { rustix::mm::madvise(address, memory.len(), advice) };
    advised.is_ok()
}

#[cfg(not(target_os = "linux"))]
fn advise(_: Range<usize>, _: Wish) -> bool {
    false
}

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
        touch(1 << 46..(1 << 46) + 8 * PAGE);
    }

    /// Page faults of this thread that the system has met so far.
    #[cfg(target_os = "linux")]
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(7).unwrap().parse().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_touched_ahead_is_nobody_s_wait_and_keeps_its_content() {
        const WORDS: usize = 4 << 20;
        let mut words: Vec<u64> = Vec::with_capacity(WORDS);
        words.extend(0..100_000);
        let start = words.as_ptr().addr();
        touch(start..start + WORDS * 8);
        let before = faults();
        words.extend(100_000..WORDS as u64);
        let met = faults() - before;
        assert!((0..).zip(&words).all(|(n, word)| n == *word));
        // A system without this advice has one for each of 8,192 pages.
        assert!(
            met < 64
                || !advise(
                    start / PAGE * PAGE + PAGE..start / PAGE * PAGE + 2 * PAGE,
                    Wish::Now
                ),
            "{met}"
        );
    }

    #[test]
    fn the_thread_takes_what_it_is_given() {
        let memory: Vec<u8> = Vec::with_capacity(1 << 20);
        let start = memory.as_ptr().addr();
        touch_ahead(start..start + (1 << 20));
        // Perhaps before its turn has come.
        drop(memory);
        touch_ahead(start..start + (1 << 20));
    }
}
