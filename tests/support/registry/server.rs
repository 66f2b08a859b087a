//! HTTP/1.1, as much of it as a registry's clients need.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Auth, Fault, Request, State, digest};

/// An answer.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

pub(super) async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        let host = listener.local_addr().unwrap().to_string();
        // A client that goes away is no matter.
        tokio::spawn(async move { connection(stream, &state, &host).await });
    }
}

async fn connection(stream: TcpStream, state: &Mutex<State>, host: &str) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let (answer, fault) = {
            let mut state = state.lock().unwrap();
            state.requests.push(request.clone());
            let fault = fault(&mut state, &request);
            (answer(&mut state, &request, host), fault)
        };
        if !write(stream.get_mut(), &request, answer, fault).await? {
            break;
        }
    }
    Ok(())
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { method, path, headers }))
}

fn fault(state: &mut State, request: &Request) -> Option<Fault> {
    let found = state.faults.iter_mut().find(|(part, _, times)| *times > 0 && request.path.contains(part.as_str()))?;
    found.2 -= 1;
    Some(found.1.clone())
}

fn answer(state: &mut State, request: &Request, host: &str) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/token" {
        return token(state, request);
    }
    if let Some(refusal) = refuse(state, request, host) {
        return refusal;
    }
    if path == "/v2/" {
        return Answer::new(200, "{}");
    }
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    if let Some((_, wanted)) = rest.rsplit_once("/blobs/") {
        return match state.blobs.get(wanted) {
            Some(bytes) => ranged(bytes, request, state.ranges),
            None => Answer::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#),
        };
    }
    let Some((repository, wanted)) = rest.rsplit_once("/manifests/") else { return Answer::new(404, "") };
    let separator = if wanted.contains(':') { '@' } else { ':' };
    match state.manifests.get(&format!("{repository}{separator}{wanted}")) {
        Some((kind, bytes)) => Answer::new(200, bytes.clone())
            .with("Content-Type", kind.clone())
            .with("Docker-Content-Digest", digest(bytes)),
        None => Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    }
}

fn ranged(bytes: &[u8], request: &Request, ranges: bool) -> Answer {
    let from =
        request.headers.get("range").and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match from {
        Some(from) if ranges && from < bytes.len() => Answer::new(206, bytes[from..].to_vec())
            .with("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
        Some(_) if ranges => Answer::new(416, "").with("Content-Range", format!("bytes */{}", bytes.len())),
        _ => Answer::new(200, bytes.to_vec()),
    }
}

/// The token service: `/token?service=…&scope=…`.
fn token(state: &mut State, request: &Request) -> Answer {
    let Auth::Bearer(wanted, uses) = state.auth else { return Answer::new(404, "") };
    if wanted.is_some_and(|wanted| basic(request) != Some(format!("{}:{}", wanted.0, wanted.1))) {
        return Answer::new(401, r#"{"errors":[{"message":"wrong user or password"}]}"#);
    }
    let token = format!("token-{}", state.tokens.len());
    state.tokens.insert(token.clone(), uses);
    Answer::new(200, format!(r#"{{"token":"{token}","expires_in":60}}"#))
}

fn basic(request: &Request) -> Option<String> {
    let coded = request.headers.get("authorization")?.strip_prefix("Basic ")?;
    String::from_utf8(STANDARD.decode(coded).ok()?).ok()
}

fn refuse(state: &mut State, request: &Request, host: &str) -> Option<Answer> {
    let (good, challenge) = match state.auth {
        Auth::Open => return None,
        Auth::Basic(user, password) => {
            (basic(request) == Some(format!("{user}:{password}")), "Basic realm=\"test\"".to_owned())
        }
        Auth::Bearer(..) => {
            let token = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer "));
            let uses = token.and_then(|token| state.tokens.get_mut(token));
            let good = uses.is_some_and(|uses| {
                *uses = uses.saturating_sub(1);
                *uses > 0
            });
            (good, format!("Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:any:pull\""))
        }
    };
    let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
    (!good).then(|| Answer::new(401, body).with("WWW-Authenticate", challenge))
}

/// Whether the connection can go on.
async fn write(stream: &mut TcpStream, request: &Request, answer: Answer, fault: Option<Fault>) -> io::Result<bool> {
    let answer = match &fault {
        Some(Fault::Status(status, retry)) => {
            let answer = Answer::new(*status, "{}");
            match retry {
                Some(seconds) => answer.with("Retry-After", seconds.to_string()),
                None => answer,
            }
        }
        Some(Fault::Body(body)) => Answer::new(answer.status, body.clone()),
        Some(Fault::Redirect(target)) => Answer::new(307, "").with("Location", target.clone()),
        _ => answer,
    };
    let endless = matches!(fault, Some(Fault::Endless));
    let mut head = format!("HTTP/1.1 {} Test\r\n", answer.status);
    if endless {
        head += "Connection: close\r\n";
    } else {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    match fault {
        Some(Fault::CutAfter(count)) => {
            stream.write_all(&answer.body[..count.min(answer.body.len())]).await?;
            stream.shutdown().await?;
            Ok(false)
        }
        Some(Fault::StallAfter(count)) => {
            stream.write_all(&answer.body[..count.min(answer.body.len())]).await?;
            // Until the client goes away.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
            Ok(false)
        }
        _ if endless => {
            stream.write_all(&answer.body).await?;
            loop {
                stream.write_all(&[0; 65536]).await?;
            }
        }
        _ => {
            stream.write_all(&answer.body).await?;
            Ok(true)
        }
    }
}
