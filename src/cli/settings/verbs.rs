//! The verbs, in one table: each one's flags stand beside what it does, in `commands/`.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::super::commands as verbs;

/// Makes the enum of the verbs, and its way to and from clap. As a derive it would make the flags of all verbs for each
/// command line, which is half of what a short command costs: here those of one are enough.
macro_rules! verbs {
    ($($(#[doc = $about:literal])* $name:literal $kind:ident $verb:ident($flags:ty),)*) => {
        /// The verbs.
        #[derive(Debug)]
        pub enum Verb {
            $($(#[doc = $about])* $verb($flags),)*
        }

        impl Verb {
            /// The names of all.
            pub(super) const NAMES: &[&str] = &[$($name),*];

            /// Adds the verbs, all of them or `only` one with its flags.
            pub(super) fn add(command: Command, only: Option<&str>) -> Command {
                command$(.subcommand({
                    let verb = Command::new($name);
                    let verb = if only.is_none_or(|only| only == $name) { $kind::<$flags>(verb) } else { verb };
                    verb.about(concat!($($about),*).trim_start())
                }))*
            }

            /// The verb that was found.
            ///
            /// # Errors
            /// Values that are none of its flags'.
            pub(super) fn read(name: &str, matches: &ArgMatches) -> Result<Self, clap::Error> {
                match name {
                    $($name => <$flags>::from_arg_matches(matches).map(Self::$verb),)*
                    _ => Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
                }
            }
        }
    };
}

/// A verb with flags.
fn verb<T: Args>(command: Command) -> Command {
    T::augment_args(command)
}

/// A verb of verbs.
fn group<T: Subcommand>(command: Command) -> Command {
    T::augment_subcommands(command).subcommand_required(true).arg_required_else_help(true)
}

/// The same, not shown.
fn hidden<T: Subcommand>(command: Command) -> Command {
    group::<T>(command).hide(true)
}

verbs! {
    /// Create and start containers
    "up" verb Up(verbs::up::Up),
    /// Stop and remove containers and networks
    "down" verb Down(verbs::down::Down),
    /// Create containers, but don't start them
    "create" verb Create(verbs::create::Create),
    /// Start services that were stopped
    "start" verb Start(verbs::start::Start),
    /// Stop services
    "stop" verb Stop(verbs::stop::Stop),
    /// Restart services
    "restart" verb Restart(verbs::restart::Restart),
    /// Set the number of replicas of services
    "scale" verb Scale(verbs::scale::Scale),
    /// Kill services
    "kill" verb Kill(verbs::kill::Kill),
    /// Pause services
    "pause" verb Pause(verbs::pause::Pause),
    /// Unpause services
    "unpause" verb Unpause(verbs::unpause::Unpause),
    /// Remove stopped containers
    "rm" verb Rm(verbs::rm::Rm),
    /// Wait until services have ended
    "wait" verb Wait(verbs::wait::Wait),
    /// Show what `up` would do, each step with its cause
    "plan" verb Plan(verbs::plan::Plan),
    /// List containers
    "ps" verb Ps(verbs::ps::Ps),
    /// Show what containers have printed
    "logs" verb Logs(verbs::logs::Logs),
    /// Show the processes of containers
    "top" verb Top(verbs::top::Top),
    /// Show what containers use
    "stats" verb Stats(verbs::stats::Stats),
    /// Show what happens to containers, as it happens
    "events" verb Events(verbs::events::Events),
    /// Show where a port of a service is published
    "port" verb Port(verbs::port::Port),
    /// List projects
    "ls" verb Ls(verbs::ls::Ls),
    /// Run a command in a running container
    "exec" verb Exec(verbs::exec::Exec),
    /// Run a command in a new container of a service
    "run" verb Run(verbs::run::Run),
    /// Connect the terminal to a running container
    "attach" verb Attach(verbs::attach::Attach),
    /// Copy files between a container and this machine
    "cp" verb Cp(verbs::cp::Cp),
    /// Write a container's files as a tar archive
    "export" verb Export(verbs::export::Export),
    /// Check the compose files and print them in canonical form
    "config" verb Config(verbs::config::Config),
    /// Tell what a code of an error or a warning means
    "explain" verb Explain(verbs::explain::Explain),
    /// Write windlass.lock: the digest of every image
    "lock" verb Lock(verbs::lock::Lock),
    /// Compare two environments, field by field
    "diff" verb Diff(verbs::diff::Diff),
    /// Pull images of services
    "pull" verb Pull(verbs::pull::Pull),
    /// Build images of services
    "build" verb Build(verbs::build::Build),
    /// List images that containers use
    "images" verb Images(verbs::images::Images),
    /// List volumes of services
    "volumes" verb Volumes(verbs::volumes::Volumes),
    /// The image store
    "image" group Image(verbs::image::Image),
    /// All volumes
    "volume" group Volume(verbs::volume::Volume),
    /// Log in to a registry
    "login" verb Login(verbs::login::Login),
    /// Log out from a registry
    "logout" verb Logout(verbs::logout::Logout),
    /// Bring services up, and copy files into them, rebuild or restart them when files change
    "watch" verb Watch(verbs::watch::Watch),
    /// Experimental verbs of docker compose
    "alpha" hidden Alpha(verbs::alpha::Alpha),
    /// Bring up a small stack that needs nothing
    "demo" verb Demo(verbs::demo::Demo),
    /// Show the version
    "version" verb Version(verbs::version::Version),
}
