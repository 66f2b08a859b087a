//! A host of its own for each test: a network namespace, a state folder, containers, and a machine outside.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::runtime::Runtime;

use super::super::netlink::Netlink;
use super::super::{Attached, Net, sysctl};
use crate::desired::{EndpointSpec, NetworkSpec, PortSpec, Protocol, Subnet};
use crate::name::{ContainerId, NetworkName, ProjectName};

/// Long enough for a machine under load, and only waited for where something is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a packet that must not arrive is waited for.
const SILENCE: Duration = Duration::from_millis(300);

pub struct World {
    pub runtime: Runtime,
    pub net: Net,
    pub root: tempfile::TempDir,
}

/// A network namespace, and sockets that live in it.
pub struct Place {
    pub netns: OwnedFd,
    pub route: OwnedFd,
    pub netfilter: OwnedFd,
}

pub struct Container {
    pub id: ContainerId,
    pub place: Place,
    pub links: Vec<Attached>,
}

impl World {
    /// Moves this thread into a new network namespace, which is the host from now on.
    pub fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        sh("ip link set lo up");
        let root = tempfile::tempdir().expect("a folder");
        let net = Net::open(root.path(), &root.path().join("run")).expect("open");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, net, root }
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Takes containers off all their networks.
    pub fn detach(&self, containers: &[ContainerId]) {
        self.wait(self.net.detach(containers)).expect("detach");
    }

    /// Does something that blocks while the tasks of the network layer run.
    pub fn during<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.wait(async { tokio::task::spawn_blocking(work).await.expect("the work") })
    }

    pub fn network(&self, spec: &NetworkSpec) {
        self.wait(self.net.create(spec)).expect("create");
    }

    /// A container on networks, each with the last number of its address.
    pub fn container(&self, number: u8, networks: &[&NetworkSpec]) -> Container {
        let mut container = Container { id: id(number), place: Place::new(), links: Vec::new() };
        for (index, network) in networks.iter().enumerate() {
            let endpoint = endpoint(network, index, number);
            let project = project();
            let attached = self.net.attach(&container.id, &project, &endpoint, container.place.netns.as_fd());
            container.links.push(self.wait(attached).expect("attach"));
        }
        let finished = self.net.finish_inside(container.place.route.as_fd(), &container.links);
        self.wait(finished).expect("finish");
        container
    }

    /// Publishes ports of a container; the caller keeps what holds them.
    pub fn publish(&self, container: &Container, ports: &[PortSpec]) -> Vec<super::super::Held> {
        let held = self.wait(self.net.hold(ports, 1)).expect("hold");
        self.wait(self.net.publish(&project(), &container.id, &held)).expect("publish");
        held
    }

    /// A machine outside: 192.0.2.2 and 2001:db8:2::2, to which the host is 192.0.2.1 and 2001:db8:2::1.
    pub fn outside(&self) -> Place {
        let place = Place::new();
        let mut message = rtnetlink::LinkVeth::new("out0", "eth0").build();
        super::super::link::born_in(&mut message, place.netns.as_fd());
        let mut netlink = Netlink::route().expect("a socket");
        let flags = netlink_packet_core::NLM_F_CREATE | netlink_packet_core::NLM_F_EXCL;
        netlink.request(netlink_packet_route::RouteNetlinkMessage::NewLink(message), flags).expect("a veth");
        // Or their link-local addresses can't be used for a second or two.
        sh("echo 0 >/proc/sys/net/ipv6/conf/out0/accept_dad");
        place.sh("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad");
        sh("ip addr add 192.0.2.1/24 dev out0");
        sh("ip addr add 2001:db8:2::1/64 dev out0 nodad");
        sh("ip link set out0 up");
        place.sh("ip addr add 192.0.2.2/24 dev eth0");
        place.sh("ip addr add 2001:db8:2::2/64 dev eth0 nodad");
        place.sh("ip link set eth0 up");
        // The kernel acts on a carrier at once when it is asked for it.
        sh("ip link show out0");
        place.sh("ip link show eth0");
        place.sh("ip route add default via 192.0.2.1");
        place.sh("ip -6 route add default via 2001:db8:2::1");
        place
    }
}

impl Place {
    pub fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            let netns = std::fs::File::open("/proc/thread-self/ns/net").expect("its file").into();
            Place { netns, route: socket(Netlink::route()), netfilter: socket(Netlink::netfilter()) }
        });
        made.join().expect("the thread")
    }

    /// Does something in this namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        sysctl::inside(self.netns.as_fd(), || Ok(work())).expect("enter")
    }

    pub fn sh(&self, command: &str) -> String {
        self.run(|| sh(command))
    }

    pub fn get(&self, to: &str) -> Option<String> {
        self.run(|| get(to))
    }

    pub fn blocked(&self, to: &str) -> bool {
        self.run(|| blocked(to))
    }

    pub fn ask(&self, to: &str) -> Option<String> {
        self.run(|| ask(to))
    }

    /// A TCP server that says `word` and who asked.
    pub fn serve(&self, address: &str, word: &'static str) {
        let listener = self.run(|| TcpListener::bind(address).expect("bind"));
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let peer = stream.peer_addr().map_or_else(|_| String::new(), |peer| peer.ip().to_string());
                let _ = stream.write_all(format!("{word} {peer}").as_bytes());
            }
        });
    }

    /// A UDP server that says `word`.
    pub fn serve_udp(&self, address: &str, word: &'static str) {
        let socket = self.run(|| UdpSocket::bind(address).expect("bind"));
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let asked = String::from_utf8_lossy(&buffer[..length]);
                let _ = socket.send_to(format!("{word} {asked}").as_bytes(), peer);
            }
        });
    }
}

