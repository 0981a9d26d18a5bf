//! The configuration: every error is one line with file, line and key, and the
//! documentation knows every key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gapless::config::{Config, CurrencyCode, OperationName};
use gapless_engine::command::Operation;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A link that is right, for what comes before or after it.
const LINK: &str =
    "[[links]]\nname = \"a\"\nlisten = \"127.0.0.1:8583\"\ndialect = \"iso87-ascii\"\n";

/// The error, without the file's folder.
#[track_caller]
fn error_in(folder: &Path, text: &str) -> String {
    let file = folder.join("g.toml");
    match Config::from_text(&file, text) {
        Ok(_) => panic!("taken as right:\n{text}"),
        Err(error) => {
            let told = error.to_string();
            assert_eq!(told.lines().count(), 1, "one line: {told}");
            told.replace(&format!("{}/", folder.display()), "")
        }
    }
}

#[track_caller]
fn wrong(text: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(error_in(folder.path(), text), expected, "\n{text}");
}

#[track_caller]
fn wrong_link(more: &str, expected: &str) {
    wrong(&format!("{LINK}{more}"), expected);
}

#[test]
#[rustfmt::skip] // one case a line
fn what_types_hold() {
    wrong("x = ", "g.toml:1: string values must be quoted, expected literal string");
    wrong("\n\nnonsense = 1", "g.toml:3: nonsense: unknown field `nonsense`, expected one of `data_dir`, `demo_data`, `dialects`, `bank`, `engine`, `journal`, `store`, `admin`, `networks`, `links`, `log`");
    wrong("[log]\n\nlevels = \"info\"", "g.toml:3: log.levels: unknown field `levels`, expected `level` or `format`");
    wrong("[log]\nformat = \"xml\"", "g.toml:2: log.format: unknown variant `xml`, expected `text` or `json`");
    wrong("[bank]\ncutover = \"24:00\"", "g.toml:2: bank.cutover: \"24:00\" is no time of day, as in \"00:00\" or \"23:30:15\"");
    wrong("[bank]\ncutover = \"0:00\"", "g.toml:2: bank.cutover: \"0:00\" is no time of day, as in \"00:00\" or \"23:30:15\"");
    wrong("[bank]\ncutover = \"00:00:60\"", "g.toml:2: bank.cutover: \"00:00:60\" is no time of day, as in \"00:00\" or \"23:30:15\"");
    wrong("[engine]\naccounts = -1", "g.toml:2: engine.accounts: invalid value: integer `-1`, expected u32");
    wrong("[engine]\naccounts = \"many\"", "g.toml:2: engine.accounts: invalid type: string \"many\", expected u32");
    wrong("[admin]\nlisten = \"localhost\"", "g.toml:2: admin.listen: invalid socket address syntax");
    wrong("[bank]\ncurrencies = [\n\"KRW\",\n\"krw\"]", "g.toml:2: bank.currencies: \"krw\" is no active currency of ISO 4217 (alphabetic code, as in \"KRW\")");
    wrong("[[networks]]\nname = \"n\"", "g.toml:1: networks[0]: missing field `id`");
    wrong("[[networks]]\nname = \"n\"\nid = 70000", "g.toml:3: networks[0].id: invalid value: integer `70000`, expected u16");
    wrong_link("port = 1", "g.toml:5: links[0].port: unknown field `port`, expected one of `name`, `listen`, `dialect`, `framing`, `network`, `max_connections`, `max_in_flight`, `idle_timeout_s`, `frame_timeout_s`, `answer_limit_ms`, `max_unsent_bytes`, `slow_reader_timeout_s`, `tls`, `allow`, `cardless_transfers`, `max_amount_minor`, `sign_on_required`");
    wrong_link("framing = { length = \"binary3\" }", "g.toml:5: links[0].framing.length: unknown variant `binary3`, expected one of `binary2`, `ascii4`, `bcd2`");
    wrong_link("framing = { length = \"binary2\", tdpu = true }", "g.toml:5: links[0].framing.tdpu: unknown field `tdpu`, expected one of `length`, `tpdu`, `inclusive`, `max_frame_bytes`");
    wrong_link("allow = [\"purchase\", \"gambling\"]", "g.toml:5: links[0].allow[1]: unknown variant `gambling`, expected one of `purchase`, `cash`, `purchase-with-cashback`, `refund`, `balance-inquiry`, `transfer`");
    wrong_link("tls = { certificate = \"c\" }", "g.toml:5: links[0].tls: missing field `key`");
    wrong(&format!("{LINK}{LINK}sign_on_required = 1"), "g.toml:9: links[1].sign_on_required: invalid type: integer `1`, expected a boolean");
    wrong(&format!("{LINK}max_amount_minor = {{ WON = 1 }}"), "g.toml:5: links[0].max_amount_minor.WON: \"WON\" is no active currency of ISO 4217 (alphabetic code, as in \"KRW\")");
}

