//! The attributes of a service (spec.md sections 3 to 7), in the order in which `config` prints them.

use super::takes::{BOOL, INT, NULL, NUM, STR};
use super::{Cast, Form, Looks, Merge, Out, Paths, Shape, Unique};

type Fields = &'static [(&'static str, &'static Shape)];

pub(super) const TEXT: Shape = Shape::scalar(STR);
pub(super) const TEXTS: Shape = Shape::list(&TEXT).out(Out::TextList);
const NAMES: Shape = TEXTS.distinct();
const TEXT_OR_TEXTS: Shape = NAMES.or(STR).out(Out::TextList);
const TEXT_OR_NUMBER: Shape = Shape::scalar(STR | NUM);
pub(super) const BOOLEAN: Shape = Shape::scalar(BOOL | STR).out(Out::Bool);
pub(super) const SWITCH: Shape = BOOLEAN.cast(Cast::Bool);
const NUMBER: Shape = Shape::scalar(NUM | STR).cast(Cast::Int).out(Out::Int);
const WHOLE: Shape = Shape::scalar(INT | STR).cast(Cast::Int).out(Out::Int);
const FRACTION: Shape = Shape::scalar(NUM | STR).cast(Cast::Float).out(Out::Float);
const PROCESSORS: Shape = FRACTION.looks(Looks::Positive);
const USER: Shape = TEXT.looks(Looks::User);
const HARDWARE: Shape = TEXT.looks(Looks::Hardware);
const SIZE: Shape = Shape::scalar(NUM | STR).out(Out::Bytes);
const DURATION: Shape = TEXT.out(Out::Duration).keep();
const PAIR_VALUE: Shape = Shape::scalar(STR | NUM | BOOL | NULL);
/// A map, or a list of `k=v`.
pub(super) const PAIRS: Shape =
    Shape::own(&PAIR_VALUE).or_list(&TEXT).distinct().merge(Merge::KeyValue).unique(Unique::Key).out(Out::TextMap);
const ENVIRONMENT: Shape = PAIRS.out(Out::EnvMap);
const OPTION: Shape = TEXT_OR_NUMBER;
pub(super) const OPTIONS: Shape = Shape::own(&OPTION).out(Out::TextMap);
const COMMAND: Shape = Shape::list(&TEXT).or(STR | NULL).merge(Merge::Replace).out(Out::Command).keep();
const HOST_ADDRESSES: Shape = Shape::list(&TEXT).or(STR);
const HOSTS: Shape = Shape::own(&HOST_ADDRESSES).or_list(&TEXT).distinct().merge(Merge::Hosts).out(Out::Hosts);

const FILE: Shape = Shape::fields(&[
    ("source", &TEXT),
    ("target", &TEXT),
    ("uid", &TEXT),
    ("gid", &TEXT),
    ("mode", &Shape::scalar(NUM | STR).out(Out::Mode)),
])
.or(STR)
.form(Form::File);
const FILES: Shape = Shape::list(&FILE);

const LIMIT_VALUE: Shape = WHOLE;
const ULIMIT: Shape = Shape::fields(&[("soft", &LIMIT_VALUE.keep()), ("hard", &LIMIT_VALUE.keep())])
    .required(&["soft", "hard"])
    .or(INT | STR)
    .cast(Cast::Int)
    .merge(Merge::Replace)
    .form(Form::Ulimit)
    .out(Out::Ulimit);
const ULIMITS: Shape = Shape::own(&ULIMIT);
/// Those of a build take numbers only: no text is cast there.
const BUILD_ULIMIT: Shape = Shape::fields(&[("soft", &BUILD_LIMIT), ("hard", &BUILD_LIMIT)])
    .required(&["soft", "hard"])
    .or(INT)
    .merge(Merge::Replace)
    .out(Out::Ulimit);
const BUILD_LIMIT: Shape = Shape::scalar(INT).out(Out::Int);

