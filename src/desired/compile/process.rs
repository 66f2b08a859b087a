//! What is run in a container: program, environment, working directory.

use std::collections::BTreeMap;

use crate::compose::model::Service;
use crate::desired::ResolvedImage;

/// Docker's own, for images that set none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Program and arguments: what the file says goes before the image's, and an entrypoint of the file takes the image's
/// arguments away. Empty when nobody says anything.
pub fn argv(service: &Service, image: &ResolvedImage) -> Vec<String> {
    let entrypoint = match &service.entrypoint {
        // Docker takes one empty text for none.
        Some(words) if words.iter().all(String::is_empty) => &[][..],
        Some(words) => words,
        None => &image.entrypoint,
    };
    let command = service.command.as_deref().unwrap_or_default();
    // docker departs from the specification here: without an entrypoint of the file's, no words are no command of its own.
    let is_given = !command.is_empty() || service.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    let command = if is_given { command } else { &image.cmd };
    entrypoint.iter().chain(command).cloned().collect()
}

/// The environment: the image's, then the file's, where no value takes a variable away. HOME and HOSTNAME are found out
/// when the container is made.
pub fn environment(service: &Service, image: &ResolvedImage) -> Vec<String> {
    let mut all: BTreeMap<&str, &str> = image.env.iter().filter_map(|entry| entry.split_once('=')).collect();
    for (key, value) in &service.environment {
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(key.as_str()),
        };
    }
    all.entry("PATH").or_insert(PATH);
    if service.tty {
        all.entry("TERM").or_insert("xterm");
    }
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The working directory, absolute.
///
/// # Errors
/// When the file's is relative.
pub fn cwd(service: &Service, image: &ResolvedImage) -> Result<String, String> {
    match service.working_dir.as_deref().filter(|path| !path.is_empty()) {
        Some(path) if !path.starts_with('/') => Err(format!("`{path}` is not an absolute path")),
        Some(path) => Ok(clean(path)),
        None => Ok(clean(&image.working_dir)),
    }
}

/// An absolute path without `.`, `..`, empty parts and a slash at its end. A relative one begins at the root.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
