//! How readily the kernel kills the container's processes when memory is short.

use std::fs;

/// Sets the score of this process, which its children inherit: the shim's own is not theirs. Returns what could not be
/// done: a value below the inherited one needs CAP_SYS_RESOURCE, and a container that starts is better than none.
pub(crate) fn adjust(wanted: Option<i32>) -> Option<String> {
    let value = wanted.unwrap_or(0);
    match (fs::write("/proc/self/oom_score_adj", value.to_string()), wanted) {
        (Err(cause), Some(_)) => {
            Some(format!("oom_score_adj stays as it was: setting it to {value} needs CAP_SYS_RESOURCE ({cause})"))
        }
        _ => None,
    }
}
