//! The two sides of `windlass diff`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::error::CliError;
use super::super::settings::ProjectFiles;

/// An environment to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// What runs of the project.
    Running,
    /// What compose files declare.
    Files(ProjectFiles),
}

/// An environment as it is compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The project in canonical form, its folder written as `.`.
    pub model: Value,
    /// What there is to warn of.
    pub warnings: Vec<String>,
}

impl Side {
    /// Reads `running`, or parts joined by commas: compose files, a folder, `env=FILE`, `profile=NAME`. The flags before
    /// the verb hold for both sides: their files come first.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn parse(text: &str, common: &ProjectFiles) -> Result<Self, CliError> {
        if text == "running" {
            return Ok(Self::Running);
        }
        let mut files = common.clone();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("env", file)) if !file.is_empty() => files.env_files.push(PathBuf::from(file)),
                Some(("profile", name)) if !name.is_empty() => files.profiles.push(name.to_owned()),
                _ if part.is_empty() => {
                    return Err(CliError::usage(format!(
                        "`{text}`: must be `running`, or files, env=FILE and profile=NAME joined by commas"
                    )));
                }
                _ if Path::new(part).is_dir() => files.directory = Some(PathBuf::from(part)),
                _ => files.files.push(PathBuf::from(part)),
            }
        }
        Ok(Self::Files(files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_files_env_files_and_profiles() {
        let common = ProjectFiles { files: vec!["base.yaml".into()], ..ProjectFiles::default() };
        assert_eq!(Side::parse("running", &common).expect("read"), Side::Running);
        let side = Side::parse("prod.yaml,env=prod.env,profile=ops,profile=x", &common).expect("read");
        let expected = ProjectFiles {
            files: vec!["base.yaml".into(), "prod.yaml".into()],
            env_files: vec!["prod.env".into()],
            profiles: vec!["ops".into(), "x".into()],
            ..ProjectFiles::default()
        };
        assert_eq!(side, Side::Files(expected));
        let Side::Files(folder) = Side::parse("src", &ProjectFiles::default()).expect("read") else { panic!("files") };
        assert_eq!(folder.directory.as_deref(), Some(Path::new("src")));
        for wrong in ["", "a.yaml,,b.yaml", "a.yaml,"] {
            assert!(Side::parse(wrong, &common).is_err(), "{wrong}");
        }
    }
}
