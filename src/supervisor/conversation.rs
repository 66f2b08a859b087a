//! A conversation with one client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::sync::OwnedMutexGuard;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::client::is_over;
use super::lease::Lease;
use super::protocol::{Hello, Refusal, Reply, Request, VERSION};
use super::server::{Shared, Talk};
use super::{executable_id, socket};
use crate::desired::edit::{Edit, edit};
use crate::desired::{Desired, Stamp};
use crate::engine::progress::{Progress, Settled};
use crate::host::clock;
use crate::host::ledger::project;
use crate::host::machine::with_causes;

/// A client that waits hears something so often; one that hears nothing for longer takes the supervisor for hung.
const ALIVE: Duration = Duration::from_secs(3);

struct Conversation {
    shared: Arc<Shared>,
    /// Keeps the supervisor from ending.
    talk: Talk,
    reader: BufReader<ReadHalf<UnixStream>>,
    writer: WriteHalf<UnixStream>,
    hello: Hello,
}

/// Holds a conversation to its end. A client that goes away ends it, and nothing else.
pub async fn hold(stream: UnixStream, shared: Arc<Shared>, talk: Talk) {
    if let Err(error) = begin(stream, shared, talk).await
        && !is_over(&error)
    {
        tracing::warn!(%error, "a conversation was cut short");
    }
}

async fn begin(stream: UnixStream, shared: Arc<Shared>, mut talk: Talk) -> io::Result<()> {
    let std = stream.into_std()?;
    if !socket::is_trusted(&std)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    talk.connected(std.try_clone()?);
    // Not `into_split`: its halves shut the connection down as they go, under those who keep it open ([`Talk::connected`]).
    let (reader, mut writer) = tokio::io::split(UnixStream::from_std(std)?);
    let mut reader = BufReader::new(reader);
    let hello: Hello = receive(&mut reader).await?;
    let ours = Hello { version: VERSION, executable: executable_id(), pid: std::process::id(), command: String::new() };
    send(&mut writer, &ours).await?;
    Conversation { shared, talk, reader, writer, hello }.talk().await
}

impl Conversation {
    async fn talk(mut self) -> io::Result<()> {
        loop {
            match receive(&mut self.reader).await? {
                Request::Apply { desired, wait, id } => self.apply(Desired { made_by: id, ..*desired }, wait).await?,
                Request::Edit { edit, wait, id } => self.edit(&edit, wait, &id).await?,
                Request::Watch => {
                    self.talk.watch();
                    self.watch().await?;
                }
                Request::Tell { progress } => {
                    self.shared.engine.tell(*progress);
                    self.say(&Reply::Done).await?;
                }
                Request::Leave => {
                    if let Err(error) = self.shared.catch_up()
                        && error.is_nowhere()
                    {
                        // The next one would hold what is recorded.
                        let reason = Refusal::Error { message: error.to_string() };
                        return self.say(&Reply::Refused { reason }).await;
                    }
                    self.say(&Reply::Bye).await?;
                    self.shared.leave.notify_one();
                    return Ok(());
                }
            }
        }
    }

