//! Models: docker's model runner (`docker-model`) fetches and serves them; services learn where by two variables.

use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use super::super::super::super::error::CliError;
use super::super::super::super::progress::{Kind, Phase, Report, Tell};
use super::program;
use crate::compose::model::{Model, Project};

#[derive(Deserialize)]
struct Status {
    endpoint: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    tags: Vec<String>,
}

/// Has the models of the project there, and tells the services that use them.
pub(super) async fn provide(project: &mut Project, rehearsal: bool, tell: &Tell) -> Result<(), CliError> {
    let runner = program::plugin("model").ok_or_else(|| {
        CliError::with_help(
            "the project uses models, and there is no program that runs them",
            "install docker's model runner: the plugin `docker-model` (package docker-model-plugin)",
        )
    })?;
    let status: Status = read(&runner, &["status", "--json"]).await?;
    if !rehearsal {
        let there: Vec<Listed> = read(&runner, &["ls", "--json"]).await?;
        for (key, model) in &project.models {
            let is_there = there.iter().any(|one| one.tags.contains(&model.model));
            fetch(&runner, key, model, is_there, tell).await?;
        }
    }
    let models = project.models.clone();
    for service in project.services.values_mut() {
        for (key, grant) in &service.models {
            let Some(model) = models.get(key) else { continue };
            let prefix = key.to_uppercase().replace('-', "_");
            let name = |own: &Option<String>, end: &str| {
                own.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| format!("{prefix}_{end}"))
            };
            let told = [
                (name(&grant.model_var, "MODEL"), Some(model.model.clone())),
                (name(&grant.endpoint_var, "URL"), Some(status.endpoint.clone())),
            ];
            service.environment.extend(told);
        }
    }
    Ok(())
}

async fn fetch(runner: &Path, key: &str, model: &Model, is_there: bool, tell: &Tell) -> Result<(), CliError> {
    if !is_there {
        tell.report(Report::new(Kind::Model, key, Phase::Working, "Pulling"));
        run(runner, &["pull", &model.model]).await?;
    }
    tell.report(Report::new(Kind::Model, key, Phase::Working, "Configuring"));
    let size = model.context_size.filter(|size| *size > 0).map(|size| size.to_string());
    let mut arguments = vec!["configure"];
    if let Some(size) = &size {
        arguments.extend(["--context-size", size]);
    }
    arguments.push(&model.model);
    if !model.runtime_flags.is_empty() {
        arguments.push("--");
        arguments.extend(model.runtime_flags.iter().map(String::as_str));
    }
    run(runner, &arguments).await?;
    tell.report(Report::new(Kind::Model, key, Phase::Done, "Configured"));
    Ok(())
}

async fn run(runner: &Path, arguments: &[&str]) -> Result<Vec<u8>, CliError> {
    let what = arguments.join(" ");
    let output = Command::new(runner)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| CliError::failed(format!("cannot run {}: {error}", runner.display())))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CliError::failed(format!("`docker-model {what}` ended with {}: {complaint}", output.status)))
}

async fn read<T: for<'a> Deserialize<'a>>(runner: &Path, arguments: &[&str]) -> Result<T, CliError> {
    let output = run(runner, arguments).await?;
    serde_json::from_slice(&output).map_err(|error| {
        CliError::failed(format!("`docker-model {}` printed what is not understood: {error}", arguments.join(" ")))
    })
}
