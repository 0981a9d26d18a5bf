//! The daemon as a card network meets it: over TCP, with `iso8583_rs`, an
//! implementation that is not ours, as the network. Cutovers, reconciliation in both
//! directions, echo, and what is owed to a network over a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use gapless::config::Config;
use gapless::{RunError, Running};
use gapless_simulators::{Connection, DemoCard, ExchangeError, Message};
use jiff::civil::Date;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon in this process with the shipped networks, on ports of its own.
struct Daemon {
    running: Running,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

/// A zone in which it is about this hour now.
fn zone_at(hour: i64) -> String {
    let utc = i64::from(
        jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .hour(),
    );
    let east = (-11..=12)
        .find(|east| (utc + east).rem_euclid(24) == hour)
        .unwrap();
    // The names count the other way.
    match -east {
        0 => "Etc/GMT".to_owned(),
        west => format!("Etc/GMT{west:+}"),
    }
}

impl Daemon {
    /// It is about `hour` at the bank, whose cutover is at midnight.
    fn start(data: &Path, hour: i64, change: impl FnOnce(&mut Config)) -> Self {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/networks.toml");
        let mut config = Config::load(&file).unwrap();
        config.data_dir = data.join("data");
        config.bank.zone = zone_at(hour);
        // From noon on a network may be ahead of the bank.
        config.bank.early_s = 43_200;
        config.engine.accounts = 1 << 16;
        config.engine.cards = 1 << 16;
        config.engine.remembered_transactions = 1 << 16;
        config.admin.listen.set_port(0);
        for link in &mut config.links {
            link.listen.set_port(0);
        }
        change(&mut config);
        let shutdown = CancellationToken::new();
        let (tell, started) = mpsc::channel();
        let token = shutdown.clone();
        let thread = std::thread::spawn(move || {
            gapless::run(&config, &token, move |running| tell.send(running).unwrap())
        });
        Self {
            running: started.recv().expect("the daemon starts"),
            shutdown,
            thread: Some(thread),
        }
    }

    fn east(&self) -> Peer {
        let address = self.running.links.iter().find(|link| link.0 == "east");
        let address = address.unwrap().1.to_string();
        Peer {
            connection: Connection::open(&address, PATIENCE, None).unwrap(),
            stan: 0,
            came: Vec::new(),
        }
    }

    fn get(&self, path: &str) -> Value {
        ureq::get(format!("http://{}{path}", self.running.admin))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    fn cutover(&self) -> Date {
        let dates = self.get("/v1/business-date");
        let closing = dates["closing"].as_str().unwrap();
        let url = format!("http://{}/v1/business-date/cutover", self.running.admin);
        let body = json!({ "date": closing }).to_string();
        ureq::post(url).send(body).unwrap();
        closing.parse().unwrap()
    }

    fn today(&self) -> Date {
        let dates = self.get("/v1/business-date");
        dates["closing"].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let ended = self.thread.take().unwrap().join().expect("no panic");
        if !std::thread::panicking() {
            ended.expect("the daemon drains and stops");
        }
    }
}

/// A network's end of a connection.
struct Peer {
    connection: Connection,
    stan: u32,
    /// Messages of the daemon's own that came while an answer was waited for.
    came: Vec<Message>,
}

fn mmdd(date: Date) -> String {
    format!("{:02}{:02}", date.month(), date.day())
}

fn tomorrow(date: Date) -> Date {
    date.tomorrow().unwrap()
}

impl Peer {
    fn message(&mut self, mti: &str, fields: &[(u8, &str)]) -> Message {
        self.stan += 1;
        let mut message = Message::new(mti);
        message
            .set(7, &format!("0601{:06}", self.stan % 60))
            .unwrap()
            .set(11, &format!("{:06}", self.stan))
            .unwrap();
        for (field, value) in fields {
            message.set(*field, value).unwrap();
        }
        message
    }

    /// The answer to a request; what else comes is kept.
    fn ask(&mut self, request: &Message) -> Message {
        self.connection.send(request, PATIENCE).unwrap();
        loop {
            let came = self.connection.receive(PATIENCE).unwrap();
            if request.is_answered_by(&came).is_ok() {
                return came;
            }
            self.came.push(came);
        }
    }

    fn send(&mut self, mti: &str, fields: &[(u8, &str)]) -> Message {
        let message = self.message(mti, fields);
        self.ask(&message)
    }

    #[track_caller]
    fn sign_on(&mut self) {
        let answer = self.send("0800", &[(70, "001")]);
        assert_eq!(answer.response_code(), Some("00"));
    }

