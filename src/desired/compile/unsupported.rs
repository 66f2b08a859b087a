//! Attributes that cannot be honoured here: each is an error at its place, never ignored in silence.

use super::Problems;
use crate::compose::model::Service;

/// Tells every attribute of a service that would have no effect.
pub fn check(at: &str, service: &Service, problems: &mut Problems) {
    let deploy = service.deploy.as_ref();
    let reserved = deploy.and_then(|deploy| deploy.resources.reservations.as_ref());
    let of_ours = |runtime: &str| matches!(runtime, "" | "runc" | "io.containerd.runc.v2");
    let found = [
        (service.provider.is_some(), "provider", "programs that provide a service are not done yet"),
        (!service.gpus.is_empty(), "gpus", "graphics processors are not done yet; name device nodes under `devices`"),
        (
            reserved.is_some_and(|reserved| !reserved.devices.is_empty()),
            "deploy.resources.reservations.devices",
            "devices by capability are not done yet; name device nodes under `devices`",
        ),
        (!service.models.is_empty(), "models", "models are not done yet"),
        (!service.post_start.is_empty(), "post_start", "hooks are not done yet"),
        (!service.pre_stop.is_empty(), "pre_stop", "hooks are not done yet"),
        (service.use_api_socket, "use_api_socket", "there is no API socket yet"),
        (!service.storage_opt.is_empty(), "storage_opt", "quotas of the root file system are not done yet"),
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
        (
            service.isolation.as_deref().is_some_and(|mode| !matches!(mode, "" | "default")),
            "isolation",
            "isolation is of Windows only",
        ),
        (service.ipc.as_deref() == Some("none"), "ipc", "`ipc: none` is not done yet"),
    ];
    for (_, key, message) in found.iter().filter(|(is, ..)| *is) {
        problems.add(format!("{at}.{key}"), message);
    }
}
