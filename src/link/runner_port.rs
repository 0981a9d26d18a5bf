//! The runner as links see it.

use gapless_engine::Reconciliation;
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::ids::{NetworkId, Seq, TimeUs};
use gapless_engine::outcome::Outcome;
use tokio_util::sync::CancellationToken;

use super::port::{Decider, Duty, Port};
use super::session::Duties;
use crate::runner::{EngineHandle, LinkPort, Refused};
use crate::telemetry::Refusal;

impl Decider for EngineHandle {
    type Port = LinkPort;

    fn connect(&self) -> LinkPort {
        Self::connect(self)
    }

    fn today(&self) -> Date {
        self.business().default
    }

    fn stopping(&self) -> CancellationToken {
        Self::stopping(self)
    }
}

impl Port for LinkPort {
    fn submit(&mut self, tag: u32, request: &Request) -> Result<(), Refusal> {
        Self::submit(self, tag, request).map_err(|refused| match refused {
            Refused::Busy => Refusal::Busy,
            Refused::NoSpace => Refusal::NoSpace,
            Refused::Stopping => Refusal::Stopping,
        })
    }

    fn flush(&mut self) {
        Self::flush(self);
    }

    fn take_released(&mut self) -> Option<(u32, Outcome)> {
        Self::take_released(self)
    }

    async fn released(&self) {
        Self::released(self).await;
    }

    fn outstanding(&self) -> usize {
        Self::outstanding(self)
    }

    fn duty(&mut self, network: NetworkId, duties: &Duties) -> Option<Duty> {
        let durable = self.durable();
        let owed = self.look(|engine| {
            let cutover = engine.unannounced(network).filter(|_| duties.announce);
            if let Some(due) = cutover {
                return Some((due.seq, Duty::Announce(due)));
            }
            if !duties.reconcile {
                return None;
            }
            match engine.asked(network) {
                Some(asked) => Some((asked.seq, Duty::Reconcile(*asked))),
                None => engine.to_ask(network).map(|_| (0, Duty::Ask)),
            }
        });
        let (_, duty) = owed.filter(|(seq, _)| *seq <= durable)?;
        self.claim(network).then_some(duty)
    }

    fn leave_duty(&mut self) {
        self.unclaim();
    }

    fn reconciliation(&self, seq: Seq) -> Option<Reconciliation> {
        self.look(|engine| engine.reconciliation(seq).copied())
    }

    fn now_us(&self) -> TimeUs {
        Self::now_us(self)
    }
}
