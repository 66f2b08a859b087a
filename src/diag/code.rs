//! The kinds of messages: a short number that never changes, the cause and the cure. docs/diagnostics.md is written from
//! this table, and so is what `windlass explain` prints.

use std::fmt::Write;

use super::Severity;

macro_rules! codes {
    ($($name:ident $number:literal $title:literal $cause:literal $cure:literal;)*) => {
        /// A kind of message. The letter says how bad it is (error, warning), the first two digits which stage found it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All of them, by stage.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// As it is printed: `E0501`.
            pub fn number(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// What it is about, in one line.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// Why it is told.
            pub fn cause(self) -> &'static str {
                match self { $(Code::$name => $cause,)* }
            }

            /// What to do.
            pub fn cure(self) -> &'static str {
                match self { $(Code::$name => $cure,)* }
            }
        }
    };
}

codes! {
    NoFile "E0101" "no compose file"
        "No file was named, `COMPOSE_FILE` is not set, and neither this folder nor any above it has a `compose.yaml`, `compose.yml`, `docker-compose.yml` or `docker-compose.yaml`."
        "Go to the project's folder, or name the file with `-f FILE`.";
    Unreadable "E0102" "a file cannot be read"
        "A compose file, an included or extended one, an env file or a label file is missing, is no text, is larger than 64 MiB or may not be read."
        "Make the file or correct its path. Relative paths begin at the project's folder; an env file that may be missing takes `required: false`.";
    EmptyFile "E0103" "the compose file is empty"
        "All files together say nothing: they are empty or hold comments only."
        "Add `services:`.";
    ProjectName "E0104" "the project's name is not one"
        "A name has lower-case letters, digits, `_` and `-`, and begins with a letter or a digit. The names of folders and of `name:` are made so; those of `-p` and `COMPOSE_PROJECT_NAME` must be so already. `name:` must be text."
        "Give a name with `-p NAME`, or with `name:` in the file, in quotes if it looks like a number.";
    RemoteFile "E0105" "a remote file cannot be had"
        "A compose file was named by an address, and the address is none, or what lies there can't be fetched: git or the registry refuses it or can't be reached, there is no such branch, tag or file, or nothing may be fetched now (`--frozen`, or a verb that only needs the project's name)."
        "Read what git or the registry said. Addresses are `https://HOST/REPOSITORY.git#REF:FOLDER`, `ssh://`, `git://`, `git@HOST:REPOSITORY`, `oci://REGISTRY/NAME:TAG`; `windlass config` fetches what is missing.";
    EnvFile "E0106" "an env file cannot be understood"
        "A line of an env file is no `NAME=value`, a quote is never closed, or a `$` begins no variable. The text is not shown, as it may be a secret."
        "Correct the named line. A value with blanks or `#` takes quotes, a dollar sign is written `$$`.";
    SeveralFiles "W0107" "several compose files in one folder"
        "A folder has more than one of the names that are looked for; the first of them is used."
        "Remove the others, or name the files with `-f`.";
    RemoteEscape "E0108" "a remote file reaches out"
        "A file that was fetched from elsewhere names a file of this machine, by its path or through a symbolic link, or an address with variables, whose values the server would learn."
        "A remote file may name files of its own repository or artifact, and addresses that are written out.";
    RemoteChain "W0109" "a remote file names another"
        "A file that was fetched from elsewhere includes or extends one at another address, and that one came to this machine for the first time."
        "Look whether you trust that address too. `windlass lock` holds both to what they are now.";
    Setting "E0110" "a variable of the command line cannot be followed"
        "`COMPOSE_FILE` is set and has an empty entry, or `COMPOSE_DISABLE_ENV_FILE` is set to neither a yes nor a no. Whoever sets them means something by it, so neither is passed over."
        "Unset the variable, or write paths with one separator between them, and `1` or `0`.";
    NotYaml "E0201" "not valid YAML"
        "The text breaks a rule of YAML: a bracket or quote is not closed, the indent does not fit, a tab is used as indent."
        "Correct the place shown, or the line above it.";
    KeyTwice "E0202" "a key stands twice"
        "A mapping has the same key twice, so one of the two values would be lost."
        "Remove one of them, or put both into one mapping.";
    KeyKind "E0203" "a key is not text"
        "A key is a number, a boolean, a list or a mapping."
        "Put it in quotes.";
    MergeKey "E0204" "`<<` takes mappings"
        "The merge key is given something that is neither a mapping nor a list of mappings."
        "Write `<<: *name` or `<<: [*one, *two]`.";
    Alias "E0205" "an alias stands for nothing"
        "No anchor with this name stands above the alias, or the alias stands inside its own anchor."
        "Set the anchor (`&name`) above its first use.";
    TooLarge "E0206" "too many values in a file"
        "A file has more than a million values, or aliases inside anchors of aliases would make it grow by hundreds of thousands."
        "Repeat less by aliases, or split the file by `include`.";
    TooDeep "E0207" "too many levels inside each other"
        "Lists, mappings, `extends` or `include` are nested deeper than any compose file needs."
        "Check the indent and the brackets; extend or include more directly.";
    YamlTag "E0208" "a value does not fit its tag"
        "A tag such as `!!int` stands before a text that is none."
        "Remove the tag or correct the value.";
    BadVariable "E0301" "not a valid use of a variable"
        "A `$` is followed by something that is neither a name nor one of `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${NAME:+text}`."
        "Correct it; a dollar sign that starts no variable is written `$$`.";
    RequiredVariable "E0302" "a variable must be set"
        "The file says `${NAME:?message}` and the variable is unset or empty."
        "Set it in the environment, in `.env` or in a file of `--env-file`.";
    UnsetVariable "W0303" "a variable is not set"
        "A variable has neither a value nor a default, so empty text stands in its place."
        "Set it, or write `${NAME:-}` when empty text is meant.";
    MergeKinds "E0401" "two values cannot be merged"
        "A later file has a list where an earlier one has a mapping, or text where the other has one of them."
        "Write both in the same form, or put `!override` before the later value.";
    ExtendsUnknown "E0402" "nothing to extend"
        "The service that `extends` names is not in the file."
        "Correct the name; with `file:` it is looked for in that file alone.";
    ExtendsCircle "E0403" "services extend each other in a circle"
        "Following `extends` leads back to where it began."
        "Take one of them out; put what they share into a service of its own.";
    IncludeCircle "E0404" "files include each other in a circle"
        "Following `include` leads back to a file that is being read."
        "Take one of them out.";
    IncludeConflict "E0405" "the same thing here and in an included file"
        "An included file declares a service, network, volume, secret, config or model that this file declares differently."
        "Change the included one in an override file: `include: [{path: [file, override]}]`.";
    UnknownKey "E0501" "an unknown key"
        "The attribute does not exist at this place; nothing is ignored in silence."
        "Correct the spelling or the indent. Your own keys begin with `x-`.";
    WrongKind "E0502" "a value of the wrong kind"
        "An attribute takes text, a number, a boolean, a list or a mapping, and the file has something else. Unquoted `80`, `true` and `2020-01-02` are no text."
        "Write it as it is asked for, in quotes where text is needed.";
    MissingKey "E0503" "something is missing"
        "A key that is always needed at this place is not there."
        "Add it.";
    UnknownWord "E0504" "not one of the known words"
        "The attribute takes certain words only."
        "Use one of the words listed.";
    OutOfRange "E0505" "a number out of range"
        "The number is below or above what the attribute takes."
        "Use a number in the range.";
    EntryName "E0506" "not a name"
        "The names of services, networks, volumes, secrets, configs and models have letters, digits, `.`, `_` and `-`."
        "Choose another name.";
    ItemTwice "E0507" "an entry stands twice"
        "A list whose entries must differ has one of them twice, perhaps from two files."
        "Remove one of them.";
    Version "W0508" "`version` has no meaning"
        "Old files begin with a version of their format; there is only one today."
        "Remove the line.";
    BadValue "E0601" "a value that cannot be read"
        "A size, duration, number, address, command line or permission is not written as one."
        "Write sizes as `512m`, durations as `1m30s`, permissions as `0440`.";
    BadPort "E0602" "not a port"
        "An entry of `ports` is not `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, or two ranges differ in length."
        "Write `8080:80`, `127.0.0.1:8080:80/tcp`, `3000-3002:3000-3002`; IPv6 addresses stand in brackets.";
    BadMount "E0603" "not a volume"
        "An entry of `volumes` is not `[SOURCE:]TARGET[:OPTIONS]`; `:/x` often comes from an unset variable."
        "Write `./data:/data:ro`, `name:/data` or the long form.";
    BadDevice "E0604" "not a device"
        "An entry of `devices` is not `SOURCE[:TARGET[:PERMISSIONS]]`."
        "Write `/dev/fuse`, or `/dev/sda:/dev/xvda:r`.";
    ContainerName "E0605" "not a name for a container"
        "A container's name has letters, digits, `_`, `.` and `-`, at least two of them, and begins with a letter or a digit."
        "Choose another name.";
    VariableName "E0606" "not a name for a variable"
        "A variable's name ends in a blank, as in `NAME = value`."
        "Write `NAME=value`.";
    NoShell "W0607" "no shell reads a command"
        "A command that is written as text is split into words, but not run by a shell: pipes, redirections and `&&` mean nothing."
        "Write `[\"sh\", \"-c\", \"...\"]`.";
    BadPattern "E0608" "not a pattern"
        "An entry of `ignore` or `include` is not written as in a `.dockerignore`: a `[` is never closed, a range has no end, nothing follows a `\\` or a `!`."
        "Close the bracket; what is meant literally takes a `\\` before it.";
    MountOption "W0609" "an unknown option of a mount"
        "The third part of an entry of `volumes` has a word that is no option; docker compose leaves it out without a word, and so the mount is made without it."
        "Write options with commas between them: `./data:/data:ro,z`.";
    OnlyPrinted "W0610" "a value that is only printed"
        "`config` prints the value, as docker compose does, but no container can be made with it: `plan` and `up` refuse it."
        "The message says what it must be.";
    LeftOut "W0611" "a value that is left out"
        "docker compose takes the value and drops it without a word: a size with a point and no unit, a key that a device request does not have. `config` prints as much, and what is brought up has none of it."
        "Write it as the message says, or remove it.";
    UnknownReference "E0701" "a name that nothing has"
        "A service uses a service, network, volume, secret, config or model that is not declared."
        "Correct the name, or declare it at the top level.";
    NoSuchService "E0702" "no such service"
        "The command line names a service that the files do not have."
        "See `windlass config --services`.";
    DependencyOff "E0703" "a dependency's profile is off"
        "A service depends on one that does not run, as none of its profiles is on."
        "Switch the profile on with `--profile`, or say `required: false`.";
    OptionalOff "W0704" "an optional dependency's profile is off"
        "A service would wait for one that does not run; it does not wait."
        "Nothing, if that is meant.";
    DependencyCircle "E0705" "services depend on each other in a circle"
        "None of them can be started first. Links, `network_mode: service:x` and the like are dependencies too."
        "Take one of the dependencies out.";
    Exclusive "E0706" "two things that exclude each other"
        "Only one of the attributes can be given."
        "Remove all but one.";
    Contradiction "E0707" "the same thing said differently"
        "A value can be given in two places (`scale` and `deploy.replicas`, `mem_limit` and `deploy.resources.limits.memory`), and both have one."
        "Remove one of them, or make them equal.";
    SameContainerName "E0708" "two containers with one name"
        "Two services have the same `container_name`, or one with a fixed name has several replicas."
        "Remove `container_name`, or choose another.";
    TwoMounts "E0709" "two mounts at one place"
        "Two entries of `tmpfs` and `volumes` have the same target."
        "Remove one of them.";
    ExternalDescribed "E0710" "something external is described"
        "What exists already is used as it is, so it takes nothing but `name`."
        "Remove the other keys, or `external`.";
    ExternalIgnored "W0711" "a key without effect on something external"
        "What exists already is used as it is; docker compose takes further keys without a word."
        "Remove the key.";
    NothingThere "E0712" "nothing stands at a path"
        "`config --explain` takes a path of the loaded project, as `config` prints it: `services.web.ports[0]`."
        "See `windlass config` for what is there.";
    HealthTest "E0713" "a health check does not say what it runs"
        "The `test` of a health check is a list, and its first entry is not `CMD` (a program), `CMD-SHELL` (a shell) or `NONE`."
        "Put `CMD` before the program, or write the whole as one text for a shell.";
    NotBuilt "E0714" "a build context that nothing builds"
        "`additional_contexts` names a service with `service:NAME`, and that service has no `build`."
        "Give that service a `build`, or name its image with `docker-image://IMAGE`.";
    Refused "E0801" "an attribute that cannot be carried out"
        "The attribute is valid, but this program or one Linux host cannot do it. `config` prints it, `plan` and `up` refuse it; docs/compose-support.md lists all."
        "Remove it, or use what the message names in its place.";
    NoEffect "W0802" "an attribute without effect"
        "The attribute is valid and has no meaning on one Linux host; nothing is lost by that."
        "Nothing, or remove it.";
    Unusable "E0803" "a value that cannot be used here"
        "The file is right, but what it asks for does not fit the image, the addresses, the files or the kernel of this machine."
        "The message says what to change.";
    LockFile "E0901" "a lock file that cannot be used"
        "`windlass.lock` is damaged, half merged, or written by a newer windlass; it is never taken for something else than it says."
        "Take it from version control again, or remove it and run `windlass lock`; `--no-lock` leaves it aside.";
}

