//! What becomes of attributes that `config` passes and one Linux host, or this program, cannot carry out: the one table of
//! it. `plan` and `up` tell it at the attribute's place; docs/compose-support.md is written from it.
//!
//! What depends on the image, the addresses or the files of the machine is told by `desired::compile`.

mod document;
mod seen;

use super::Loaded;
use super::node::{Kind, Map, Node};
use crate::diag::{Code, Diagnostic};

pub use document::document;
pub use seen::{SEEN, seen};

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It is refused.
    Refused(&'static str),
    /// It is refused, unless it has one of these values.
    Only(&'static [&'static str], &'static str),
    /// It has no effect, and nothing is lost by that.
    NoEffect(&'static str),
    /// It is carried out, and nobody has seen it work on a machine of ours.
    Untested(&'static str),
    /// It is carried out, but not everywhere: the whole of what the table says.
    But(&'static str),
}
use Fate::{But, NoEffect, Only, Refused, Untested};

/// Paths (`*`: any key or item) and what becomes of what stands there.
pub const FATES: &[(&str, Fate)] = &[
    ("services.*.credential_spec", NoEffect("credential specs are of Windows only")),
    ("services.*.cpu_count", NoEffect("it is of Windows only; use `cpus`")),
    ("services.*.cpu_percent", NoEffect("it is of Windows only; use `cpus`")),
    ("services.*.isolation", Only(&["", "default"], "isolation is of Windows only")),
    ("services.*.use_api_socket", Refused("there is no API socket yet")),
    (
        "services.*.storage_opt",
        Refused(
            "a limit of the root file system needs project quotas below overlayfs, which windlass does not set up; put what grows into a volume of type tmpfs with `size`",
        ),
    ),
    (
        "services.*.volumes.*.type",
        Only(&["bind", "volume", "tmpfs", "image"], "there are neither Windows pipes nor a swarm here"),
    ),
    ("services.*.userns_mode", Only(&["", "host"], "user namespaces are not done yet: only `host` is")),
    ("services.*.deploy.placement.constraints", NoEffect("there is one host")),
    ("services.*.deploy.placement.preferences", NoEffect("there is one host")),
    ("services.*.deploy.placement.max_replicas_per_node", NoEffect("there is one host")),
    ("services.*.deploy.resources.reservations.cpus", NoEffect("one host cannot set processors aside")),
    ("services.*.deploy.resources.reservations.generic_resources", NoEffect("it is of a swarm only")),
    ("services.*.deploy.endpoint_mode", NoEffect("DNS tells the addresses of all replicas")),
    (
        "services.*.deploy.update_config",
        NoEffect("containers are replaced as fast as dependencies allow, as docker compose does"),
    ),
    ("services.*.deploy.rollback_config", NoEffect("nothing is rolled back by itself, as in docker compose")),
    ("services.*.volumes.*.consistency", NoEffect("mounts are always consistent on Linux")),
    ("services.*.ports.*.mode", NoEffect("on one host `ingress` and `host` are the same")),
    ("services.*.ports.*.name", NoEffect("it is for people")),
    ("services.*.ports.*.app_protocol", NoEffect("it is for people")),
    ("networks.*.ipam.options", NoEffect("the built-in address driver has no options")),
    ("networks.*.attachable", NoEffect("every network is")),
    ("services.*.expose", NoEffect("only shown by `ps`; containers on one network reach every port of one another")),
    ("version", NoEffect("there is one version of the format")),
    ("services.*.cpu_rt_period", But("done, but cgroup v2 has no real-time groups: there it is told")),
    ("services.*.cpu_rt_runtime", But("done, but cgroup v2 has no real-time groups: there it is told")),
    (
        "services.*.logging.driver",
        But(
            "done for `json-file`, `local`, `none`, `syslog`, `journald`, `gelf` and `fluentd` (none with TLS); others are refused",
        ),
    ),
    ("networks.*.driver", But("done for `bridge`, `macvlan` and `ipvlan` only; others are refused")),
    ("networks.*.ipam.driver", But("done for `default` only; others are refused")),
    ("volumes.*.driver", But("done for `local` only; others are refused")),
    ("secrets.*.external", But("**refused** where a service uses it: it needs a swarm")),
    ("secrets.*.driver", But("**refused** where a service uses it: it needs a swarm")),
    ("secrets.*.driver_opts", But("**refused** where a service uses it: it needs a swarm")),
    ("secrets.*.template_driver", But("**refused** where a service uses it: it needs a swarm")),
    ("configs.*.external", But("**refused** where a service uses it: it needs a swarm")),
    ("configs.*.template_driver", But("**refused** where a service uses it: it needs a swarm")),
    (
        "services.*.cgroup_parent",
        But("done; where systemd runs the machine it is the name of a slice, others are refused"),
    ),
    ("services.*.gpus", Untested("we have no GPU; devices named by CDI are tested with a made-up one")),
    (
        "services.*.deploy.resources.reservations.devices",
        Untested("we have no GPU; devices named by CDI are tested with a made-up one"),
    ),
    (
        "services.*.volumes.*.bind.selinux",
        Untested("no machine of ours enforces SELinux: only that a label is set is tested"),
    ),
    ("secrets.*.labels", But("no effect, and not told: on one host there is nothing that has them")),
    ("configs.*.labels", But("no effect, and not told: on one host there is nothing that has them")),
    ("secrets.*.name", But("no effect, and not told: the name of an object of a swarm")),
    ("configs.*.name", But("no effect, and not told: the name of an object of a swarm")),
    ("models.*.name", But("no effect, and not told: a model goes by its `model`")),
    ("services.*.blkio_config.weight", Untested("no disk of ours has a scheduler with weights")),
    ("services.*.blkio_config.weight_device", Untested("no disk of ours has a scheduler with weights")),
];

/// Patterns whose values are defaults that everybody has: nothing is told of them.
const QUIET: [&str; 5] = [
    "services.*.ports.*.mode",
    "services.*.ports.*.name",
    "services.*.ports.*.app_protocol",
    "services.*.expose",
    "version",
];

/// All attributes of a project that will not be carried out, with their places: errors for what would be lost, warnings
/// for what has no meaning here.
pub fn unsupported(loaded: &Loaded) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (pattern, fate) in FATES.iter().filter(|(pattern, _)| !QUIET.contains(pattern)) {
        let mut steps: Vec<&str> = pattern.split('.').collect();
        steps.reverse();
        visit(&loaded.tree, steps, &mut String::new(), *fate, &mut found);
    }
    restart(loaded, &mut found);
    idle_ports(loaded, &mut found);
    found.extend(super::looks::refused(&loaded.tree));
    no_context(loaded, &mut found);
    found.sort_by_key(|diag| (diag.severity(), diag.span().unwrap_or_default()));
    found
}

/// Errors among [`unsupported`].
pub fn refused(loaded: &Loaded) -> Vec<Diagnostic> {
    unsupported(loaded).into_iter().filter(Diagnostic::is_error).collect()
}

/// What is told beside them, once for each change of the project: what has no effect.
pub fn without_effect(loaded: &Loaded) -> Vec<Diagnostic> {
    let told = unsupported(loaded).into_iter().filter(|diag| !diag.is_error());
    told.map(Diagnostic::once).collect()
}

/// What is told of the value at the end of a pattern.
fn tell(node: &Node, path: &str, fate: Fate) -> Option<Diagnostic> {
    let refused = |why| Diagnostic::new(Code::Refused, format!("`{path}` cannot be carried out: {why}"));
    match fate {
        Refused(why) => Some(refused(why).at(node.place(), "not done")),
        Only(values, _) if node.as_str().is_some_and(|text| values.contains(&text)) => None,
        Only(_, why) => Some(refused(why).at(node.span, "not done")),
        NoEffect(why) => {
            let diag = Diagnostic::new(Code::NoEffect, format!("`{path}` has no effect: {why}"));
            Some(diag.at(node.place(), "no effect"))
        }
        Untested(_) | But(_) => None,
    }
}

/// Follows a pattern's steps, the next one last, and tells of what stands at its end.
fn visit(node: &Node, mut steps: Vec<&str>, path: &mut String, fate: Fate, found: &mut Vec<Diagnostic>) {
    let Some(step) = steps.pop() else {
        found.extend(tell(node, path, fate));
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

/// Ports of a service that is on the host's network, on none, on internal ones only, or reached by its own address.
fn idle_ports(loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    let driver = |key: &str| loaded.tree.get("networks")?.get(key)?.get("driver")?.as_str();
    for (name, service) in super::bind::services(&loaded.tree) {
        let Some(ports) = service.get("ports").filter(|ports| ports.as_list().is_some_and(|list| !list.is_empty()))
        else {
            continue;
        };
        let mode = service.get("network_mode").and_then(Node::as_str);
        let networks: Vec<&String> =
            service.get("networks").and_then(Node::as_map).into_iter().flat_map(Map::keys).collect();
        let direct = |key: &&String| matches!(driver(key), Some("macvlan" | "ipvlan"));
        let is_internal = |key: &String| loaded.project.networks.get(key).is_some_and(|network| network.internal);
        let mut on =
            loaded.project.services.get(name.as_str()).into_iter().flat_map(|one| one.networks.keys()).peekable();
        let why = match mode {
            Some("host") => "on the host's network each port is the host's already",
            Some("none") => "without a network there is no way in",
            _ if !networks.is_empty() && networks.iter().all(direct) => {
                "on a macvlan or ipvlan a container is reached by its own address"
            }
            _ if on.peek().is_some() && on.all(is_internal) => {
                "on an internal network nobody outside reaches a container"
            }
            _ => continue,
        };
        let message = format!("`services.{name}.ports` has no effect: {why}");
        found.push(Diagnostic::new(Code::NoEffect, message).at(ports.place(), "no effect"));
    }
}

/// `build: ""` is a build of nothing, which `config` prints.
fn no_context(loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    for (name, service) in super::bind::services(&loaded.tree) {
        let Some(build) = service.get("build").filter(|build| build.get("context").is_none()) else { continue };
        let diag = Diagnostic::new(Code::Unusable, format!("`services.{name}.build` has no context"));
        found.push(diag.at(build.place(), "").help("name a folder, or leave `build` out"));
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
            let diag = Diagnostic::new(Code::UnknownWord, format!("`services.{name}.restart` cannot be `{text}`"))
                .at(node.span, "one of no, always, on-failure[:attempts], unless-stopped")
                .did_you_mean(policy, KNOWN);
            found.push(diag);
        }
    }
}