#[test]
#[rustfmt::skip] // one case a line
fn what_types_do_not_hold() {
    wrong("\ndemo_data = \"none\"", "g.toml:2: demo_data: none is no folder");
    wrong("[bank]\n\nzone = \"Asia/Soul\"", "g.toml:3: bank.zone: failed to find time zone `Asia/Soul` in time zone database");
    wrong("[bank]\ngrace_s = 43_201", "g.toml:2: bank.grace_s: 43201 is not within 0 to 43200");
    wrong("[bank]\nearly_s = 43_201", "g.toml:2: bank.early_s: 43201 is not within 0 to 43200");
    wrong("[bank]\ncurrencies = []", "g.toml:2: bank.currencies: at least one is needed");
    wrong("[bank]\ncurrencies = [\"KRW\",\n\"KRW\"]", "g.toml:3: bank.currencies[1]: KRW stands here twice");
    wrong("[engine]\ncards = 16\naccounts = 15", "g.toml:3: engine.accounts: 15 is not within 16 to 100000000");
    wrong("[engine]\nmax_journal_wait_ms = 600_001", "g.toml:2: engine.max_journal_wait_ms: 600001 is not within 0 to 600000");
    wrong("[journal]\ntest_events_per_s = 100_000_001", "g.toml:2: journal.test_events_per_s: 100000001 is not within 0 to 100000000");
    wrong("[journal]\nreserve_segments = 0", "g.toml:2: journal.reserve_segments: 0 is not within 1 to 16");
    wrong("[store]\ncheckpoint_every_ms = 0", "g.toml:2: store.checkpoint_every_ms: 0 is not within 1 to 600000");
    wrong("[log]\nlevel = \"\"", "g.toml:2: log.level: \"\" is neither a level (off, error, warn, info, debug, trace) nor a filter as in \"info,gapless::link=debug\"");
    wrong("[log]\nlevel = \"loud\"", "g.toml:2: log.level: \"loud\" is neither a level (off, error, warn, info, debug, trace) nor a filter as in \"info,gapless::link=debug\"");
    wrong("[admin]\nlisten = \"0.0.0.0:80\"", "g.toml:2: admin.listen: 0.0.0.0:80 can be reached from elsewhere, so that a token is needed (token_file or token_env)");
    wrong("[admin]\ntoken_file = \"none\"", "g.toml:2: admin.token_file: none cannot be read: No such file or directory (os error 2)");
    wrong("[admin]\ntoken_env = \"GAPLESS_TEST_UNSET\"", "g.toml:2: admin.token_env: the environment has no text named \"GAPLESS_TEST_UNSET\"");
    wrong("[admin]\ntoken_env = \"A\"\ntoken_file = \"b\"", "g.toml:2: admin.token_env: give token_file or token_env, not both");
    wrong("[admin]\nmax_connections = 0", "g.toml:2: admin.max_connections: 0 is not within 1 to 65536");
    wrong("[[networks]]\nname = \"n\"\nid = 1\nreply_wait_s = 0", "g.toml:4: networks[0].reply_wait_s: 0 is not within 1 to 600");
    wrong("[[networks]]\nname = \"n\"\nid = 1\necho_after_s = 86_401", "g.toml:4: networks[0].echo_after_s: 86401 is not within 0 to 86400");
    wrong("[[networks]]\nname = \"n\"\nid = 1\nreconcile = 1", "g.toml:4: networks[0].reconcile: invalid type: integer `1`, expected a boolean");
    wrong("[[networks]]\nname = \"n\"\nid = 0", "g.toml:3: networks[0].id: 0 is the bank's own terminals; networks have 1 to 65535");
    wrong("[[networks]]\nname = \"n\"\nid = 1\n[[networks]]\nid = 1\nname = \"m\"", "g.toml:5: networks[1].id: 1 is the id of network \"n\" too");
    wrong("[[networks]]\nname = \"n\"\nid = 1\n[[networks]]\nid = 2\nname = \"n\"", "g.toml:6: networks[1].name: \"n\" is another network's name too");
    wrong("[[networks]]\nname = \"n m\"\nid = 1", "g.toml:2: networks[0].name: \"n m\" is no name: 1 to 32 letters, digits, '-', '_', '.'");
    wrong(&LINK.replace("iso87-ascii", "iso88"), "g.toml:4: links[0].dialect: unknown dialect \"iso88\": there is no dialects/iso88.toml, and the built-in ones are iso87-ascii, iso87-ascii-hex, iso87-bcd, iso87-ebcdic, iso93-ascii");
    wrong(&LINK.replace("iso87-ascii", "../x"), "g.toml:4: links[0].dialect: \"../x\" is no name of a dialect");
    wrong(&format!("{LINK}{}", LINK.replace("8583", "8584")), "g.toml:6: links[1].name: \"a\" is another link's name too");
    wrong(&format!("{LINK}{}", LINK.replace("\"a\"", "\"b\"")), "g.toml:7: links[1].listen: 127.0.0.1:8583 is taken by link \"a\" (127.0.0.1:8583)");
    wrong(&LINK.replace("8583", "8580"), "g.toml:3: links[0].listen: 127.0.0.1:8580 is taken by [admin] (127.0.0.1:8580)");
    wrong(&LINK.replace("127.0.0.1:8583", "0.0.0.0:8580"), "g.toml:3: links[0].listen: 0.0.0.0:8580 is taken by [admin] (127.0.0.1:8580)");
    wrong_link("network = \"n\"", "g.toml:5: links[0].network: there is no network \"n\" under [[networks]]");
    wrong_link("max_in_flight = 0", "g.toml:5: links[0].max_in_flight: 0 is not within 1 to 65536");
    wrong_link("max_amount_minor = { EUR = 5 }", "g.toml:5: links[0].max_amount_minor.EUR: the currency is not one of [bank] currencies");
    wrong_link("max_amount_minor = { KRW = 1_000_000_000_000 }", "g.toml:5: links[0].max_amount_minor.KRW: 1000000000000 is not within 1 to 999999999999");
    wrong_link("allow = []", "g.toml:5: links[0].allow: at least one operation is needed");
    wrong_link("tls = { certificate = \"c.pem\", key = \"k.pem\" }", "g.toml:5: links[0].tls.certificate: c.pem cannot be read: No such file or directory (os error 2)");
}

