//! The three services of the demo stack, one program with a role: `windlass __demo web|api|store|check`.
//!
//! ```text
//!  browser ─▶ web :8080   a page ─▶ api :8081   counts ─▶ store :8082   keeps the number in /data
//! ```
//!
//! Plain HTTP/1.0 with a thread a connection: enough for a demo, and no more.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
const NUMBER: &str = "/data/visits";
static VISITS: Mutex<u64> = Mutex::new(0);

type Handler = fn(&str) -> io::Result<Page>;

struct Page {
    kind: &'static str,
    body: String,
}

/// Runs a role to its end.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let word = |at: usize| arguments.get(at).and_then(|word| word.to_str());
    let role = word(0).unwrap_or_default();
    let result = match role {
        "web" => serve(8080, web),
        "api" => serve(8081, api),
        "store" => restore().and_then(|()| serve(8082, store)),
        "check" => check(word(1).unwrap_or("127.0.0.1:8082")),
        other => Err(io::Error::other(format!("no role `{other}`: web, api, store and check are there"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("{role}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The demo's own log: what `windlass logs` shows of it.
fn log(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn serve(port: u16, handler: Handler) -> io::Result<()> {
    // As PID 1 of its container it has no default action for SIGTERM, so it would ignore `down` until it is killed.
    end_on_sigterm()?;
    // A container without IPv6 has no [::] to listen on.
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(any).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    log(&format!("listening on port {port}"));
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = answer(&stream, handler) {
                log(&format!("a request failed: {error}"));
            }
        });
    }
    Ok(())
}

fn end_on_sigterm() -> io::Result<()> {
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGTERM);
    signals.add(nix::sys::signal::Signal::SIGINT);
    signals.thread_block()?;
    thread::spawn(move || {
        let _ = signals.wait();
        log("bye");
        std::process::exit(0);
    });
    Ok(())
}

fn answer(stream: &TcpStream, handler: Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.take(16 << 10));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
    }
    let path = request.split_ascii_whitespace().nth(1).unwrap_or("/");
    let (status, page) = match handler(path) {
        Ok(page) => ("200 OK", page),
        Err(error) => ("502 Bad Gateway", Page { kind: "text/plain", body: format!("{error}\n") }),
    };
    log(&format!("{} {status}", request.trim_end()));
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.0 {status}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        page.kind,
        page.body.len(),
        page.body
    )
}

fn get(host: &str, path: &str) -> io::Result<String> {
    let unreachable = |error: io::Error| io::Error::new(error.kind(), format!("{host}: {error}"));
    let address = host.to_socket_addrs().map_err(unreachable)?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(unreachable)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut text = String::new();
    stream.take(64 << 10).read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("{host} answered: {}", text.lines().next().unwrap_or("nothing")))),
    }
}

fn web(path: &str) -> io::Result<Page> {
    if path != "/" {
        return Ok(Page { kind: "text/plain", body: "nothing here\n".into() });
    }
    let visits = get("api:8081", "/visit")?;
    let body = include_str!("page.html").replace("{visits}", visits.trim());
    Ok(Page { kind: "text/html", body })
}

fn api(path: &str) -> io::Result<Page> {
    let path = if path == "/visit" { "/add" } else { "/" };
    get("store:8082", path).map(|body| Page { kind: "text/plain", body })
}

fn store(path: &str) -> io::Result<Page> {
    let mut visits = VISITS.lock().unwrap_or_else(PoisonError::into_inner);
    if path == "/add" {
        *visits += 1;
        fs::write(NUMBER, visits.to_string())?;
    }
    Ok(Page { kind: "text/plain", body: format!("{visits}\n") })
}

fn restore() -> io::Result<()> {
    if Path::new(NUMBER).exists() {
        let text = fs::read_to_string(NUMBER)?;
        *VISITS.lock().unwrap_or_else(PoisonError::into_inner) = text.trim().parse().unwrap_or_default();
    }
    Ok(())
}

fn check(host: &str) -> io::Result<()> {
    get(host, "/").map(drop)
}