static BUILD_FIELDS: Fields = &[
    ("context", &TEXT.paths(Paths::Context)),
    ("dockerfile", &TEXT),
    ("dockerfile_inline", &TEXT),
    ("entitlements", &TEXTS),
    ("args", &ENVIRONMENT),
    ("provenance", &Shape::scalar(STR | BOOL).form(Form::Text).out(Out::Text)),
    ("sbom", &Shape::scalar(STR | BOOL).form(Form::Text).out(Out::Text)),
    ("ssh", &PAIRS.merge(Merge::Plain).unique(Unique::No).form(Form::Ssh).paths(Paths::Values).out(Out::Ssh)),
    ("labels", &PAIRS),
    ("cache_from", &TEXTS),
    ("cache_to", &TEXTS),
    ("no_cache", &BOOLEAN),
    ("no_cache_filter", &TEXT_OR_TEXTS),
    ("additional_contexts", &PAIRS.form(Form::Pairs).paths(Paths::Contexts)),
    ("pull", &BOOLEAN),
    ("extra_hosts", &HOSTS),
    ("isolation", &TEXT),
    ("network", &TEXT),
    ("target", &TEXT),
    ("secrets", &FILES),
    ("shm_size", &Shape::scalar(INT | STR).out(Out::Bytes)),
    ("tags", &TEXTS.unique(Unique::Key)),
    ("ulimits", &Shape::own(&BUILD_ULIMIT)),
    ("platforms", &TEXTS),
    ("privileged", &BOOLEAN),
];

static HOOK: Shape = Shape::fields(&[
    ("command", &COMMAND),
    ("user", &USER),
    ("privileged", &BOOLEAN),
    ("working_dir", &TEXT),
    ("environment", &ENVIRONMENT),
])
.required(&["command"]);

static PRE_START: Shape = Shape::fields(&[
    ("command", &COMMAND),
    ("image", &TEXT),
    ("user", &USER),
    ("privileged", &BOOLEAN),
    ("working_dir", &TEXT),
    ("environment", &ENVIRONMENT),
    ("per_replica", &BOOLEAN),
]);

