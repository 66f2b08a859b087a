//! The HTTP client for one host: certificates, proxies, redirects.

use std::net::IpAddr;
use std::path::Path;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy, Url};

use super::super::registries::{host_name, is_loopback};
use super::super::settings::Pace;
use super::super::{ImageError, Settings};

/// At most so many redirects in a row.
const REDIRECTS: usize = 10;

/// A client for one host.
pub(super) fn build(
    host: &str,
    insecure: bool,
    settings: &Settings,
    pace: &Pace,
) -> Result<reqwest::Client, ImageError> {
    // The second call of a process is refused, and the first one's provider is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let make = |roots: Roots| -> Result<reqwest::Client, ImageError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(pace.connect)
            .http2_adaptive_window(true)
            .redirect(redirects())
            .danger_accept_invalid_certs(insecure);
        builder = proxies(builder, host, settings)?;
        builder = match roots {
            Roots::System(extra) => builder.tls_certs_merge(extra),
            Roots::Only(only) => builder.tls_certs_only(only),
        };
        builder.build().map_err(|error| ImageError::Unreachable {
            registry: host.to_owned(),
            what: "a TLS set-up".into(),
            reason: causes(&error),
        })
    };
    let mut extra = host_certificates(host)?;
    if let Some(path) = settings.get("SSL_CERT_FILE") {
        extra.extend(certificates(Path::new(path))?);
        return make(Roots::Only(extra));
    }
    // Without any CA bundle on the machine the platform's verifier can't be made: then Mozilla's roots, built in.
    make(Roots::System(extra.clone())).or_else(|_| {
        let built_in =
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok());
        make(Roots::Only(built_in.chain(extra).collect()))
    })
}

enum Roots {
    System(Vec<Certificate>),
    Only(Vec<Certificate>),
}

/// `ca.crt` and other `*.crt` of the host's folder, as docker and podman have it.
fn host_certificates(host: &str) -> Result<Vec<Certificate>, ImageError> {
    let mut all = Vec::new();
    for base in ["/etc/containers/certs.d", "/etc/docker/certs.d"] {
        let Ok(entries) = std::fs::read_dir(Path::new(base).join(host)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "crt") {
                all.extend(certificates(&path)?);
            }
        }
    }
    Ok(all)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ImageError> {
    let pem = std::fs::read(path).map_err(ImageError::io("read", path))?;
    Certificate::from_pem_bundle(&pem)
        .map_err(|_| ImageError::BadSettings { path: path.to_owned(), reason: "it holds no PEM certificates".into() })
}

/// Proxies from the caller's settings, never from this process's own environment (a supervisor has none). A registry on
/// this machine is never asked through a proxy.
fn proxies(builder: ClientBuilder, host: &str, settings: &Settings) -> Result<ClientBuilder, ImageError> {
    let mut builder = builder.no_proxy();
    if is_loopback(host_name(host)) {
        return Ok(builder);
    }
    let none = settings.proxy("no_proxy").and_then(NoProxy::from_string);
    type Make = fn(&str) -> reqwest::Result<Proxy>;
    let kinds: [(&str, Make); 3] = [
        ("http_proxy", |url| Proxy::http(url)),
        ("https_proxy", |url| Proxy::https(url)),
        ("all_proxy", |url| Proxy::all(url)),
    ];
    for (key, make) in kinds {
        if let Some(url) = settings.proxy(key) {
            let proxy = make(url).map_err(|_| ImageError::Unreachable {
                registry: host.to_owned(),
                what: "anything".into(),
                // The address itself may hold a password.
                reason: format!("the value of {key} is no address of a proxy"),
            })?;
            builder = builder.proxy(proxy.no_proxy(none.clone()));
        }
    }
    Ok(builder)
}

/// Follows redirects, but never from HTTPS to plain HTTP, and never from another host to this machine or a link-local
/// (metadata) address. reqwest itself drops `Authorization` when the host or the port changes.
fn redirects() -> Policy {
    Policy::custom(|attempt: Attempt<'_>| match refusal(attempt.previous(), attempt.url()) {
        Some(reason) => attempt.error(reason),
        None => attempt.follow(),
    })
}

/// Why a redirect is not followed.
fn refusal(previous: &[Url], target: &Url) -> Option<&'static str> {
    match previous {
        previous if previous.len() > REDIRECTS => Some("too many redirects"),
        [.., last] if last.scheme() == "https" && target.scheme() != "https" => {
            Some("a redirect from https to plain http is refused")
        }
        [first, ..] if is_internal(target) && !is_internal(first) => {
            Some("a redirect to an address of this machine or link is refused")
        }
        _ => None,
    }
}

/// Whether an address is of this machine or this link: what no registry out there may send us to.
pub(super) fn is_internal(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return true };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
            None => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
        },
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// An error with its causes in one line, without the address, which may hold signed parameters.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    match (parts.is_empty(), error.is_timeout()) {
        (true, true) => "it did not answer in time".into(),
        (true, false) => "the connection failed".into(),
        _ => parts.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_from_https_to_http_nor_to_this_machine() {
        let url = |text: &str| Url::parse(text).expect("a url");
        let followed = |way: &[&str]| {
            let way: Vec<Url> = way.iter().map(|text| url(text)).collect();
            let (target, previous) = way.split_last().expect("a way");
            refusal(previous, target).is_none()
        };
        assert!(followed(&["https://registry.example/v2/", "https://storage.example/blob"]));
        assert!(followed(&["http://registry.example/v2/", "https://storage.example/blob"]));
        assert!(
            followed(&["http://127.0.0.1:5000/v2/", "http://localhost:9000/blob"]),
            "a registry of this machine's own"
        );
        for way in [
            ["https://registry.example/v2/", "http://registry.example/v2/"],
            ["https://registry.example/v2/", "http://storage.example/blob"],
            ["https://registry.example/v2/", "ftp://storage.example/blob"],
        ] {
            assert!(!followed(&way), "{way:?}");
        }
        for host in
            ["169.254.169.254", "127.0.0.1", "[::1]", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "localhost."]
        {
            assert!(
                !followed(&["https://registry.example/v2/", &format!("https://{host}/latest/meta-data/")]),
                "{host}"
            );
            assert!(
                !followed(&["http://registry.example/", "http://other.example/", &format!("http://{host}/")]),
                "{host}"
            );
        }
    }
}
