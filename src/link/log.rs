//! Log lines of one link that a peer can cause: one a second at most, with the
//! count of those that were left out, so that garbage can't flood the disk.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(1);

/// Log lines of one link. Cheap to clone.
#[derive(Clone)]
pub(super) struct LinkLog {
    link: Arc<str>,
    /// Apart from each other, so that bad messages do not hide why a
    /// connection was closed.
    messages: Rc<RefCell<Throttle>>,
    closings: Rc<RefCell<Throttle>>,
}

impl LinkLog {
    pub(super) fn new(link: &str) -> Self {
        Self {
            link: link.into(),
            messages: Rc::default(),
            closings: Rc::default(),
        }
    }

    pub(super) fn link(&self) -> &str {
        &self.link
    }

    /// Warns of a message.
    pub(super) fn warn(&self, peer: SocketAddr, what: &dyn fmt::Display) {
        if self.admit(&self.messages, "messages") {
            tracing::warn!(link = &*self.link, %peer, "{what}");
        }
    }

    /// Tells why a connection is closed.
    pub(super) fn closed(&self, peer: SocketAddr, why: &dyn fmt::Display) {
        if self.admit(&self.closings, "closed connections") {
            tracing::warn!(link = &*self.link, %peer, "closed: {why}");
        }
    }

    /// Whether a line may be said now; else it is counted.
    fn admit(&self, throttle: &Rc<RefCell<Throttle>>, of: &'static str) -> bool {
        let admitted = throttle.borrow_mut().admit(Instant::now());
        if let Admitted::CountFirst(until) = admitted {
            let (link, throttle) = (Arc::clone(&self.link), Rc::clone(throttle));
            tokio::task::spawn_local(async move {
                tokio::time::sleep_until(until).await;
                let left_out = throttle.borrow_mut().close();
                tracing::warn!(link = &*link, left_out, "more warnings of {of}");
            });
        }
        admitted == Admitted::Say
    }
}

/// What to do with one warning.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    Say,
    /// Count it; it is the first of this second, so tell the count when it is over.
    CountFirst(Instant),
    Count,
}

#[derive(Default)]
struct Throttle {
    /// When the last one was said.
    said_at: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    fn admit(&mut self, now: Instant) -> Admitted {
        let until = self.said_at.map(|said_at| said_at + EVERY);
        match until {
            Some(until) if self.left_out > 0 || now < until => {
                self.left_out += 1;
                if self.left_out == 1 {
                    Admitted::CountFirst(until)
                } else {
                    Admitted::Count
                }
            }
            _ => {
                self.said_at = Some(now);
                Admitted::Say
            }
        }
    }

    /// Ends the second; how many were left out.
    fn close(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_and_the_count_of_the_rest() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(throttle.admit(at(0)), Admitted::Say);
        assert_eq!(throttle.admit(at(1)), Admitted::CountFirst(at(1000)));
        assert_eq!(throttle.admit(at(999)), Admitted::Count);
        assert_eq!(throttle.admit(at(1001)), Admitted::Count, "not told yet");
        assert_eq!(throttle.close(), 3);
        assert_eq!(throttle.admit(at(1002)), Admitted::Say);
        assert_eq!(throttle.admit(at(2001)), Admitted::CountFirst(at(2002)));
        assert_eq!(throttle.close(), 1);
        assert_eq!(throttle.admit(at(9000)), Admitted::Say);
    }
}
