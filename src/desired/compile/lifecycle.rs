//! What follows the end of a container, how its health is found out, how it is stopped.

use std::time::Duration;

use super::Problems;
use crate::compose::model::{HealthCheck, Service};
use crate::desired::{HealthSpec, ImageHealthcheck, ResolvedImage, RestartPace, RestartPolicy, StopSpec};

/// `deploy.restart_policy` takes the place of `restart`.
pub fn restart(at: &str, service: &Service, problems: &mut Problems) -> RestartPolicy {
    if let Some(policy) = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref()) {
        let retries = u32::try_from(policy.max_attempts.unwrap_or(0)).unwrap_or(u32::MAX);
        return match policy.condition.as_deref() {
            Some("none") => RestartPolicy::No,
            Some("on-failure") => RestartPolicy::OnFailure { retries },
            // The Compose Specification's default.
            None | Some("" | "any") if retries == 0 => RestartPolicy::Always,
            None | Some("" | "any") => RestartPolicy::Attempts { retries },
            // docker compose hands any other word on, and these are words of `restart`.
            Some("no") => RestartPolicy::No,
            Some("always") => RestartPolicy::Always,
            Some("unless-stopped") => RestartPolicy::UnlessStopped,
            Some(other) => {
                let message = format!("`{other}` is no condition: `none`, `on-failure` or `any`");
                problems.add(format!("{at}.deploy.restart_policy.condition"), message);
                RestartPolicy::No
            }
        };
    }
    let text = service.restart.as_deref().unwrap_or_default();
    problems.take(format!("{at}.restart"), policy(text)).unwrap_or_default()
}

/// `delay` and `window` of `deploy.restart_policy`.
pub fn pace(service: &Service) -> RestartPace {
    let policy = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref());
    let set = |time: &Duration| !time.is_zero();
    policy.map_or(RestartPace::default(), |policy| RestartPace {
        delay: policy.delay.filter(set),
        window: policy.window.filter(set),
    })
}

fn policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    let retries = count.map_or(Ok(0), str::parse);
    match (name, retries) {
        ("on-failure", Ok(retries)) => Ok(RestartPolicy::OnFailure { retries }),
        ("on-failure", Err(_)) => Err(format!("`{}` is no number of attempts", count.unwrap_or_default())),
        ("" | "no", _) if count.is_none() => Ok(RestartPolicy::No),
        ("always", _) if count.is_none() => Ok(RestartPolicy::Always),
        ("unless-stopped", _) if count.is_none() => Ok(RestartPolicy::UnlessStopped),
        ("no" | "always" | "unless-stopped", _) => {
            Err(format!("only `on-failure` takes a number of attempts: `{text}`"))
        }
        _ => Err(format!(
            "`{text}` is no restart policy: `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`"
        )),
    }
}

/// The health check of the file; what it leaves out is the image's, then docker's default.
pub fn health(at: &str, service: &Service, image: &ResolvedImage, problems: &mut Problems) -> Option<HealthSpec> {
    let file = service.healthcheck.clone().unwrap_or_default();
    if file.disable {
        return None;
    }
    let inherited = image.healthcheck.clone().unwrap_or_default();
    let test = if file.test.is_empty() { &inherited.test } else { &file.test };
    let argv = match test.split_first() {
        None => return None,
        Some((kind, _)) if kind == "NONE" => return None,
        Some((kind, words)) if kind == "CMD" && !words.is_empty() => words.to_vec(),
        Some((kind, [text])) if kind == "CMD-SHELL" => vec!["/bin/sh".into(), "-c".into(), text.clone()],
        // Docker joins what should have been one text.
        Some((kind, words)) if kind == "CMD-SHELL" && !words.is_empty() => {
            vec!["/bin/sh".into(), "-c".into(), words.join(" ")]
        }
        Some((kind, _)) => {
            let message = format!("a test begins with `CMD`, `CMD-SHELL` or `NONE` and names a command, not `{kind}`");
            problems.add(format!("{at}.healthcheck.test"), message);
            return None;
        }
    };
    Some(timed(argv, &file, &inherited))
}

fn timed(argv: Vec<String>, file: &HealthCheck, image: &ImageHealthcheck) -> HealthSpec {
    // Zero means "not set", as in docker.
    let pick = |one: Option<Duration>, other: Option<Duration>, default: u64| {
        let set = |time: &Duration| !time.is_zero();
        one.filter(set).or(other.filter(set)).unwrap_or(Duration::from_secs(default))
    };
    let retries = file.retries.map(|number| u32::try_from(number).unwrap_or(u32::MAX)).filter(|number| *number > 0);
    HealthSpec {
        argv,
        interval: pick(file.interval, image.interval, 30),
        timeout: pick(file.timeout, image.timeout, 30),
        retries: retries.or(image.retries.filter(|number| *number > 0)).unwrap_or(3),
        start_period: pick(file.start_period, image.start_period, 0),
        start_interval: pick(file.start_interval, image.start_interval, 5),
    }
}

/// The file's stop signal, else the image's, else SIGTERM; ten seconds unless the file says otherwise.
pub fn stop(at: &str, service: &Service, image: &ResolvedImage, problems: &mut Problems) -> StopSpec {
    let default = StopSpec::default();
    let grace = service.stop_grace_period.unwrap_or(default.grace);
    let named = service.stop_signal.as_deref().filter(|name| !name.is_empty());
    let signal = match named {
        Some(name) => problems.take(format!("{at}.stop_signal"), signal(name)),
        // An image's signal that means nothing is no fault of the file's.
        None => image.stop_signal.as_deref().and_then(|name| signal(name).ok()),
    };
    StopSpec { signal: signal.unwrap_or(default.signal), grace, kill: false }
}

/// Names of the signals 1 to 31 on every architecture that windlass runs on.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The first and the last real-time signal that the C library leaves to programs.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`.
///
/// # Errors
/// When it is none.
pub fn signal(text: &str) -> Result<i32, String> {
    let unknown = || format!("`{text}` is no signal");
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=REAL_TIME.1).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = SIGNALS.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).map_err(|_| unknown());
    }
    let number = match name {
        "IOT" => Some(6),
        "CLD" => Some(17),
        "POLL" => Some(29),
        "RTMIN" => Some(REAL_TIME.0),
        "RTMAX" => Some(REAL_TIME.1),
        _ => {
            let offset = |text: &str| text.parse::<i32>().ok().filter(|number| (0..=30).contains(number));
            let up = name.strip_prefix("RTMIN+").and_then(offset).map(|number| REAL_TIME.0 + number);
            let down = name.strip_prefix("RTMAX-").and_then(offset).map(|number| REAL_TIME.1 - number);
            up.or(down)
        }
    };
    number.ok_or_else(unknown)
}
