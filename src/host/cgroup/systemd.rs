//! A transient scope for a project, where systemd runs the machine: what stays in the unit or session that called `up`
//! would be killed at its end.

use std::path::Path;

use zbus::blocking::{Connection, MessageIterator};
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{MatchRule, message};

use super::{Error, Result};

/// The slice that all scopes are in.
pub(super) const SLICE: &str = "windlass.slice";

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const PATH: &str = "/org/freedesktop/systemd1";

/// Whether systemd is the init of this machine (`sd_booted(3)`).
pub(super) fn booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Starts the scope with the process `pid` in it, and waits until it is there.
///
/// A scope has no process of systemd's: it lives as long as anything is in it. A unit of that name that has failed is
/// forgotten first.
pub(super) fn start_scope(unit: &str, pid: u32) -> Result<()> {
    let result =
        start(unit, pid).map_err(|source| Error::Systemd { unit: unit.to_owned(), source: Box::new(source) })?;
    // `done`: it was started; nothing else is a success.
    if result == "done" { Ok(()) } else { Err(Error::Job { unit: unit.to_owned(), result }) }
}

fn start(unit: &str, pid: u32) -> zbus::Result<String> {
    let bus = Connection::system()?;
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(SERVICE)?
        .interface(MANAGER)?
        .member("JobRemoved")?
        .build();
    // Before the call, or a quick job's end would be missed.
    let signals = MessageIterator::for_match_rule(rule, &bus, None)?;
    call(&bus, "Subscribe", &())?;
    // There is none in most cases, which is an answer too.
    let _ = call(&bus, "ResetFailedUnit", &(unit,));
    let properties = [
        ("Description", Value::from("windlass: the processes of a project")),
        ("Slice", Value::from(SLICE)),
        ("Delegate", Value::from(true)),
        ("DefaultDependencies", Value::from(false)),
        ("CollectMode", Value::from("inactive-or-failed")),
        ("PIDs", Value::from(vec![pid])),
    ];
    // The slice goes with the last scope.
    let slice = [("StopWhenUnneeded", Value::from(true)), ("CollectMode", Value::from("inactive-or-failed"))];
    let start = |auxiliary: &[(&str, &[(&str, Value<'_>)])]| {
        call(&bus, "StartTransientUnit", &(unit, "fail", &properties[..], auxiliary))
    };
    let reply = match start(&[(SLICE, &slice[..])]) {
        // Another project has made the slice: it is to be named by nobody else then.
        Err(zbus::Error::MethodError(name, ..)) if name.as_str() == UNIT_EXISTS => start(&[])?,
        reply => reply?,
    };
    let job: OwnedObjectPath = reply.body().deserialize()?;
    await_job(signals, &job)
}

fn call<B: serde::Serialize + zbus::zvariant::DynamicType>(
    bus: &Connection,
    method: &str,
    body: &B,
) -> zbus::Result<zbus::Message> {
    bus.call_method(Some(SERVICE), PATH, Some(MANAGER), method, body)
}

/// How the job ended: systemd tells it to all who listen.
fn await_job(signals: MessageIterator, job: &OwnedObjectPath) -> zbus::Result<String> {
    for signal in signals {
        let signal = signal?;
        let (_, path, _, result): (u32, OwnedObjectPath, String, String) = signal.body().deserialize()?;
        if path == *job {
            return Ok(result);
        }
    }
    Err(zbus::Error::Failure("the connection to the bus was closed".into()))
}
