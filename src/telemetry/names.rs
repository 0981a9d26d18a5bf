//! Every metric's name, kind, unit and meaning, in one place.

use metrics::Unit;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A figure of now.
    Gauge,
    /// A distribution, with these upper bounds of buckets.
    Histogram(&'static [f64]),
}

/// A metric's description.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, as Prometheus sees it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In what.
    pub unit: Unit,
    /// What it says.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        unit,
        help,
    }
}

/// From a group commit on a fast disk (some 100 µs) to the networks' limits
/// (FIELD.md, "Time limits").
const SECONDS: &[f64] = &[
    0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0, 15.0, 25.0,
];
const EVENTS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0,
];
const BYTES: &[f64] = &[
    128.0,
    512.0,
    2048.0,
    8192.0,
    32768.0,
    131_072.0,
    524_288.0,
    1_048_576.0,
];

/// Answers by link, request MTI and DE 39.
pub const REQUESTS: Metric = metric(
    "gapless_requests_total",
    Kind::Counter,
    Unit::Count,
    "Requests answered, by link, MTI of the request and DE 39 of the answer",
);
/// From a request's arrival to its answer's release.
pub const ANSWER_SECONDS: Metric = metric(
    "gapless_answer_seconds",
    Kind::Histogram(SECONDS),
    Unit::Seconds,
    "Time from a request's arrival to the release of its answer",
);
/// Requests under way.
pub const IN_FLIGHT: Metric = metric(
    "gapless_in_flight",
    Kind::Gauge,
    Unit::Count,
    "Requests taken and not yet answered",
);
/// Refusals at the door, by reason.
pub const REFUSED: Metric = metric(
    "gapless_refused_total",
    Kind::Counter,
    Unit::Count,
    "Requests refused at the door (91, no effect), by reason",
);
/// Answers that would have come too late, or had nobody to go to, by reason.
pub const KEPT_BACK: Metric = metric(
    "gapless_answers_kept_back_total",
    Kind::Counter,
    Unit::Count,
    "Answers not sent though their effect stays, by reason",
);
/// Open connections.
pub const CONNECTIONS: Metric = metric(
    "gapless_connections",
    Kind::Gauge,
    Unit::Count,
    "Open connections",
);
/// Connections accepted since start.
pub const CONNECTIONS_OPENED: Metric = metric(
    "gapless_connections_opened_total",
    Kind::Counter,
    Unit::Count,
    "Connections accepted",
);
/// Connections over, by how they ended.
pub const CONNECTIONS_ENDED: Metric = metric(
    "gapless_connections_ended_total",
    Kind::Counter,
    Unit::Count,
    "Connections over, by how they ended",
);
/// Frames and messages refused, by fault.
pub const FRAMES_REFUSED: Metric = metric(
    "gapless_frames_refused_total",
    Kind::Counter,
    Unit::Count,
    "Frames and messages refused, by fault",
);
/// Messages that this side sends of itself.
pub const OWN_MESSAGES: Metric = metric(
    "gapless_own_messages_total",
    Kind::Counter,
    Unit::Count,
    "Messages to networks that this side sends of itself (echo, cutover, reconciliation), by link and what became of them",
);
/// Bytes read.
pub const READ_BYTES: Metric = metric(
    "gapless_read_bytes_total",
    Kind::Counter,
    Unit::Bytes,
    "Bytes read from peers",
);
/// Bytes written.
pub const WRITTEN_BYTES: Metric = metric(
    "gapless_written_bytes_total",
    Kind::Counter,
    Unit::Bytes,
    "Bytes written to peers",
);
/// Newest event decided.
pub const HEAD_SEQUENCE: Metric = metric(
    "gapless_head_sequence",
    Kind::Gauge,
    Unit::Count,
    "Sequence of the newest event decided",
);
/// Newest durable event.
pub const DURABLE_SEQUENCE: Metric = metric(
    "gapless_journal_durable_sequence",
    Kind::Gauge,
    Unit::Count,
    "Sequence of the newest durable event",
);
/// Events in a group.
pub const GROUP_EVENTS: Metric = metric(
    "gapless_journal_group_events",
    Kind::Histogram(EVENTS),
    Unit::Count,
    "Events that one sync made durable",
);
/// Bytes in a group.
pub const GROUP_BYTES: Metric = metric(
    "gapless_journal_group_bytes",
    Kind::Histogram(BYTES),
    Unit::Bytes,
    "Bytes that one sync made durable",
);
/// Time of write and sync.
pub const SYNC_SECONDS: Metric = metric(
    "gapless_journal_sync_seconds",
    Kind::Histogram(SECONDS),
    Unit::Seconds,
    "Time to write and sync one group",
);
/// Whether the journal has space.
pub const JOURNAL_ROOM: Metric = metric(
    "gapless_journal_room",
    Kind::Gauge,
    Unit::Count,
    "Space for the journal: 2 normal, 1 reserve only (requests refused), 0 none",
);
/// How far the follower is behind.
pub const FOLLOWER_LAG: Metric = metric(
    "gapless_follower_lag_events",
    Kind::Gauge,
    Unit::Count,
    "Durable events that the follower has not yet applied",
);
/// Whether the follower has given up.
pub const FOLLOWER_FAULTY: Metric = metric(
    "gapless_follower_faulty",
    Kind::Gauge,
    Unit::Count,
    "1 if the follower has stopped or differs from the live state: nothing more is checkpointed",
);
/// Whether links are open.
pub const READY: Metric = metric(
    "gapless_ready",
    Kind::Gauge,
    Unit::Count,
    "1 when recovered and links are open, else 0",
);
/// Jumps of the wall clock.
pub const CLOCK_JUMPS: Metric = metric(
    "gapless_clock_jumps",
    Kind::Gauge,
    Unit::Count,
    "Jumps of the wall clock since start, the one at start included",
);
/// The wall clock is not believed.
pub const CLOCK_OFF: Metric = metric(
    "gapless_clock_off",
    Kind::Gauge,
    Unit::Count,
    "1 while the wall clock is not believed, and nothing is cut over, frozen or expired by it",
);
/// Accounts.
pub const ACCOUNTS: Metric = metric(
    "gapless_accounts",
    Kind::Gauge,
    Unit::Count,
    "Accounts, internal ones included",
);
/// Cards.
pub const CARDS: Metric = metric("gapless_cards", Kind::Gauge, Unit::Count, "Cards");
/// Remembered transactions.
pub const REMEMBERED: Metric = metric(
    "gapless_remembered_transactions",
    Kind::Gauge,
    Unit::Count,
    "Answers and originals remembered",
);
/// Those of them in memory.
pub const REMEMBERED_IN_MEMORY: Metric = metric(
    "gapless_remembered_in_memory",
    Kind::Gauge,
    Unit::Count,
    "Answers and originals whose records are in memory; the others lie in files",
);
/// Blocks of remembered transactions read from files.
pub const REMEMBERED_FETCHED: Metric = metric(
    "gapless_remembered_fetched",
    Kind::Gauge,
    Unit::Count,
    "Blocks of remembered transactions fetched from files, since start",
);
/// Blocks that could not be read.
pub const REMEMBERED_UNREADABLE: Metric = metric(
    "gapless_remembered_unreadable",
    Kind::Gauge,
    Unit::Count,
    "Of them, those that could not be read: requests about them are answered 96, since start",
);
/// Exceptions.
pub const EXCEPTIONS: Metric = metric(
    "gapless_exceptions",
    Kind::Gauge,
    Unit::Count,
    "Items for a human to look at, since the journal began",
);
/// Breaches.
pub const BREACHES: Metric = metric(
    "gapless_breaches",
    Kind::Gauge,
    Unit::Count,
    "Commands that would have broken an invariant (96, no effect), since start",
);
/// The default business date.
pub const BUSINESS_DATE: Metric = metric(
    "gapless_business_date_days",
    Kind::Gauge,
    Unit::Count,
    "Default business date, in days since 1970-01-01",
);
/// Which dates are open.
pub const DATE_STATE: Metric = metric(
    "gapless_date_state",
    Kind::Gauge,
    Unit::Count,
    "Business dates: 0 one is open; two are: 1 early, 2 grace, 3 frozen",
);
/// How late a cutover is.
pub const CUTOVER_OVERDUE: Metric = metric(
    "gapless_cutover_overdue_seconds",
    Kind::Gauge,
    Unit::Seconds,
    "Seconds of engine time since the next cutover was due, 0 when it is not due: a batch that has not sealed",
);
/// Roll-forwards.
pub const ROLLED_FORWARD: Metric = metric(
    "gapless_rolled_forward_items",
    Kind::Gauge,
    Unit::Count,
    "Postings that took a later business date than their settlement date, since the journal began",
);

/// Every metric.
pub const ALL: &[Metric] = &[
    REQUESTS,
    ANSWER_SECONDS,
    IN_FLIGHT,
    REFUSED,
    KEPT_BACK,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    CONNECTIONS_ENDED,
    FRAMES_REFUSED,
    OWN_MESSAGES,
    READ_BYTES,
    WRITTEN_BYTES,
    HEAD_SEQUENCE,
    DURABLE_SEQUENCE,
    GROUP_EVENTS,
    GROUP_BYTES,
    SYNC_SECONDS,
    JOURNAL_ROOM,
    FOLLOWER_LAG,
    FOLLOWER_FAULTY,
    READY,
    CLOCK_JUMPS,
    CLOCK_OFF,
    ACCOUNTS,
    CARDS,
    REMEMBERED,
    REMEMBERED_IN_MEMORY,
    REMEMBERED_FETCHED,
    REMEMBERED_UNREADABLE,
    EXCEPTIONS,
    BREACHES,
    BUSINESS_DATE,
    DATE_STATE,
    CUTOVER_OVERDUE,
    ROLLED_FORWARD,
];
