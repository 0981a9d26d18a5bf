//! From the file as written to the configuration as used: everything that types
//! alone do not hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gapless_engine::ids::NetworkId;
use gapless_engine::{Figures, NET};
use gapless_iso8583::{Dialect, Mti, Side, Version};

use super::file::{FileAdmin, FileConfig, FileLink};
use super::locate::{Source, Step, at};
use super::{
    AdminConfig, Bank, Config, ConfigError, CutoverDate, Duties, EngineConfig, JournalConfig,
    LinkConfig, LogConfig, Network, Secret, StoreConfig,
};

/// DE 4 has twelve digits.
const MAX_AMOUNT_MINOR: u64 = 999_999_999_999;

pub(super) fn checked(source: &Source<'_>, file: FileConfig) -> Result<Config, ConfigError> {
    check_bank(source, &file.bank)?;
    check_engine(source, file.engine)?;
    check_journal(source, file.journal)?;
    check_store(source, file.store)?;
    check_log(source, &file.log)?;
    check_networks(source, &file.networks)?;
    let demo_data = file
        .demo_data
        .map(|folder| {
            let folder = source.folder().join(folder);
            if folder.is_dir() {
                Ok(folder)
            } else {
                let what = format!("{} is no folder", folder.display());
                Err(source.error(at!["demo_data"], what))
            }
        })
        .transpose()?;
    let admin = admin(source, file.admin)?;
    let mut dialects = Dialects::new(source.folder().join(file.dialects));
    let mut links: Vec<LinkConfig> = Vec::with_capacity(file.links.len());
    for (index, written) in file.links.into_iter().enumerate() {
        let checked = link(source, index, written, &file.networks, &mut dialects)?;
        check_limits_are_of_the_bank(source, index, &checked, &file.bank)?;
        check_apart(source, index, &checked, &links, &admin)?;
        links.push(checked);
    }
    Ok(Config {
        file: source.path().to_path_buf(),
        data_dir: file.data_dir,
        demo_data,
        bank: file.bank,
        engine: file.engine,
        journal: file.journal,
        store: file.store,
        admin,
        networks: file.networks,
        links,
        log: file.log,
    })
}

fn check_bank(source: &Source<'_>, bank: &Bank) -> Result<(), ConfigError> {
    if let Err(why) = jiff::tz::TimeZone::get(&bank.zone) {
        return Err(source.error(at!["bank", "zone"], why.to_string()));
    }
    for (key, value) in [("grace_s", bank.grace_s), ("early_s", bank.early_s)] {
        bounds(source, at!["bank", key], value.into(), 0, 43_200)?;
    }
    if bank.currencies.is_empty() {
        return Err(source.error(at!["bank", "currencies"], "at least one is needed"));
    }
    for (index, currency) in bank.currencies.iter().enumerate() {
        if bank.currencies.iter().take(index).any(|c| c == currency) {
            let what = format!("{currency} stands here twice");
            return Err(source.error(at!["bank", "currencies", index], what));
        }
    }
    Ok(())
}

/// Refuses a number outside of its bounds.
fn bounds(
    source: &Source<'_>,
    steps: &[Step],
    value: u64,
    low: u64,
    high: u64,
) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(source.error(steps, format!("{value} is not within {low} to {high}")))
    }
}

fn check_engine(source: &Source<'_>, engine: EngineConfig) -> Result<(), ConfigError> {
    let rows = EngineConfig::MOST_ROWS.into();
    for (key, value, low, high) in [
        ("accounts", engine.accounts.into(), 16, rows),
        ("cards", engine.cards.into(), 16, rows),
        (
            "remembered_transactions",
            engine.remembered_transactions.into(),
            1_024,
            EngineConfig::MOST_REMEMBERED.into(),
        ),
        ("attest_every", engine.attest_every, 1, u64::MAX),
        (
            "max_pending_journal_bytes",
            engine.max_pending_journal_bytes,
            1 << 20,
            1 << 30,
        ),
        (
            "max_journal_wait_ms",
            engine.max_journal_wait_ms.into(),
            0,
            600_000,
        ),
    ] {
        bounds(source, at!["engine", key], value, low, high)?;
    }
    if let Some(in_memory) = engine.remembered_in_memory {
        bounds(
            source,
            at!["engine", "remembered_in_memory"],
            in_memory.into(),
            EngineConfig::FEWEST_IN_MEMORY.into(),
            EngineConfig::MOST_REMEMBERED.into(),
        )?;
    }
    Ok(())
}

fn check_journal(source: &Source<'_>, journal: JournalConfig) -> Result<(), ConfigError> {
    for (key, value, low, high) in [
        // A group is at most 1 MiB; a segment holds some of them.
        ("segment_mib", journal.segment_mib.into(), 4, 1_024),
        ("reserve_segments", journal.reserve_segments.into(), 1, 16),
        (
            "test_events_per_s",
            journal.test_events_per_s.into(),
            0,
            100_000_000,
        ),
    ] {
        bounds(source, at!["journal", key], value, low, high)?;
    }
    Ok(())
}