    fn purchase(&mut self, minor: u64, fields: &[(u8, &str)]) -> Message {
        self.transact("000000", minor, fields)
    }

    fn transact(&mut self, code: &str, minor: u64, fields: &[(u8, &str)]) -> Message {
        let card = DemoCard::regular(5).unwrap();
        let amount = format!("{minor:012}");
        let (rrn, pan) = (format!("{:012}", self.stan + 1), card.pan.clone());
        let base: [(u8, &str); 6] = [
            (2, &pan),
            (3, code),
            (4, &amount),
            (37, &rrn),
            (41, "EAST0001"),
            (49, "410"),
        ];
        let message = self.message("0200", &[&base[..], fields].concat());
        self.ask(&message)
    }

    /// 0800 with DE 70 = 201.
    fn cutover(&mut self, date: Date) -> Message {
        self.send("0800", &[(15, &mmdd(date)), (70, "201")])
    }

    fn reconciliation(&mut self, mti: &str, date: Date, figures: &[(u8, &str)]) -> Message {
        let date = mmdd(date);
        let base: [(u8, &str); 2] = [(15, &date), (50, "410")];
        self.message(mti, &[&base[..], figures].concat())
    }

    /// The daemon's next message of its own of this type (a repeat is another).
    fn next(&mut self, mti: &str) -> Message {
        loop {
            let came = match self.came.is_empty() {
                false => self.came.remove(0),
                true => self.connection.receive(PATIENCE).unwrap(),
            };
            if came.mti() == mti {
                return came;
            }
            // An echo is answered, whatever is waited for.
            if came.mti() == "0800" {
                self.reply(&came, &[(39, "00")]);
            }
        }
    }

    fn reply(&mut self, request: &Message, fields: &[(u8, &str)]) {
        let mut answer = Message::new(&request.answer_mti());
        for field in [7, 11, 15, 50, 70] {
            if let Some(value) = request.get(field) {
                answer.set(field, value).unwrap();
            }
        }
        for (field, value) in fields {
            answer.set(*field, value).unwrap();
        }
        self.connection.send(&answer, PATIENCE).unwrap();
    }
}

#[track_caller]
fn must_say(message: &Message, fields: &[(u8, &str)]) {
    for (field, value) in fields {
        assert_eq!(
            message.get(*field),
            Some(*value),
            "DE {field} of {message:?}"
        );
    }
}

/// Waits until the admin side tells what is awaited.
fn wait_for(what: &str, mut told: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !told() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_network_cuts_over_and_its_figures_are_compared() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path(), 18, |_| {});
    let today = daemon.today();
    let mut east = daemon.east();
    east.sign_on();
    must_say(&east.cutover(today), &[(39, "00")]);
    let bought = east.purchase(1_000, &[]);
    must_say(&bought, &[(39, "00"), (15, &mmdd(today))]);
    must_say(&east.purchase(u64::pow(10, 11), &[]), &[(39, "51")]);
    must_say(&east.transact("200000", 70, &[]), &[(39, "00")]);
    must_say(&east.transact("310000", 0, &[]), &[(39, "00")]);

    // It is on its next date: what comes now counts there, and at the bank as well.
    must_say(&east.cutover(tomorrow(today)), &[(39, "00")]);
    let dates = daemon.get("/v1/business-date");
    assert_eq!(
        (&dates["state"], &dates["phase"]),
        (&json!("dual"), &json!("early"))
    );
    must_say(&east.purchase(500, &[]), &[(15, &mmdd(tomorrow(today)))]);
    // A late item of the day before says so.
    let late = east.purchase(30, &[(15, &mmdd(today))]);
    must_say(&late, &[(39, "00"), (15, &mmdd(today))]);

    let right = [
        (74, "0000000001"),
        (75, "0000000000"),
        (76, "0000000002"),
        (77, "0000000000"),
        (78, "0000000000"),
        (79, "0000000000"),
        (80, "0000000001"),
        (86, "0000000000000070"),
        (87, "0000000000000000"),
        (88, "0000000000001030"),
        (89, "0000000000000000"),
        (97, "D0000000000000960"),
    ];
    let asks = east.reconciliation("0500", today, &right);
    let answer = east.ask(&asks);
    assert_eq!(answer.mti(), "0510");
    must_say(
        &answer,
        &[(39, "00"), (66, "1"), (15, &mmdd(today)), (50, "410")],
    );
    must_say(&answer, &right);

