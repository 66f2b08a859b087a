//! Signals as events, and their names.

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::error::CliError;

/// Ctrl-C, and the polite request to end.
pub struct Interrupts(UnboundedReceiver<()>);

impl Interrupts {
    /// From now on these signals don't end the program, but come here.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new() -> Result<Self, CliError> {
        let (sender, receiver) = unbounded_channel();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let stream = signal(kind).map_err(|e| CliError::failed(format!("can't wait for signals: {e}")))?;
            tokio::spawn(forward(stream, sender.clone()));
        }
        Ok(Self(receiver))
    }

    /// Those that are sent here.
    #[cfg(test)]
    pub fn scripted() -> (UnboundedSender<()>, Self) {
        let (sender, receiver) = unbounded_channel();
        (sender, Self(receiver))
    }

    /// The next of them.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Does `work` unless one of them comes first.
///
/// # Errors
/// [`CliError::Interrupted`], or that of the work.
pub async fn unless_interrupted<T>(
    interrupts: &mut Interrupts,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    tokio::select! {
        biased;
        done = work => done,
        () = interrupts.next() => Err(CliError::Interrupted),
    }
}

async fn forward(mut stream: unix::Signal, to: UnboundedSender<()>) {
    while stream.recv().await.is_some() && to.send(()).is_ok() {}
}

/// The number of a signal: `SIGHUP`, `HUP`, `hup`, `1`, `SIGRTMIN+3`.
///
/// # Errors
/// A name that there is not.
pub fn number(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse::<i32>() {
        return if (1..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(unknown(text)) };
    }
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset: i32 = if offset.is_empty() { 0 } else { offset.parse().map_err(|_| unknown(text))? };
        let number = libc::SIGRTMIN() + offset;
        return if offset >= 0 && number <= libc::SIGRTMAX() { Ok(number) } else { Err(unknown(text)) };
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| unknown(text))
}

fn unknown(text: &str) -> String {
    format!("`{text}` is no signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, expected) in [("SIGHUP", 1), ("hup", 1), ("9", 9), ("kill", 9), ("SIGUSR1", 10)] {
            assert_eq!(number(text), Ok(expected));
        }
        assert_eq!(number("RTMIN+3"), Ok(libc::SIGRTMIN() + 3));
        for text in ["", "NOPE", "0", "-1", "65", "RTMIN+99", "RTMIN-1"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