fn check_store(source: &Source<'_>, store: StoreConfig) -> Result<(), ConfigError> {
    for (key, value, low, high) in [
        ("checkpoint_every_ms", store.checkpoint_every_ms, 1, 600_000),
        ("base_after_mib", store.base_after_mib, 1, 1 << 20),
        (
            "base_after_events",
            store.base_after_events,
            1_000,
            1_000_000_000,
        ),
        ("base_growth_mib", store.base_growth_mib, 0, 1 << 20),
        ("cache_mib", store.cache_mib.into(), 1, 65_536),
    ] {
        bounds(source, at!["store", key], value, low, high)?;
    }
    Ok(())
}

/// A level, or `target=level`, several of them apart by commas.
fn check_log(source: &Source<'_>, log: &LogConfig) -> Result<(), ConfigError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let target = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_:".contains(&b);
        !text.is_empty() && text.bytes().all(plain)
    };
    let right = log.level.split(',').all(|part| match part.split_once('=') {
        None => LEVELS.contains(&part),
        Some((name, level)) => target(name) && LEVELS.contains(&level),
    });
    if right {
        Ok(())
    } else {
        let what = format!(
            "{:?} is neither a level ({}) nor a filter as in \"info,gapless::link=debug\"",
            log.level,
            LEVELS.join(", ")
        );
        Err(source.error(at!["log", "level"], what))
    }
}

fn check_networks(source: &Source<'_>, networks: &[Network]) -> Result<(), ConfigError> {
    for (index, network) in networks.iter().enumerate() {
        check_name(source, at!["networks", index, "name"], &network.name)?;
        if network.id == 0 {
            let what = "0 is the bank's own terminals; networks have 1 to 65535";
            return Err(source.error(at!["networks", index, "id"], what));
        }
        for (key, value, low, high) in [
            ("echo_after_s", network.echo_after_s, 0, 86_400),
            ("reply_wait_s", network.reply_wait_s, 1, 600),
        ] {
            bounds(source, at!["networks", index, key], value.into(), low, high)?;
        }
        for earlier in networks.iter().take(index) {
            if earlier.name == network.name {
                let what = format!("{:?} is another network's name too", network.name);
                return Err(source.error(at!["networks", index, "name"], what));
            }
            if earlier.id == network.id {
                let what = format!("{} is the id of network {:?} too", network.id, earlier.name);
                return Err(source.error(at!["networks", index, "id"], what));
            }
        }
    }
    Ok(())
}

/// Names go into logs and metrics' labels.
fn check_name(source: &Source<'_>, steps: &[Step], name: &str) -> Result<(), ConfigError> {
    let fits = !name.is_empty()
        && name.len() <= 32
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits {
        Ok(())
    } else {
        let what = format!("{name:?} is no name: 1 to 32 letters, digits, '-', '_', '.'");
        Err(source.error(steps, what))
    }
}

fn admin(source: &Source<'_>, file: FileAdmin) -> Result<AdminConfig, ConfigError> {
    for (key, value, high) in [
        ("max_connections", file.max_connections, 65_536),
        ("read_timeout_s", file.read_timeout_s, 3_600),
        ("max_import_mib", file.max_import_mib, 65_536),
    ] {
        bounds(source, at!["admin", key], value.into(), 1, high)?;
    }
    if file.token_file.is_some() && file.token_env.is_some() {
        let what = "give token_file or token_env, not both";
        return Err(source.error(at!["admin", "token_env"], what));
    }
    let token = match (&file.token_file, &file.token_env) {
        (Some(path), _) => {
            let steps = at!["admin", "token_file"];
            let text = readable(source, steps, path)?;
            Some(token(source, steps, text)?)
        }
        (None, Some(name)) => {
            let steps = at!["admin", "token_env"];
            let text = std::env::var(name).map_err(|_| {
                source.error(steps, format!("the environment has no text named {name:?}"))
            })?;
            Some(token(source, steps, text)?)
        }
        (None, None) => None,
    };
    if token.is_none() && !file.listen.ip().is_loopback() {
        let what = format!(
            "{} can be reached from elsewhere, so that a token is needed (token_file or token_env)",
            file.listen
        );
        return Err(source.error(at!["admin", "listen"], what));
    }
    Ok(AdminConfig {
        listen: file.listen,
        token,
        max_connections: file.max_connections,
        read_timeout: Duration::from_secs(file.read_timeout_s.into()),
        max_import_bytes: u64::from(file.max_import_mib) << 20,
    })
}

