//! A run with the bank behind the host in view: the night in its middle, and its
//! books before and after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, anyhow};

use crate::admin::Admin;
use crate::audit::{Audit, Opening};
use crate::cli::BankArguments;
use crate::night::{Conductor, Entries, Mode, Night};
use crate::open_loop::{self, Control, Outcome, Snapshot};
use crate::plan::Plan;

/// The bank behind the host, as far as the arguments want it looked at.
pub(crate) struct Bank {
    admin: Option<Admin>,
    opening: Option<Opening>,
    mode: Option<Mode>,
    entries: Option<Entries>,
}

impl Bank {
    /// Reads the books before the run.
    pub(crate) fn new(plan: &Plan, arguments: &BankArguments) -> anyhow::Result<Self> {
        let wanted = arguments.ledger || arguments.night.is_some();
        let admin = wanted
            .then(|| Admin::new(&arguments.admin, arguments.admin_token_file.as_deref()))
            .transpose()?;
        let opening = match &admin {
            Some(admin) if arguments.ledger => {
                Some(Opening::read(admin, &plan.cards).context("the books before the run")?)
            }
            _ => None,
        };
        let entries = match (&admin, arguments.night, &arguments.night_entries) {
            (_, _, Some(path)) => Some(Entries::read(path, &plan.cards)?),
            (Some(admin), Some(Mode::Own), None) => {
                let first = plan.cards.account_name(0).to_string();
                let account = admin
                    .account(&first)?
                    .with_context(|| format!("the host has no account {first}"))?;
                Some(Entries::own(&plan.cards, &account.currency))
            }
            _ => None,
        };
        Ok(Self {
            admin,
            opening,
            mode: arguments.night,
            entries,
        })
    }

    /// The run, with a night in its middle if one is wanted.
    pub(crate) fn run(
        &self,
        plan: &Plan,
        control: &Control,
        look: impl FnMut(&Snapshot),
    ) -> anyhow::Result<(Outcome, Option<Night>)> {
        let (Some(admin), Some(mode)) = (&self.admin, self.mode) else {
            return Ok((open_loop::run(plan, control, look)?, None));
        };
        let over = AtomicBool::new(false);
        let conductor = Conductor {
            admin,
            control,
            over: &over,
            lasts: plan.lasts().unwrap_or_default(),
        };
        thread::scope(|scope| {
            let night = scope.spawn(|| match (mode, &self.entries) {
                (Mode::Own, Some(entries)) => conductor.own(entries),
                (_, entries) => conductor.wait(entries.as_ref()),
            });
            let outcome = open_loop::run(plan, control, look);
            over.store(true, Ordering::Relaxed);
            let night = night.join().map_err(|_| anyhow!("the night has died"))?;
            Ok((outcome?, Some(night)))
        })
    }

    /// Compares the run's books with the host's.
    pub(crate) fn audit(
        &self,
        plan: &Plan,
        outcome: &mut Outcome,
        night: Option<&Night>,
    ) -> anyhow::Result<Option<Audit>> {
        let (Some(admin), Some(opening)) = (&self.admin, &self.opening) else {
            return Ok(None);
        };
        if let (Some(night), Some(entries)) = (night, &self.entries)
            && night.has_entered
        {
            entries.enter(&mut outcome.ledger);
        }
        let unknown = night.and_then(|night| night.unknown_minor);
        opening
            .compare(admin, &plan.cards, &outcome.ledger, unknown)
            .context("the books after the run")
            .map(Some)
    }
}
