//! Which names the embedded name server answers with, and for whom.

use super::Machine;

impl Machine {
    /// Makes the table of names anew, from what runs.
    pub(super) async fn refresh_names(&self) {}
}