fn token(source: &Source<'_>, steps: &[Step], text: String) -> Result<Secret, ConfigError> {
    let trimmed = text.trim();
    if trimmed.len() < 16 || !trimmed.bytes().all(|b| b.is_ascii_graphic()) {
        let what = "a token is 16 or more printable characters without blanks";
        return Err(source.error(steps, what));
    }
    Ok(Secret::new(trimmed.to_owned()))
}

fn readable(source: &Source<'_>, steps: &[Step], path: &Path) -> Result<String, ConfigError> {
    let path = source.folder().join(path);
    std::fs::read_to_string(&path)
        .map_err(|why| source.error(steps, format!("{} cannot be read: {why}", path.display())))
}

/// Dialect files, each read once.
struct Dialects {
    folder: PathBuf,
    read: BTreeMap<String, Arc<Dialect>>,
}

impl Dialects {
    const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            read: BTreeMap::new(),
        }
    }

    fn get(&mut self, name: &str) -> Result<Arc<Dialect>, String> {
        if let Some(dialect) = self.read.get(name) {
            return Ok(Arc::clone(dialect));
        }
        let dialect = super::read_dialect(&self.folder, name)?;
        can_answer(&dialect)?;
        self.read.insert(name.to_owned(), Arc::clone(&dialect));
        Ok(dialect)
    }
}

fn link(
    source: &Source<'_>,
    index: usize,
    file: FileLink,
    networks: &[Network],
    dialects: &mut Dialects,
) -> Result<LinkConfig, ConfigError> {
    check_name(source, at!["links", index, "name"], &file.name)?;
    let dialect = dialects
        .get(&file.dialect)
        .map_err(|why| source.error(at!["links", index, "dialect"], why))?;
    let (network_id, cutover_date, duties) = match &file.network {
        None => (
            NetworkId::OWN_TERMINALS,
            CutoverDate::default(),
            Duties::default(),
        ),
        Some(name) => networks
            .iter()
            .find(|network| network.name == *name)
            .map(|network| (network.network_id(), network.cutover_date, network.duties()))
            .ok_or_else(|| {
                let what = format!("there is no network {name:?} under [[networks]]");
                source.error(at!["links", index, "network"], what)
            })?,
    };
    if duties.reconcile {
        can_reconcile(&dialect).map_err(|why| source.error(at!["links", index, "dialect"], why))?;
    }
    check_link_bounds(source, index, &file)?;
    let tls = file
        .tls
        .map(|tls| super::tls::check(source, index, tls))
        .transpose()?;
    Ok(LinkConfig {
        cardless_transfers: file.cardless_transfers.unwrap_or(file.network.is_none()),
        name: file.name,
        listen: file.listen,
        dialect,
        dialect_name: file.dialect,
        framing: file.framing,
        network: file.network,
        network_id,
        cutover_date,
        duties,
        max_connections: file.max_connections,
        max_in_flight: file.max_in_flight,
        idle_timeout_s: file.idle_timeout_s,
        frame_timeout_s: file.frame_timeout_s,
        answer_limit_ms: file.answer_limit_ms,
        max_unsent_bytes: file.max_unsent_bytes,
        slow_reader_timeout_s: file.slow_reader_timeout_s,
        tls,
        allow: file.allow,
        max_amount_minor: file.max_amount_minor,
        sign_on_required: file.sign_on_required,
    })
}

fn check_link_bounds(
    source: &Source<'_>,
    index: usize,
    file: &FileLink,
) -> Result<(), ConfigError> {
    for (key, value, low, high) in [
        ("max_connections", file.max_connections, 1, 65_536),
        ("max_in_flight", file.max_in_flight, 1, 65_536),
        ("idle_timeout_s", file.idle_timeout_s, 0, 86_400),
        ("frame_timeout_s", file.frame_timeout_s, 1, 3_600),
        ("answer_limit_ms", file.answer_limit_ms, 0, 600_000),
        ("max_unsent_bytes", file.max_unsent_bytes, 4_096, 1 << 26),
        (
            "slow_reader_timeout_s",
            file.slow_reader_timeout_s,
            1,
            3_600,
        ),
    ] {
        let steps = at!["links", index, key];
        bounds(source, steps, value.into(), low, high)?;
    }
    for (currency, most) in &file.max_amount_minor {
        let steps = at!["links", index, "max_amount_minor", currency.as_str()];
        bounds(source, steps, *most, 1, MAX_AMOUNT_MINOR)?;
    }
    if file.allow.is_empty() {
        let what = "at least one operation is needed";
        return Err(source.error(at!["links", index, "allow"], what));
    }
    Ok(())
}

