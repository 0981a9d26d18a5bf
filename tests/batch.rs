//! A core-banking batch's night over the real daemon: extracts that stay the same
//! to the byte, entries with bad rows and sent again, wrong steps refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::PATIENCE;
use support::daemon::{Addresses, Daemon};
use support::iso::Iso;
use support::site::{Settings, Site, World};

const HEADER: &str = "id,account,currency,amount_minor\n";

/// A bank whose clock takes no step by itself while a test runs.
fn site() -> Site {
    let settings = Settings {
        bank: "cutover = \"11:59\"\ngrace_s = 43_200".to_owned(),
        ..Settings::default()
    };
    Site::new(World::new(8, 2, 20), &settings)
}

/// A running daemon's admin side.
struct Admin(SocketAddr);

/// A terminal that asks and waits.
struct Pos {
    stream: TcpStream,
    stan: u32,
}

impl Pos {
    fn connect(at: SocketAddr, first_stan: u32) -> Self {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            stan: first_stan,
        }
    }

    fn request(&mut self, mti: u16, pan: &str, code: &str, amount: u64) -> Iso {
        self.stan += 1;
        Iso::new(mti)
            .with(2, pan)
            .with(3, code)
            .with(4, format!("{amount:012}"))
            .with(7, "1122113655")
            .with(11, format!("{:06}", self.stan))
            .with(22, "051")
            .with(25, "00")
            .with(37, format!("{:012}", self.stan))
            .with(41, "TERM0001")
            .with(42, "MERCHANT0000001")
            .with(49, "410")
    }

    /// DE 39 and the settlement date of the answer.
    fn send(&mut self, message: &Iso) -> Iso {
        let mut bytes = Vec::new();
        message.frame(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        loop {
            if let Some(message) = Iso::take(&mut answer) {
                return message;
            }
            let read = self.stream.read(&mut piece).unwrap();
            assert_ne!(read, 0);
            answer.extend_from_slice(&piece[..read]);
        }
    }

    #[track_caller]
    fn approved(&mut self, mti: u16, pan: &str, code: &str, amount: u64) -> Iso {
        let message = self.request(mti, pan, code, amount);
        assert_eq!(self.send(&message).get(39), "00");
        message
    }

    fn reversal_of(&mut self, original: &Iso) -> Iso {
        self.stan += 1;
        let de90 = format!(
            "{:04}{}{}{:022}",
            original.mti,
            original.get(11),
            original.get(7),
            0
        );
        let mut message = original.clone().with(11, format!("{:06}", self.stan));
        message.mti = 400;
        message.with(90, de90)
    }
}

impl Admin {
    fn start(site: &Site) -> (Daemon, Self) {
        let (daemon, addresses) = start(site);
        (daemon, Self(addresses.admin))
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }

    #[track_caller]
    fn get(&self, path: &str, status: u16) -> Value {
        let mut response = Self::agent().get(self.url(path)).call().unwrap();
        let told: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response.status(), status, "{path}: {told}");
        told
    }

    #[track_caller]
    fn post(&self, path: &str, body: &str, status: u16) -> Value {
        let url = self.url(&format!("/v1/business-date/{path}"));
        let mut response = Self::agent().post(url).send(body).unwrap();
        let told: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response.status(), status, "{path} {body}: {told}");
        told
    }

    /// A file of an extract, whole.
    #[track_caller]
    fn file(&self, date: &str, name: &str) -> String {
        let url = self.url(&format!("/v1/business-date/{date}/extract/{name}"));
        let mut response = Self::agent().get(url).call().unwrap();
        assert_eq!(response.status(), 200, "{name}");
        response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_string()
            .unwrap()
    }

    /// Manifest and files of an extract, each held against the manifest.
    #[track_caller]
    fn extract(&self, date: &str, format: &str) -> (Value, BTreeMap<String, String>) {
        let path = format!("/v1/business-date/{date}/extract?format={format}");
        let manifest = self.get(&path, 200);
        let mut files = BTreeMap::new();
        for entry in manifest["files"].as_array().unwrap() {
            let name = entry["name"].as_str().unwrap();
            let text = self.file(date, name);
            assert_eq!(entry["bytes"], json!(text.len()), "{name}");
            assert_eq!(entry["sha256"], json!(sha256(&text)), "{name}");
            let header = usize::from(format == "csv");
            assert_eq!(
                entry["rows"],
                json!(text.lines().count() - header),
                "{name}"
            );
            files.insert(name.to_owned(), text);
        }
        assert_eq!(files.len(), 4);
        (manifest, files)
    }

    #[track_caller]
    fn step(&self, step: &str, date: &str, status: u16) -> Value {
        self.post(step, &json!({ "date": date }).to_string(), status)
    }

    #[track_caller]
    fn entries(&self, date: &str, rows: &str, status: u16) -> Value {
        self.post(
            &format!("{date}/entries"),
            &format!("{HEADER}{rows}"),
            status,
        )
    }

    fn closing(&self) -> String {
        let dates = self.get("/v1/business-date", 200);
        dates["closing"].as_str().unwrap().to_owned()
    }

    fn head(&self) -> u64 {
        self.get("/v1/status", 200)["head"].as_u64().unwrap()
    }

    fn ledger(&self, account: &str) -> i64 {
        let told = self.get(&format!("/v1/accounts/{account}"), 200);
        told["ledger_minor"].as_i64().unwrap()
    }
}