    // The next date, as an advice that leaves most out; our figures come back.
    let advice = east.reconciliation("0520", tomorrow(today), &[(76, "0000000001")]);
    let answer = east.ask(&advice);
    assert_eq!(answer.mti(), "0530");
    must_say(
        &answer,
        &[
            (66, "1"),
            (88, "0000000000000500"),
            (97, "D0000000000000500"),
        ],
    );
    // A date that nobody knows of has figures of zero.
    let old = today.checked_sub(jiff::Span::new().days(9)).unwrap();
    let unknown = east.reconciliation("0500", old, &[(76, "0000000000")]);
    must_say(&east.ask(&unknown), &[(66, "1"), (88, "0000000000000000")]);

    // Out of balance, once, however often it is sent; and it stays so.
    let wrong = [
        (76, "0000000003"),
        (88, "0000000000002030"),
        (97, "D0000000000001960"),
    ];
    let wrong = east.reconciliation("0520", today, &wrong);
    let first = east.ask(&wrong);
    must_say(&first, &[(39, "00"), (66, "2"), (88, "0000000000001030")]);
    must_say(&east.purchase(1, &[(15, &mmdd(today))]), &[(39, "00")]);
    let again = wrong.repeat();
    let mut repeat = again.clone();
    repeat.set_mti("0521");
    let second = east.ask(&repeat);
    let same = |message: &Message| -> Vec<(u8, String)> {
        message
            .fields()
            .map(|(de, text)| (de, text.to_owned()))
            .collect()
    };
    assert_eq!(same(&second), same(&first));
    let told = daemon.get("/v1/exceptions");
    assert_eq!(told["total"], 1, "{told}");
    let exception = &told["exceptions"][0];
    assert_eq!(exception["kind"], "reconciliation-differs");
    assert_eq!(exception["network"], "east");
    assert_eq!(exception["amount_minor"], 1_000);
    assert_eq!(
        exception["reconciliation"],
        json!({
            "asked_by": "network",
            "settlement_date": today.to_string(),
            "differences": [
                { "element": 76, "theirs": 3, "ours": 2 },
                { "element": 88, "theirs": 2030, "ours": 1030 },
                { "element": 97, "theirs": -1960, "ours": -960 },
            ],
        })
    );
    let told = daemon.get("/v1/networks/reconciliations");
    let results = told["reconciliations"].as_array().unwrap().iter();
    let results: Vec<&str> = results.map(|one| one["result"].as_str().unwrap()).collect();
    let balance = "in-balance";
    assert_eq!(results, [balance, balance, balance, "out-of-balance"]);
    let first = &told["reconciliations"][0];
    assert_eq!(
        (&first["asked_by"], &first["ours"]["88"]),
        (&json!("network"), &json!(1030))
    );
    assert_eq!(first["theirs"]["97"], -960);
    // The bank's own terminals have no totals.
    let address = daemon.running.links[0].1.to_string();
    let mut pos = Connection::open(&address, PATIENCE, None).unwrap();
    let asks = east.reconciliation("0500", today, &right);
    let answer = pos.exchange(&asks, PATIENCE).unwrap().answer;
    must_say(&answer, &[(39, "12")]);
    assert_eq!(daemon.get("/v1/trial-balance")["balanced"], true);
}

/// Ten in the morning: neither an item that names tomorrow nor a cutover opens it.
#[test]
fn a_stray_date_in_the_morning_opens_nothing() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path(), 10, |_| {});
    let today = daemon.today();
    let mut east = daemon.east();
    east.sign_on();
    let date = mmdd(tomorrow(today));
    must_say(
        &east.purchase(10, &[(15, &date)]),
        &[(39, "00"), (15, &date)],
    );
    assert_eq!(daemon.get("/v1/business-date")["state"], "open");
    must_say(&east.cutover(tomorrow(today)), &[(39, "00")]);
    must_say(&east.purchase(10, &[]), &[(39, "00"), (15, &date)]);
    let dates = daemon.get("/v1/business-date");
    assert_eq!(
        (&dates["state"], &dates["default"]),
        (&json!("open"), &json!(today.to_string()))
    );
    let trial = daemon.get("/v1/trial-balance");
    assert_eq!(
        trial["dates"].as_array().unwrap().len(),
        2,
        "one date in two currencies: {trial}"
    );
}

fn obliging(config: &mut Config) {
    for link in &mut config.links {
        if link.name == "east" {
            link.duties.announce_cutover = true;
            link.duties.reconcile = true;
            link.duties.reply_wait_s = 1;
        }
    }
}

