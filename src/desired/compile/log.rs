//! Where the output of a container goes.

use super::Problems;
use crate::compose::model::{Logging, Service};
use crate::compose::units;
use crate::desired::LogSpec;

/// Options that say what docker writes beside each line, or how it buffers; our files have no place for the former, and
/// our writer never blocks.
const WITHOUT_EFFECT: [&str; 7] = ["labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"];

/// `logging`: json-file (10 MiB × 3 unless the file says otherwise), local (docker's 20 MiB × 5, compressed), none.
pub fn log(at: &str, service: &Service, problems: &mut Problems) -> LogSpec {
    let logging = service.logging.clone().unwrap_or_default();
    let mut log = match logging.driver.as_deref().unwrap_or_default() {
        "" | "json-file" => LogSpec::default(),
        "local" => LogSpec { driver: "local".to_owned(), max_size: 20 << 20, max_file: 5, compress: true },
        "none" => LogSpec { driver: "none".to_owned(), ..LogSpec::default() },
        other => {
            let message = format!("log driver `{other}` is not done yet: json-file, local and none are");
            problems.add(format!("{at}.logging.driver"), message);
            return LogSpec::default();
        }
    };
    if log.driver != "none" {
        options(at, &logging, &mut log, problems);
    }
    log
}

fn options(at: &str, logging: &Logging, log: &mut LogSpec, problems: &mut Problems) {
    for (option, value) in &logging.options {
        let result = match option.as_str() {
            "max-size" => size(value).map(|bytes| log.max_size = bytes),
            "max-file" => {
                let number = value.parse::<u32>().ok().filter(|number| *number > 0);
                number.map(|number| log.max_file = number).ok_or_else(|| format!("`{value}` is no number of files"))
            }
            "compress" => value
                .parse::<bool>()
                .map(|compress| log.compress = compress)
                .map_err(|_| format!("`{value}` is neither `true` nor `false`")),
            known if WITHOUT_EFFECT.contains(&known) => Ok(()),
            _ => Err(format!("log option `{option}` is unknown: max-size, max-file, compress")),
        };
        problems.take(format!("{at}.logging.options.{option}"), result);
    }
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
