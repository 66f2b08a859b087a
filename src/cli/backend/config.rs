//! What `config` prints.

use crate::diag::Diagnostics;

/// What `config` is to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigWish {
    /// Only these services and what they depend on; empty: all.
    pub services: Vec<String>,
    /// What of it.
    pub what: ConfigPart,
    /// Nothing: only check.
    pub quiet: bool,
    /// As JSON.
    pub json: bool,
    /// Leave `${…}` alone.
    pub no_interpolate: bool,
    /// Don't add what is implied.
    pub no_normalize: bool,
    /// Leave paths relative.
    pub no_path_resolution: bool,
    /// Don't look at references between parts.
    pub no_consistency: bool,
    /// What becomes of the tags of images.
    pub digests: Digests,
}

/// Whether registries are asked for the digests of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digests {
    /// They are not.
    #[default]
    No,
    /// Images are printed with their digests.
    Too,
    /// Nothing but the images and their digests is printed.
    Only,
}

/// What part of a project `config` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigPart {
    /// All of it.
    #[default]
    All,
    /// Names of services.
    Services,
    /// Names of volumes.
    Volumes,
    /// Names of networks.
    Networks,
    /// Names of models.
    Models,
    /// Where the value at a path came from.
    Explain(String),
    /// Names of images.
    Images,
    /// Names of profiles.
    Profiles,
    /// The variables that the files mention, with their defaults.
    Variables,
    /// The variables that interpolation sees.
    Environment,
    /// The hash of each service named (`*`: all).
    Hash(String),
}

/// What `config` prints.
#[derive(Clone, Debug, Default)]
pub struct ConfigOutput {
    /// For standard output.
    pub text: String,
    /// For standard error.
    pub warnings: Diagnostics,
}
