//! A core-banking batch's night over the real daemon: entries with bad rows and
//! sent again, wrong steps refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::PATIENCE;
use support::daemon::Daemon;
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

impl Admin {
    fn start(site: &Site) -> (Daemon, Self) {
        let mut daemon = site.start();
        let addresses = daemon.ready();
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
    admin.step("seal", &today, 409);
    admin.post("seal", &seal(1002, 1899), 409);
    admin.post("seal", &seal(1002, 1900), 200);
    let told = admin.entries(&today, &format!("late,{a},KRW,1\n{row}"), 409);
    assert!(error(&told).contains("is sealed"), "{told}");
    assert_eq!(counts(&admin.entries(&today, &row, 200)), [1, 0, 1, 0]);
    assert_eq!(admin.get("/v1/trial-balance", 200)["balanced"], json!(true));
    daemon.stop();
    site.assert_verified();
}
