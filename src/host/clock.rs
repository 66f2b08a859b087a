//! The machine's clock.

use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::desired::Stamp;
use crate::engine::port::Clock;

/// CLOCK_BOOTTIME for intervals (it goes on during suspend, and nobody can set it), the wall clock to show to people.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// Now, as the machine has it.
pub fn now() -> Stamp {
    Stamp { boot: boot_id().to_owned(), nanos: nanos(ClockId::CLOCK_BOOTTIME), wall: nanos(ClockId::CLOCK_REALTIME) }
}

fn nanos(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux that windlass runs on; a failure would be a kernel without clocks.
    clock_gettime(clock).map_or(0, |t| t.tv_sec().unsigned_abs() * 1_000_000_000 + t.tv_nsec().unsigned_abs())
}

/// The id of this boot; empty where /proc is not mounted.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    })
}

impl Clock for SystemClock {
    fn now(&self) -> Stamp {
        now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
