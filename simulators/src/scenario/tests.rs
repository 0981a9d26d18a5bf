use std::path::Path;

use super::Scenario;

fn refused(text: &str) -> String {
    Scenario::parse(text, Path::new("x.toml"))
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    let step = |rest: &str| format!("title = \"t\"\n[[step]]\nname = \"a\"\n{rest}\n");
    // The step under test begins in line 2, its own lines with line 4.
    let table: &[(String, &str, &str)] = &[
        (String::new(), "x.toml:1:", "at least one [[step]]"),
        ("titel = \"t\"".to_owned(), "x.toml:1:", "titel"),
        (
            step("send = { command = \"purchase\", amuont = 5 }"),
            "x.toml:4:",
            "amuont",
        ),
        (step("send = { command = \"buy\" }"), "x.toml:4:", "buy"),
        (step("send = {}"), "x.toml:2:", "send needs"),
        (
            step("send = { command = \"echo\", repeat_of = \"a\" }"),
            "x.toml:2:",
            "only one of",
        ),
        (
            step("send = { repeat_of = \"b\" }"),
            "x.toml:2:",
            "no earlier step has the id \"b\"",
        ),
        (step("send = { mti = \"200\" }"), "x.toml:2:", "four digits"),
        (
            step("send = { mti = \"0800\", fields = { 65 = \"1\" } }"),
            "x.toml:4:",
            "DE 65",
        ),
        (
            step("send = { mti = \"0800\", unset = [200] }"),
            "x.toml:2:",
            "DE 200",
        ),
        (
            step("send = { command = \"echo\" }\nexpect = { 399 = \"00\" }"),
            "x.toml:5:",
            "399",
        ),
        (
            step("send = { command = \"echo\" }\nexpect = { 39 = { like = \"0\" } }"),
            "x.toml:5:",
            "like",
        ),
        (
            step("send = { command = \"echo\" }\nexpect = { 39 = { matches = \"[0\" } }"),
            "x.toml:5:",
            "regex",
        ),
        (
            step("send = { command = \"echo\" }\nexpect = { 39 = \"$x\" }"),
            "x.toml:2:",
            "captures $x",
        ),
        (
            step("send = { command = \"cash\", card = 1, special = 1 }"),
            "x.toml:2:",
            "only one of",
        ),
        (
            step("send = { command = \"cash\", amount = \"5 x\" }"),
            "x.toml:4:",
            "no sum",
        ),
        (
            step("send = { command = \"cash\", currency = \"WON\" }"),
            "x.toml:2:",
            "currency",
        ),
        (
            step("hold = true\nsend = { command = \"echo\" }"),
            "x.toml:2:",
            "needs an id",
        ),
        (
            step(
                "id = \"a\"\nsend = { command = \"echo\" }\n[[step]]\nname = \"b\"\nsend = { deliver = \"a\" }",
            ),
            "x.toml:6:",
            "does not hold",
        ),
        (step("send = { command = \"echo\""), "x.toml:", ""),
    ];
    for (text, line, reason) in table {
        let error = refused(text);
        assert!(
            error.starts_with(line),
            "{error:?} should be at {line} for {text}"
        );
        assert!(error.contains(reason), "{error:?} should say {reason:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = Scenario::load(Path::new("/nowhere/x.toml")).unwrap_err();
    assert_eq!(error.line, 0);
    let told = error.to_string();
    assert!(told.starts_with("/nowhere/x.toml: "), "{told}");
}

#[test]
fn the_scenarios_shipped_are_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let scenario = Scenario::load(&path).unwrap_or_else(|e| panic!("{e}"));
            assert!(!scenario.is_empty());
            count += 1;
        }
    }
    assert!(count > 0, "no scenario found");
}
