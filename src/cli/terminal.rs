//! The terminal: its size, raw mode that is always taken back, and the relay between it and a process in a container.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::oneshot;

use super::backend::Session;
use super::error::CliError;

/// Columns and lines of the terminal behind a descriptor.
pub fn size(fd: impl AsFd) -> Option<(usize, usize)> {
    let size = tcgetwinsize(fd).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// Rows and columns of our own terminal, where standard input or output is one.
pub fn own_size() -> Option<(u16, u16)> {
    let (columns, rows) = size(io::stdin()).or_else(|| size(io::stdout()))?;
    Some((u16::try_from(rows).ok()?, u16::try_from(columns).ok()?))
}

/// What the terminal was set to before raw mode. Global, because a panic must find it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of the terminal behind standard input; taken back when this is dropped, and when the program panics.
pub struct Raw(());

impl Raw {
    /// Sets raw mode; `None` where standard input is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn enter() -> Result<Option<Self>, CliError> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        change(Termios::make_raw)?;
        Ok(Some(Self(())))
    }
}

/// The terminal behind standard input without echo, for a password; taken back when this is dropped.
pub struct Hidden(());

impl Hidden {
    /// Switches the echo off.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn enter() -> Result<Self, CliError> {
        change(|settings| settings.local_modes.remove(LocalModes::ECHO))?;
        Ok(Self(()))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        restore();
    }
}

fn change(change: impl FnOnce(&mut Termios)) -> Result<(), CliError> {
    let stdin = io::stdin();
    let refused = |e| CliError::failed(format!("can't change the terminal's mode: {e}"));
    let before = tcgetattr(&stdin).map_err(refused)?;
    let mut after = before.clone();
    change(&mut after);
    restore_on_panic();
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    tcsetattr(&stdin, OptionalActions::Now, &after).map_err(refused)
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // There is nobody left to tell when this fails.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// A panic that aborts runs no destructors.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            next(info);
        }));
    });
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process ended with this code.
    Exited(i32),
    /// The user typed the detach keys.
    Detached,
    /// We were told to end by this signal.
    Signal(i32),
}

/// What a relay does besides.
pub struct Relay {
    /// Hand our standard input on.
    pub input: bool,
    /// The keys that end the relay and leave the process running; empty: none.
    pub detach_keys: Vec<u8>,
}

/// Connects our terminal (or pipes) with a process until it ends. Raw mode, where the process has a terminal, is taken
/// back on every way out.
///
/// # Errors
/// When the terminal refuses; the session's own.
pub async fn relay(session: Session, options: Relay) -> Result<End, CliError> {
    let Session { input, output, error, terminal, size, mut exit } = session;
    let raw = if terminal && options.input { Raw::enter()? } else { None };
    let mut signals = if terminal { Some(Signals::new()?) } else { None };
    // What is piped in may hold any bytes: only what is typed is looked at.
    let keys = if raw.is_some() { options.detach_keys } else { Vec::new() };
    let (done, ended) = pipe()?;
    let mut readers = Vec::new();
    readers.extend(output.map(|fd| pump(fd, duplicate(&ended), io::stdout)));
    readers.extend(error.map(|fd| pump(fd, duplicate(&ended), io::stderr)));
    let (detach, mut detached) = oneshot::channel();
    if let Some(fd) = input.filter(|_| options.input) {
        std::thread::spawn(move || feed(fd, &keys, detach));
    }
    let result = wait(&mut exit, &mut detached, &mut signals, size.as_ref()).await;
    drop(done);
    for reader in readers {
        // A pump ends by itself once `done` is closed; what it could not write, nobody reads.
        let _ = tokio::task::spawn_blocking(move || reader.join()).await;
    }
    drop(raw);
    result
}

/// The signals that matter while the terminal is in raw mode: its size has changed, and we are to end, which must give
/// the terminal back first.
struct Signals {
    resized: unix::Signal,
    terminated: unix::Signal,
    hung_up: unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let refused = |e| CliError::failed(format!("can't wait for signals: {e}"));
        Ok(Self {
            resized: signal(SignalKind::window_change()).map_err(refused)?,
            terminated: signal(SignalKind::terminate()).map_err(refused)?,
            hung_up: signal(SignalKind::hangup()).map_err(refused)?,
        })
    }

    /// The number of the next of them.
    async fn next(signals: &mut Option<Self>) -> i32 {
        let Some(signals) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = signals.resized.recv() => libc::SIGWINCH,
            _ = signals.terminated.recv() => libc::SIGTERM,
            _ = signals.hung_up.recv() => libc::SIGHUP,
        }
    }
}

