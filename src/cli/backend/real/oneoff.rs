//! `run`: a container of its own for one command.

use super::super::super::error::CliError;
use super::super::super::progress::Tell;
use super::super::super::terminal::own_size;
use super::super::Backend as _;
use super::super::{Change, RunWish, Session, Until};
use super::apply;
use super::happenings::Ends;
use super::{Real, failed};
use crate::compose::model::{Mount, Port, Project};
use crate::compose::{LoadOptions, load};
use crate::desired::compile::{CompileError, Run};
use crate::desired::{Desired, Target};
use crate::engine::port::HostError;
use crate::host::container::Shim;
use crate::host::container::client::attach;
use crate::name::{ContainerName, ProjectName};

/// 64 random hexadecimal digits.
///
/// # Errors
/// When the kernel has none.
pub fn random() -> Result<String, CliError> {
    let mut digits = String::new();
    while digits.len() < 64 {
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_err(|e| CliError::failed(format!("can't read random digits from the kernel: {e}")))?;
        digits.extend(uuid.chars().filter(char::is_ascii_hexdigit));
    }
    digits.truncate(64);
    Ok(digits)
}

/// What the flags of `run` come to.
///
/// # Errors
/// A volume or port that can't be read.
pub fn run(wish: &RunWish, project: &Project) -> Result<Run, CompileError> {
    let wrong = |message: String| CompileError { path: "run".into(), message, help: None };
    let (publish, volumes) = as_in_a_file(wish, project).map_err(wrong)?;
    let slug = random().map_err(|e| wrong(e.to_string()))?;
    Ok(Run {
        service: wish.service.clone(),
        slug,
        name: Some(ContainerName::from(wish.name.as_str())),
        command: wish.command.clone(),
        entrypoint: wish.entrypoint.clone(),
        environment: wish.env.iter().map(|pair| variable(pair)).collect(),
        labels: wish.labels.iter().map(|pair| label(pair)).collect(),
        user: wish.user.clone(),
        workdir: wish.workdir.clone(),
        volumes,
        publish,
        service_ports: wish.service_ports,
        use_aliases: wish.use_aliases,
        tty: wish.tty,
        stdin_open: wish.stdin,
        remove: wish.rm,
        cap_add: wish.cap_add.clone(),
        cap_drop: wish.cap_drop.clone(),
    })
}

/// A port or a volume on the command line means what it means in a file: it is read as one.
fn as_in_a_file(wish: &RunWish, project: &Project) -> Result<(Vec<Port>, Vec<Mount>), String> {
    let name = "x";
    let service = serde_json::json!({ "image": name, "ports": wish.publish, "volumes": wish.volumes });
    let file = serde_json::json!({ "name": &*project.name, "services": { name: service } });
    let options = LoadOptions {
        files: vec!["-".into()],
        stdin: Some(file.to_string()),
        cwd: std::env::current_dir().map_err(|e| e.to_string())?,
        no_interpolate: true,
        no_consistency: true,
        ..LoadOptions::default()
    };
    let mut loaded = load(&options).map_err(|d| d.to_string())?;
    let service = loaded.project.services.remove(name).unwrap_or_default();
    Ok((service.ports, service.volumes))
}

/// `KEY=value`; without `=` the value that we have, if any.
fn variable(pair: &str) -> (String, Option<String>) {
    match pair.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (pair.to_owned(), std::env::var(pair).ok()),
    }
}

fn label(pair: &str) -> (String, String) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (key.to_owned(), value.to_owned())
}

impl Real {
    /// Makes the container, connects to it, and only then starts it: nothing that it prints is lost.
    pub(super) async fn run_oneoff(
        &self,
        project: &ProjectName,
        desired: Desired,
        name: &str,
        tell: &Tell,
    ) -> Result<Session, CliError> {
        let mut next = desired;
        let (declared, asked) = loop {
            let declared = next.containers.get_mut(name);
            let declared = declared.ok_or_else(|| CliError::failed(format!("container {name} was not declared")))?;
            declared.target = Target::Created;
            let made = (declared.clone(), next.asked.clone());
            match self.must_settle(project, next, tell).await {
                Err(CliError::Overtaken) => next = self.compile_again(tell).await?,
                settled => break settled.map(|()| made)?,
            }
        };
        let (tty, stdin) = (declared.spec.tty, declared.spec.stdin_open);
        let observed = self.observe_service(project, &declared.spec.service)?;
        let made = observed.containers.values().find(|container| container.spec.name.as_str() == name);
        let id = made.map(|container| container.id.clone());
        let id = id.ok_or_else(|| CliError::failed(format!("container {name} was not made")))?;
        let attached = attach(&self.paths.container_run(&id), stdin).await.map_err(|e| failed(&e))?;
        if let (true, Some((rows, columns))) = (tty, own_size()) {
            // Before the process is there, which may ask for it only once.
            let shim = Shim::visit(&self.paths.container_run(&id)).await.map_err(|e| failed(&e))?;
            shim.resize(rows, columns).await.map_err(|e| failed(&e))?;
        }
        let ends = Ends::listen(&self.paths, project)?;
        // From what holds now: somebody else may have changed the rest meanwhile.
        loop {
            let mut next = self.applied(project)?.ok_or(CliError::Overtaken)?;
            next.generation += 1;
            next.asked.clone_from(&asked);
            if let Some(declared) = next.containers.get_mut(name) {
                declared.target = Target::Running;
            }
            match self.must_settle(project, next, tell).await {
                Err(CliError::Overtaken) => {}
                settled => break settled?,
            }
        }
        self.session(&id, attached, tty, stdin, Box::pin(ends.of(name.to_owned(), declared.auto_remove))).await
    }

    async fn must_settle(&self, project: &ProjectName, desired: Desired, tell: &Tell) -> Result<(), CliError> {
        let change = Change::Declare(Box::new(desired));
        let outcome = apply::apply(&self.paths, project, change, Until::Done, tell).await?;
        let Some(failure) = outcome.failures.first() else { return Ok(()) };
        let error = HostError { message: failure.reason.clone(), transient: false, code: None };
        Err(CliError::Start { code: outcome.code.unwrap_or(125), error })
    }
}
