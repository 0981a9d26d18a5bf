//! An alarm that rings to the microsecond: tokio's own timers count
//! milliseconds, which a latency of 300 µs would drown in.

use std::io;
use std::time::Duration;

/// Rings once after a time.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Alarm(tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // What `new` cannot promise is that the descriptor stays the same and open
        // as long as it is registered: an OwnedFd's does.
        #[allow(deprecated)]
        tokio::io::unix::AsyncFd::new(timer).map(Self)
    }

    /// Returns when so much time has passed.
    pub(crate) async fn after(&self, time: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        // Zero would switch the timer off.
        let time = time.max(Duration::from_nanos(1));
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: time.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &setting)?;
        let mut rung = [0; 8];
        loop {
            let mut ready = self.0.readable().await?;
            // An earlier setting's ring has been taken away by the new one: then
            // nothing is there to read, and the wait goes on.
            match ready.try_io(|timer| Ok(rustix::io::read(timer, &mut rung)?)) {
                Ok(read) => return read.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

/// Rings once after a time; other systems have tokio's milliseconds.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Returns when so much time has passed.
    pub(crate) async fn after(&self, time: Duration) -> io::Result<()> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}
