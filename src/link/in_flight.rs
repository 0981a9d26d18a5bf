//! Requests of one connection that wait for their answers.

use std::time::Instant;

use gapless_iso8583::Tpdu;

/// A buffer that grew beyond this for one large frame is not kept for the next.
const KEPT_BYTES: usize = 1024;

/// A request whose answer is still to come: an answer echoes much of it.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The message, without its frame.
    pub(super) body: Vec<u8>,
    /// Its TPDU, if the framing has one.
    pub(super) tpdu: Option<Tpdu>,
    /// When it was read.
    pub(super) read_at: Instant,
}

/// The in-flight table: slots by tag. Buffers are recycled, so that a busy
/// connection allocates nothing once it has seen its deepest pipeline.
#[derive(Debug)]
pub(super) struct InFlight {
    slots: Vec<Option<Waiting>>,
    free: Vec<u32>,
    spare: Vec<Vec<u8>>,
    limit: u32,
}

impl InFlight {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            spare: Vec::new(),
            limit,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> u32 {
        let waiting = self.slots.len().saturating_sub(self.free.len());
        u32::try_from(waiting).unwrap_or(u32::MAX)
    }

    /// Keeps a request; its tag, or `None` at the limit.
    pub(super) fn insert(
        &mut self,
        body: &[u8],
        tpdu: Option<Tpdu>,
        read_at: Instant,
    ) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(body);
        let waiting = Some(Waiting {
            body: copy,
            tpdu,
            read_at,
        });
        if let Some(tag) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(tag as usize) {
                *slot = waiting;
            }
            return Some(tag);
        }
        let tag = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(waiting);
        Some(tag)
    }

    /// Takes a request out for its answer.
    pub(super) fn take(&mut self, tag: u32) -> Option<Waiting> {
        let waiting = self.slots.get_mut(tag as usize)?.take()?;
        self.free.push(tag);
        Some(waiting)
    }

    /// Gives a buffer back for the next request.
    pub(super) fn recycle(&mut self, waiting: Waiting) {
        if waiting.body.capacity() <= KEPT_BYTES {
            self.spare.push(waiting.body);
        }
    }

    /// Gives memory back when nothing waits: an idle connection keeps none.
    pub(super) fn shrink(&mut self) {
        if self.len() == 0 {
            *self = Self::new(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_and_the_limit_holds() {
        let mut table = InFlight::new(2);
        let now = Instant::now();
        let first = table.insert(b"one", None, now).unwrap();
        let second = table.insert(b"two", Some([1, 2, 3, 4, 5]), now).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.insert(b"three", None, now), None);
        assert_eq!(table.len(), 2);

        let waiting = table.take(first).unwrap();
        assert_eq!((waiting.body.as_slice(), waiting.tpdu), (&b"one"[..], None));
        table.recycle(waiting);
        assert!(table.take(first).is_none(), "a tag is good once");
        assert_eq!(table.insert(b"four", None, now), Some(first));
        assert_eq!(table.take(second).unwrap().body, b"two");
        assert_eq!(table.take(first).unwrap().body, b"four");
        assert!(table.take(7).is_none());
    }

    #[test]
    fn nothing_is_kept_of_large_frames_or_idle_connections() {
        let mut table = InFlight::new(4);
        let now = Instant::now();
        let tag = table.insert(&[0; KEPT_BYTES + 1], None, now).unwrap();
        let waiting = table.take(tag).unwrap();
        table.recycle(waiting);
        assert!(table.spare.is_empty());

        let tag = table.insert(b"small", None, now).unwrap();
        table.shrink();
        assert_eq!(table.len(), 1, "what waits stays");
        let waiting = table.take(tag).unwrap();
        table.recycle(waiting);
        table.shrink();
        assert_eq!(table.spare.capacity() + table.slots.capacity(), 0);
    }
}
