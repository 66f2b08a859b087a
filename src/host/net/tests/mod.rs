//! Tests of the network layer against the kernel, each in network namespaces of its own.

mod foreign;
mod inside;
mod links;
mod parents;
mod publishing;
mod relaying;
mod rulesets;
mod world;
