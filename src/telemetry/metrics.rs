//! Handles of the metrics, registered ahead of use.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::histogram::Histogram;
use super::labels::{ConnectionEnd, FrameFault, KeptBack, OwnMessage, OwnOutcome, Refusal};
use super::names::{self, Kind, Metric};

const METADATA: Metadata<'static> = Metadata::new("gapless", Level::INFO, None);

/// One daemon's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    histograms: Arc<Mutex<Vec<Series>>>,
}

/// One histogram with its labels, written as Prometheus does, each with a comma.
struct Series {
    name: &'static str,
    labels: String,
    histogram: Histogram,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry(..)")
    }
}

impl Telemetry {
    /// A recorder with nothing recorded; it opens no listener of its own.
    #[must_use]
    pub fn new() -> Self {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        for metric in names::ALL {
            let name = metric.name.into();
            let (unit, help) = (Some(metric.unit), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                // Rendered here, see below.
                Kind::Histogram(_) => {}
            }
        }
        let handle = recorder.handle();
        Self {
            recorder,
            handle,
            histograms: Arc::default(),
        }
    }

    /// All of it in Prometheus' text form.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        let all = self.histograms.lock();
        // A poisoned list is whole: it is only ever appended to.
        let all = all.unwrap_or_else(PoisonError::into_inner);
        for metric in names::ALL {
            let mut series = all.iter().filter(|one| one.name == metric.name).peekable();
            if series.peek().is_some() {
                let (name, help) = (metric.name, metric.help);
                // Writing to a string never fails.
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
            }
            for one in series {
                one.histogram.render(one.name, &one.labels, &mut text);
            }
        }
        text
    }

    /// The handles of one link, by its configured name.
    #[must_use]
    pub fn link(&self, name: &str) -> LinkMetrics {
        LinkMetrics::new(self, name)
    }

    /// The handles of the journal.
    #[must_use]
    pub fn journal(&self) -> JournalMetrics {
        JournalMetrics {
            group_events: self.histogram(&names::GROUP_EVENTS, &[]),
            group_bytes: self.histogram(&names::GROUP_BYTES, &[]),
            sync_seconds: self.histogram(&names::SYNC_SECONDS, &[]),
        }
    }

    /// The handles of figures that are read when somebody asks.
    #[must_use]
    pub fn daemon(&self) -> DaemonMetrics {
        let gauge = |metric| self.gauge(metric, &[]);
        DaemonMetrics {
            ready: gauge(&names::READY),
            head_sequence: gauge(&names::HEAD_SEQUENCE),
            durable_sequence: gauge(&names::DURABLE_SEQUENCE),
            follower_lag_events: gauge(&names::FOLLOWER_LAG),
            follower_faulty: gauge(&names::FOLLOWER_FAULTY),
            journal_room: gauge(&names::JOURNAL_ROOM),
            clock_jumps: gauge(&names::CLOCK_JUMPS),
            clock_off: gauge(&names::CLOCK_OFF),
            accounts: gauge(&names::ACCOUNTS),
            cards: gauge(&names::CARDS),
            remembered: gauge(&names::REMEMBERED),
            remembered_in_memory: gauge(&names::REMEMBERED_IN_MEMORY),
            remembered_fetched: gauge(&names::REMEMBERED_FETCHED),
            remembered_unreadable: gauge(&names::REMEMBERED_UNREADABLE),
            exceptions: gauge(&names::EXCEPTIONS),
            breaches: gauge(&names::BREACHES),
            business_date_days: gauge(&names::BUSINESS_DATE),
            date_state: gauge(&names::DATE_STATE),
            cutover_overdue_s: gauge(&names::CUTOVER_OVERDUE),
            rolled_forward: gauge(&names::ROLLED_FORWARD),
        }
    }

    fn counter(&self, metric: &Metric, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder
            .register_counter(&key(metric, labels), &METADATA)
    }

    fn gauge(&self, metric: &Metric, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder
            .register_gauge(&key(metric, labels), &METADATA)
    }

    /// The histogram with these labels; the same one when asked for again.
    fn histogram(&self, metric: &Metric, labels: &[(&'static str, &str)]) -> Histogram {
        let mut written = String::new();
        for (name, value) in labels {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(written, "{name}=\"{value}\",");
        }
        let bounds = match metric.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Gauge => &[],
        };
        let all = self.histograms.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        let found = all
            .iter()
            .find(|one| one.name == metric.name && one.labels == written);
        if let Some(one) = found {
            return one.histogram.clone();
        }
        let histogram = Histogram::new(bounds, metric.unit == Unit::Seconds);
        all.push(Series {
            name: metric.name,
            labels: written,
            histogram: histogram.clone(),
        });
        histogram
    }
}

