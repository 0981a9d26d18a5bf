//! Requests of one connection that wait for their answers.

use std::time::Instant;

use gapless_iso8583::{Layout, Message, Tpdu};

/// A buffer that grew beyond this for one large frame is not kept for the next.
const KEPT_BYTES: usize = 1024;

/// A request whose answer is still to come: an answer echoes much of it.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The message, without its frame, and where its fields are.
    body: Vec<u8>,
    layout: Layout,
    /// Its TPDU, if the framing has one.
    pub(super) tpdu: Option<Tpdu>,
    /// When it was read.
    pub(super) read_at: Instant,
    is_taken: bool,
}

impl Waiting {
    /// The request as it was decoded.
    pub(super) fn message(&self) -> Message<'_> {
        self.layout.of(&self.body)
    }
}

/// The in-flight table: slots by tag. Slots keep their buffers, so that a busy
/// connection allocates nothing once it has seen its deepest pipeline.
#[derive(Debug)]
pub(super) struct InFlight {
    slots: Vec<Waiting>,
    free: Vec<u32>,
    limit: u32,
}

impl InFlight {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
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
        message: &Message<'_>,
        tpdu: Option<Tpdu>,
        read_at: Instant,
    ) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        if let Some(tag) = self.free.pop() {
            let slot = self.slots.get_mut(tag as usize)?;
            slot.body.clear();
            slot.body.extend_from_slice(message.frame());
            message.layout(&mut slot.layout);
            (slot.tpdu, slot.read_at, slot.is_taken) = (tpdu, read_at, false);
            return Some(tag);
        }
        let tag = u32::try_from(self.slots.len()).ok()?;
        let mut layout = Layout::default();
        message.layout(&mut layout);
        self.slots.push(Waiting {
            body: message.frame().to_vec(),
            layout,
            tpdu,
            read_at,
            is_taken: false,
        });
        Some(tag)
    }

    /// The request under a tag, until it is [taken out](Self::remove).
    pub(super) fn get(&self, tag: u32) -> Option<&Waiting> {
        self.slots.get(tag as usize).filter(|slot| !slot.is_taken)
    }

    /// Takes a request out: it is answered, and its tag is free for another.
    pub(super) fn remove(&mut self, tag: u32) {
        let Some(slot) = self.slots.get_mut(tag as usize) else {
            return;
        };
        if slot.is_taken {
            return;
        }
        slot.is_taken = true;
        if slot.body.capacity() > KEPT_BYTES {
            slot.body = Vec::new();
        }
        self.free.push(tag);
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
    use gapless_iso8583::{Dialect, Mti};

    fn echo(stan: &str, out: &mut Vec<u8>) {
        out.clear();
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        dialect
            .builder(out, Mti::new(800).unwrap())
            .text(11, stan.as_bytes())
            .text(70, b"301")
            .finish()
            .unwrap();
    }

    fn insert(table: &mut InFlight, stan: &str, tpdu: Option<Tpdu>) -> Option<u32> {
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let mut frame = Vec::new();
        echo(stan, &mut frame);
        let message = dialect.decode(&frame).unwrap();
        table.insert(&message, tpdu, Instant::now())
    }

    fn stan(table: &InFlight, tag: u32) -> Option<u64> {
        table.get(tag)?.message().number(11).unwrap()
    }

    #[test]
    fn tags_come_back_and_the_limit_holds() {
        let mut table = InFlight::new(2);
        let first = insert(&mut table, "000001", None).unwrap();
        let second = insert(&mut table, "000002", Some([1, 2, 3, 4, 5])).unwrap();
        assert_ne!(first, second);
        assert_eq!(insert(&mut table, "000003", None), None);
        assert_eq!(table.len(), 2);

        assert_eq!(stan(&table, first), Some(1));
        assert_eq!(table.get(first).unwrap().tpdu, None);
        table.remove(first);
        assert!(table.get(first).is_none(), "a tag is good once");
        table.remove(first);
        assert_eq!(table.len(), 1, "taken out once");
        assert_eq!(insert(&mut table, "000004", None), Some(first));
        assert_eq!(stan(&table, second), Some(2));
        assert_eq!(table.get(second).unwrap().tpdu, Some([1, 2, 3, 4, 5]));
        assert_eq!(stan(&table, first), Some(4));
        assert!(table.get(7).is_none());
    }

    #[test]
    fn nothing_is_kept_of_large_frames_or_idle_connections() {
        let mut table = InFlight::new(4);
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let mut frame = Vec::new();
        dialect
            .builder(&mut frame, Mti::new(200).unwrap())
            .text(11, b"000001")
            .text(48, &[b'X'; 999])
            .text(60, &[b'X'; 500])
            .finish()
            .unwrap();
        assert!(frame.len() > KEPT_BYTES);
        let message = dialect.decode(&frame).unwrap();
        let tag = table.insert(&message, None, Instant::now()).unwrap();
        table.remove(tag);
        assert!(table.slots.iter().all(|slot| slot.body.capacity() == 0));

        let tag = insert(&mut table, "000001", None).unwrap();
        table.shrink();
        assert_eq!(table.len(), 1, "what waits stays");
        table.remove(tag);
        table.shrink();
        assert_eq!(table.slots.capacity(), 0);
    }
}
