//! Tests of the network layer against the kernel, each in network namespaces of its own.

mod links;
mod publishing;
mod rulesets;
mod world;
