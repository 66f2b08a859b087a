//! One table of everything a compose file may say: for each attribute what it takes, how it is cast, merged, made unique,
//! written long, resolved and printed. Every pass walks a tree along this table; none knows attributes of its own.

mod canonical;
mod json_schema;
mod project;
mod service;
#[cfg(test)]
mod tests;

pub use canonical::canonical_schema;
pub use json_schema::json_schema;
pub use project::PROJECT;
pub use service::SERVICE;

use super::looks::Looks;

/// Scalars an attribute takes, as bits.
pub mod takes {
    /// Text.
    pub const STR: u8 = 1;
    /// Any number.
    pub const NUM: u8 = 2;
    /// A whole number.
    pub const INT: u8 = 4;
    /// A boolean.
    pub const BOOL: u8 = 8;
    /// Nothing.
    pub const NULL: u8 = 16;
    /// Anything at all.
    pub const ANY: u8 = 255;
}

/// What interpolated text is turned into (spec.md 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// It stays text.
    No,
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
}

/// How a later file's value meets an earlier one (spec.md sections 3 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Maps merge, lists append, scalars replace.
    Plain,
    /// The later one stands alone.
    Replace,
    /// Both become `k=v` lists, appended.
    KeyValue,
    /// As `KeyValue`, but exact repetitions are dropped.
    Hosts,
    /// A list of names becomes a map of the default condition.
    DependsOn,
    /// A list of names becomes a map of nothing.
    Names,
    /// Text becomes `context`.
    Build,
    /// Only the same driver's options merge.
    Logging,
    /// Address pools of one subnet merge.
    Pools,
}

/// By what entries of a list are told apart; the later one takes the earlier one's place (spec.md 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// They are not.
    No,
    /// Text before `=`.
    Key,
    /// The text as it is, numbers too.
    Text,
    /// Where a volume is mounted.
    Volume,
    /// Where a device appears.
    Device,
    /// Where a secret or config appears: `target`, else its name below this folder.
    File(&'static str),
    /// Address, published port, target and protocol.
    Port,
    /// Path of an env_file.
    Path,
}

/// Which short forms an attribute has (spec.md sections 3 to 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// None.
    No,
    /// Text stands for a list of one.
    OneOrMore,
    /// As `OneOrMore`, and what is empty is left out.
    OneOrMoreFilled,
    /// `build: path`.
    Build,
    /// A list of names.
    DependsOn,
    /// A list of names.
    Names,
    /// Paths or `{path}`.
    EnvFile,
    /// `service` or `{service, file}`.
    Extends,
    /// `all` or a list.
    Gpus,
    /// `src:dst:perm`.
    Device,
    /// The name of a secret or config.
    File,
    /// `host:container/proto`, ranges.
    Ports,
    /// `src:dst:opts`.
    Volume,
    /// `id=path` or a map.
    Ssh,
    /// A list of `k=v`.
    Pairs,
    /// `external: {name}`.
    External,
    /// Any scalar is text.
    Text,
    /// A limit must be a number or a mapping once its variables are gone.
    Ulimit,
}

/// Which paths an attribute holds (spec.md 10.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// None.
    No,
    /// A path of this machine; empty text is none.
    Local,
    /// A path of this machine; empty text is the folder itself.
    Source,
    /// A compose file: a path or an address of one.
    File,
    /// A path or an address.
    Context,
    /// Like `Context`, and `service:x`.
    Contexts,
    /// Every value of a map is a path.
    Values,
    /// The source of a bind.
    Mount,
    /// A watched path; symbolic links are followed.
    Watch,
    /// The device of a local volume that is a bind.
    Volume,
}

/// How a value is written out and typed in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// As it is.
    As,
    /// As text.
    Text,
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A whole number, or `all`.
    CountOrAll,
    /// A whole number from 0 on; text is none.
    Count,
    /// A number of 32 bits.
    Float,
    /// A size: bytes as text.
    Bytes,
    /// A duration in Go's form.
    Duration,
    /// A list of words; text is split like a shell does.
    Command,
    /// A list; text becomes `CMD-SHELL`.
    HealthTest,
    /// A map of text; nothing becomes empty text.
    TextMap,
    /// A map of text or nothing.
    EnvMap,
    /// A list of text.
    TextList,
    /// A map of lists of text.
    ListMap,
    /// A sorted list of `name=address`.
    Hosts,
    /// A list of `id` or `id: path`.
    Ssh,
    /// Permission bits, as octal text.
    Mode,
    /// Limits: a number or soft and hard.
    Ulimit,
    /// Not printed: other attributes have taken it in.
    Hidden,
}

