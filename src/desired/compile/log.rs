//! Where the output of a container goes.

mod forward;
mod receiver;

use self::forward::Forward;
use super::Problems;
use crate::compose::model::{Logging, Service};
use crate::compose::units;
use crate::desired::LogSpec;

/// Options that say what docker writes beside each line, or how it buffers; our files have no place for the former, and
/// our writer never blocks.
const WITHOUT_EFFECT: [&str; 7] = ["labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"];

/// `logging`: json-file (10 MiB × 3 unless the file says otherwise), local (docker's 20 MiB × 5, compressed), none; or a
/// driver that gets each line too, whose own files are as docker's `local` then.
pub fn log(at: &str, service: &Service, problems: &mut Problems) -> LogSpec {
    let logging = service.logging.clone().unwrap_or_default();
    let driver = logging.driver.as_deref().unwrap_or_default();
    let local = |driver: &str| LogSpec {
        driver: driver.to_owned(),
        max_size: 20 << 20,
        max_file: 5,
        compress: true,
        ..LogSpec::default()
    };
    let forward = Forward::new(driver);
    let mut log = match driver {
        "" | "json-file" => LogSpec::default(),
        "none" => return LogSpec { driver: "none".to_owned(), ..LogSpec::default() },
        "local" => local(driver),
        other if forward.is_some() => local(other),
        other => {
            let known = forward::DRIVERS.join(", ");
            let message = format!("log driver `{other}` is not done yet: json-file, local, none, {known} are");
            problems.add(format!("{at}.logging.driver"), message);
            return LogSpec::default();
        }
    };
    options(at, &logging, &mut log, forward, problems);
    log
}

fn options(at: &str, logging: &Logging, log: &mut LogSpec, mut forward: Option<Forward>, problems: &mut Problems) {
    for (option, value) in &logging.options {
        let result = own(log, option, value).or_else(|| match &mut forward {
            Some(forward) => forward.option(option, value),
            None => WITHOUT_EFFECT.contains(&option.as_str()).then_some(Ok(())),
        });
        let unknown = || {
            let driver = if forward.is_some() { format!(" to {}", log.driver) } else { String::new() };
            let known = forward.as_ref().map(Forward::known).unwrap_or_default();
            Err(format!("log option `{option}` is unknown{driver}: max-size, max-file, compress{known}"))
        };
        problems.take(format!("{at}.logging.options.{option}"), result.unwrap_or_else(unknown));
    }
    if let Some(forward) = forward {
        let spec = problems.take(format!("{at}.logging.options"), forward.finish());
        log.forward = spec.map(Box::new);
    }
}

/// An option of our own files, also under the name that docker has beside a driver that has no files; `None`: it is none.
fn own(log: &mut LogSpec, option: &str, value: &str) -> Option<Result<(), String>> {
    Some(match option.strip_prefix("cache-").filter(|_| log.driver != "json-file").unwrap_or(option) {
        "max-size" => size(value).map(|bytes| log.max_size = bytes),
        "max-file" => {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            number.map(|number| log.max_file = number).ok_or_else(|| format!("`{value}` is no number of files"))
        }
        "compress" => boolean(value).map(|compress| log.compress = compress),
        "disabled" if option == "cache-disabled" => match boolean(value) {
            Ok(true) => Err("our own files can't be left out: `logs` and `attach` are read from them".to_owned()),
            other => other.map(drop),
        },
        _ => return None,
    })
}

/// -1 is without limit.
fn size(text: &str) -> Result<u64, String> {
    match units::bytes(text)? {
        -1 => Ok(u64::MAX),
        bytes => match u64::try_from(bytes) {
            Ok(bytes) if bytes > 0 => Ok(bytes),
            _ => Err(format!("`{text}` is no size for a log file")),
        },
    }
}

fn boolean(value: &str) -> Result<bool, String> {
    value.parse::<bool>().map_err(|_| format!("`{value}` is neither `true` nor `false`"))
}
