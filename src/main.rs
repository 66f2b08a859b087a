//! Picks what this process is from its first argument.

use std::ffi::OsString;
use std::process::ExitCode;

use windlass::compose::{self, LoadOptions, config};

fn main() -> std::process::ExitCode {
    let mut options = LoadOptions {
        env: std::env::vars().collect(),
        untyped: true,
        cwd: std::env::var_os("PWD").map(Into::into).or_else(|| std::env::current_dir().ok()).unwrap_or_default(),
        ..LoadOptions::default()
    };
    let (mut format, mut what) = (config::Format::Yaml, String::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut next = || args.next().unwrap_or_default();
        match arg.as_str() {
            "-f" | "--file" => options.files.push(next()),
            "-p" | "--project-name" => options.project_name = Some(next()),
            "--profile" => options.profiles.push(next()),
            "--env-file" => options.env_files.push(next()),
            "--project-directory" => options.project_directory = Some(next().into()),
            "--all-resources" => options.all_resources = true,
            "--no-interpolate" => options.no_interpolate = true,
            "--no-normalize" => options.no_normalize = true,
            "--no-path-resolution" => options.no_path_resolution = true,
            "--no-consistency" => options.no_consistency = true,
            "--no-env-resolution" | "config" => {}
            "--format" => format = if next() == "json" { config::Format::Json } else { config::Format::Yaml },
            "--variables" => what = arg,
            "--hash" => {
                what = "--hash".to_owned();
                next();
            }
            "--services" | "--profiles" | "--images" | "--volumes" | "--networks" => what = arg,
            name => options.services.push(name.to_owned()),
        }
    }
    if options.files.iter().any(|f| f == "-") {
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text);
        options.stdin = Some(text);
    }
    let text = if options.no_interpolate && what.is_empty() {
        config::print_raw(&options, format)
    } else {
        compose::load(&options).map(|loaded| {
            let lines = |list: Vec<String>| list.into_iter().map(|l| l + "\n").collect::<String>();
            match what.as_str() {
                "--services" => lines(config::services(&loaded)),
                "--profiles" => lines(config::profiles(&loaded)),
                "--hash" => lines(
                    config::hashes(&loaded, &[])
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(n, h)| format!("{n} {h}"))
                        .collect(),
                ),
                "--images" => lines(config::images(&loaded)),
                _ => config::print(&loaded, format),
            }
        })
    };
    match text {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            std::process::ExitCode::SUCCESS
        }
        Err(diags) => {
            let _ = write!(std::io::stderr(), "{diags}");
            std::process::ExitCode::FAILURE
        }
    }
}