fn key(metric: &Metric, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

/// What each sync of the journal shows.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    /// Events in the group.
    pub group_events: Histogram,
    /// Bytes in the group.
    pub group_bytes: Histogram,
    /// Time to write and sync it.
    pub sync_seconds: Histogram,
}

/// Figures that are set right before [`Telemetry::render`].
#[derive(Clone, Debug)]
pub struct DaemonMetrics {
    /// 1 or 0.
    pub ready: Gauge,
    /// Newest event decided.
    pub head_sequence: Gauge,
    /// Newest durable event.
    pub durable_sequence: Gauge,
    /// Durable events not yet followed.
    pub follower_lag_events: Gauge,
    /// 1 or 0.
    pub follower_faulty: Gauge,
    /// 2 normal, 1 reserve only, 0 none.
    pub journal_room: Gauge,
    /// Since start.
    pub clock_jumps: Gauge,
    /// 1 or 0.
    pub clock_off: Gauge,
    /// Internal ones included.
    pub accounts: Gauge,
    /// All of them.
    pub cards: Gauge,
    /// In memory and in files.
    pub remembered: Gauge,
    /// In memory.
    pub remembered_in_memory: Gauge,
    /// Since start.
    pub remembered_fetched: Gauge,
    /// Since start.
    pub remembered_unreadable: Gauge,
    /// Since the journal began.
    pub exceptions: Gauge,
    /// Since start.
    pub breaches: Gauge,
    /// Days since 1970-01-01.
    pub business_date_days: Gauge,
    /// 0 one date is open; two are: 1 early, 2 grace, 3 frozen.
    pub date_state: Gauge,
    /// Seconds.
    pub cutover_overdue_s: Gauge,
    /// Since the journal began.
    pub rolled_forward: Gauge,
}

/// Request MTIs that have a series of their own; others share one, so that a
/// peer cannot make series at will.
const MTIS: [u16; 19] = [
    100, 101, 120, 121, 200, 201, 220, 221, 400, 401, 420, 421, 500, 501, 520, 521, 800, 801, 820,
];
/// DE 39 has two digits here.
const CODES: usize = 100;

/// The handles of one link. Cheap to clone.
#[derive(Clone)]
pub struct LinkMetrics {
    /// From a request's arrival to its answer's release.
    pub answer_seconds: Histogram,
    /// Requests taken and not yet answered.
    pub in_flight: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Connections accepted.
    pub connections_opened: Counter,
    /// Bytes read.
    pub read_bytes: Counter,
    /// Bytes written.
    pub written_bytes: Counter,
    refused: Arc<[Counter]>,
    kept_back: Arc<[Counter]>,
    frames_refused: Arc<[Counter]>,
    ended: Arc<[Counter]>,
    answered: Arc<Answered>,
}

struct Answered {
    telemetry: Telemetry,
    link: String,
    /// By MTI (the last: all others), then by code. Registered when first used:
    /// most pairs never are.
    counters: Box<[OnceLock<Counter>]>,
}

impl fmt::Debug for LinkMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkMetrics")
            .field("link", &self.answered.link)
            .finish_non_exhaustive()
    }
}

