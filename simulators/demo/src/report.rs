//! The closing report: in the terminal, and as a page that can go on a slide.
#![allow(
    clippy::float_arithmetic,
    reason = "places on a page are real numbers; no money here"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gapless_loadtest::page::{Page, Tile};
use gapless_loadtest::plot::Window;
use gapless_loadtest::report::{grouped, html};
use gapless_simulators::currency::Currency;

use crate::admin::DateLine;
use crate::scene::{Codes, Scene, Stage};
use crate::verdict::{Column, Verdict};

const PERIODS: [&str; 3] = ["before", "in the window", "after"];

fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    // Three digits tell enough, and fit.
    let decimals = if ms < 10.0 {
        2
    } else {
        usize::from(ms < 100.0)
    };
    format!("{ms:.decimals$} ms")
}

/// Figures of the terminals, a row each, with the three periods side by side.
fn rows(columns: &[Column; 3]) -> Vec<(&'static str, [String; 3])> {
    vec![
        ("requests", columns.map(|c| grouped(c.requests))),
        ("approved", columns.map(|c| grouped(c.approved))),
        (
            "declined or refused",
            columns.map(|c| grouped(c.not_approved)),
        ),
        ("not answered", columns.map(|c| grouped(c.missing))),
        ("p50", columns.map(|c| ms(c.p50))),
        ("p99", columns.map(|c| ms(c.p99))),
        ("p99.9", columns.map(|c| ms(c.p999))),
        (
            "longest gap between answers",
            columns.map(|c| ms(c.longest_gap)),
        ),
    ]
}

fn codes(codes: &Codes) -> String {
    let told: Vec<String> = codes
        .iter()
        .map(|(code, count)| format!("{code}: {}", grouped(*count)))
        .collect();
    told.join("  ")
}

fn trial(line: &DateLine) -> [String; 5] {
    let amount = |minor: u128| grouped(u64::try_from(minor).unwrap_or(u64::MAX));
    [
        line.business_date.clone(),
        line.currency.clone(),
        amount(line.debit_minor),
        amount(line.credit_minor),
        match line.debit_minor == line.credit_minor {
            true => "balanced".to_owned(),
            false => "OUT OF BALANCE".to_owned(),
        },
    ]
}

/// How the networks and the batch describe their day, a line each.
fn others(verdict: &Verdict) -> Vec<String> {
    let mut lines = Vec::new();
    for report in &verdict.networks {
        let compared = report.reconciled.len();
        let agreed = report.reconciled.iter().filter(|c| c.in_balance()).count();
        let name = &report.network;
        lines.push(format!(
            "{name}: {} answered, {} repeats, {} reversals ({} before their originals)",
            grouped(report.answered),
            grouped(report.repeats),
            grouped(report.sent.reversals),
            grouped(report.sent.early_reversals),
        ));
        lines.push(format!(
            "{name}: totals of {agreed} of {compared} settlement dates in balance"
        ));
    }
    if let Some(batch) = &verdict.batch {
        lines.push(format!(
            "batch: {} closed in {:.1} s",
            batch.date,
            Duration::from_millis(batch.elapsed_ms).as_secs_f64(),
        ));
        for (code, sums) in &batch.sealed {
            let sum = match Currency::parse(code) {
                Some(currency) => currency.show(sums.minor),
                None => format!("{} {code} in minor units", sums.minor),
            };
            lines.push(format!(
                "batch: sealed {} entries, {sum}",
                grouped(sums.count)
            ));
        }
    }
    lines
}