async fn wait(
    exit: &mut (impl Future<Output = Result<i32, CliError>> + Unpin),
    detached: &mut oneshot::Receiver<()>,
    signals: &mut Option<Signals>,
    pty: Option<&OwnedFd>,
) -> Result<End, CliError> {
    let mut listening = true;
    fit(pty);
    loop {
        tokio::select! {
            code = &mut *exit => return code.map(End::Exited),
            typed = &mut *detached, if listening => match typed {
                Ok(()) => return Ok(End::Detached),
                // Standard input has ended; the process goes on.
                Err(_) => listening = false,
            },
            number = Signals::next(signals) => match number {
                libc::SIGWINCH => fit(pty),
                number => return Ok(End::Signal(number)),
            },
        }
    }
}

/// Gives the container's terminal the size of ours.
fn fit(pty: Option<&OwnedFd>) {
    let Some(pty) = pty else { return };
    let Some((ws_row, ws_col)) = own_size() else { return };
    // The process may have ended in this moment; then the size does not matter.
    let _ = tcsetwinsize(pty, Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 });
}

fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, CliError> {
    fd.try_clone().map_err(|e| CliError::failed(format!("can't duplicate a descriptor: {e}")))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), CliError> {
    let (read, write) = io::pipe().map_err(|e| CliError::failed(format!("can't make a pipe: {e}")))?;
    Ok((write.into(), read.into()))
}

/// Copies from a descriptor to one of our streams on a thread: the descriptor may be shared with the shim, so it can't
/// be made non-blocking. Ends at its end, or when `ended` is closed and nothing is left to read.
fn pump<W: Write + 'static>(from: OwnedFd, ended: Result<OwnedFd, CliError>, to: fn() -> W) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let Ok(ended) = ended else { return };
        let mut from = File::from(from);
        let mut buffer = vec![0; 64 << 10];
        while readable(from.as_fd(), ended.as_fd()) {
            // A terminal's end is EIO.
            let Ok(read @ 1..) = from.read(&mut buffer) else { return };
            let mut to = to();
            if to.write_all(&buffer[..read]).and_then(|()| to.flush()).is_err() {
                return;
            }
        }
    })
}

/// Waits until `from` can be read; `false` when it can't and `ended` is closed.
fn readable(from: BorrowedFd<'_>, ended: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(from, PollFlags::POLLIN), PollFd::new(ended, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return fds[0].any().unwrap_or(false),
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Copies our standard input to a descriptor, until it ends or the detach keys are typed.
fn feed(to: OwnedFd, detach_keys: &[u8], detach: oneshot::Sender<()>) {
    let mut to = File::from(to);
    let mut keys = DetachKeys::new(detach_keys);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = io::stdin().lock().read(&mut buffer) else { return };
        let (bytes, typed) = keys.filter(&buffer[..read]);
        if to.write_all(&bytes).is_err() {
            return;
        }
        if typed {
            // Closed, it would be the end of the process's input, which ends a shell. We end soon, and it with us.
            let _ = to.into_raw_fd();
            let _ = detach.send(());
            return;
        }
    }
}

/// Looks for the detach keys in what is typed; keys that might begin the sequence are held back until it is clear.
struct DetachKeys<'a> {
    keys: &'a [u8],
    matched: usize,
}

impl<'a> DetachKeys<'a> {
    fn new(keys: &'a [u8]) -> Self {
        Self { keys, matched: 0 }
    }

    /// What is to be handed on, and whether the sequence is complete.
    fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys.first() == Some(byte));
            if self.matched == 0 {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

/// Reads detach keys as docker writes them: `ctrl-p,ctrl-q`, `ctrl-@`, `a,b`.
///
/// # Errors
/// A key that there is not.
pub fn detach_keys(text: &str) -> Result<Vec<u8>, String> {
    text.split(',')
        .map(|key| detach_key(key).ok_or_else(|| format!("`{key}` is no key: use `a` or `ctrl-a`")))
        .collect()
}

fn detach_key(key: &str) -> Option<u8> {
    let single = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    };
    match key.strip_prefix("ctrl-") {
        Some(letter) => match single(&letter.to_ascii_uppercase())? {
            byte @ (b'@'..=b'_') => Some(byte - b'@'),
            _ => None,
        },
        None => single(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_found_and_all_else_passes() {
        let keys = detach_keys("ctrl-p,ctrl-q").expect("keys");
        assert_eq!(keys, [16, 17]);
        let mut filter = DetachKeys::new(&keys);
        assert_eq!(filter.filter(b"ab\x10c"), (b"ab\x10c".to_vec(), false));
        assert_eq!(filter.filter(b"x\x10"), (b"x".to_vec(), false));
        assert_eq!(filter.filter(b"\x10\x11rest"), (b"\x10".to_vec(), true));
        let mut none = DetachKeys::new(&[]);
        assert_eq!(none.filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        assert_eq!(detach_keys("a"), Ok(vec![b'a']));
        assert_eq!(detach_keys("ctrl-[,ctrl-\\"), Ok(vec![27, 28]));
        assert!(detach_keys("ctrl-1").is_err());
        assert!(detach_keys("ab").is_err());
        assert!(detach_keys("").is_err());
    }
}