#[test]
fn what_is_owed_to_a_network_is_sent_over_a_restart_as_well() {
    let data = tempfile::tempdir().unwrap();
    let (today, first) = {
        let daemon = Daemon::start(data.path(), 18, obliging);
        let today = daemon.today();
        let mut east = daemon.east();
        east.sign_on();
        east.cutover(today);
        must_say(&east.purchase(1_000, &[]), &[(39, "00")]);

        // The bank cuts over: the network is told, and asked again until it answers.
        assert_eq!(daemon.cutover(), today);
        let told = east.next("0800");
        must_say(&told, &[(70, "201"), (15, &mmdd(tomorrow(today)))]);
        let again = east.next("0801");
        must_say(
            &again,
            &[(7, told.get(7).unwrap()), (11, told.get(11).unwrap())],
        );
        east.reply(&again, &[(39, "00")]);

        // The network cuts over: its ended date is reconciled.
        must_say(&east.cutover(tomorrow(today)), &[(39, "00")]);
        let asked = east.next("0500");
        must_say(
            &asked,
            &[
                (15, &mmdd(today)),
                (50, "410"),
                (76, "0000000001"),
                (97, "D0000000000001000"),
            ],
        );
        (today, asked)
    };
    // Not answered before the stop: it comes again, the same, to whoever signs on.
    let daemon = Daemon::start(data.path(), 18, obliging);
    let (mut east, mut other) = (daemon.east(), daemon.east());
    let open = daemon.get("/v1/networks/reconciliations");
    assert_eq!(open["unanswered"][0]["ours"]["88"], 1_000, "{open}");
    east.sign_on();
    let repeat = east.next("0501");
    for field in [7, 11, 15, 50, 76, 88, 97] {
        assert_eq!(repeat.get(field), first.get(field), "DE {field}");
    }
    // Another connection is not told as well.
    other.sign_on();
    let theirs = [
        (39, "00"),
        (66, "2"),
        (76, "0000000002"),
        (88, "0000000000001500"),
    ];
    east.reply(&repeat, &theirs);
    wait_for("an exception", || {
        daemon.get("/v1/exceptions")["total"] == 1
    });
    let told = daemon.get("/v1/exceptions");
    let done = &told["exceptions"][0]["reconciliation"];
    assert_eq!(
        (&done["asked_by"], &done["settlement_date"]),
        (&json!("bank"), &json!(today.to_string()))
    );
    assert_eq!(
        done["differences"],
        json!([
            { "element": 76, "theirs": 2, "ours": 1 },
            { "element": 88, "theirs": 1500, "ours": 1000 },
        ])
    );
    // Nothing more is owed: the next question is of the next date, in balance.
    must_say(&east.purchase(20, &[]), &[(39, "00")]);
    must_say(&east.cutover(tomorrow(tomorrow(today))), &[(39, "00")]);
    // Whichever connection is asked.
    let mut peers = [east, other];
    let (at, asked) = loop {
        let found = peers.iter_mut().enumerate().find_map(|(at, peer)| {
            match peer.connection.receive(Duration::from_millis(50)) {
                Ok(message) => Some((at, message)),
                Err(ExchangeError::NoAnswer { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        });
        if let Some(found) = found {
            break found;
        }
    };
    assert_eq!(asked.mti(), "0500");
    must_say(
        &asked,
        &[(15, &mmdd(tomorrow(today))), (88, "0000000000000020")],
    );
    peers[at].reply(&asked, &[(39, "00"), (66, "1")]);
    let accepted =
        r#"gapless_own_messages_total{link="east",message="reconciliation",outcome="accepted"} 1"#;
    wait_for("it is counted", || {
        let url = format!("http://{}/metrics", daemon.running.admin);
        let text = ureq::get(url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        text.lines().any(|line| line == accepted)
    });
    assert_eq!(daemon.get("/v1/exceptions")["total"], 1);
}

#[test]
fn a_quiet_connection_is_asked_and_then_closed() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path(), 10, |config| {
        for link in &mut config.links {
            if link.name == "east" {
                link.duties.echo_after_s = 1;
                link.duties.reply_wait_s = 1;
            }
        }
    });
    let mut east = daemon.east();
    east.sign_on();
    let echo = east.next("0800");
    must_say(&echo, &[(70, "301")]);
    east.reply(&echo, &[(39, "00")]);
    // Answered, it is another echo that comes; this one nobody answers.
    let second = east.next("0800");
    assert_ne!(second.get(11), echo.get(11));
    for _ in 0..3 {
        let repeat = east.next("0801");
        assert_eq!(repeat.get(11), second.get(11));
    }
    match east.connection.receive(PATIENCE) {
        Err(ExchangeError::Closed) => {}
        other => panic!("{other:?}"),
    }
}
