//! Enters the namespaces of the sandbox, or of the container that this one shares them with.

use std::os::fd::BorrowedFd;

use super::super::sys;
use super::problem::{Step, doing};

/// Enters each namespace.
pub(crate) fn enter(namespaces: &[(BorrowedFd<'_>, libc::c_int)]) -> Step {
    for (fd, kind) in namespaces {
        sys::setns(*fd, *kind).map_err(doing(format!("enter the {} namespace", name(*kind))))?;
    }
    Ok(())
}

fn name(kind: libc::c_int) -> &'static str {
    match kind {
        libc::CLONE_NEWNET => "network",
        libc::CLONE_NEWIPC => "ipc",
        libc::CLONE_NEWUTS => "host name",
        _ => "process",
    }
}
