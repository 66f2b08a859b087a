//! `windlass demo`: a stack of three services out of one image, which is this very program. It needs no registry, no
//! network and nothing on the machine.

pub mod service;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::backend::real::Real;
use super::backend::{Backend, Change, Edit, LockUse, Until, UpWish};
use super::error::{CliError, ExitStatus};
use super::output::Output;
use super::progress::Progress;
use super::settings::{ProgressMode, ProjectFiles};
use crate::host::image::{Content, NewFile, NewImage, Quiet, Store, Watcher};
use crate::host::machine::with_causes;
use crate::host::paths::Paths;
use crate::name::ProjectName;

/// The hidden verb of the services.
pub const VERB: &str = "__demo";

/// The image that it is made of.
pub const IMAGE: &str = "windlass.local/demo";
/// The project's name.
pub const PROJECT: &str = "windlass-demo";

/// What takes it down.
pub fn removal() -> Edit {
    Edit::Down {
        services: Default::default(),
        timeout: None,
        volumes: true,
        declared: Default::default(),
        remove_orphans: true,
    }
}

/// Brings the demo up and says where to look; or removes all of it.
///
/// # Errors
/// What could not be made.
pub async fn run(backend: &Real, paths: &Paths, down: bool, output: &Output) -> Result<ExitStatus, CliError> {
    let project = ProjectName::from(PROJECT);
    if down {
        return take_down(backend, paths, &project, output).await;
    }
    make_image(paths).await?;
    let file = compose_file(paths)?;
    let files = ProjectFiles { files: vec![file], ..ProjectFiles::default() };
    let loaded = backend.load(&files, &[], LockUse::Ignore)?;
    let mut progress = Progress::new(output, ProgressMode::Auto);
    let work = |tell| async move {
        let desired = backend.compile(&loaded.project, &UpWish::default(), &tell).await?;
        backend.apply(&loaded.project.name, Change::Declare(Box::new(desired)), Until::Healthy, &tell).await
    };
    let outcome = progress.show("Running", work).await?;
    if let Some(failure) = outcome.failures.first() {
        return Err(CliError::failed(failure.reason.clone()));
    }
    let port = published(backend, &project)?;
    output.line(&format!(
        "\nThe demo is up: a page, an API behind it, a store with a volume.\n\n  http://127.0.0.1:{port}/\n"
    ))?;
    output.line(&format!("Look at it:      windlass -p {PROJECT} ps"))?;
    output.line(&format!("Its logs:        windlass -p {PROJECT} logs"))?;
    output.line("Take it down:    windlass demo --down")?;
    Ok(ExitStatus::DONE)
}

async fn take_down(
    backend: &Real,
    paths: &Paths,
    project: &ProjectName,
    output: &Output,
) -> Result<ExitStatus, CliError> {
    let mut progress = Progress::new(output, ProgressMode::Auto);
    let work = |tell| async move { backend.apply(project, Change::Edit(removal()), Until::Done, &tell).await };
    let outcome = progress.show("Removing", work).await?;
    for warning in &outcome.warnings {
        output.warn(warning)?;
    }
    // An image that was never made needs no removal.
    let _ = backend.image_remove(IMAGE, true);
    let folder = paths.root.join("demo");
    match fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(CliError::failed(format!("can't remove {}: {e}", folder.display())))
        }
        _ => Ok(ExitStatus::DONE),
    }
}

/// An image of one file: this program.
async fn make_image(paths: &Paths) -> Result<(), CliError> {
    let failed = |e: &dyn std::error::Error| CliError::failed(with_causes(e));
    let store = Store::open(&paths.root).map_err(|e| failed(&e))?;
    let folder = |path: &str| NewFile { path: path.into(), mode: 0o755, content: Content::Folder };
    let program =
        NewFile { path: "windlass".into(), mode: 0o755, content: Content::File(PathBuf::from("/proc/self/exe")) };
    let image = NewImage {
        name: IMAGE.into(),
        files: vec![folder("data"), folder("etc"), program],
        config: json!({ "Entrypoint": ["/windlass", VERB] }),
    };
    let quiet: Watcher = Arc::new(Quiet);
    store.make(image, &quiet).await.map(drop).map_err(|e| failed(&e))
}

/// The stack's compose file, where `-f` finds it as any other.
fn compose_file(paths: &Paths) -> Result<PathBuf, CliError> {
    let folder = paths.root.join("demo");
    let file = folder.join("compose.yaml");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, include_str!("compose.yaml")))
        .map_err(|e| CliError::failed(format!("can't write {}: {e}", file.display())))?;
    Ok(file)
}

fn published(backend: &Real, project: &ProjectName) -> Result<u16, CliError> {
    let observed = backend.observe(project)?;
    let mut ports = observed.containers.values().flat_map(|container| &container.ports);
    ports.next().map(|port| port.published).ok_or_else(|| CliError::failed("the demo has no published port"))
}
