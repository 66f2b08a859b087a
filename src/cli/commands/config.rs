//! `windlass config`.

use clap::{Args, ValueEnum};

use super::super::backend::config::Digests;
use super::super::backend::{Backend, ConfigPart, ConfigWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};

/// Flags of `config`.
#[derive(Args, Debug)]
pub struct Config {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Print the variables that interpolation sees
    #[arg(long, group = "part")]
    pub environment: bool,
    /// Tell where a value came from, as services.web.ports[0]
    #[arg(long, value_name = "PATH", group = "part")]
    pub explain: Option<String>,
    /// How it is printed; with `json` errors and warnings are JSON too
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub format: Form,
    /// Print the hash of a service; `*`: of each
    #[arg(long, value_name = "SERVICE", group = "part")]
    pub hash: Option<String>,
    /// Print the names of images
    #[arg(long, group = "part")]
    pub images: bool,
    /// Print an override file that fixes the digests of images: those of the lock file, else of the registries
    #[arg(long, conflicts_with = "part")]
    pub lock_image_digests: bool,
    /// Print the names of models
    #[arg(long, group = "part")]
    pub models: bool,
    /// Print the names of networks
    #[arg(long, group = "part")]
    pub networks: bool,
    /// Don't check references between parts
    #[arg(long)]
    pub no_consistency: bool,
    /// Accepted; as in docker compose the files of `env_file` are read all the same
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Leave ${VARIABLES} alone
    #[arg(long)]
    pub no_interpolate: bool,
    /// Don't add what is implied
    #[arg(long)]
    pub no_normalize: bool,
    /// Leave paths relative
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<std::path::PathBuf>,
    /// Print the names of profiles
    #[arg(long, group = "part")]
    pub profiles: bool,
    /// Check only, print nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// Print images with their digests: those of the lock file, else of the registries
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print the names of services
    #[arg(long = "services", id = "names", group = "part")]
    pub names: bool,
    /// Print the variables that the files mention, with their defaults
    #[arg(long, group = "part")]
    pub variables: bool,
    /// Print the names of volumes
    #[arg(long, group = "part")]
    pub volumes: bool,
}

/// `--format`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

impl Config {
    fn part(&self) -> ConfigPart {
        let flags = [
            (self.names, ConfigPart::Services),
            (self.volumes, ConfigPart::Volumes),
            (self.networks, ConfigPart::Networks),
            (self.models, ConfigPart::Models),
            (self.images, ConfigPart::Images),
            (self.profiles, ConfigPart::Profiles),
            (self.variables, ConfigPart::Variables),
            (self.environment, ConfigPart::Environment),
        ];
        let hash = self.hash.clone().map(ConfigPart::Hash);
        let explain = self.explain.clone().map(ConfigPart::Explain);
        hash.or(explain).or_else(|| flags.into_iter().find_map(|(set, part)| set.then_some(part))).unwrap_or_default()
    }
}

/// Checks the compose files and prints them, or a part of them.
///
/// # Errors
/// All that is wrong in the files.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Config) -> Result<ExitStatus, CliError> {
    let wish = ConfigWish {
        services: args.services.clone(),
        what: args.part(),
        quiet: args.quiet,
        json: args.format == Form::Json,
        no_interpolate: args.no_interpolate,
        no_normalize: args.no_normalize,
        no_path_resolution: args.no_path_resolution,
        no_consistency: args.no_consistency,
        digests: match (args.lock_image_digests, args.resolve_image_digests) {
            (true, _) => Digests::Only,
            (false, true) => Digests::Too,
            (false, false) => Digests::No,
        },
    };
    let json = args.format == Form::Json;
    let printed = match cx.backend.config(&cx.settings.project, &wish).await {
        Err(error) if json => return Err(error.as_json(cx.output)),
        printed => printed?,
    };
    match printed.warnings.list.is_empty() {
        true => {}
        false if json => cx.output.note_json(&printed.warnings.to_json())?,
        false => cx.output.note(printed.warnings.to_string().trim_end())?,
    }
    match &args.output {
        _ if args.quiet => {}
        Some(file) if cx.settings.dry_run => cx.output.line(&format!("write {}", file.display()))?,
        Some(file) => std::fs::write(file, &printed.text)
            .map_err(|e| CliError::failed(format!("can't write {}: {e}", file.display())))?,
        None => cx.output.raw(printed.text.as_bytes())?,
    }
    Ok(ExitStatus::DONE)
}
