//! What a container that keeps a project from coming up has printed last, and how its last health check went.

use std::collections::BTreeSet;

use crate::host::ledger::{container, project as ledger};
use crate::host::logs::{Options, Reader};
use crate::host::paths::Paths;
use crate::name::{ContainerId, ContainerName, ProjectName};

/// So many of its last lines.
const LINES: u64 = 10;

/// A paragraph for each thing that there is to show of these containers.
pub fn of(paths: &Paths, project: &ProjectName, culprits: &BTreeSet<ContainerName>) -> Vec<String> {
    let mut told = Vec::new();
    for id in ledger::containers(paths, project).unwrap_or_default() {
        let Ok(Some(made)) = container::made(paths, &id) else { continue };
        let spec = made.spec;
        if !culprits.contains(&spec.name) {
            continue;
        }
        let folder = paths.logs(&spec, &id);
        let options = Options { tail: Some(LINES), ..Options::default() };
        let entries = Reader::open(&folder, &options).into_iter().flatten().flatten();
        let lines = entries.map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned()).collect::<String>();
        told.extend(paragraph(&format!("the last output of {}:", spec.name), &lines));
        told.extend(health(paths, &id, &spec.name));
    }
    told
}

fn health(paths: &Paths, id: &ContainerId, name: &ContainerName) -> Option<String> {
    let last = container::health(paths, id).ok().flatten()?.last.filter(|last| last.code != 0)?;
    paragraph(&format!("the last health check of {name} ended with {}:", last.code), &last.output)
}

fn paragraph(head: &str, text: &str) -> Option<String> {
    let lines: Vec<String> = text.lines().map(|line| format!("\n    {line}")).collect();
    (!lines.is_empty()).then(|| format!("{head}{}", lines.concat()))
}