impl LinkMetrics {
    fn new(telemetry: &Telemetry, link: &str) -> Self {
        let mine = [("link", link)];
        let each = |metric: &Metric, label: &'static str, values: Vec<&'static str>| {
            values
                .into_iter()
                .map(|value| telemetry.counter(metric, &[("link", link), (label, value)]))
                .collect::<Arc<[Counter]>>()
        };
        let texts = |all: &[Refusal]| all.iter().map(|value| value.as_str()).collect();
        Self {
            answer_seconds: telemetry.histogram(&names::ANSWER_SECONDS, &mine),
            in_flight: telemetry.gauge(&names::IN_FLIGHT, &mine),
            connections: telemetry.gauge(&names::CONNECTIONS, &mine),
            connections_opened: telemetry.counter(&names::CONNECTIONS_OPENED, &mine),
            read_bytes: telemetry.counter(&names::READ_BYTES, &mine),
            written_bytes: telemetry.counter(&names::WRITTEN_BYTES, &mine),
            refused: each(&names::REFUSED, "reason", texts(Refusal::ALL)),
            kept_back: each(
                &names::KEPT_BACK,
                "reason",
                KeptBack::ALL.iter().map(|value| value.as_str()).collect(),
            ),
            frames_refused: each(
                &names::FRAMES_REFUSED,
                "fault",
                FrameFault::ALL.iter().map(|value| value.as_str()).collect(),
            ),
            ended: each(
                &names::CONNECTIONS_ENDED,
                "how",
                ConnectionEnd::ALL
                    .iter()
                    .map(|value| value.as_str())
                    .collect(),
            ),
            answered: Arc::new(Answered {
                telemetry: telemetry.clone(),
                link: link.to_owned(),
                counters: (0..(MTIS.len() + 1) * CODES)
                    .map(|_| OnceLock::new())
                    .collect(),
            }),
        }
    }

    /// One answer more: the request's MTI as a number (0200 is 200), DE 39 as a number.
    #[inline]
    pub fn answered(&self, mti: u16, code: u8) {
        self.answered_some(mti, code, 1);
    }

    /// So many answers more, all alike.
    pub fn answered_some(&self, mti: u16, code: u8, answers: u64) {
        let row = MTIS
            .iter()
            .position(|known| *known == mti)
            .unwrap_or(MTIS.len());
        let column = usize::from(code).min(CODES - 1);
        if let Some(cell) = self.answered.counters.get(row * CODES + column) {
            cell.get_or_init(|| self.answered.register(row, column))
                .increment(answers);
        }
    }

    /// One refusal more.
    pub fn refused(&self, why: Refusal) {
        add(&self.refused, why as usize);
    }

    /// One answer kept back more.
    pub fn kept_back(&self, why: KeptBack) {
        add(&self.kept_back, why as usize);
    }

    /// One frame or message refused more.
    pub fn frame_refused(&self, fault: FrameFault) {
        add(&self.frames_refused, fault as usize);
    }

    /// One message of ours sent, answered, or given up. Rare: looked up by its labels.
    pub fn own_message(&self, message: OwnMessage, outcome: OwnOutcome) {
        let Answered {
            telemetry, link, ..
        } = &*self.answered;
        let labels = [
            ("link", link.as_str()),
            ("message", message.as_str()),
            ("outcome", outcome.as_str()),
        ];
        telemetry
            .counter(&names::OWN_MESSAGES, &labels)
            .increment(1);
    }

    /// One connection over more.
    pub fn connection_ended(&self, how: ConnectionEnd) {
        add(&self.ended, how as usize);
    }
}

fn add(counters: &[Counter], index: usize) {
    if let Some(counter) = counters.get(index) {
        counter.increment(1);
    }
}

