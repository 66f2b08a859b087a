//! The OCI runtime that a service names.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Problems, Request};
use crate::compose::model::{Project, Service};
use crate::desired::RuntimeSpec;
use crate::name::ServiceName;

/// Names that are not the program's own.
const PROGRAMS: [(&str, &str); 3] =
    [("gvisor", "runsc"), ("kata", "kata-runtime"), ("nvidia", "nvidia-container-runtime")];

/// What brings a program, where that is not a package of its name.
const SOURCES: [(&str, &str); 2] = [
    ("kata-runtime", "install Kata Containers (1.x: later ones have no OCI command line, only a part of containerd)"),
    (
        "nvidia-container-runtime",
        "install the NVIDIA Container Toolkit; or take `runtime` out and ask for the devices: `gpus: all`",
    ),
];

/// The program that a name stands for: itself, one of the table, or NAME of `io.containerd.NAME.v2`, as docker calls what
/// it has by itself.
fn program(name: &str) -> &str {
    let inner = name.strip_prefix("io.containerd.").and_then(|rest| rest.rsplit_once(".v")).map(|(inner, _)| inner);
    let name = inner.unwrap_or(name);
    PROGRAMS.iter().find(|(known, _)| *known == name).map_or(name, |(_, program)| program)
}

fn named(service: &Service) -> Option<&str> {
    service.runtime.as_deref().filter(|name| !name.is_empty())
}

/// The programs of all runtimes that services name; where they are on this machine must be in
/// [`Request::programs`].
pub fn wanted_programs(project: &Project) -> BTreeSet<String> {
    project.services.values().filter_map(named).map(|name| program(name).to_owned()).collect()
}

/// Docker has it by itself and runs all with it, so that files name it which mean no more than "as ever".
const DEFAULT: &str = "runc";

/// The services that name docker's default runtime where it is not installed: windlass itself runs them.
pub fn without_default<'a>(project: &'a Project, request: &Request) -> Vec<&'a ServiceName> {
    let missing = request.programs.get(DEFAULT).is_none_or(Option::is_none);
    let wants = |service: &Service| named(service).is_some_and(|name| program(name) == DEFAULT);
    project.services.iter().filter(|(_, service)| missing && wants(service)).map(|(name, _)| name).collect()
}

/// The runtime of a service; `None`: windlass itself.
pub fn runtime(at: &str, service: &Service, request: &Request, problems: &mut Problems) -> Option<RuntimeSpec> {
    let name = named(service)?;
    let (path, program) = (format!("{at}.runtime"), program(name));
    if program.contains('/') && !program.starts_with('/') {
        problems.add(path, format!("`{name}` is neither a program's name nor an absolute path"));
        return None;
    }
    if let Some(Some(found)) = request.programs.get(program) {
        return Some(RuntimeSpec { name: name.to_owned(), program: found.clone() });
    }
    if program == DEFAULT {
        return None;
    }
    let missing = if Path::new(program).is_absolute() {
        format!("there is no program `{program}`")
    } else {
        format!("the OCI runtime `{name}` is not installed: there is no program `{program}` in PATH")
    };
    let source = SOURCES.iter().find(|(known, _)| *known == program).map(|(_, how)| (*how).to_owned());
    let help = source.unwrap_or_else(|| {
        format!("install it (Debian: `apt-get install {program}`), or take `runtime` out: windlass needs none")
    });
    if Path::new(program).is_absolute() {
        problems.add(path, missing);
    } else {
        problems.add_with_help(path, missing, help);
    }
    None
}
