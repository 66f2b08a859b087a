//! What is checked before any effect: root, and the kernel.

use super::error::CliError;
use super::settings::Verb;

/// The oldest kernel (kernel.md 9): mount_setattr, openat2, pidfds and overlayfs as windlass uses them.
const OLDEST: (u32, u32) = (5, 15);

/// Refuses to go on without root (but for verbs that only read files of the user), or on a kernel that is too old.
///
/// # Errors
/// [`CliError::NeedsRoot`], [`CliError::OldKernel`].
pub fn check(verb: &Verb) -> Result<(), CliError> {
    if matches!(verb, Verb::Config(_) | Verb::Explain(_) | Verb::Lock(_) | Verb::Version(_)) {
        return Ok(());
    }
    if matches!(verb, Verb::Diff(args) if !args.looks_at_machine()) {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(CliError::NeedsRoot { verb: super::commands::name(verb).to_owned() });
    }
    let release = nix::sys::utsname::uname()
        .map_err(|e| CliError::failed(format!("can't ask the kernel for its version: {e}")))?
        .release()
        .to_string_lossy()
        .into_owned();
    check_release(&release)
}

fn check_release(release: &str) -> Result<(), CliError> {
    match version(release) {
        Some(found) if found < OLDEST => Err(CliError::OldKernel { found: release.to_owned(), needed: "5.15" }),
        // A release that can't be read says nothing against it.
        _ => Ok(()),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|ch: char| !ch.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named() {
        for release in ["5.15.0-generic", "6.1.0-18-amd64", "6.18.5", "10.0", "weird"] {
            assert!(check_release(release).is_ok(), "{release}");
        }
        for release in ["5.14.21", "4.19.0-26-amd64", "3.10.0-1160.el7.x86_64"] {
            let error = check_release(release).expect_err(release);
            assert_eq!(
                error.to_string(),
                format!("this kernel is Linux {release}; windlass needs Linux 5.15 or newer")
            );
        }
    }
}
