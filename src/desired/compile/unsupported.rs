//! Values that cannot be honoured here: each is an error at its place, never ignored in silence. (Attributes that are not
//! done at all are refused by `compose::support`, before.)

use super::Problems;
use crate::compose::model::Service;

/// Tells every value of a service that would have no effect.
pub fn check(at: &str, service: &Service, problems: &mut Problems) {
    let of_ours = |runtime: &str| matches!(runtime, "" | "runc" | "io.containerd.runc.v2");
    let found = [
        (
            service.runtime.as_deref().is_some_and(|runtime| !of_ours(runtime)),
            "runtime",
            "windlass runs containers itself; other runtimes are not possible",
        ),
        (
            service.userns_mode.as_deref().is_some_and(|mode| !matches!(mode, "" | "host")),
            "userns_mode",
            "user namespaces are not done yet: only `host` is",
        ),
    ];
    for (_, key, message) in found.iter().filter(|(is, ..)| *is) {
        problems.add(format!("{at}.{key}"), message);
    }
}