impl Code {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        if self.number().starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// Which stage found it: the first two digits.
    pub fn stage(self) -> &'static str {
        self.number().get(1..3).unwrap_or_default()
    }

    /// The code with this number, in any case of letters.
    pub fn find(number: &str) -> Option<Code> {
        Self::ALL.iter().copied().find(|code| code.number().eq_ignore_ascii_case(number))
    }

    /// Title, cause and cure, as `windlass explain` prints them.
    pub fn explain(self) -> String {
        format!("{}: {}\n\n{}\n\n{}\n", self.number(), self.title(), self.cause(), self.cure())
    }

    /// docs/diagnostics.md.
    pub fn catalogue() -> String {
        const STAGES: [&str; 8] = [
            "Files and env files",
            "YAML",
            "Variables",
            "Merging, `extends`, `include`",
            "Attributes",
            "Values",
            "Between attributes",
            "Carrying out",
        ];
        let mut out = String::from(
            "# Diagnostics\n\nEvery error (E) and warning (W) about compose files, by the stage that finds it. The numbers \
             never change.\n`windlass explain CODE` prints an entry; `windlass config --format json` gives errors and warnings \
             to programs.\n\nWritten by a test from src/diag/code.rs; do not edit.\n",
        );
        let mut stage = 0_usize;
        for code in Self::ALL {
            let of = code.number()[1..3].parse().unwrap_or(0);
            if of != stage {
                stage = of;
                let _ = write!(out, "\n## {}\n", STAGES.get(stage.wrapping_sub(1)).unwrap_or(&""));
            }
            let _ = write!(
                out,
                "\n### {}: {}\n\n{}\n\n*Cure:* {}\n",
                code.number(),
                code.title(),
                code.cause(),
                code.cure()
            );
        }
        out
    }
}