impl Answered {
    fn register(&self, row: usize, column: usize) -> Counter {
        let mti = MTIS
            .get(row)
            .map_or_else(|| "other".to_owned(), |mti| format!("{mti:04}"));
        let code = format!("{column:02}");
        let labels = [
            ("link", self.link.as_str()),
            ("mti", mti.as_str()),
            ("code", code.as_str()),
        ];
        self.telemetry.counter(&names::REQUESTS, &labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_is_rendered_with_its_help_and_buckets() {
        let telemetry = Telemetry::new();
        let link = telemetry.link("pos");
        link.answered(200, 0);
        link.answered(200, 0);
        link.answered(200, 51);
        link.answered(9999, 255);
        link.refused(Refusal::NoSpace);
        link.kept_back(KeptBack::Late);
        link.frame_refused(FrameFault::Length);
        link.connection_ended(ConnectionEnd::SlowReader);
        link.own_message(OwnMessage::Echo, OwnOutcome::Unanswered);
        link.answer_seconds.record(0.000_3);
        // A bound belongs to its bucket; above all bounds there is one more.
        link.answer_seconds.record(1.0);
        telemetry.link("pos").answer_seconds.record(100.0);
        link.in_flight.set(3);
        link.connections.set(1);
        let journal = telemetry.journal();
        journal.group_events.record(3.0);
        journal.group_events.record(0.0);
        journal.group_bytes.record(300.0);
        journal.sync_seconds.record(0.000_2);
        let daemon = telemetry.daemon();
        daemon.ready.set(1);
        let text = telemetry.render();
        for line in [
            r#"gapless_requests_total{link="pos",mti="0200",code="00"} 2"#,
            r#"gapless_requests_total{link="pos",mti="0200",code="51"} 1"#,
            r#"gapless_requests_total{link="pos",mti="other",code="99"} 1"#,
            r#"gapless_refused_total{link="pos",reason="no_space"} 1"#,
            r#"gapless_refused_total{link="pos",reason="busy"} 0"#,
            r#"gapless_answers_kept_back_total{link="pos",reason="late"} 1"#,
            r#"gapless_frames_refused_total{link="pos",fault="length"} 1"#,
            r#"gapless_connections_ended_total{link="pos",how="slow_reader"} 1"#,
            r#"gapless_own_messages_total{link="pos",message="echo",outcome="unanswered"} 1"#,
            r#"gapless_in_flight{link="pos"} 3"#,
            r#"gapless_answer_seconds_bucket{link="pos",le="0.0002"} 0"#,
            r#"gapless_answer_seconds_bucket{link="pos",le="0.0005"} 1"#,
            r#"gapless_answer_seconds_bucket{link="pos",le="0.5"} 1"#,
            r#"gapless_answer_seconds_bucket{link="pos",le="1"} 2"#,
            r#"gapless_answer_seconds_bucket{link="pos",le="25"} 2"#,
            r#"gapless_answer_seconds_bucket{link="pos",le="+Inf"} 3"#,
            r#"gapless_answer_seconds_sum{link="pos"} 101.000300000"#,
            r#"gapless_answer_seconds_count{link="pos"} 3"#,
            r#"gapless_journal_group_events_bucket{le="2"} 1"#,
            r#"gapless_journal_group_events_bucket{le="4"} 2"#,
            "gapless_journal_group_events_sum 3",
            "gapless_journal_group_events_count 2",
            "gapless_ready 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nin\n{text}"
            );
        }
        for metric in names::ALL {
            let help = format!("# HELP {} {}", metric.name, metric.help);
            assert!(text.contains(&help), "{help}\nin\n{text}");
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(
                    bounds.windows(2).all(|pair| pair[0] < pair[1]),
                    "{metric:?}"
                );
                let buckets = format!("{}_bucket", metric.name);
                assert!(text.contains(&buckets), "{buckets}\nin\n{text}");
            }
        }
    }

    #[test]
    fn two_daemons_do_not_share_figures() {
        let (a, b) = (Telemetry::new(), Telemetry::new());
        a.link("pos").answered(800, 0);
        b.link("pos").answered(800, 0);
        b.link("pos").answered(800, 0);
        assert!(a.render().contains(r#"mti="0800",code="00"} 1"#));
        assert!(b.render().contains(r#"mti="0800",code="00"} 2"#));
    }

    #[test]
    fn names_stand_once_and_follow_the_custom() {
        let names: BTreeSet<&str> = names::ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), names::ALL.len());
        for metric in names::ALL {
            assert!(metric.name.starts_with("gapless_"), "{metric:?}");
            let counts = metric.name.ends_with("_total");
            assert_eq!(counts, metric.kind == Kind::Counter, "{metric:?}");
        }
    }

    #[test]
    fn a_wrong_filter_is_told() {
        let error = super::super::init_logs("a=b=c", false).unwrap_err();
        assert_eq!(error.to_string(), "\"a=b=c\" is no log level or filter");
    }
}
