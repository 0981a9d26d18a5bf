//! `gapless check-config FILE`

use std::path::Path;

use super::{Failure, say};
use crate::config::{Config, LinkConfig};

pub(super) fn check_config(file: &Path) -> Result<(), Failure> {
    let config = Config::load(file).map_err(Failure::usage)?;
    say(format_args!("{} is right", file.display()));
    say(format_args!(
        "  bank     {}, accounts in {}",
        config.bank.zone,
        words(config.bank.currencies.iter())
    ));
    say(format_args!(
        "  data     {}{}",
        config.data_dir.display(),
        config
            .demo_data
            .as_ref()
            .map(|demo| format!(", demo data from {} when it is new", demo.display()))
            .unwrap_or_default()
    ));
    say(format_args!(
        "  admin    {} {}",
        config.admin.listen,
        if config.admin.token.is_some() {
            "with a token"
        } else {
            "without a token"
        }
    ));
    for network in &config.networks {
        say(format_args!(
            "  network  {} (id {})",
            network.name, network.id
        ));
    }
    for link in &config.links {
        say(format_args!("  link     {}", told(link)));
    }
    Ok(())
}

fn told(link: &LinkConfig) -> String {
    format!(
        "{} {} {} {:?}{}{} {}",
        link.name,
        link.listen,
        link.dialect_name,
        link.framing.length,
        if link.framing.tpdu { " TPDU" } else { "" },
        if link.tls.is_some() { " TLS" } else { "" },
        link.network.as_ref().map_or_else(
            || "own terminals".to_owned(),
            |name| format!("network {name}")
        )
    )
}

fn words<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
