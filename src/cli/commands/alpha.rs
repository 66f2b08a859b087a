//! `windlass alpha`: verbs that docker compose had there before they got names of their own.

use clap::Subcommand;

/// Its verbs.
#[derive(Subcommand, Debug)]
pub enum Alpha {
    /// Old name of watch
    Watch(super::watch::Watch),
}
