//! Answers requests.

use std::io;
use std::os::fd::OwnedFd;

use super::super::init;
use super::super::protocol::{Call, Message, Reply, Request, StartError, VERSION};
use super::super::sys;
use super::super::wire::{Kind, Packet};
use super::Shim;
use super::process::Stage;
use super::sandbox::Sandbox;

type Answer = Result<Option<(Reply, Vec<OwnedFd>)>, StartError>;

fn done() -> Answer {
    Ok(Some((Reply::Done, Vec::new())))
}

fn failed(cause: impl std::fmt::Display) -> StartError {
    StartError::new("shim", cause)
}

impl Shim {
    /// Serves one packet of a peer.
    pub(super) fn serve(&mut self, peer: u64, packet: Packet) {
        if let Kind::Stream(0) = packet.kind {
            return self.take_input(peer, &packet.body);
        }
        let Ok((Call { number, request }, fds)) = packet.parse::<Call>() else {
            // Whoever does not speak the protocol gets no second chance.
            if let Some(peer) = self.peer(peer) {
                peer.closed = true;
            }
            return;
        };
        match self.answer(peer, number, request, fds) {
            Ok(Some((reply, fds))) => self.reply((peer, number), reply, fds),
            Ok(None) => {}
            Err(error) => self.reply((peer, number), Reply::Failed(error), Vec::new()),
        }
    }

    /// Sends a reply to whoever called; if he is gone, nobody waits for it.
    pub(super) fn reply(&mut self, (peer, number): (u64, u64), reply: Reply, fds: Vec<OwnedFd>) {
        let Some(peer) = self.peer(peer) else { return };
        match Packet::message(&Message::Reply { number, reply }, fds) {
            Ok(packet) => peer.send(packet),
            Err(_) => peer.closed = true,
        }
    }

    fn answer(&mut self, peer: u64, call: u64, request: Request, fds: Vec<OwnedFd>) -> Answer {
        match request {
            Request::Hello { supervisor, .. } => {
                if let Some(peer) = self.peer(peer) {
                    peer.supervisor = supervisor;
                }
                Ok(Some((Reply::Hello { version: VERSION, pid: std::process::id() as i32 }, Vec::new())))
            }
            Request::Sandbox { namespaces, shm_size } => {
                if self.sandbox.is_none() {
                    self.sandbox = Some(Sandbox::make(&namespaces, shm_size, &self.place)?);
                }
                let sandbox = self.sandbox.as_ref().map(Sandbox::hand_out);
                let (parts, fds) = sandbox.transpose().map_err(failed)?.unwrap_or_default();
                Ok(Some((Reply::Sandbox { parts }, fds)))
            }
            Request::Start { bundle, shared } => self.start(&bundle, &shared, fds, (peer, call)).map(|()| None),
            Request::Signal { number } => match self.ask("kill", Some(number.to_string()), (peer, call)) {
                Some(asked) => asked.map(|()| None),
                None => self.signal(number),
            },
            Request::Pause => self.freeze("pause", (peer, call)),
            Request::Resume => self.freeze("resume", (peer, call)),
            Request::State => self.state(),
            Request::Store { name } => {
                self.store.insert(name, fds);
                done()
            }
            Request::Take { name } => {
                let kept = self.store.get(&name).map_or(&[][..], Vec::as_slice);
                let fds = kept.iter().map(sys::dup).collect::<io::Result<_>>().map_err(failed)?;
                Ok(Some((Reply::Taken, fds)))
            }
            Request::Forget { name } => {
                self.store.remove(&name);
                done()
            }
            Request::Attach { stdin } => self.attach(peer, stdin),
            Request::Resize { rows, columns } => self.resize(rows, columns),
            Request::CloseStdin => {
                if let Some(process) = self.process.as_mut() {
                    process.streams.end_input();
                }
                done()
            }
            Request::Shutdown => {
                if self.process.is_some() {
                    return Err(failed("the process still runs: stop it first"));
                }
                // Before the answer: whoever has it may start another shim in the same folder.
                self.clear();
                self.ending = true;
                done()
            }
        }
    }

    fn freeze(&mut self, verb: &'static str, caller: (u64, u64)) -> Answer {
        let asked = self.ask(verb, None, caller);
        asked.unwrap_or_else(|| Err(failed("no OCI runtime drives the container"))).map(|()| None)
    }

    fn signal(&self, number: i32) -> Answer {
        let process = self.process.as_ref().ok_or_else(|| failed("no process runs"))?;
        match sys::pidfd_signal(std::os::fd::AsFd::as_fd(&process.pidfd), number) {
            // It has just ended; the event is on its way.
            Err(cause) if cause.raw_os_error() == Some(libc::ESRCH) => done(),
            Err(cause) => Err(failed(format!("send signal {number}: {cause}"))),
            Ok(()) => done(),
        }
    }

    fn state(&self) -> Answer {
        let running = self.process.as_ref().filter(|process| matches!(process.stage, Stage::Running));
        let handed = running.map(super::process::Process::hand_out).transpose().map_err(failed)?;
        let (parts, fds) = handed.unwrap_or_default();
        let reply = Reply::State {
            process: running.map(super::process::Process::record),
            exit: self.exit.clone(),
            stored: self.store.keys().cloned().collect(),
            parts,
        };
        Ok(Some((reply, fds)))
    }

    fn attach(&mut self, peer: u64, stdin: bool) -> Answer {
        if let Some(peer) = self.peer(peer) {
            peer.attached = true;
            peer.stdin = stdin;
        }
        done()
    }

    fn take_input(&mut self, peer: u64, bytes: &[u8]) {
        let may = self.peer(peer).is_some_and(|peer| peer.stdin);
        if let (true, Some(process)) = (may, self.process.as_mut()) {
            process.streams.feed(bytes);
        }
    }

    fn resize(&mut self, rows: u16, columns: u16) -> Answer {
        self.size = Some((rows, columns));
        // Without a process it is for the next one.
        let Some(process) = &self.process else { return done() };
        let terminal = process.streams.terminal.as_ref().ok_or_else(|| failed("the process has no terminal"))?;
        init::console::resize(terminal, (rows, columns)).map_err(failed)?;
        done()
    }
}
