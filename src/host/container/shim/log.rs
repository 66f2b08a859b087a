//! The container's log, as the shim uses it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use super::super::bundle::Bundle;

/// Where the output goes.
pub(super) struct Log {
    file: Option<File>,
}

impl Log {
    pub(super) fn start(bundle: &Bundle) -> io::Result<Log> {
        let Some(folder) = bundle.host.log.as_ref().filter(|_| bundle.spec.log.driver != "none") else {
            return Ok(Log { file: None });
        };
        std::fs::create_dir_all(folder)?;
        Ok(Log { file: Some(File::options().create(true).append(true).open(folder.join("output"))?) })
    }

    pub(super) fn write(&mut self, _stream: u8, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            let _ = file.write_all(bytes);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        true
    }

    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(super) fn woken(&mut self) {}

    pub(super) fn finish(&mut self) {}
}
