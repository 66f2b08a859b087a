//! One run of a provider: `PROGRAM compose --project-name P up --option=value SERVICE`; it answers in lines of JSON.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::super::super::super::error::CliError;
use super::super::super::super::progress::{Kind, Phase, Report, Tell};
use crate::desired::{ProviderSpec, Secret};
use crate::name::{ProjectName, ServiceName};

/// One line of its output.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// What `PROGRAM compose metadata` says, where it says anything.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    description: String,
    up: Parameters,
    down: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    parameters: Vec<Parameter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameter {
    name: String,
    required: bool,
}

/// Runs a provider's `up` or `down` to its end; the variables that it tells take the place of those in `spec`.
pub(super) async fn run(
    project: &ProjectName,
    service: &ServiceName,
    spec: &mut ProviderSpec,
    verb: &str,
    tell: &Tell,
) -> Result<(), CliError> {
    let program = find(&spec.program).ok_or_else(|| missing(service, &spec.program))?;
    let options = options(&program, service, spec, verb).await?;
    let failed = |why: &str| CliError::failed(format!("`{} {verb}` for service `{service}`: {why}", spec.program));
    let mut child = Command::new(&program)
        .args(["compose", "--project-name", project.as_str(), verb])
        .args(options)
        .arg(service.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut told = Told::default();
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
                told.take(&line, service, tell)?;
            }
        }
        Ok::<Told, String>(told)
    };
    let complain = async {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            // What can't be read can't be shown.
            let _ = stderr.read_to_string(&mut text).await;
        }
        text
    };
    let (told, complaint) = tokio::join!(read, complain);
    let told = told.map_err(|why| failed(&why))?;
    let status = child.wait().await.map_err(|error| failed(&error.to_string()))?;
    if !status.success() {
        return Err(failed(&format!("it ended with {status}: {}", complaint.trim())));
    }
    if verb == "up" {
        (spec.variables, spec.raw) = (told.variables, told.raw);
    }
    Ok(())
}

#[derive(Default)]
struct Told {
    variables: std::collections::BTreeMap<String, Secret>,
    raw: std::collections::BTreeMap<String, Secret>,
}

impl Told {
    fn take(&mut self, line: &str, service: &ServiceName, tell: &Tell) -> Result<(), String> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let no_message = |error| format!("it printed what is no message ({error})");
        let Message { kind, message } = serde_json::from_str(line).map_err(no_message)?;
        let variable = || {
            let (key, value) = message.split_once('=').ok_or_else(|| format!("its `{kind}` has no `=`"))?;
            Ok::<_, String>((key.to_owned(), Secret(value.to_owned())))
        };
        match kind.as_str() {
            "error" => return Err(message),
            "setenv" => self.variables.extend([variable()?]),
            "rawsetenv" => self.raw.extend([variable()?]),
            "info" => {
                let first = message.lines().next().unwrap_or_default();
                tell.report(Report::new(Kind::Provider, service.as_str(), Phase::Working, first));
            }
            "debug" => tracing::debug!(%service, "{message}"),
            other => return Err(format!("it printed a message of unknown type `{other}`")),
        }
        Ok(())
    }
}

/// `--key=value` for each value; only those that the program knows, if it says which.
async fn options(
    program: &Path,
    service: &ServiceName,
    spec: &ProviderSpec,
    verb: &str,
) -> Result<Vec<String>, CliError> {
    let metadata = metadata(program).await;
    let parameters = if verb == "up" { &metadata.up.parameters } else { &metadata.down.parameters };
    let silent =
        metadata.description.is_empty() && metadata.up.parameters.is_empty() && metadata.down.parameters.is_empty();
    let lacks = parameters.iter().find(|one| one.required && !spec.options.contains_key(&one.name));
    if let Some(lacking) = lacks {
        return Err(CliError::failed(format!(
            "services.{service}.provider: `{}` needs the option `{}`",
            spec.program, lacking.name
        )));
    }
    let known = |key: &str| silent || parameters.iter().any(|one| one.name == key);
    let options = spec.options.iter().filter(|(key, _)| known(key));
    Ok(options.flat_map(|(key, values)| values.iter().map(move |value| format!("--{key}={value}"))).collect())
}

async fn metadata(program: &Path) -> Metadata {
    let output = Command::new(program).args(["compose", "metadata"]).stdin(Stdio::null()).output().await;
    // Older programs have none.
    output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
}

/// Where docker looks for its plugins, beside the caller's own folder.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The program of a provider: docker's plugin `docker-<name>`, else the program of this name.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    plugin(name).or_else(|| {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
    })
}

/// Docker's plugin of a name.
pub(super) fn plugin(name: &str) -> Option<PathBuf> {
    let config = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let own = config.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    let folders = own.map(|folder| folder.join("cli-plugins")).into_iter().chain(PLUGINS.map(PathBuf::from));
    folders.map(|folder| folder.join(format!("docker-{name}"))).find(|path| path.is_file())
}

fn missing(service: &ServiceName, name: &str) -> CliError {
    CliError::with_help(
        format!("service `{service}` is provided by `{name}`, and there is no such program"),
        format!("install `docker-{name}` as a plugin of docker's, or `{name}` in a folder of PATH"),
    )
}