#[test]
fn files_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let tls = |certificate: &str, key: &str, client_ca: &str| {
        format!("{LINK}[links.tls]\nkey = \"{key}\"\n\ncertificate = \"{certificate}\"{client_ca}")
    };
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (one, other) = (made("one"), made("other"));
    write("one.pem", &one.cert.pem());
    write("one.key", &one.signing_key.serialize_pem());
    write("other.key", &other.signing_key.serialize_pem());
    write("empty.pem", "");
    write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    for (text, expected) in [
        (
            tls("none.pem", "one.key", ""),
            "g.toml:8: links[0].tls.certificate: none.pem cannot be read: No such file or directory (os error 2)",
        ),
        (
            tls("empty.pem", "one.key", ""),
            "g.toml:8: links[0].tls.certificate: empty.pem: no certificate in it",
        ),
        (
            tls("one.key", "one.key", ""),
            "g.toml:8: links[0].tls.certificate: one.key: no certificate in it",
        ),
        (
            tls("one.pem", "none.key", ""),
            "g.toml:6: links[0].tls.key: none.key cannot be read: No such file or directory (os error 2)",
        ),
        (
            tls("one.pem", "one.pem", ""),
            "g.toml:6: links[0].tls.key: one.pem: no items found",
        ),
        (
            tls("one.pem", "other.key", ""),
            "g.toml:6: links[0].tls.key: other.key with its certificate: keys may not be consistent: KeyMismatch",
        ),
        (
            tls("one.pem", "one.key", "\nclient_ca = \"empty.pem\""),
            "g.toml:9: links[0].tls.client_ca: empty.pem: no certificate in it",
        ),
    ] {
        assert_eq!(error_in(folder.path(), &text), expected, "{text}");
    }
    let broken = error_in(folder.path(), &tls("broken.pem", "one.key", ""));
    assert!(
        broken.starts_with("g.toml:8: links[0].tls.certificate: broken.pem: "),
        "{broken}"
    );
    let text = tls("one.pem", "one.key", "\nclient_ca = \"one.pem\"");
    let config = Config::from_text(&folder.path().join("g.toml"), &text).unwrap();
    let found = config.links[0].tls.as_ref().unwrap();
    assert_eq!(found.client_ca, Some(folder.path().join("one.pem")));
    assert_eq!(found.key, folder.path().join("one.key"), "paths are whole");

    let token = "token-with-a-secret";
    write("short", "123456789012345\n");
    write("long", token);
    let admin = |file: &str| format!("[admin]\nlisten = \"[::]:0\"\ntoken_file = \"{file}\"");
    assert_eq!(
        error_in(folder.path(), &admin("short")),
        "g.toml:3: admin.token_file: a token is 16 or more printable characters without blanks"
    );
    let config = Config::from_text(&folder.path().join("g.toml"), &admin("long")).unwrap();
    assert_eq!(
        config.admin.token.as_ref().unwrap().expose(),
        token.as_bytes()
    );
    assert!(
        !format!("{config:?}").contains("secret"),
        "no secret in Debug"
    );

    fs::create_dir(folder.path().join("dialects")).unwrap();
    write("dialects/mine.toml", "\nnonsense = 1\n");
    let told = error_in(folder.path(), &LINK.replace("iso87-ascii", "mine"));
    assert!(
        told.starts_with("g.toml:4: links[0].dialect: dialects/mine.toml"),
        "{told}"
    );
    let missing = Config::load(&folder.path().join("none.toml"))
        .unwrap_err()
        .to_string();
    assert!(missing.ends_with("none.toml: cannot be read: No such file or directory (os error 2)"));
}

