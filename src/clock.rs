//! The only reader of clocks, and the one alarm.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bearerd_core::instant::Instant;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::sync::Notify;

/// Now, suspend included.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    Instant::since_boot(duration(time))
}

/// The wall clock: time since the epoch. For what people and other machines read, never for expiry.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// `CLOCK_MONOTONIC` in microseconds, which systemd wants beside `RELOADING=1` (`sd_notify(3)`).
#[must_use]
pub fn monotonic_usec() -> u128 {
    duration(clock_gettime(ClockId::Monotonic)).as_micros()
}

/// What the wall clock shows at `at`, to the second: for log lines.
#[must_use]
pub fn utc(now: Instant, at: Instant) -> jiff::Timestamp {
    let unix = unix_now().saturating_add(at - now).saturating_sub(now - at);
    let seconds = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

fn duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Wakes one waiter at a given [`Instant`], also when the machine was asleep at that time.
///
/// tokio's timers stand still during suspend; a timerfd on `CLOCK_BOOTTIME` does not. A thread blocks
/// on it, so that nothing polls and nothing wakes while no time is set.
#[derive(Debug)]
pub struct Alarm {
    timer: Arc<OwnedFd>,
    rung: Arc<Notify>,
}

impl Alarm {
    /// Creates the timer and its thread.
    ///
    /// # Errors
    /// When the kernel grants no timer or no thread.
    pub fn new() -> io::Result<Self> {
        let timer = Arc::new(timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC,
        )?);
        let rung = Arc::new(Notify::new());
        let (waits_on, rings) = (Arc::clone(&timer), Arc::clone(&rung));
        thread::Builder::new().name("alarm".into()).spawn(move || {
            let mut expirations = [0_u8; 8];
            loop {
                match rustix::io::read(&*waits_on, &mut expirations) {
                    Ok(_) => rings.notify_one(),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                }
            }
        })?;
        Ok(Self { timer, rung })
    }

    /// Sets the alarm, in place of any time set before; `None` switches it off.
    ///
    /// # Errors
    /// When the kernel refuses the time.
    pub fn set(&self, at: Option<Instant>) -> io::Result<()> {
        // All zero disarms a timerfd; boot itself is long past, so a nanosecond after it rings at once.
        let since_boot = at.map_or(Duration::ZERO, |at| {
            at.elapsed_since_boot().max(Duration::from_nanos(1))
        });
        let value = Timespec {
            tv_sec: i64::try_from(since_boot.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: since_boot.subsec_nanos().into(),
        };
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let new = Itimerspec {
            it_interval: interval,
            it_value: value,
        };
        timerfd_settime(&*self.timer, TimerfdTimerFlags::ABSTIME, &new)?;
        Ok(())
    }

    /// Waits until the alarm rings. A ring may be stale: ask the clock what is due.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_on_the_wall_clock() {
        let now = now();
        let before = unix_now().as_secs();
        let at = |seconds| utc(now, now + Duration::from_secs(seconds)).as_second();
        assert!(
            (before..=unix_now().as_secs() + 60).contains(&u64::try_from(at(60) - 60).unwrap())
        );
        let past = utc(now, now.saturating_sub(Duration::from_secs(60)));
        assert!(u64::try_from(past.as_second()).unwrap() < before);
        assert_eq!(utc(now, now + Duration::MAX), jiff::Timestamp::MAX);
    }

    #[tokio::test]
    async fn rings_at_the_time_set_and_not_before() {
        let alarm = Alarm::new().unwrap();
        let at = now() + Duration::from_millis(30);
        alarm.set(Some(now() + Duration::from_secs(3600))).unwrap();
        alarm.set(Some(at)).unwrap();
        alarm.rung().await;
        assert!(now() >= at);
        alarm.set(Some(Instant::BOOT)).unwrap();
        alarm.rung().await;
    }
}