fn socket(netlink: std::io::Result<Netlink>) -> OwnedFd {
    let netlink = netlink.expect("a socket");
    let copy = nix::unistd::dup(netlink.as_fd()).expect("dup");
    // SAFETY: the descriptor was duplicated just now and is owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(copy.into_raw_fd()) }
}

/// Runs a command, which must succeed; returns what it prints.
pub fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().expect("sh");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Loads rules as `nft` reads them.
pub fn nft(rules: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(std::process::Stdio::piped()).spawn().expect("nft");
    child.stdin.take().expect("stdin").write_all(rules.as_bytes()).expect("write");
    assert!(child.wait().expect("wait").success(), "nft refuses:\n{rules}");
}

/// What a TCP server says; nothing when it is refused or does not answer.
pub fn get(to: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to.parse().expect("an address"), PATIENCE / 5).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("time");
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

/// Whether a TCP port is refused or silent.
pub fn blocked(to: &str) -> bool {
    TcpStream::connect_timeout(&to.parse().expect("an address"), SILENCE).is_err()
}

/// What a UDP server says.
pub fn ask(to: &str) -> Option<String> {
    let to: SocketAddr = to.parse().expect("an address");
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).expect("bind");
    ask_from(&socket, to)
}

/// The same from a socket that is there already; answers to earlier questions are passed over.
pub fn ask_from(socket: &UdpSocket, to: SocketAddr) -> Option<String> {
    static QUESTION: AtomicU32 = AtomicU32::new(0);
    let question = QUESTION.fetch_add(1, Ordering::Relaxed).to_string();
    socket.set_read_timeout(Some(SILENCE)).expect("time");
    socket.send_to(question.as_bytes(), to).ok()?;
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        assert_eq!(from, to, "a client that asks one takes no answer from another");
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if let Some((word, of)) = answer.split_once(' ')
            && of == question
        {
            return Some(word.to_owned());
        }
    }
}

pub fn id(number: u8) -> ContainerId {
    ContainerId::new(format!("{number:02x}").repeat(32))
}

pub fn project() -> ProjectName {
    ProjectName::new("shop")
}

/// A network 10.77.NUMBER.0/24.
pub fn network(number: u8) -> NetworkSpec {
    NetworkSpec {
        name: NetworkName::new(format!("shop_n{number}")),
        key: format!("n{number}"),
        project: Some(project()),
        bridge: format!("wl-{number:010x}"),
        subnets: vec![Subnet {
            address: IpAddr::from([10, 77, number, 0]),
            prefix: 24,
            gateway: IpAddr::from([10, 77, number, 1]),
            range: None,
            fixed: false,
        }],
        icc: true,
        masquerade: true,
        ..NetworkSpec::default()
    }
}

/// The same with fd00:77:NUMBER::/64.
pub fn network6(number: u8) -> NetworkSpec {
    let mut spec = network(number);
    let prefix = [0xfd00, 0x77, number.into(), 0, 0, 0, 0, 0];
    let mut gateway = prefix;
    gateway[7] = 1;
    spec.subnets.push(Subnet {
        address: IpAddr::from(prefix),
        prefix: 64,
        gateway: IpAddr::from(gateway),
        range: None,
        fixed: false,
    });
    spec
}

pub fn endpoint(network: &NetworkSpec, index: usize, number: u8) -> EndpointSpec {
    let mut endpoint =
        EndpointSpec { network: network.name.clone(), interface: format!("eth{index}"), ..EndpointSpec::default() };
    for subnet in &network.subnets {
        match subnet.address {
            IpAddr::V4(v4) => endpoint.ipv4 = Some(Ipv4Addr::from(u32::from(v4) + u32::from(number))),
            IpAddr::V6(v6) => endpoint.ipv6 = Some((u128::from(v6) + u128::from(number)).into()),
        }
    }
    endpoint
}

pub fn port(host: Option<&str>, published: u16, target: u16, protocol: Protocol) -> PortSpec {
    let host_ip = host.map(|text| text.parse().expect("an address"));
    PortSpec { host_ip, published, published_end: published, target, protocol }
}

/// What a parameter of the kernel is here.
pub fn parameter(key: &str) -> String {
    sysctl::read(key).expect("read")
}