#[test]
fn defaults() {
    let config = Config::from_text(Path::new("x/g.toml"), LINK).unwrap();
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8580");
    assert_eq!(config.bank.zone, "Asia/Seoul");
    assert_eq!(
        config.bank.currencies,
        [CurrencyCode::from_alphabetic("KRW").unwrap()]
    );
    let link = &config.links[0];
    assert_eq!((link.max_in_flight, link.network_id.0), (1024, 0));
    assert!(link.cardless_transfers, "the bank's own terminals may");
    assert_eq!(link.allow, OperationName::ALL);
    assert!(link.allows(Operation::InquiryAvailable) && link.allows(Operation::Transfer));

    let text =
        format!("{LINK}network = \"n\"\nallow = [\"cash\"]\n[[networks]]\nname = \"n\"\nid = 7\n");
    let config = Config::from_text(Path::new("x/g.toml"), &text).unwrap();
    let link = &config.links[0];
    assert_eq!(link.network_id.0, 7);
    assert!(
        !link.cardless_transfers,
        "a network may not, unless it is said"
    );
    assert!(link.allows(Operation::Cash) && !link.allows(Operation::Purchase));
}

/// The shipped files, as they are and with the example of a network brought in.
#[test]
fn shipped_files_are_right() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).unwrap();
        Config::from_text(&path, &text).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(
        seen >= 3,
        "gapless.toml, gapless.docker.toml, networks.toml"
    );

    let path = root().join("config/gapless.toml");
    let config = Config::load(&path).unwrap();
    let addresses: Vec<String> = config
        .links
        .iter()
        .map(|link| link.listen.to_string())
        .collect();
    assert_eq!(
        addresses,
        ["127.0.0.1:8583", "127.0.0.1:8584", "127.0.0.1:8585"]
    );
    assert!(config.links[1].framing.tpdu && !config.links[0].framing.tpdu);

    let text = fs::read_to_string(&path).unwrap();
    let (_, example) = text.split_once("# A network is").unwrap();
    let example: String = example
        .lines()
        .skip(2)
        .map(|line| {
            format!(
                "{}\n",
                line.trim_start_matches("# ").trim_start_matches('#')
            )
        })
        .filter(|line| !line.starts_with("tls"))
        .collect();
    let config = Config::from_text(&path, &format!("{text}\n{example}")).unwrap();
    assert_eq!(config.links[3].network_id.0, 1);
}

