//! The sandbox: the namespaces and the shared memory that outlive restarts of the process, and the sockets inside.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, sockopt};
use rustix::fs::{Mode, OFlags};
use rustix::mount::UnmountFlags;

use super::super::protocol::{Part, StartError};
use super::super::{sys, tree};
use super::Place;
use crate::desired::{Namespaces, NetMode, NsMode};

/// Where the name server of a container listens. Not port 53: a container's own name server on 0.0.0.0:53 must not find
/// it taken; two rewrites in the container's netns lead queries here.
pub(crate) const DNS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 11), 40053);

/// What a sandbox consists of; a part that is missing is the host's or another container's.
#[derive(Default)]
pub(super) struct Sandbox {
    parts: Vec<(Part, OwnedFd)>,
    /// The shared memory is mounted in the run folder: kernels before 6.15 copy no detached mount.
    shm_mounted: bool,
}

impl Sandbox {
    /// Makes the namespaces that `namespaces` says are the container's own.
    pub(super) fn make(namespaces: &Namespaces, shm_size: u64, place: &Place) -> Result<Sandbox, StartError> {
        let at = |what: &'static str| move |cause: io::Error| StartError::new("sandbox", format!("{what}: {cause}"));
        let net = matches!(namespaces.net, NetMode::Bridge | NetMode::None);
        let ipc = namespaces.ipc == NsMode::Private;
        let uts = namespaces.uts == NsMode::Private;
        let mut sandbox = Sandbox::default();
        let mut kinds = Vec::new();
        for (own, kind, name, part) in [
            (net, libc::CLONE_NEWNET, "net", Part::Net),
            (ipc, libc::CLONE_NEWIPC, "ipc", Part::Ipc),
            (uts, libc::CLONE_NEWUTS, "uts", Part::Uts),
        ] {
            if own {
                kinds.push((kind, name, part));
            }
        }
        let home = Home::remember(&kinds).map_err(at("open the host's namespaces"))?;
        sys::unshare(kinds.iter().map(|(kind, ..)| kind).sum()).map_err(at("make the namespaces"))?;
        let made = sandbox.fill(&kinds, net);
        // Whatever happened, this process goes home; were it to stay, nothing it does would be right any more.
        home.go().map_err(at("return to the host's namespaces"))?;
        made.map_err(at("set up the namespaces"))?;
        if ipc {
            sandbox.make_shm(shm_size, place).map_err(at("make the shared memory"))?;
        }
        Ok(sandbox)
    }

    fn fill(&mut self, kinds: &[(i32, &str, Part)], net: bool) -> io::Result<()> {
        for (_, name, part) in kinds {
            self.parts.push((*part, open_namespace(name)?));
        }
        if net {
            loopback_up()?;
            let netlink = |protocol| {
                let flags = SockFlag::SOCK_CLOEXEC;
                socket::socket(AddressFamily::Netlink, SockType::Raw, flags, Some(protocol))
            };
            self.parts.push((Part::RouteNetlink, netlink(SockProtocol::NetlinkRoute)?));
            self.parts.push((Part::NetfilterNetlink, netlink(SockProtocol::NetlinkNetFilter)?));
            self.parts.push((Part::DnsUdp, dns_socket(SockType::Datagram)?));
            self.parts.push((Part::DnsTcp, dns_socket(SockType::Stream)?));
        }
        Ok(())
    }

    fn make_shm(&mut self, size: u64, place: &Place) -> io::Result<()> {
        let size = size.to_string();
        let tree = tree::filesystem("tmpfs", &[("mode", Some("1777")), ("size", Some(&size))], tree::SAFE)?;
        if tree::copy(&tree, false).is_err() {
            let folder = shm_folder(place);
            fs::create_dir_all(&folder)?;
            let point = rustix::fs::open(&folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            tree::set(tree.as_fd(), false, 0, libc::MS_PRIVATE)?;
            tree::attach(&tree, &point)?;
            self.shm_mounted = true;
        }
        self.parts.push((Part::Shm, tree));
        Ok(())
    }

    /// A part, if it is the container's own.
    pub(super) fn part(&self, part: Part) -> Option<BorrowedFd<'_>> {
        self.parts.iter().find(|(found, _)| *found == part).map(|(_, fd)| fd.as_fd())
    }

    /// What there is, with duplicates of the descriptors.
    pub(super) fn hand_out(&self) -> io::Result<(Vec<Part>, Vec<OwnedFd>)> {
        let fds = self.parts.iter().map(|(_, fd)| sys::dup(fd)).collect::<io::Result<_>>()?;
        Ok((self.parts.iter().map(|(part, _)| *part).collect(), fds))
    }

    /// Takes away what would stay behind.
    pub(super) fn remove(&self, place: &Place) {
        if self.shm_mounted {
            let _ = rustix::mount::unmount(shm_folder(place), UnmountFlags::DETACH);
            let _ = fs::remove_dir(shm_folder(place));
        }
    }
}

fn shm_folder(place: &Place) -> PathBuf {
    place.run.join("shm")
}

fn open_namespace(name: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/ns/{name}");
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The way back.
struct Home(Vec<(OwnedFd, i32)>);

impl Home {
    fn remember(kinds: &[(i32, &str, Part)]) -> io::Result<Home> {
        kinds.iter().map(|(kind, name, _)| Ok((open_namespace(name)?, *kind))).collect::<io::Result<_>>().map(Home)
    }

    fn go(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|(fd, kind)| sys::setns(fd.as_fd(), *kind))
    }
}

fn loopback_up() -> io::Result<()> {
    let socket = socket::socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives over the call and has the type that SIOCSIFFLAGS reads.
    sys::check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into()).map(drop)
}

fn dns_socket(kind: SockType) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Inet, kind, flags, None)?;
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    socket::bind(fd.as_raw_fd(), &SockaddrIn::from(DNS))?;
    if kind == SockType::Stream {
        socket::listen(&fd, Backlog::new(64)?)?;
    }
    Ok(fd)
}
