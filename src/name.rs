//! Names and identifiers as types of their own, so that a service can't be taken for a network.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub struct $name(String);

        impl $name {
            /// Wraps a text that the caller has already checked.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                self.0.as_ref()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

name_type! {
    /// A project: `[a-z0-9][a-z0-9_-]*` (spec.md 10.7).
    ProjectName
}
name_type! {
    /// A service of a project: `[a-zA-Z0-9._-]+`.
    ServiceName
}
name_type! {
    /// The name people use for a container: `<project>-<service>-<n>` or `container_name`.
    ContainerName
}
name_type! {
    /// 64 hexadecimal digits, made by the plan; the first 12 are what people see.
    ContainerId
}
name_type! {
    /// A network's name on this machine: `<project>_<key>`, or as the file has it.
    NetworkName
}
name_type! {
    /// A volume's name on this machine: `<project>_<key>`, or as the file has it; anonymous ones are 64 hexadecimal digits.
    VolumeName
}
name_type! {
    /// A content digest, `sha256:<64 hex>`.
    Digest
}

impl ContainerId {
    /// The 12 digits that are shown, and the default host name.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl Digest {
    /// The hexadecimal part, without the algorithm.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, hex)| hex)
    }
}
