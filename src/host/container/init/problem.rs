//! Why a step failed, and the stage that it belongs to.

use std::fmt::Display;

use super::super::protocol::StartError;

/// A failed step: words for people and `docker run`'s exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What failed on what, and why.
    pub message: String,
    /// 125, 126 or 127.
    pub code: i32,
}

/// The result of a step.
pub(crate) type Step<T = ()> = Result<T, Problem>;

impl Problem {
    /// A failure of the set-up (125).
    pub(crate) fn new(message: impl Display) -> Problem {
        Problem { message: message.to_string(), code: 125 }
    }

    /// The same with an exit code of its own.
    pub(crate) fn with_code(message: impl Display, code: i32) -> Problem {
        Problem { message: message.to_string(), code }
    }
}

/// For `map_err`: the operation and its object before the cause.
pub(crate) fn doing<E: Display>(what: impl Display) -> impl FnOnce(E) -> Problem {
    move |cause| Problem::new(format!("{what}: {cause}"))
}

/// Names the stage of a failed step.
pub(crate) trait At<T> {
    /// The stage's name, as people see it.
    fn at(self, stage: &str) -> Result<T, StartError>;
}

impl<T> At<T> for Step<T> {
    fn at(self, stage: &str) -> Result<T, StartError> {
        self.map_err(|problem| StartError { stage: stage.to_owned(), message: problem.message, code: problem.code })
    }
}
