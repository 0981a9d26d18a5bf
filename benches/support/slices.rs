//! CPU time by what was done, over several passes of the same work.

use std::path::Path;

use crate::goals::Goals;

/// The longest that the engine may do anything in one go.
pub const LIMIT_NS: u32 = 1_000_000;

/// What is measured as one slice.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One payment: decide, check, apply, encode into the open group.
    Payment = 0,
    /// All that one read brought: fetched ahead, each payment, journal woken.
    Read = 1,
    /// 256 rows of an accounts file, journal woken.
    Accounts = 2,
    /// 256 rows of a cards file, journal woken.
    Cards = 3,
    /// A look at 256 cards for the admin side.
    Scan = 4,
    /// The state's hash for the follower to compare.
    Attest = 5,
    /// Nothing of ours.
    Arithmetic = 6,
}

pub const KINDS: [(Kind, &str); 7] = [
    (Kind::Payment, "one payment"),
    (Kind::Read, "a read of 16"),
    (Kind::Accounts, "256 accounts"),
    (Kind::Cards, "256 cards"),
    (Kind::Scan, "look at 256 cards"),
    (Kind::Attest, "state hash"),
    (Kind::Arithmetic, "arithmetic alone"),
];

/// CPU time of each slice, in the order of the commands, which is the same in
/// every pass.
#[derive(Default)]
pub struct Slices {
    kinds: Vec<u8>,
    cpu_ns: Vec<u32>,
}

impl Slices {
    pub fn add(&mut self, kind: Kind, cpu_ns: u32) {
        self.kinds.push(kind as u8);
        self.cpu_ns.push(cpu_ns);
    }

    /// Room whose memory the system has handed out already: the measuring must
    /// not add page faults of its own.
    pub fn with_room(slices: usize) -> Self {
        Self {
            kinds: touched(slices),
            cpu_ns: touched(slices),
        }
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = (usize, u32)> {
        let kinds = self.kinds.iter().enumerate();
        kinds
            .filter(move |(_, of)| **of == kind as u8)
            .map(|(at, _)| (at, self.cpu_ns[at]))
    }

    fn sorted(&self, kind: Kind) -> Vec<u32> {
        let mut times: Vec<u32> = self.of(kind).map(|(_, ns)| ns).collect();
        times.sort_unstable();
        times
    }

    /// Of what is the engine's.
    fn longest(&self) -> u32 {
        let slices = self.kinds.iter().zip(&self.cpu_ns);
        let ours = slices.filter(|(kind, _)| **kind != Kind::Arithmetic as u8);
        ours.map(|(_, ns)| *ns).max().unwrap_or(0)
    }

    pub fn save(&self, path: &Path) {
        let mut bytes = Vec::with_capacity(self.kinds.len() * 5);
        for (kind, cpu_ns) in self.kinds.iter().zip(&self.cpu_ns) {
            bytes.push(*kind);
            bytes.extend_from_slice(&cpu_ns.to_le_bytes());
        }
        std::fs::write(path, bytes).unwrap();
    }

    pub fn load(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut slices = Self::default();
        for slice in bytes.chunks_exact(5) {
            slices.kinds.push(slice[0]);
            let cpu_ns = slice[1..].try_into().unwrap();
            slices.cpu_ns.push(u32::from_le_bytes(cpu_ns));
        }
        slices
    }
}

/// The engine's longest slice in the pass in which it was shortest.
pub fn quietest(passes: &[Slices]) -> u32 {
    passes.iter().map(Slices::longest).min().unwrap_or(0)
}

/// The passes side by side.
pub fn report(passes: &[Slices], goals: &mut Goals) {
    let Some((first, others)) = passes.split_first() else {
        return;
    };
    for other in others {
        assert!(first.kinds == other.kinds, "every pass does the same");
    }
    println!("CPU time of the engine's thread in microseconds, pass by pass:");
    println!("| slice | slices | p50 | p99.9 | longest | longest that came in every pass |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut again = 0;
    for (kind, name) in KINDS {
        let sorted: Vec<Vec<u32>> = passes.iter().map(|pass| pass.sorted(kind)).collect();
        let of_1000 = |part: usize| {
            let figures = sorted.iter().filter_map(|times| {
                let at = times.len().checked_sub(1)? * part / 1000;
                Some(format!("{:.1}", us(times[at])))
            });
            figures.collect::<Vec<_>>().join(", ")
        };
        let every = |at: usize| passes.iter().map(|pass| pass.cpu_ns[at]).min();
        let came_again = first.of(kind).filter_map(|(at, _)| every(at)).max();
        let came_again = came_again.unwrap_or(0);
        println!(
            "| {name} | {} | {} | {} | {} | {:.1} |",
            sorted[0].len(),
            of_1000(500),
            of_1000(999),
            of_1000(1000),
            us(came_again),
        );
        if kind != Kind::Arithmetic {
            again = again.max(came_again);
        }
    }
    println!(
        "a pause of the engine's making comes again at the same command: at most {:.0} us did",
        us(again)
    );
    let what = format!(
        "pauses: the engine's longest from empty to full tables, in the quietest of {} passes",
        passes.len()
    );
    let quietest = us(quietest(passes));
    goals.at_most(&what, quietest, us(LIMIT_NS), "us of CPU time");
}

pub fn us(ns: u32) -> f64 {
    f64::from(ns) / 1e3
}

fn touched<T: Clone + From<u8>>(len: usize) -> Vec<T> {
    let mut room = vec![T::from(1); len];
    room.clear();
    room
}
