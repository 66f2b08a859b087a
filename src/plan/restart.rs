//! What follows the end of a process (spec.md 12.5): a function of the policy, the end and the counts.

use std::time::Duration;

use crate::desired::{DesiredContainer, RestartPace, RestartPolicy, Stamp};
use crate::observed::{Exit, ObservedContainer, State};

/// A process that lived so long starts again at once, and its delays begin anew.
const STABLE: Duration = Duration::from_secs(10);
/// The first delay of one that did not; it doubles…
const FIRST: Duration = Duration::from_millis(100);
/// … up to this.
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be done about a process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays down.
    Stays,
    /// It is started again at `due`, with these counts.
    Again {
        /// When.
        due: Stamp,
        /// Restarts since somebody started it.
        restarts: u32,
        /// Of those, in a row, each within ten seconds of its start.
        streak: u32,
    },
}

/// The counts before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Restarts since somebody started it.
    pub restarts: u32,
    /// Of those, in a row, each within ten seconds of its start.
    pub streak: u32,
}

/// What its policy says of a container that has ended; `None`: it has not.
pub fn verdict(declared: &DesiredContainer, container: &ObservedContainer) -> Option<Verdict> {
    let State::Exited(exit) = &container.state else { return None };
    let counts = Counts { restarts: container.restarts, streak: container.streak };
    Some(after_exit((declared.restart, declared.restart_pace), exit, container.started.as_ref(), counts))
}

/// Decides about a process that was started at `started` and ended as `exit`.
pub fn after_exit(
    (policy, pace): (RestartPolicy, RestartPace),
    exit: &Exit,
    started: Option<&Stamp>,
    counts: Counts,
) -> Verdict {
    let lived = started.map_or(Duration::ZERO, |started| started.until(&exit.at));
    let stable = lived >= pace.window.unwrap_or(STABLE);
    let attempts = match pace.window {
        Some(_) if stable => 0,
        Some(_) => counts.streak,
        None => counts.restarts,
    };
    if !policy.wants(exit.code, attempts) {
        return Verdict::Stays;
    }
    let restarts = counts.restarts.saturating_add(1);
    let streak = if stable { 0 } else { counts.streak.saturating_add(1) };
    let backoff = if stable { Duration::ZERO } else { delay(streak) };
    Verdict::Again { due: exit.at.after(pace.delay.unwrap_or(backoff)), restarts, streak }
}

/// 100 ms, 200 ms, … 1 min for the first, second, … end in a row.
pub fn delay(streak: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(streak.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(millis: u64) -> Stamp {
        Stamp { boot: "b".into(), nanos: millis * 1_000_000, wall: 0 }
    }

    fn verdict(policy: RestartPolicy, code: i32, lived: u64, counts: Counts) -> Option<(u64, u32, u32)> {
        paced(policy, RestartPace::default(), code, lived, counts)
    }

    fn paced(
        policy: RestartPolicy,
        pace: RestartPace,
        code: i32,
        lived: u64,
        counts: Counts,
    ) -> Option<(u64, u32, u32)> {
        let exit = Exit { code, oom: false, at: stamp(lived), stopped: false, error: None };
        match after_exit((policy, pace), &exit, Some(&stamp(0)), counts) {
            Verdict::Stays => None,
            Verdict::Again { due, restarts, streak } => Some(((due.nanos / 1_000_000) - lived, restarts, streak)),
        }
    }

    #[test]
    fn each_policy_has_its_own_mind() {
        let none = Counts::default();
        let table = [
            (RestartPolicy::No, 1, None),
            (RestartPolicy::Always, 0, Some((100, 1, 1))),
            (RestartPolicy::UnlessStopped, 0, Some((100, 1, 1))),
            (RestartPolicy::OnFailure { retries: 0 }, 0, None),
            (RestartPolicy::OnFailure { retries: 0 }, 137, Some((100, 1, 1))),
        ];
        for (policy, code, expected) in table {
            assert_eq!(verdict(policy, code, 50, none), expected, "{policy:?} {code}");
        }
        let spent = Counts { restarts: 3, streak: 3 };
        assert_eq!(verdict(RestartPolicy::OnFailure { retries: 3 }, 1, 50, spent), None);
        assert_eq!(verdict(RestartPolicy::Attempts { retries: 3 }, 0, 50, spent), None);
        assert_eq!(verdict(RestartPolicy::Attempts { retries: 4 }, 0, 50, spent), Some((800, 4, 4)));
    }

    #[test]
    fn a_delay_takes_the_place_of_the_doubling_and_a_window_forgives() {
        let second = Some(Duration::from_secs(1));
        let slow = RestartPace { delay: second, window: None };
        let counts = Counts { restarts: 5, streak: 5 };
        assert_eq!(paced(RestartPolicy::Always, slow, 1, 50, counts), Some((1000, 6, 6)));
        assert_eq!(paced(RestartPolicy::Always, slow, 1, 60_000, counts), Some((1000, 6, 0)));
        let forgiving = RestartPace { delay: None, window: second };
        let policy = RestartPolicy::OnFailure { retries: 2 };
        assert_eq!(paced(policy, forgiving, 1, 50, Counts { restarts: 5, streak: 2 }), None);
        assert_eq!(paced(policy, forgiving, 1, 1_000, Counts { restarts: 5, streak: 2 }), Some((0, 6, 0)));
    }

    #[test]
    fn delays_double_up_to_a_minute_and_begin_anew_after_ten_seconds_of_life() {
        let delays: Vec<u128> = (1..=12).map(|n| delay(n).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(delay(200).as_millis(), 60000);
        let counts = Counts { restarts: 7, streak: 7 };
        assert_eq!(verdict(RestartPolicy::Always, 1, 9_999, counts), Some((12_800, 8, 8)));
        assert_eq!(verdict(RestartPolicy::Always, 1, 10_000, counts), Some((0, 8, 0)));
    }
}