/// A limit in a currency that the bank has no accounts in would limit nothing.
fn check_limits_are_of_the_bank(
    source: &Source<'_>,
    index: usize,
    link: &LinkConfig,
    bank: &Bank,
) -> Result<(), ConfigError> {
    for currency in link.max_amount_minor.keys() {
        if !bank.currencies.contains(currency) {
            let steps = at!["links", index, "max_amount_minor", currency.as_str()];
            return Err(source.error(steps, "the currency is not one of [bank] currencies"));
        }
    }
    Ok(())
}

/// Whether answers can be written in a dialect: a purchase would post, and its
/// answer could not be said.
fn can_answer(dialect: &Dialect) -> Result<(), String> {
    let semantics = dialect.semantics();
    let digits = |count: u8| "1".repeat(usize::from(count));
    let code = digits(semantics.action_code_digits);
    let date = digits(semantics.settlement_date_digits);
    let balances = "0001410C0000000000010002410C000000000001";
    let version = semantics.version.mti_digit();
    let mti = Mti::from_ascii([b'0' + version, b'2', b'1', b'0']).unwrap_or(Mti::UNKNOWN);
    let mut out = Vec::new();
    let mut answer = dialect.builder(&mut out, mti);
    answer
        .text(7, b"0101000000")
        .text(11, b"000001")
        .text(15, date.as_bytes())
        .text(38, b"000001")
        .text(39, code.as_bytes())
        .text(54, balances.as_bytes());
    match answer.finish() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("answers cannot be written in it: {error}")),
    }
}

/// Whether our reconciliations can be written in a dialect, with the largest figures.
fn can_reconcile(dialect: &Dialect) -> Result<(), String> {
    let semantics = dialect.semantics();
    let date = "1".repeat(usize::from(semantics.settlement_date_digits));
    let (mti, date_field) = match semantics.version {
        Version::V1987 => (500, 15),
        Version::V1993 => (1_520, 28),
    };
    let mut out = Vec::new();
    let mut message = dialect.builder(&mut out, Mti::new(mti).unwrap_or(Mti::UNKNOWN));
    message.text(7, b"0101000000").text(11, b"000001");
    if semantics.version == Version::V1993 {
        message.number(semantics.network_code, 502);
    }
    message.text(date_field, date.as_bytes()).text(50, b"410");
    for element in Figures::elements() {
        let most = Figures::most(element).unsigned_abs();
        if element == NET {
            message.signed(element, Side::Debit, most);
        } else {
            // DE 82 to 85, which are counts in 1993, are zero.
            let fee = (82..=85).contains(&element);
            message.number(element, if fee { 0 } else { most });
        }
    }
    match message.finish() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("reconciliations cannot be written in it: {error}")),
    }
}

/// Names and addresses that stand once.
fn check_apart(
    source: &Source<'_>,
    index: usize,
    link: &LinkConfig,
    earlier: &[LinkConfig],
    admin: &AdminConfig,
) -> Result<(), ConfigError> {
    if earlier.iter().any(|other| other.name == link.name) {
        let what = format!("{:?} is another link's name too", link.name);
        return Err(source.error(at!["links", index, "name"], what));
    }
    let taken = earlier
        .iter()
        .map(|other| (other.listen, format!("link {:?}", other.name)))
        .chain(std::iter::once((admin.listen, "[admin]".to_owned())))
        .find(|(address, _)| collide(*address, link.listen));
    match taken {
        None => Ok(()),
        Some((address, whose)) => {
            let what = format!("{} is taken by {whose} ({address})", link.listen);
            Err(source.error(at!["links", index, "listen"], what))
        }
    }
}

/// Whether two listeners could not both be bound.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0
        && a.port() == b.port()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_must_be_able_to_carry_answers() {
        for name in Dialect::BUILTIN_NAMES {
            let dialect = Dialect::builtin(name).unwrap();
            assert_eq!(can_answer(&dialect), Ok(()), "{name}");
            assert_eq!(can_reconcile(&dialect), Ok(()), "{name}");
        }
        let counts =
            "extends = \"iso87-ascii\"\n[fields]\n76 = { type = \"n6\", show = \"clear\" }\n";
        let short = can_reconcile(&Dialect::parse("short", counts).unwrap()).unwrap_err();
        assert!(short.contains("DE 76"), "{short}");
        let short = |row: &str| {
            let file = format!("extends = \"iso87-ascii\"\n[fields]\n{row}\n");
            can_answer(&Dialect::parse("short", &file).unwrap()).unwrap_err()
        };
        for (row, element) in [
            ("38 = { type = \"an4\", show = \"clear\" }", "DE 38"),
            ("39 = { type = \"n1\", show = \"clear\" }", "DE 39"),
            ("15 = { type = \"n2\", show = \"clear\" }", "DE 15"),
            ("11 = { type = \"n4\", show = \"clear\" }", "DE 11"),
        ] {
            let why = short(row);
            assert!(why.contains(element), "{why}");
        }
    }
}