    async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        send(&mut self.writer, reply).await
    }

    /// Takes the lease; while another has it, the client is told who.
    async fn take_lease(&mut self) -> io::Result<OwnedMutexGuard<Lease>> {
        if let Ok(lease) = self.shared.lease.clone().try_lock_owned() {
            return Ok(lease);
        }
        let mut lease = Box::pin(self.shared.lease.clone().lock_owned());
        let mut told = None;
        loop {
            // A supervisor that is about to end has no holder: it says nothing, and the client asks the next one.
            let holder = self.shared.board.holder().filter(|holder| told != Some(holder.pid));
            if let Some(holder) = holder {
                told = Some(holder.pid);
                self.say(&Reply::Waiting { holder }).await?;
            }
            tokio::select! {
                lease = &mut lease => return Ok(lease),
                gone = gone(&mut self.reader) => return Err(gone),
                () = tokio::time::sleep(ALIVE) => self.say(&Reply::Alive).await?,
            }
        }
    }

    async fn apply(&mut self, desired: Desired, wait: bool) -> io::Result<()> {
        let _lease = self.take_lease().await?;
        let shared = self.shared.clone();
        let _holding = shared.board.put(&self.hello);
        if let Ok(caller) = project::caller(&shared.paths, &desired.project) {
            (shared.level)(caller.log.as_deref());
        }
        let held = shared.engine.desired();
        let current = held.as_ref().map_or(0, |held| held.generation);
        let refusal = match (self.begun(&desired.made_by), shared.catch_up()) {
            (Some(begun), _) => self.hold_and_report(begun, wait, true).await?,
            // What the client has read is not what is held, and the same would be read again.
            (None, Err(error)) if error.is_nowhere() => Some(Refusal::Error { message: error.to_string() }),
            // Without a state of its own there is nothing that anybody could have changed meanwhile.
            (None, _) if current == 0 || desired.generation == current + 1 => {
                let takes_away = held.is_some_and(|held| desired.only_takes_from(&held));
                self.hold_and_report(desired, wait, takes_away).await?
            }
            (None, _) => Some(Refusal::Conflict { current }),
        };
        self.answer(refusal).await
    }

    /// The state that a request has made already, under a supervisor that was lost: it is held anew, and so told of anew.
    fn begun(&self, id: &str) -> Option<Desired> {
        let held = self.shared.engine.desired().filter(|held| !id.is_empty() && held.made_by == id)?;
        Some(Desired { generation: held.generation + 1, ..(*held).clone() })
    }

    async fn edit(&mut self, wanted: &Edit, wait: bool, id: &str) -> io::Result<()> {
        let _lease = self.take_lease().await?;
        let shared = self.shared.clone();
        let _holding = shared.board.put(&self.hello);
        let refusal = match self.begun(id) {
            Some(begun) => self.hold_and_report(begun, wait, true).await?,
            None => self.edit_held(wanted, wait, id).await?,
        };
        if let (Edit::Down { services, .. }, None | Some(Refusal::Failed { .. })) = (wanted, &refusal)
            && let Err(error) = project::forget_logs(&shared.paths, &shared.project, services)
        {
            tracing::warn!(%error, "logs of what is gone are still there");
        }
        self.answer(refusal).await
    }

    async fn edit_held(&mut self, wanted: &Edit, wait: bool, id: &str) -> io::Result<Option<Refusal>> {
        let Some(current) = self.shared.engine.desired() else {
            // It was let go of between the client's look and now: what is to go has gone.
            let is_down = matches!(wanted, Edit::Down { .. });
            let message = "nothing of this project was ever brought up".to_owned();
            return Ok((!is_down).then_some(Refusal::Error { message }));
        };
        match edit(&current, wanted, &now()) {
            Ok(next) => {
                let next = Desired { made_by: id.to_owned(), ..next };
                self.hold_and_report(next, wait, wanted.takes_away()).await
            }
            Err(error) => Ok(Some(Refusal::Error { message: error.to_string() })),
        }
    }

    async fn answer(&mut self, refusal: Option<Refusal>) -> io::Result<()> {
        // What a client was told is gone is gone.
        self.shared.machine.detach_all().await;
        match refusal {
            None => self.say(&Reply::Done).await,
            Some(reason) => self.say(&Reply::Refused { reason }).await,
        }
    }

    /// Records and holds a state, and tells the client what happens until it is reached or can't be; `takes_away`: the one
    /// before has all that it has.
    async fn hold_and_report(&mut self, desired: Desired, wait: bool, takes_away: bool) -> io::Result<Option<Refusal>> {
        let generation = desired.generation;
        let mut progress = self.shared.engine.subscribe();
        if let Err(error) = self.shared.hold(desired, takes_away) {
            return Ok(Some(Refusal::Error { message: with_causes(&error) }));
        }
        loop {
            // A client that has gone gives the lease back at once; what it asked for goes on.
            let told = tokio::select! {
                told = next(&mut progress) => told,
                gone = gone(&mut self.reader) => return Err(gone),
                () = tokio::time::sleep(ALIVE) => {
                    self.say(&Reply::Alive).await?;
                    continue;
                }
            };
            if let Progress::Settled(settled) = &told
                && settled.generation >= generation
                && let Some(verdict) = verdict(settled, wait)
            {
                // Of a project of which nothing is left, no record stays either.
                if let (false, Err(error)) = (settled.empty, self.shared.catch_up()) {
                    let progress = Box::new(Progress::Warning { text: error.to_string() });
                    self.say(&Reply::Progress { progress }).await?;
                }
                self.say(&Reply::Progress { progress: Box::new(told) }).await?;
                return Ok(verdict);
            }
            self.say(&Reply::Progress { progress: Box::new(told) }).await?;
        }
    }

    async fn watch(&mut self) -> io::Result<()> {
        let mut progress = self.shared.engine.subscribe();
        self.say(&Reply::Alive).await?;
        loop {
            let told = tokio::select! {
                told = next(&mut progress) => told,
                gone = gone(&mut self.reader) => return Err(gone),
            };
            self.say(&Reply::Progress { progress: Box::new(told) }).await?;
        }
    }
}

/// Waits until the client has hung up.
async fn gone(reader: &mut BufReader<ReadHalf<UnixStream>>) -> io::Error {
    match reader.fill_buf().await {
        Ok([]) => io::ErrorKind::UnexpectedEof.into(),
        // It speaks out of turn: its next request waits until this one is done.
        Ok(_) => std::future::pending().await,
        Err(error) => error,
    }
}

/// `None`: not decided yet.
fn verdict(settled: &Settled, wait: bool) -> Option<Option<Refusal>> {
    let (mut reasons, mut culprits) = (settled.failures.clone(), settled.culprits.clone());
    if wait {
        reasons.extend(settled.broken.values().cloned());
        culprits.extend(settled.broken.keys().cloned());
    }
    if !reasons.is_empty() {
        return Some(Some(Refusal::Failed { reasons, culprits }));
    }
    (!wait || settled.unready.is_empty()).then_some(None)
}

fn now() -> Stamp {
    clock::now()
}

async fn next(progress: &mut Receiver<Progress>) -> Progress {
    loop {
        match progress.recv().await {
            Ok(progress) => return progress,
            // The oldest were lost: the rest still tells how it ends.
            Err(RecvError::Lagged(_)) => {}
            // The engine ends with this process.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn send<T: Serialize>(writer: &mut WriteHalf<UnixStream>, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

async fn receive<T: DeserializeOwned>(reader: &mut BufReader<ReadHalf<UnixStream>>) -> io::Result<T> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
