//! Who gets the lines of a container, with its names looked up and its texts made.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use regex::Regex;

use super::MachineError;
use crate::desired::{ContainerSpec, ForwardSpec, LogReceiver, Stamp, Tag};
use crate::host::container::{ShimError, StartError};
use crate::host::logs::{self, Forward, Origin, Target};
use crate::name::ContainerId;

/// Where programs find this machine's syslog.
const SYSLOG: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// Where this machine's journal takes lines.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The receiver of a container's lines; `None`: there is only the log itself.
///
/// # Errors
/// Where its name has no address.
pub async fn of(id: &ContainerId, spec: &ContainerSpec, created: &Stamp) -> Result<Option<Forward>, MachineError> {
    let Some(forward) = spec.log.forward.as_deref() else { return Ok(None) };
    let failed = |message: String| MachineError::Shim(ShimError::Failed(StartError::new("log", message)));
    let origin = origin(id, spec, created);
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let tag = Tag(&forward.tag).render(|field| field_of(field, &origin, &host)).map_err(failed)?;
    let targets = targets(&forward.receiver).await.map_err(failed)?;
    let datagrams = matches!(forward.receiver, LogReceiver::Udp { .. } | LogReceiver::Unixgram { .. });
    Ok(Some(Forward {
        receiver: forward.receiver.to_string(),
        targets,
        required: !datagrams && !forward.optional,
        buffer: forward.buffer,
        format: forward.format.clone(),
        tag,
        host,
        extra: extra(forward, spec),
        origin,
    }))
}

fn origin(id: &ContainerId, spec: &ContainerSpec, created: &Stamp) -> Origin {
    Origin {
        id: id.to_string(),
        name: spec.name.to_string(),
        image_id: spec.image.id.to_string(),
        image: spec.image.name.clone(),
        command: spec.argv.join(" "),
        created: logs::format_time(created.wall),
    }
}

/// The value of a field of a tag.
fn field_of(field: &str, origin: &Origin, host: &str) -> String {
    let short = |text: &str| text.chars().take(12).collect();
    match field {
        "ID" => short(&origin.id),
        "FullID" => origin.id.clone(),
        "Name" => origin.name.clone(),
        // As docker: with what stands before the digits.
        "ImageID" => short(&origin.image_id),
        "ImageFullID" => origin.image_id.clone(),
        "ImageName" => origin.image.clone(),
        "Command" => origin.command.clone(),
        "Hostname" => host.to_owned(),
        _ => "windlass".to_owned(),
    }
}

/// The addresses of a receiver. Names are asked for here, where nobody waits meanwhile.
async fn targets(receiver: &LogReceiver) -> Result<Vec<Target>, String> {
    let both = |path: &str| [Target::Unixgram(path.into()), Target::Unix(path.into())];
    Ok(match receiver {
        LogReceiver::Syslog => SYSLOG.iter().flat_map(|path| both(path)).collect(),
        LogReceiver::Journal => vec![Target::Unixgram(PathBuf::from(JOURNAL))],
        LogReceiver::Unix { path } => vec![Target::Unix(path.clone())],
        LogReceiver::Unixgram { path } => vec![Target::Unixgram(path.clone())],
        LogReceiver::Udp { host, port } => addresses(receiver, host, *port).await?.map(Target::Udp).collect(),
        LogReceiver::Tcp { host, port } => addresses(receiver, host, *port).await?.map(Target::Tcp).collect(),
    })
}

async fn addresses(
    receiver: &LogReceiver,
    host: &str,
    port: u16,
) -> Result<impl Iterator<Item = SocketAddr> + use<>, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let mut found: Vec<SocketAddr> = found.map_err(|error| format!("cannot find {receiver}: {error}"))?.collect();
    if matches!(receiver, LogReceiver::Udp { .. }) {
        // Nobody answers datagrams, so the first address is the one: most receivers of them listen on IPv4.
        found.sort_by_key(SocketAddr::is_ipv6);
    }
    if found.is_empty() {
        return Err(format!("cannot find {receiver}: the name has no address"));
    }
    Ok(found.into_iter())
}

/// The labels and variables that are told with each line.
fn extra(forward: &ForwardSpec, spec: &ContainerSpec) -> BTreeMap<String, String> {
    let labels = spec.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env = spec.env.iter().filter_map(|variable| variable.split_once('='));
    let mut extra = BTreeMap::new();
    pick(labels, &forward.labels, forward.labels_regex.as_deref(), &mut extra);
    pick(env, &forward.env, forward.env_regex.as_deref(), &mut extra);
    extra
}

fn pick<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    names: &[String],
    expression: Option<&str>,
    into: &mut BTreeMap<String, String>,
) {
    // It was checked with the file.
    let expression = expression.and_then(|text| Regex::new(text).ok());
    let wanted = |name: &str| {
        names.iter().any(|known| known == name) || expression.as_ref().is_some_and(|regex| regex.is_match(name))
    };
    into.extend(all.filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_owned(), value.to_owned())));
}
