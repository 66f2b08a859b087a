//! A transient scope for a project, where systemd runs the machine: what stays in the unit or session that called `up`
//! would be killed at its end. And one for a container that is to be in a slice of the user's.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use zbus::blocking::{Connection, MessageIterator};
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{MatchRule, message};

use super::{Error, Result};
use crate::desired::Slice;

/// The slice that the projects' scopes are in.
pub(super) const SLICE: &str = "windlass.slice";

/// A scope of the same name is on its way out, or a slice is: it takes systemd a moment.
/// One that was there when it was asked for may be gone when the scope is to be made in it.
const PASSING: [&str; 3] = [
    "org.freedesktop.systemd1.UnitExists",
    "org.freedesktop.systemd1.TransactionIsDestructive",
    "org.freedesktop.systemd1.NoSuchUnit",
];

/// So long it is waited for.
const PASSING_WAIT: Duration = Duration::from_secs(10);

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PATH: &str = "/org/freedesktop/systemd1";

/// Whether systemd is the init of this machine (`sd_booted(3)`).
pub fn systemd_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Starts a scope in a slice with the process `pid` in it, and waits until it is there.
///
/// A scope has no process of systemd's: it lives as long as anything is in it. A unit of that name that has failed is
/// forgotten first, and one that has just ended is waited for.
pub(super) fn start_scope(unit: &str, slice: &Slice, what: &str, pid: u32) -> Result<()> {
    let failed = |source| Error::Systemd { unit: unit.to_owned(), source: Box::new(source) };
    let bus = Connection::system().map_err(failed)?;
    call(&bus, "Subscribe", &()).map_err(failed)?;
    let end = Instant::now() + PASSING_WAIT;
    let result = loop {
        match start(&bus, unit, slice, what, pid) {
            Err(zbus::Error::MethodError(name, ..)) if PASSING.contains(&name.as_str()) && Instant::now() < end => {
                thread::sleep(Duration::from_millis(20));
            }
            result => break result.map_err(failed)?,
        }
    };
    // `done`: it was started; nothing else is a success.
    if result == "done" { Ok(()) } else { Err(Error::Job { unit: unit.to_owned(), result }) }
}

fn start(bus: &Connection, unit: &str, slice: &Slice, what: &str, pid: u32) -> zbus::Result<String> {
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(SERVICE)?
        .interface(MANAGER)?
        .member("JobRemoved")?
        .build();
    // Before the call, or a quick job's end would be missed.
    let signals = MessageIterator::for_match_rule(rule, bus, None)?;
    // There is none in most cases, which is an answer too.
    let _ = call(bus, "ResetFailedUnit", &(unit,));
    let properties = [
        ("Description", Value::from(what)),
        ("Slice", Value::from(slice.name())),
        ("Delegate", Value::from(true)),
        ("DefaultDependencies", Value::from(false)),
        ("CollectMode", Value::from("inactive-or-failed")),
        ("PIDs", Value::from(vec![pid])),
    ];
    // A slice that is made for it goes with the last scope.
    let passing = [("StopWhenUnneeded", Value::from(true)), ("CollectMode", Value::from("inactive-or-failed"))];
    let mut auxiliary: Vec<(&str, &[(&str, Value<'_>)])> = Vec::new();
    for name in slice.chain() {
        if is_nobodys(bus, name)? {
            auxiliary.push((name, &passing[..]));
        }
    }
    let reply = call(bus, "StartTransientUnit", &(unit, "fail", &properties[..], &auxiliary[..]))?;
    let job: OwnedObjectPath = reply.body().deserialize()?;
    await_job(signals, &job)
}

/// Whether nobody else has made a slice: it is not active, and no file on the disk speaks of it. What somebody has made
/// stays as it is, and stays when we go.
fn is_nobodys(bus: &Connection, slice: &str) -> zbus::Result<bool> {
    let unit: OwnedObjectPath = call(bus, "LoadUnit", &(slice,))?.body().deserialize()?;
    let get = |property: &str| {
        let get = (UNIT, property);
        let reply = bus.call_method(Some(SERVICE), &unit, Some("org.freedesktop.DBus.Properties"), "Get", &get)?;
        reply.body().deserialize::<OwnedValue>()
    };
    Ok(String::try_from(get("ActiveState")?)? == "inactive"
        && String::try_from(get("FragmentPath")?)?.is_empty()
        && Vec::<String>::try_from(get("DropInPaths")?)?.is_empty())
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
