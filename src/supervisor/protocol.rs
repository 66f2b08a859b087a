//! What a client and a supervisor say to each other: JSON, a line each, over the project's control socket.
//!
//! ```text
//!  client                          supervisor
//!    Hello ────────────────────────▶
//!    ◀──────────────────────── Hello        its version and executable; an older one is asked to make way
//!    Apply | Edit | Watch | Tell | Leave ─▶
//!    ◀────────────────────── Waiting        somebody else's change is under way: who, since when
//!    ◀───────────────────── Progress  *     what the engine does
//!    ◀─────────────────────── Alive  *     nothing to tell, but not hung
//!    ◀──────────── Done | Refused | Bye
//! ```
//!
//! A client that goes away ends nothing: what it asked for goes on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::desired::edit::Edit;
use crate::engine::progress::Progress;
use crate::name::ContainerName;

/// The version of this protocol. It only grows; a supervisor that speaks another is replaced.
pub const VERSION: u32 = 2;

/// The first line of either side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the speaker.
    pub version: u32,
    /// [`super::executable_id`] of the speaker.
    pub executable: String,
    /// Its process id.
    pub pid: u32,
    /// Its command line, for those who wait for it.
    pub command: String,
}

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", try_from = "Line")]
pub enum Request {
    /// Hold this state from now on.
    Apply {
        /// The state; its generation must be the one after the last.
        desired: Box<Desired>,
        /// Answer only when what it waits for holds too (healthy, ended with 0).
        wait: bool,
        /// Tells this request from all others: where a supervisor was lost, the next one is asked the same again, and goes on.
        id: String,
    },
    /// Change the state that is held.
    Edit {
        /// How.
        edit: Box<Edit>,
        /// As for `Apply`.
        wait: bool,
        /// As for `Apply`.
        id: String,
    },
    /// Tell of everything that happens, until one side leaves.
    Watch,
    /// Tell those who watch of what a client has done by itself.
    Tell {
        /// What.
        progress: Box<Progress>,
    },
    /// End, and leave the containers to the next supervisor.
    Leave,
}

/// A request as it comes in. serde would hold all of a tagged one in a form of its own before it reads any of it: of a state
/// of a hundred containers that is most of the work.
#[derive(Deserialize)]
struct Line {
    request: String,
    desired: Option<Box<Desired>>,
    edit: Option<Box<Edit>>,
    progress: Option<Box<Progress>>,
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    id: String,
}

impl TryFrom<Line> for Request {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let (wait, id) = (line.wait, line.id);
        match (line.request.as_str(), line.desired, line.edit, line.progress) {
            ("apply", Some(desired), ..) => Ok(Self::Apply { desired, wait, id }),
            ("edit", _, Some(edit), _) => Ok(Self::Edit { edit, wait, id }),
            ("tell", .., Some(progress)) => Ok(Self::Tell { progress }),
            ("watch", ..) => Ok(Self::Watch),
            ("leave", ..) => Ok(Self::Leave),
            (other, ..) => Err(format!("`{other}` is no whole request")),
        }
    }
}

/// What a supervisor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Another change is under way; this one is next.
    Waiting {
        /// Who made it.
        holder: Holder,
    },
    /// Nothing happened for a while, and the supervisor lives. To [`Request::Watch`] the first answer: whatever happens from then
    /// on is told.
    Alive,
    /// Something happened.
    Progress {
        /// What.
        progress: Box<Progress>,
    },
    /// What was asked for is done.
    Done,
    /// It was not done.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// The supervisor leaves.
    Bye,
}

/// Who changes a project at the moment.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Holder {
    /// Process id of the client.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Seconds since it began.
    pub seconds: u64,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, thiserror::Error)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Refusal {
    /// Somebody applied another state since the client read the last: it has to compute its own anew.
    #[error("the project was changed meanwhile (generation {current})")]
    Conflict {
        /// The generation that is held.
        current: u64,
    },
    /// Some containers can't reach their state.
    #[error("{}", .reasons.join("\n"))]
    Failed {
        /// Why, a container each.
        reasons: Vec<String>,
        /// The containers whose last output tells more.
        #[serde(default)]
        culprits: BTreeSet<ContainerName>,
    },
    /// It can't be done at all.
    #[error("{message}")]
    Error {
        /// Why.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        let edit = Box::new(Edit::Kill { services: Default::default() });
        let progress = Box::new(Progress::Signalled { container: "c".into(), id: "1".into(), signal: 1 });
        let edit = Request::Edit { edit, wait: true, id: "1".into() };
        for request in [Request::Watch, Request::Leave, Request::Tell { progress }, edit] {
            let line = serde_json::to_string(&request).expect("written");
            let read: Request = serde_json::from_str(&line).expect("read");
            assert_eq!(serde_json::to_string(&read).expect("written"), line);
        }
    }

    #[test]
    fn half_a_request_is_none() {
        for line in [r#"{"request":"apply","wait":true}"#, r#"{"request":"dance"}"#, "{}"] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }
}