/// The keys a mapping takes.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// It must not be a mapping.
    No,
    /// These, in the order of output, and `x-*`.
    Fields(&'static [(&'static str, &'static Shape)]),
    /// The user's own keys.
    Own(&'static Shape),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Scalars it takes ([`takes`]).
    pub scalars: u8,
    /// What the items of a list are; `None`: it must not be a list.
    pub items: Option<&'static Shape>,
    /// What a mapping has.
    pub keys: Keys,
    /// Keys a mapping must have.
    pub required: &'static [&'static str],
    /// The only texts it takes; empty: any.
    pub values: &'static [&'static str],
    /// The least whole number it takes.
    pub least: i64,
    /// See [`Looks`].
    pub looks: Looks,
    /// No item of a list may stand twice.
    pub distinct: bool,
    /// `x-*` keys are allowed beside the fields.
    pub extensions: bool,
    /// Other keys are left out, and not refused.
    pub open: bool,
    /// All fields are printed, also those that nobody wrote.
    pub filled: bool,
    /// The user's keys must look like names.
    pub names: bool,
    /// See [`Cast`].
    pub cast: Cast,
    /// See [`Merge`].
    pub merge: Merge,
    /// See [`Unique`].
    pub unique: Unique,
    /// See [`Form`].
    pub form: Form,
    /// See [`Paths`].
    pub paths: Paths,
    /// See [`Out`].
    pub out: Out,
    /// Printed even when it is false, 0 or empty.
    pub keep: bool,
}

impl Shape {
    /// Takes these scalars.
    pub const fn scalar(scalars: u8) -> Self {
        Self {
            scalars,
            items: None,
            keys: Keys::No,
            required: &[],
            values: &[],
            least: i64::MIN,
            looks: Looks::Any,
            distinct: false,
            extensions: true,
            open: false,
            filled: false,
            names: false,
            cast: Cast::No,
            merge: Merge::Plain,
            unique: Unique::No,
            form: Form::No,
            paths: Paths::No,
            out: Out::As,
            keep: false,
        }
    }

    /// A mapping with these keys.
    pub const fn fields(fields: &'static [(&'static str, &'static Shape)]) -> Self {
        Self { keys: Keys::Fields(fields), keep: true, ..Self::scalar(0) }
    }

    /// A mapping with keys of the user.
    pub const fn own(value: &'static Shape) -> Self {
        Self { keys: Keys::Own(value), ..Self::scalar(0) }
    }

    /// A list.
    pub const fn list(items: &'static Shape) -> Self {
        Self { items: Some(items), ..Self::scalar(0) }
    }

    /// Takes these scalars too.
    pub const fn or(self, scalars: u8) -> Self {
        Self { scalars: self.scalars | scalars, ..self }
    }

    /// Takes a list too.
    pub const fn or_list(self, items: &'static Shape) -> Self {
        Self { items: Some(items), ..self }
    }

    /// These keys must be there.
    pub const fn required(self, required: &'static [&'static str]) -> Self {
        Self { required, ..self }
    }

    /// Only these texts.
    pub const fn values(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }

    /// No whole number below this.
    pub const fn at_least(self, least: i64) -> Self {
        Self { least, ..self }
    }

    /// Sets [`Looks`].
    pub const fn looks(self, looks: Looks) -> Self {
        Self { looks, ..self }
    }

    /// No item twice.
    pub const fn distinct(self) -> Self {
        Self { distinct: true, ..self }
    }

    /// No `x-*`.
    pub const fn strict(self) -> Self {
        Self { extensions: false, ..self }
    }

    /// Other keys are left out.
    pub const fn open(self) -> Self {
        Self { open: true, ..self }
    }

    /// All fields are printed.
    pub const fn filled(self) -> Self {
        Self { filled: true, ..self }
    }

    /// The user's keys are names.
    pub const fn names(self) -> Self {
        Self { names: true, ..self }
    }

    /// Sets [`Cast`].
    pub const fn cast(self, cast: Cast) -> Self {
        Self { cast, ..self }
    }

    /// Sets [`Merge`].
    pub const fn merge(self, merge: Merge) -> Self {
        Self { merge, ..self }
    }

    /// Sets [`Unique`].
    pub const fn unique(self, unique: Unique) -> Self {
        Self { unique, ..self }
    }

    /// Sets [`Form`].
    pub const fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// Sets [`Paths`].
    pub const fn paths(self, paths: Paths) -> Self {
        Self { paths, ..self }
    }

    /// Sets [`Out`].
    pub const fn out(self, out: Out) -> Self {
        Self { out, ..self }
    }

    /// Printed even when false, 0 or empty.
    pub const fn keep(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Not printed when empty.
    pub const fn drop_empty(self) -> Self {
        Self { keep: false, ..self }
    }

    /// The row of a key; `None` when the key is not known. `x-*` is [`ANY`].
    pub fn field(&self, key: &str) -> Option<&'static Shape> {
        match self.keys {
            Keys::No => None,
            Keys::Own(value) => Some(value),
            // Every pass comes here for every value: most names are told apart by their length and first letter.
            Keys::Fields(fields) => match fields.iter().find(|(name, _)| {
                name.len() == key.len() && name.as_bytes().first() == key.as_bytes().first() && *name == key
            }) {
                Some((_, shape)) => Some(shape),
                None if self.extensions && key.starts_with("x-") => Some(&ANY),
                None => None,
            },
        }
    }
}

/// Whatever stands there.
pub static ANY: Shape = Shape::scalar(takes::ANY).keep();