/// The example with networks differs from the plain file in its networks alone,
/// and those are what the card-network simulator is set to.
#[test]
fn the_example_with_networks_adds_networks_alone() {
    let plain = Config::load(&root().join("config/gapless.toml")).unwrap();
    let config = Config::load(&root().join("config/networks.toml")).unwrap();
    let terminals: Vec<String> = plain.links.iter().map(|l| format!("{l:?}")).collect();
    let links: Vec<String> = config.links.iter().map(|l| format!("{l:?}")).collect();
    assert_eq!(links[..3], terminals);
    assert_eq!(format!("{:?}", config.bank), format!("{:?}", plain.bank));
    assert_eq!(
        format!("{:?}", config.engine),
        format!("{:?}", plain.engine)
    );
    let told: Vec<String> = config.links[3..]
        .iter()
        .map(|link| {
            let (id, listen) = (link.network_id.0, link.listen);
            format!(
                "{id} {listen} {:?} {:?}",
                link.framing.length, link.cutover_date
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 127.0.0.1:8591 Binary2 New",
            "2 127.0.0.1:8592 Ascii4 Ended"
        ]
    );
    assert!(config.links[3..].iter().all(|link| link.sign_on_required));
}

/// What the shipped file's comments call a link's defaults are its defaults.
#[test]
fn the_comments_tell_the_defaults() {
    let path = root().join("config/gapless.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("with what it is otherwise:\n#\n").unwrap();
    let (told, _) = rest.split_once("\n\n").unwrap();
    let told: String = told
        .lines()
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    let keys = told.lines().count();
    assert_eq!(keys, 11, "{told}");
    let link = |text: &str| {
        let config = Config::from_text(&path, text).unwrap_or_else(|error| panic!("{error}"));
        format!("{:?}", config.links[0])
    };
    assert_eq!(link(&format!("{LINK}{told}")), link(LINK));
    // The sections' values are written out; without them it is the same.
    let config = Config::from_text(&path, &text).unwrap();
    let bare = Config::from_text(&path, "").unwrap();
    assert_eq!(format!("{:?}", config.engine), format!("{:?}", bare.engine));
    assert_eq!(
        format!("{:?}", config.journal),
        format!("{:?}", bare.journal)
    );
    assert_eq!(format!("{:?}", config.store), format!("{:?}", bare.store));
    assert_eq!(format!("{:?}", config.admin), format!("{:?}", bare.admin));
    assert_eq!(format!("{:?}", config.log), format!("{:?}", bare.log));
}

/// The keys that a table takes, as its own error for an unknown one lists them.
fn keys_of(text: &str) -> Vec<String> {
    let error = Config::from_text(Path::new("g.toml"), text)
        .unwrap_err()
        .to_string();
    let (_, list) = error
        .split_once("expected ")
        .unwrap_or_else(|| panic!("{error}"));
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// docs/configuration.md has a row for each key, and for no other.
#[test]
fn every_key_is_documented() {
    let tables = [
        ("", "zzz = 1".to_owned()),
        ("bank.", "[bank]\nzzz = 1".to_owned()),
        ("engine.", "[engine]\nzzz = 1".to_owned()),
        ("journal.", "[journal]\nzzz = 1".to_owned()),
        ("store.", "[store]\nzzz = 1".to_owned()),
        ("admin.", "[admin]\nzzz = 1".to_owned()),
        ("log.", "[log]\nzzz = 1".to_owned()),
        ("networks.", "[[networks]]\nzzz = 1".to_owned()),
        ("links.", "[[links]]\nzzz = 1".to_owned()),
        ("links.framing.", format!("{LINK}framing = {{ zzz = 1 }}")),
        ("links.tls.", format!("{LINK}tls = {{ zzz = 1 }}")),
    ];
    let taken: BTreeSet<String> = tables
        .iter()
        .flat_map(|(prefix, text)| {
            keys_of(text)
                .into_iter()
                .map(move |key| format!("{prefix}{key}"))
        })
        .collect();
    // A table itself needs no row where its keys have some.
    let taken: BTreeSet<&String> = taken
        .iter()
        .filter(|key| {
            !taken
                .iter()
                .any(|other| other.starts_with(&format!("{key}.")))
        })
        .collect();
    let documented = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let documented: Vec<String> = documented
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let rows: BTreeSet<&String> = documented.iter().collect();
    assert_eq!(rows.len(), documented.len(), "a key stands there twice");
    assert_eq!(
        rows, taken,
        "rows of docs/configuration.md (left) and keys (right)"
    );
}
