//! Links the static program at a fixed address. At a random one, every process would have some 400 KiB of tables (of
//! addresses within the program) of its own, relocated at its start: more than all else that a shim needs. The stack, the
//! heap and mappings are at random addresses all the same.

fn main() {
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "crt-static") {
        for argument in ["-no-pie", "-static"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