/// For the terminal.
pub fn text(verdict: &Verdict) -> String {
    let columns = verdict.columns();
    let mut text = format!(
        "\nThe day in figures\n  {:28}{:>16}{:>16}{:>16}\n",
        "terminals", "before", "in the window", "after"
    );
    for (name, [before, inside, after]) in rows(&columns) {
        let _ = writeln!(text, "  {name:28}{before:>16}{inside:>16}{after:>16}");
    }
    text.push_str("\n  networks, answers by DE 39\n");
    for (period, name) in PERIODS.iter().enumerate() {
        let _ = writeln!(
            text,
            "    {name:14} {}",
            codes(&verdict.network_codes(period))
        );
    }
    for line in others(verdict) {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(
        text,
        "\n  Declines caused by the night: {}",
        verdict.caused_by_the_night()
    );
    let _ = writeln!(
        text,
        "  Buffer at its fullest: {} postings of the opening date",
        grouped(verdict.scene.fullest.postings)
    );
    let _ = writeln!(
        text,
        "\n  {:26}{:>13}{:>22}",
        "Trial balance, minor units", "debit", "credit"
    );
    for line in &verdict.trial_balance.dates {
        let [date, currency, debit, credit, said] = trial(line);
        let _ = writeln!(
            text,
            "    {date}  {currency}{debit:>22}{credit:>22}  {said}"
        );
    }
    text.push_str("\n  gapless verify\n");
    for line in &verdict.verified.1 {
        let _ = writeln!(text, "    {line}");
    }
    let complaints = verdict.complaints();
    if complaints.is_empty() {
        text.push_str("\nNobody noticed the night.\n");
    } else {
        text.push_str("\nNot as it should be:\n");
        for complaint in complaints {
            let _ = writeln!(text, "  - {complaint}");
        }
    }
    text
}

/// The stages of the night as shaded parts of the plots.
fn windows(scene: &Scene, end: f64) -> Vec<Window> {
    let starts = scene.stages.iter();
    let ends = scene
        .stages
        .iter()
        .skip(1)
        .map(|(at, _)| scene.seconds(*at));
    starts
        .zip(ends.chain([end]))
        .filter(|((_, stage), _)| !matches!(stage, Stage::Day | Stage::NextDay))
        .map(|((at, stage), to)| Window {
            label: stage.name().to_owned(),
            from: scene.seconds(*at),
            to,
        })
        .collect()
}

fn span(scene: &Scene) -> String {
    let at = |wanted: Stage| -> Option<Instant> {
        let mut stages = scene.stages.iter();
        stages
            .find(|(_, stage)| *stage == wanted)
            .map(|(at, _)| *at)
    };
    match (at(Stage::Grace), at(Stage::NextDay)) {
        (Some(from), Some(to)) => {
            format!("{:.1} s", to.saturating_duration_since(from).as_secs_f64())
        }
        _ => "-".to_owned(),
    }
}

/// One self-contained page.
pub fn page(verdict: &Verdict) -> String {
    let scene = &verdict.scene;
    let columns = verdict.columns();
    let [before, inside, after] = columns;
    let mut page = Page::new(
        "A day and its night",
        &format!(
            "Gapless, terminals and two card networks over TCP, and the bank's batch: {} closes while payments go on",
            scene.dates.closing
        ),
    );
    let caused = verdict.caused_by_the_night();
    let all = before.requests + inside.requests + after.requests;
    page.tiles(&[
        Tile::judged(grouped(caused), "declines caused by the night", caused == 0),
        Tile::plain(grouped(all), "terminal requests"),
        Tile::plain(grouped(inside.requests), "of them in the window"),
        Tile::plain(span(scene), "from cutover to seal"),
        Tile::plain(ms(inside.p99), "p99 in the window"),
        Tile::plain(ms(before.p99), "p99 before"),
        Tile::plain(ms(inside.longest_gap), "longest gap in the window"),
        Tile::judged(
            if verdict.verified.0 {
                "clean"
            } else {
                "NOT CLEAN"
            },
            "gapless verify",
            verdict.verified.0,
        ),
    ]);
    let end = verdict.traffic.sending.as_secs_f64();
    let windows = windows(scene, end);
    page.plot(&html::rates(&verdict.traffic.timeline, &windows).svg());
    page.plot(&html::latencies(&verdict.traffic.timeline, &windows).svg());
    page.heading("Before, in and after the window");
    let table: Vec<Vec<String>> = rows(&columns)
        .into_iter()
        .map(|(name, figures)| [name.to_owned()].into_iter().chain(figures).collect())
        .collect();
    page.table(&["terminals", "before", "in the window", "after"], &table);
    page.note(
        "The window is the time from the bank's cutover to the seal. Every request of the terminals can be \
         paid, so each one that is not approved would be the night's fault. Latencies count from the intended \
         send time.",
    );
    page.heading("What happened");
    let told: Vec<Vec<String>> = scene
        .told
        .iter()
        .map(|(at, what)| vec![what.clone(), format!("{:.1} s", scene.seconds(*at))])
        .collect();
    page.table(&["event", "at"], &told);
    page.heading("Networks and batch");
    let answers: Vec<Vec<String>> = PERIODS
        .iter()
        .enumerate()
        .map(|(period, name)| vec![(*name).to_owned(), codes(&verdict.network_codes(period))])
        .collect();
    page.table(&["answers by DE 39", ""], &answers);
    for line in others(verdict) {
        page.note(&line);
    }
    page.heading("Trial balance, by business date, in minor units");
    let trials: Vec<Vec<String>> = verdict
        .trial_balance
        .dates
        .iter()
        .map(|line| trial(line).to_vec())
        .collect();
    page.table(
        &["business date", "currency", "debit", "credit", ""],
        &trials,
    );
    page.heading("gapless verify");
    for line in &verdict.verified.1 {
        page.note(line);
    }
    for complaint in verdict.complaints() {
        page.note(&format!("Not as it should be: {complaint}"));
    }
    page.html()
}