fn start(site: &Site) -> (Daemon, Addresses) {
    let mut daemon = site.start();
    let addresses = daemon.ready();
    (daemon, addresses)
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The rows of a CSV file (without quotes) by column.
fn rows(csv: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = csv.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| columns.iter().copied().zip(line.split(',')).collect())
        .collect()
}

fn minor(row: &BTreeMap<&str, &str>, column: &str) -> i128 {
    row[column].parse().unwrap()
}

#[track_caller]
fn counts(told: &Value) -> [u64; 4] {
    ["rows", "posted", "repeated", "refused"].map(|key| told[key].as_u64().unwrap())
}

fn error(told: &Value) -> &str {
    told["error"].as_str().unwrap()
}

#[test]
fn entries_of_the_batch_over_http() {
    let site = site();
    let (daemon, admin) = Admin::start(&site);
    let today = admin.closing();
    let [a, b] = [0, 1].map(|at| site.world.accounts[at].number.clone());
    let opening = site.world.accounts[0].opening;
    let row = format!("i-1,{a},KRW,1200\n");

    // Before the freeze: nothing happens, and the answer says what the state is.
    let head = admin.head();
    let told = admin.entries(&today, &row, 409);
    assert!(error(&told).contains("is not frozen yet"), "{told}");
    assert_eq!(told["closing"], json!(today));
    admin.step("cutover", &today, 200);
    let cut_over = admin.head();
    let told = admin.entries(&today, &row, 409);
    assert_eq!(told["phase"], json!("grace"), "{told}");
    admin.entries("2001-01-01", &row, 409);
    admin.entries("2099-01-01", &row, 409);
    admin.entries("2026-02-30", &row, 422);
    assert_eq!(
        (head + 1, admin.head()),
        (cut_over, cut_over),
        "journal untouched"
    );

    admin.step("freeze", &today, 200);
    let bad = [
        "i-2,nobody,KRW,5",
        "i-3,GL-OPENING-410,KRW,5",
        &format!("i-4,{a},USD,5"),
        &format!("i-5,{a},KRW,0"),
        &format!("i-6,{a},KRW,1.5"),
        &format!("i-7,{a},KRW"),
        &format!(",{a},KRW,5"),
    ];
    let file = format!("{row}{}\ni-8,{b},KRW,-300\n", bad.join("\n"));
    let told = admin.entries(&today, &file, 422);
    assert_eq!(counts(&told), [9, 2, 0, 7], "{told}");
    assert_eq!(told["entries"], json!({ "KRW": 2 }));
    assert_eq!(told["sum_minor"], json!({ "KRW": 900 }));
    let lines: Vec<u64> = told["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| refusal["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(told["refusals"][0]["id"], json!("i-2"));
    assert_eq!(
        told["refusals"][2]["error"],
        json!("the account's currency is KRW")
    );
    assert_eq!(admin.ledger(&a), opening + 1200);
    assert_eq!(admin.ledger(&b), opening - 300);

    // The whole file again, also after the process was killed: harmless.
    let head = admin.head();
    assert_eq!(counts(&admin.entries(&today, &file, 422)), [9, 0, 2, 7]);
    assert_eq!(admin.head(), head);
    daemon.kill();
    let (daemon, admin) = Admin::start(&site);
    assert_eq!(counts(&admin.entries(&today, &row, 200)), [1, 0, 1, 0]);

    // The same id with another amount, account or sign.
    for other in [
        format!("i-1,{a},KRW,1201\n"),
        format!("i-1,{b},KRW,1200\n"),
        format!("i-1,{a},KRW,-1200\n"),
    ] {
        let told = admin.entries(&today, &format!("{other}{row}"), 409);
        assert_eq!(counts(&told), [2, 0, 1, 1], "{told}");
        assert!(told.get("error").is_none(), "{told}");
    }
    let told = admin.post(&format!("{today}/entries"), "id;account\n", 400);
    assert!(error(&told).contains("the header id,account,currency,amount_minor expected"));
    assert_eq!(counts(&admin.entries(&today, "", 200)), [0, 0, 0, 0]);
    assert_eq!(admin.ledger(&a), opening + 1200);

    // More rows than one job takes.
    let many: String = (0..1000).map(|n| format!("m-{n},{b},KRW,1\n")).collect();
    let told = admin.entries(&today, &many, 200);
    assert_eq!(counts(&told), [1000, 1000, 0, 0]);
    assert_eq!(told["entries"], json!({ "KRW": 1002 }));

    // A seal names what was posted; then the date is closed for good.
    let seal = |count: u64, sum: i64| {
        json!({ "date": today, "entries": { "KRW": count }, "sum_minor": { "KRW": sum } })
            .to_string()
    };
    let head = admin.head();
    admin.step("seal", &today, 409);
    let told = admin.post("seal", &seal(1002, 1899), 409);
    assert_eq!(
        error(&told),
        "entries in KRW: the seal names 1002 of 1899 minor units, posted are 1002 of 1900"
    );
    admin.step("cutover", "2001-01-01", 409);
    assert_eq!(admin.head(), head, "journal untouched");
    admin.post("seal", &seal(1002, 1900), 200);
    let told = admin.entries(&today, &format!("late,{a},KRW,1\n{row}"), 409);
    assert!(error(&told).contains("is sealed"), "{told}");
    assert_eq!(counts(&admin.entries(&today, &row, 200)), [1, 0, 1, 0]);
    assert_eq!(admin.get("/v1/trial-balance", 200)["balanced"], json!(true));
    daemon.stop();
    site.assert_verified();
}

/// What the extract says must be what the books say.
#[track_caller]
fn assert_adds_up(manifest: &Value, files: &BTreeMap<String, String>, date: &str) {
    let postings = rows(&files["postings.csv"]);
    let balances = rows(&files["balances.csv"]);
    let mut debits = (0, 0);
    let mut credits = (0, 0);
    for row in &postings {
        assert_eq!(row["business_date"], date);
        let amount = minor(row, "amount_minor");
        let side = if amount < 0 {
            &mut debits
        } else {
            &mut credits
        };
        *side = (side.0 + 1, side.1 + amount.abs());
    }
    assert_eq!(debits.1, credits.1);
    let [total] = &rows(&files["trial-balance.csv"])[..] else {
        panic!("{}", files["trial-balance.csv"]);
    };
    assert_eq!((total["business_date"], total["currency"]), (date, "KRW"));
    for (kind, (count, sum)) in [("debit", debits), ("credit", credits)] {
        assert_eq!(minor(total, &format!("{kind}_count")), count);
        assert_eq!(minor(total, &format!("{kind}_minor")), sum);
        let told = &manifest["trial_balance"]["KRW"][format!("{kind}_minor")];
        assert_eq!(told, &json!(sum.to_string()));
    }
    let sum = |internal: bool| -> i128 {
        balances
            .iter()
            .filter(|row| (row["role"] != "customer") == internal)
            .map(|row| minor(row, "closing_balance_minor"))
            .sum()
    };
    assert_eq!(
        sum(true) + sum(false),
        0,
        "with internal accounts, all is zero"
    );
    // The first day: all that an account has, it got on this date.
    let mut posted: BTreeMap<&str, i128> = BTreeMap::new();
    for row in &postings {
        *posted.entry(row["account"]).or_default() += minor(row, "amount_minor");
    }
    for row in &balances {
        let due = posted.get(row["account"]).copied().unwrap_or_default();
        assert_eq!(minor(row, "closing_balance_minor"), due, "{row:?}");
    }
}

#[test]
fn an_extract_is_what_was_at_the_freeze_however_late_it_is_asked_for() {
    let site = site();
    let (daemon, addresses) = start(&site);
    let admin = Admin(addresses.admin);
    let mut pos = Pos::connect(addresses.link, 0);
    let today = admin.closing();
    let path = format!("/v1/business-date/{today}/extract");
    let [a, b] = [0, 1].map(|at| site.world.accounts[at].clone());

    let purchase = pos.approved(200, &a.pan, "000000", 1500);
    pos.approved(200, &a.pan, "200000", 400);
    let transfer = pos
        .request(200, &a.pan, "400000", 7000)
        .with(103, b.number.clone());
    assert_eq!(pos.send(&transfer).get(39), "00");
    let reversal = pos.reversal_of(&purchase);
    assert_eq!(pos.send(&reversal).get(39), "00");

    let told = admin.get(&path, 409);
    assert!(error(&told).contains("is not frozen yet"), "{told}");
    assert_eq!(told["closing"], json!(today));
    admin.get("/v1/business-date/2001-01-01/extract", 404);
    admin.get("/v1/business-date/2001-02-30/extract", 422);
    admin.get(&format!("{path}?format=xml"), 400);
    admin.step("cutover", &today, 200);
    admin.get(&path, 409);
    admin.get(&format!("{path}/postings.csv"), 409);
    // From here on items are the next date's, and no part of the extract.
    pos.approved(200, &b.pan, "000000", 90);
    admin.step("freeze", &today, 200);
    let kept = admin.get("/v1/business-date", 200);
    pos.approved(200, &b.pan, "010000", 10);

    let (manifest, files) = admin.extract(&today, "csv");
    let (_, lines) = admin.extract(&today, "jsonl");
    assert_eq!(
        manifest["freeze_sequence"],
        kept["ends"][0]["freeze_sequence"]
    );
    assert_adds_up(&manifest, &files, &today);
    let postings = rows(&files["postings.csv"]);
    let business: Vec<_> = postings
        .iter()
        .filter(|row| row["kind"] != "opening" && row["role"] == "customer")
        .map(|row| (row["kind"], row["account"], row["amount_minor"]))
        .collect();
    let (na, nb) = (a.number.as_str(), b.number.as_str());
    assert_eq!(
        business,
        [
            ("purchase", na, "-1500"),
            ("refund", na, "400"),
            ("transfer", na, "-7000"),
            ("transfer", nb, "7000"),
            ("reversal", na, "1500"),
        ]
    );
    let sequence =
        |kind: &str| postings.iter().find(|row| row["kind"] == kind).unwrap()["sequence"];
    for row in &postings {
        let original = if row["kind"] == "reversal" {
            sequence("purchase")
        } else {
            ""
        };
        assert_eq!(row["original_sequence"], original);
    }
    let settlement = rows(&files["settlement.csv"]);
    let own = settlement
        .iter()
        .find(|row| row["settlement_date"] == today)
        .unwrap();
    let count = |column: &str| own[column].parse::<u32>().unwrap();
    assert_eq!(
        [
            "debit_count",
            "credit_count",
            "transfer_count",
            "debit_reversal_count"
        ]
        .map(count),
        [1, 1, 1, 1]
    );
    // The same rows as JSON lines.
    for (name, text) in &lines {
        let csv = &files[&name.replace(".jsonl", ".csv")];
        for (line, row) in text.lines().zip(rows(csv)) {
            let line: Value = serde_json::from_str(line).unwrap();
            for (column, text) in row {
                let value = match &line[column] {
                    Value::Null => String::new(),
                    Value::Number(number) => number.to_string(),
                    value => value.as_str().unwrap().to_owned(),
                };
                assert_eq!(value, text, "{name} {column}");
            }
        }
    }
    admin.get(&format!("{path}/cards.csv"), 404);
    let again = |admin: &Admin| {
        assert_eq!(
            admin.extract(&today, "csv"),
            (manifest.clone(), files.clone())
        );
        assert_eq!(admin.extract(&today, "jsonl").1, lines);
    };

    // Entries are posted to the frozen date, and the extract stays what it is.
    admin.entries(&today, &format!("i-1,{na},KRW,25\n"), 200);
    again(&admin);
    let seal = json!({ "date": today, "entries": { "KRW": 1 }, "sum_minor": { "KRW": 25 } });
    admin.post("seal", &seal.to_string(), 200);
    again(&admin);
    daemon.kill();
    let (daemon, admin) = Admin::start(&site);
    again(&admin);

    // Damaged or gone, it is made again and is the same.
    let folder = site.data_dir().join("extracts").join(&today);
    let damage = |name: &str| {
        let path = folder.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    damage("balances.csv");
    // Not all of it is shown, whoever asks first.
    let url = admin.url(&format!("{path}/balances.csv"));
    let told = Admin::agent().get(url).call().and_then(|mut response| {
        assert_eq!(response.status(), 200);
        response.body_mut().read_to_string()
    });
    told.unwrap_err();
    again(&admin);
    std::fs::remove_file(folder.join("postings.csv")).unwrap();
    admin.get(&format!("{path}/postings.csv"), 503);
    again(&admin);
    daemon.kill();
    for name in ["manifest.json", "settlement.csv"] {
        damage(name);
    }
    let (daemon, admin) = Admin::start(&site);
    again(&admin);
    std::fs::remove_dir_all(&folder).unwrap();
    daemon.kill();
    let (daemon, admin) = Admin::start(&site);
    again(&admin);
    daemon.stop();
    site.assert_verified();
}

/// `gapless night` with these arguments: exit status, standard output and error.
fn night(site: &Site, admin: &Admin, arguments: &[&str]) -> (i32, String, String) {
    let url = admin.url("");
    let all = [&["night"], arguments, &["--url", &url]].concat();
    let output = site.command(&all).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_night_from_the_command_line() {
    let site = site();
    let (daemon, admin) = Admin::start(&site);
    let today = admin.closing();
    let run = |arguments: &[&str]| night(&site, &admin, arguments);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("extract");
    let to_text = to.to_str().unwrap();
    let account = &site.world.accounts[0].number;

    let (status, out, error) = run(&["extract", &today, "--to", to_text]);
    assert_eq!((status, out.as_str()), (65, ""), "{error}");
    assert!(error.contains("is not frozen yet"), "{error}");
    assert!(!to.exists());
    let (status, _, error) = run(&["extract", "2001-01-01", "--to", to_text]);
    assert_eq!(status, 65, "{error}");
    assert_eq!(run(&["cutover", &today]).0, 0);
    assert_eq!(run(&["freeze", &today]).0, 0);
    for format in ["csv", "jsonl"] {
        let (status, out, error) = run(&["extract", &today, "--to", to_text, "--format", format]);
        assert_eq!(status, 0, "{error}");
        assert!(out.contains(&format!("balances.{format}  ")), "{out}");
        let (manifest, files) = admin.extract(&today, format);
        for (name, text) in files {
            assert_eq!(std::fs::read_to_string(to.join(name)).unwrap(), text);
        }
        let told = std::fs::read_to_string(to.join("manifest.json")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), manifest);
    }
    let left: Vec<_> = std::fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let post = |rows: &str| {
        let file = folder.path().join("entries.csv");
        std::fs::write(&file, format!("{HEADER}{rows}")).unwrap();
        let (status, out, error) = run(&["post", &today, file.to_str().unwrap()]);
        (
            status,
            out.replace(file.to_str().unwrap(), "entries.csv"),
            error,
        )
    };
    let row = format!("i-1,{account},KRW,25\n");
    let all =
        format!("all of {today}: 1 entries, 25 KRW in minor units; seal with --posted KRW:1:25\n");
    assert_eq!(
        post(&row),
        (
            0,
            format!("1 rows: 1 posted, 0 repeated, 0 refused\n{all}"),
            String::new()
        )
    );
    assert_eq!(
        post(&format!("{row}i-2,nobody,KRW,1\n")),
        (
            65,
            format!(
                "entries.csv:3 (i-2): there is no such customer's account\n\
                 2 rows: 0 posted, 1 repeated, 1 refused\n{all}"
            ),
            "gapless: 1 of 2 rows were refused; the others are posted\n".to_owned()
        )
    );
    // What has no length to be told beforehand is not sent at all.
    for odd in [folder.path(), std::path::Path::new("/dev/null")] {
        let (status, out, error) = run(&["post", &today, odd.to_str().unwrap()]);
        assert_eq!((status, out.as_str()), (1, ""), "{error}");
        assert!(error.ends_with(": no plain file\n"), "{error}");
    }
    let file = folder.path().join("entries.csv");
    let (status, _, error) = run(&["post", "2001-01-01", file.to_str().unwrap()]);
    assert_eq!(status, 65, "{error}");
    assert!(error.contains("is sealed"), "{error}");
    assert_eq!(run(&["seal", &today]).0, 65);
    assert_eq!(run(&["seal", &today, "--posted", "KRW:1:25"]).0, 0);
    assert_eq!(run(&["extract", &today, "--to", to_text]).0, 0);
    daemon.stop();
}