static WATCH: Shape = Shape::fields(&[
    ("path", &TEXT.paths(Paths::Watch)),
    ("action", &TEXT.values(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
    ("target", &TEXT),
    ("exec", &Shape { keep: false, ..HOOK }),
    ("include", &TEXT_OR_TEXTS.form(Form::OneOrMore)),
    ("ignore", &TEXT_OR_TEXTS.form(Form::OneOrMore)),
    ("initial_sync", &BOOLEAN),
])
.required(&["path", "action"]);

const WEIGHT_VALUE: Shape = Shape::scalar(INT | STR).out(Out::Count);
static WEIGHT: Shape = Shape::fields(&[("path", &TEXT), ("weight", &WEIGHT_VALUE)]).strict().filled();
static RATE: Shape =
    Shape::fields(&[("path", &TEXT), ("rate", &Shape::scalar(INT | STR).out(Out::Bytes))]).strict().filled();
static RATES: Shape = Shape::list(&RATE);
static BLKIO: Shape = Shape::fields(&[
    ("weight", &WEIGHT_VALUE),
    ("weight_device", &Shape::list(&WEIGHT)),
    ("device_read_bps", &RATES),
    ("device_read_iops", &RATES),
    ("device_write_bps", &RATES),
    ("device_write_iops", &RATES),
])
.strict();

static DEVICE_REQUEST: Fields = &[
    ("capabilities", &NAMES),
    ("driver", &TEXT),
    ("count", &Shape::scalar(STR | INT).out(Out::CountOrAll)),
    ("device_ids", &NAMES),
    ("options", &PAIRS.merge(Merge::Plain).unique(Unique::No)),
];

static UPDATE: Shape = Shape::fields(&[
    ("parallelism", &WHOLE.out(Out::Count).keep()),
    ("delay", &DURATION.keep()),
    ("failure_action", &TEXT),
    ("monitor", &DURATION),
    ("max_failure_ratio", &FRACTION),
    ("order", &TEXT.values(&["start-first", "stop-first"])),
]);

static GENERIC_RESOURCE: Shape = Shape::fields(&[(
    "discrete_resource_spec",
    &Shape::fields(&[("kind", &TEXT), ("value", &Shape::scalar(NUM | STR).out(Out::Int))]).filled(),
)]);

static RESOURCES: Shape = Shape::fields(&[
    ("limits", &Shape::fields(&[("cpus", &PROCESSORS), ("memory", &TEXT.out(Out::Bytes)), ("pids", &WHOLE)])),
    (
        "reservations",
        &Shape::fields(&[
            ("cpus", &PROCESSORS),
            ("memory", &TEXT.out(Out::Bytes)),
            ("devices", &Shape::list(&Shape::fields(DEVICE_REQUEST).required(&["capabilities"]))),
            ("generic_resources", &Shape::list(&GENERIC_RESOURCE)),
        ]),
    ),
])
.drop_empty();

static DEPLOY: Shape = Shape::fields(&[
    ("mode", &TEXT.looks(Looks::Word(&["replicated", "global", "replicated-job", "global-job"]))),
    ("replicas", &WHOLE.keep()),
    ("labels", &PAIRS),
    ("update_config", &UPDATE),
    ("rollback_config", &UPDATE),
    ("resources", &RESOURCES),
    (
        "restart_policy",
        &Shape::fields(&[
            ("condition", &TEXT),
            ("delay", &DURATION),
            ("max_attempts", &WHOLE.out(Out::Count).keep()),
            ("window", &DURATION),
        ]),
    ),
    (
        "placement",
        &Shape::fields(&[
            ("constraints", &TEXTS),
            ("preferences", &Shape::list(&Shape::fields(&[("spread", &TEXT)]))),
            ("max_replicas_per_node", &WHOLE.out(Out::Count)),
        ])
        .drop_empty(),
    ),
    ("endpoint_mode", &TEXT),
])
.or(NULL);

static DEPENDENCY: Shape = Shape::fields(&[
    ("condition", &TEXT.values(&["service_started", "service_healthy", "service_completed_successfully"])),
    ("restart", &BOOLEAN),
    ("required", &Shape::scalar(BOOL).keep()),
])
.required(&["condition"]);

static HEALTHCHECK: Shape = Shape::fields(&[
    ("test", &Shape::list(&TEXT).or(STR).merge(Merge::Replace).out(Out::HealthTest)),
    ("timeout", &DURATION),
    ("interval", &DURATION),
    ("retries", &NUMBER.out(Out::Count).keep()),
    ("start_period", &DURATION),
    ("start_interval", &DURATION),
    ("disable", &SWITCH),
]);

static NETWORK: Shape = Shape::fields(&[
    ("aliases", &NAMES.unique(Unique::Key)),
    ("driver_opts", &OPTIONS),
    ("gw_priority", &Shape::scalar(NUM).out(Out::Int)),
    ("interface_name", &TEXT),
    ("ipv4_address", &TEXT),
    ("ipv6_address", &TEXT),
    ("link_local_ips", &NAMES.unique(Unique::Key)),
    ("mac_address", &HARDWARE),
    ("priority", &Shape::scalar(NUM).out(Out::Int)),
])
.or(NULL);

static PORT: Shape = Shape::fields(&[
    ("name", &TEXT),
    ("mode", &TEXT),
    ("host_ip", &TEXT),
    ("target", &Shape::scalar(INT | STR).cast(Cast::Int).looks(Looks::Target).out(Out::Count)),
    ("published", &Shape::scalar(STR | INT).looks(Looks::Published).out(Out::Text)),
    ("protocol", &TEXT),
    ("app_protocol", &TEXT),
])
.required(&["target"])
.or(NUM | STR);

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

static VOLUME: Shape = Shape::fields(&[
    ("type", &TEXT.values(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
    ("source", &TEXT),
    ("target", &TEXT.looks(Looks::Inside)),
    ("read_only", &SWITCH),
    ("consistency", &TEXT),
    (
        "bind",
        &Shape::fields(&[
            ("selinux", &TEXT.values(&["z", "Z"])),
            ("propagation", &TEXT.looks(Looks::Word(&PROPAGATIONS))),
            ("create_host_path", &BOOLEAN),
            ("recursive", &TEXT.values(&["enabled", "disabled", "writable", "readonly"])),
        ]),
    ),
    ("volume", &Shape::fields(&[("labels", &PAIRS.unique(Unique::No)), ("nocopy", &SWITCH), ("subpath", &TEXT)])),
    (
        "tmpfs",
        &Shape::fields(&[
            ("size", &Shape::scalar(INT | STR).at_least(0).out(Out::Bytes)),
            ("mode", &Shape::scalar(NUM | STR).out(Out::Count)),
        ]),
    ),
    ("image", &Shape::fields(&[("subpath", &TEXT)])),
])
.required(&["type", "target"])
.or(STR)
.form(Form::Volume)
.paths(Paths::Mount);

static ENV_FILE: Shape =
    Shape::fields(&[("path", &TEXT.paths(Paths::Local).keep()), ("required", &BOOLEAN.keep()), ("format", &TEXT)])
        .required(&["path"])
        .strict()
        .or(STR);

static SERVICE_FIELDS: Fields = &[
    ("profiles", &NAMES.unique(Unique::Key)),
    ("annotations", &PAIRS),
    ("attach", &BOOLEAN.keep()),
    ("build", &Shape::fields(BUILD_FIELDS).or(STR).merge(Merge::Build).form(Form::Build)),
    ("develop", &Shape::fields(&[("watch", &Shape::list(&WATCH))]).or(NULL)),
    ("blkio_config", &BLKIO),
    ("cap_add", &NAMES.unique(Unique::Key)),
    ("cap_drop", &NAMES.unique(Unique::Key)),
    ("cgroup_parent", &TEXT),
    ("cgroup", &TEXT.values(&["host", "private"])),
    ("cpu_count", &WHOLE.at_least(0)),
    ("cpu_percent", &Shape::scalar(INT | STR).at_least(0).cast(Cast::Float).out(Out::Float)),
    ("cpu_period", &NUMBER),
    ("cpu_quota", &NUMBER),
    ("cpu_rt_period", &NUMBER),
    ("cpu_rt_runtime", &NUMBER),
    ("cpus", &PROCESSORS),
    ("cpuset", &TEXT.looks(Looks::Processors)),
    ("cpu_shares", &NUMBER),
    ("command", &COMMAND),
    ("configs", &FILES.unique(Unique::File(""))),
    ("container_name", &TEXT),
    ("credential_spec", &Shape::fields(&[("config", &TEXT), ("file", &TEXT), ("registry", &TEXT)])),
    (
        "depends_on",
        &Shape::own(&DEPENDENCY).names().or_list(&TEXT).distinct().merge(Merge::DependsOn).form(Form::DependsOn),
    ),
    ("deploy", &DEPLOY),
    ("device_cgroup_rules", &NAMES),
    (
        "devices",
        &Shape::list(
            &Shape::fields(&[("source", &TEXT), ("target", &TEXT), ("permissions", &TEXT)])
                .required(&["source", "target"])
                .or(STR)
                .form(Form::Device),
        )
        .unique(Unique::Device),
    ),
    ("dns", &TEXT_OR_TEXTS.merge(Merge::KeyValue).unique(Unique::Key).form(Form::OneOrMoreFilled)),
    ("dns_opt", &NAMES.merge(Merge::KeyValue).unique(Unique::Key)),
    ("dns_search", &TEXT_OR_TEXTS.merge(Merge::KeyValue).unique(Unique::Key)),
    ("domainname", &TEXT),
    ("entrypoint", &COMMAND),
    (
        "provider",
        &Shape::fields(&[("type", &TEXT), ("options", &Shape::own(&PROVIDER_OPTION).out(Out::ListMap))])
            .required(&["type"]),
    ),
    ("environment", &ENVIRONMENT),
    (
        "env_file",
        &Shape::list(&ENV_FILE)
            .or(STR)
            .merge(Merge::KeyValue)
            .unique(Unique::Path)
            .form(Form::EnvFile)
            .out(Out::Hidden),
    ),
    (
        "expose",
        &Shape::list(&TEXT_OR_NUMBER.looks(Looks::Exposed).out(Out::Text))
            .distinct()
            .unique(Unique::Text)
            .out(Out::TextList),
    ),
    (
        "extends",
        &Shape::fields(&[("file", &TEXT.paths(Paths::File)), ("service", &TEXT)])
            .required(&["service"])
            .strict()
            .or(STR)
            .form(Form::Extends),
    ),
    ("external_links", &NAMES),
    ("extra_hosts", &HOSTS),
    ("group_add", &Shape::list(&TEXT_OR_NUMBER.out(Out::Text)).distinct().out(Out::TextList)),
    ("gpus", &Shape::list(&Shape::fields(DEVICE_REQUEST).open()).or(STR).values(&["all"]).form(Form::Gpus)),
    ("hostname", &TEXT),
    ("healthcheck", &HEALTHCHECK),
    ("image", &TEXT),
    ("init", &SWITCH.keep()),
    ("ipc", &TEXT),
    ("isolation", &TEXT),
    ("labels", &PAIRS),
    ("label_file", &TEXTS.or(STR).merge(Merge::KeyValue).form(Form::OneOrMore).paths(Paths::Local).out(Out::Hidden)),
    ("links", &NAMES.unique(Unique::Key)),
    (
        "logging",
        &Shape::fields(&[
            ("driver", &TEXT),
            ("options", &Shape::own(&Shape::scalar(STR | NUM | NULL)).out(Out::TextMap)),
        ])
        .merge(Merge::Logging),
    ),
    ("mem_limit", &SIZE),
    ("mem_reservation", &Shape::scalar(INT | STR).out(Out::Bytes)),
    ("memswap_limit", &SIZE),
    ("mem_swappiness", &Shape::scalar(INT | STR).out(Out::Bytes)),
    ("mac_address", &HARDWARE),
    ("models", &Shape::own(&MODEL_GRANT).names().or_list(&TEXT).distinct().merge(Merge::Names).form(Form::Names)),
    ("network_mode", &TEXT),
    ("networks", &Shape::own(&NETWORK).names().or_list(&TEXT).distinct().merge(Merge::Names).form(Form::Names)),
    ("oom_kill_disable", &SWITCH),
    ("oom_score_adj", &WHOLE.at_least(-1000)),
    ("pid", &Shape::scalar(STR | NULL)),
    ("pids_limit", &NUMBER),
    ("platform", &TEXT),
    ("ports", &Shape::list(&PORT).distinct().unique(Unique::Port).form(Form::Ports)),
    ("privileged", &SWITCH),
    ("pull_policy", &TEXT.looks(Looks::PullPolicy)),
    ("pull_refresh_after", &TEXT.looks(Looks::Time)),
    ("read_only", &SWITCH),
    ("restart", &TEXT),
    ("runtime", &TEXT),
    ("scale", &WHOLE.keep()),
    ("secrets", &FILES.unique(Unique::File("/run/secrets"))),
    ("security_opt", &NAMES),
    ("shm_size", &SIZE),
    ("stdin_open", &SWITCH),
    ("stop_grace_period", &DURATION),
    ("stop_signal", &TEXT),
    ("storage_opt", &Shape::own(&STORAGE_OPTION)),
    ("sysctls", &PAIRS),
    ("tmpfs", &TEXT_OR_TEXTS.merge(Merge::KeyValue).unique(Unique::Key)),
    ("tty", &SWITCH),
    ("ulimits", &ULIMITS),
    ("use_api_socket", &Shape::scalar(BOOL)),
    ("user", &USER),
    ("userns_mode", &TEXT),
    ("uts", &TEXT),
    ("volumes", &Shape::list(&VOLUME).distinct().unique(Unique::Volume)),
    ("volumes_from", &NAMES),
    ("working_dir", &TEXT),
    ("pre_start", &Shape::list(&PRE_START)),
    ("post_start", &Shape::list(&HOOK)),
    ("pre_stop", &Shape::list(&HOOK)),
];

/// Unlike other options these are plain texts to the peer: it takes a whole number for one, no other.
static STORAGE_OPTION: Shape = TEXT_OR_NUMBER.or(NULL).out(Out::Text);
const PROVIDER_VALUE: Shape = Shape::scalar(STR | NUM | BOOL);
static PROVIDER_OPTION: Shape = PROVIDER_VALUE.or_list(&PROVIDER_VALUE);
static MODEL_GRANT: Shape = Shape::fields(&[("endpoint_var", &TEXT), ("model_var", &TEXT)]).or(NULL);

/// A service.
pub static SERVICE: Shape = Shape::fields(SERVICE_FIELDS);
