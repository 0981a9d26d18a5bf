//! The runner as links see it.

use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::outcome::Outcome;
use tokio_util::sync::CancellationToken;

use super::port::{Decider, Port};
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
}
