//! Attributes of the specification that nothing carries out on one Linux host: `config` passes them, `plan` and `up` do
//! not pass them in silence. What later stages cannot do with a value they tell themselves ([`Loaded::explain`]).

use super::Loaded;
use super::node::{Kind, Node};
use crate::diag::{Diagnostic, Severity};

/// What becomes of an attribute.
#[derive(Clone, Copy)]
enum Fate {
    /// It is refused.
    Refused(&'static str),
    /// It has no effect, and nothing is lost by that.
    NoEffect(&'static str),
}
use Fate::{NoEffect, Refused};

/// Paths (`*`: any key or item) and what becomes of what stands there.
const FATES: [(&str, Fate); 17] = [
    ("services.*.credential_spec", Refused("credential specs are of Windows only")),
    ("services.*.cpu_count", Refused("it is of Windows only; use `cpus`")),
    ("services.*.cpu_percent", Refused("it is of Windows only; use `cpus`")),
    ("services.*.isolation", Refused("isolation is of Windows only")),
    ("services.*.use_api_socket", Refused("there is no API socket yet")),
    ("services.*.storage_opt", Refused("quotas of the root file system are not done yet")),
    ("services.*.deploy.placement.constraints", NoEffect("there is one host")),
    ("services.*.deploy.placement.preferences", NoEffect("there is one host")),
    ("services.*.deploy.placement.max_replicas_per_node", NoEffect("there is one host")),
    ("services.*.deploy.resources.reservations.cpus", NoEffect("one host cannot set processors aside")),
    ("services.*.deploy.resources.reservations.generic_resources", NoEffect("it is of a swarm only")),
    ("services.*.deploy.endpoint_mode", NoEffect("DNS tells the addresses of all replicas")),
    ("services.*.deploy.update_config", NoEffect("updates in steps are not done yet")),
    ("services.*.deploy.rollback_config", NoEffect("roll backs are not done yet")),
    ("services.*.volumes.*.consistency", NoEffect("mounts are always consistent on Linux")),
    ("networks.*.ipam.options", NoEffect("the built-in address driver has no options")),
    ("networks.*.attachable", NoEffect("every network is")),
];

/// All attributes of a project that will not be carried out, with their places: errors for what would be lost, warnings
/// for what has no meaning here.
pub fn unsupported(loaded: &Loaded) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (pattern, fate) in FATES {
        let mut steps: Vec<&str> = pattern.split('.').collect();
        steps.reverse();
        visit(&loaded.tree, steps, &mut String::new(), fate, &mut found);
    }
    restart(loaded, &mut found);
    found.sort_by_key(|diag| (diag.severity, diag.span().unwrap_or_default()));
    found
}

/// Errors among [`unsupported`].
pub fn refused(loaded: &Loaded) -> Vec<Diagnostic> {
    unsupported(loaded).into_iter().filter(|diag| diag.severity == Severity::Error).collect()
}

/// Follows a pattern's steps, the next one last, and tells of what stands at its end.
fn visit(node: &Node, mut steps: Vec<&str>, path: &mut String, fate: Fate, found: &mut Vec<Diagnostic>) {
    let Some(step) = steps.pop() else {
        let (diag, why) = match fate {
            Refused(why) => (Diagnostic::error(format!("`{path}` cannot be carried out: {why}")), "not done"),
            NoEffect(why) => (Diagnostic::warning(format!("`{path}` has no effect: {why}")), "no effect"),
        };
        found.push(diag.at(node.place(), why));
        return;
    };
    let mut enter = |name: String, child: &Node| {
        let length = path.len();
        if length > 0 && !name.starts_with('[') {
            path.push('.');
        }
        path.push_str(&name);
        visit(child, steps.clone(), path, fate, found);
        path.truncate(length);
    };
    match (&node.kind, step) {
        (Kind::Map(map), "*") => map.iter().for_each(|(key, child)| enter(key.clone(), child)),
        (Kind::List(list), "*") => list.iter().enumerate().for_each(|(at, child)| enter(format!("[{at}]"), child)),
        (Kind::Map(map), step) => {
            if let Some(child) = map.get(step) {
                enter(step.to_owned(), child);
            }
        }
        _ => {}
    }
}

/// `config` passes any text as a restart policy; only these are ones.
fn restart(loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    const KNOWN: [&str; 4] = ["no", "always", "on-failure", "unless-stopped"];
    for (name, service) in super::bind::services(&loaded.tree) {
        let Some((node, text)) = service.get("restart").and_then(|node| Some((node, node.as_str()?))) else { continue };
        let (policy, count) = text.split_once(':').map_or((text, None), |(policy, count)| (policy, Some(count)));
        let counted = count.is_none_or(|count| policy == "on-failure" && count.parse::<u32>().is_ok());
        if !(KNOWN.contains(&policy) && counted) {
            let diag = Diagnostic::error(format!("`services.{name}.restart` cannot be `{text}`"))
                .at(node.span, "one of no, always, on-failure[:attempts], unless-stopped")
                .did_you_mean(policy, KNOWN);
            found.push(diag);
        }
    }
}
