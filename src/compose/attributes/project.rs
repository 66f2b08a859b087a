//! The top level of a compose file (spec.md sections 2 and 8), in the order in which `config` prints it.

use super::service::{OPTIONS, PAIRS, SERVICE, SWITCH, TEXT, TEXTS};
use super::takes::{BOOL, INT, NULL, STR};
use super::{Cast, Form, Merge, Out, Paths, Shape, Unique};

type Fields = &'static [(&'static str, &'static Shape)];

const EXTERNAL: Shape = Shape::fields(&[("name", &TEXT)]).or(BOOL | STR).cast(Cast::Bool).out(Out::Bool).drop_empty();
const LABELS: Shape = PAIRS;
/// Only where the peer makes labels unique may one key stand twice in a list.
const VOLUME_LABELS: Shape = PAIRS.unique(Unique::No);
const FILE_LABELS: Shape = VOLUME_LABELS.merge(Merge::Plain);
const FIXED: Shape = Shape::own(&TEXT).out(Out::TextMap);

static NETWORK: Shape = Shape::fields(&[
    ("name", &TEXT),
    ("driver", &TEXT),
    ("driver_opts", &OPTIONS),
    (
        "ipam",
        &Shape::fields(&[
            ("driver", &TEXT),
            ("config", &Shape::list(&POOL).merge(Merge::Pools)),
            ("options", &Shape { out: Out::Hidden, ..FIXED }),
        ])
        .drop_empty(),
    ),
    ("external", &EXTERNAL),
    ("internal", &SWITCH),
    ("attachable", &SWITCH),
    ("labels", &LABELS),
    ("enable_ipv4", &SWITCH.keep()),
    ("enable_ipv6", &SWITCH.keep()),
])
.or(NULL)
.form(Form::External);

static POOL: Shape =
    Shape::fields(&[("subnet", &TEXT), ("gateway", &TEXT), ("ip_range", &TEXT), ("aux_addresses", &FIXED)]);

static VOLUME: Shape = Shape::fields(&[
    ("name", &TEXT),
    ("driver", &TEXT),
    ("driver_opts", &OPTIONS),
    ("external", &EXTERNAL),
    ("labels", &VOLUME_LABELS),
])
.or(NULL)
.form(Form::External)
.paths(Paths::Volume);

static SECRET: Shape = Shape::fields(&[
    ("name", &TEXT),
    ("file", &TEXT.paths(Paths::Source)),
    ("environment", &TEXT),
    ("external", &EXTERNAL),
    ("labels", &FILE_LABELS),
    ("driver", &TEXT),
    ("driver_opts", &OPTIONS),
    ("template_driver", &TEXT),
])
.form(Form::External);

static CONFIG: Shape = Shape::fields(&[
    ("name", &TEXT),
    ("file", &TEXT.paths(Paths::Source)),
    ("environment", &TEXT),
    ("content", &TEXT),
    ("external", &EXTERNAL),
    ("labels", &FILE_LABELS),
    ("template_driver", &TEXT),
])
.form(Form::External);

static MODEL: Shape = Shape::fields(&[
    ("name", &TEXT),
    ("model", &TEXT),
    ("context_size", &Shape::scalar(INT).out(Out::Int)),
    ("runtime_flags", &TEXTS),
])
.required(&["model"]);

const PATHS: Shape = TEXTS.or(STR);
static INCLUDE: Shape = Shape::fields(&[("path", &PATHS), ("env_file", &PATHS), ("project_directory", &TEXT)]).or(STR);

static PROJECT_FIELDS: Fields = &[
    ("version", &Shape { out: Out::Hidden, ..TEXT }),
    ("name", &TEXT),
    ("include", &Shape { out: Out::Hidden, ..Shape::list(&INCLUDE).or(NULL) }),
    ("services", &Shape::own(&SERVICE).names().keep()),
    ("networks", &Shape::own(&NETWORK)),
    ("volumes", &Shape::own(&VOLUME).names()),
    ("secrets", &Shape::own(&SECRET).names()),
    ("configs", &Shape::own(&CONFIG).names()),
    ("models", &Shape::own(&MODEL)),
];

/// A whole file.
pub static PROJECT: Shape = Shape::fields(PROJECT_FIELDS);
