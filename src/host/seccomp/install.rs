//! Handing a filter to the kernel.

use std::io;

use super::Program;

/// Filters the calling thread from now on, and all that it starts.
///
/// To be called while CAP_SYS_ADMIN is still held: no_new_privs is not set here, as it would break every setuid program
/// in the container. Nothing is allocated, so it may run after a clone.
///
/// # Errors
/// What the kernel said.
pub fn install(program: &Program) -> io::Result<()> {
    let filter = libc::sock_fprog {
        // Checked when it was assembled; a length that does not fit is refused by the kernel as 0.
        len: u16::try_from(program.instructions.len()).unwrap_or(0),
        filter: program.instructions.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Insn` has the layout of `sock_filter`; the kernel copies the program and writes nothing.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, program.flags, std::ptr::from_ref(&filter))
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
