//! Keeps pages of other sites out of the API and the signalling: `Origin`, and `Host` against DNS rebinding.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AsHeaderName, HOST, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::error::ApiError;
use crate::config::{Config, Origin};

/// Which browsers' requests belong here.
#[derive(Debug, Clone)]
pub struct Guard {
    origins: Vec<Origin>,
    /// On loopback without a proxy the only names are those of this machine.
    local_names_only: bool,
    schemes: &'static [&'static str],
}

/// Why a request does not belong here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A name of this machine that somebody else made up.
    #[error(
        "the Host header names another host; on loopback use localhost or 127.0.0.1, or add the name to [server] origins"
    )]
    Host,
    /// A page of another site.
    #[error("pages of this origin may not come here; add it to [server] origins if they should")]
    Origin,
}

impl Guard {
    /// The guard of this configuration.
    pub fn new(config: &Config) -> Self {
        let schemes: &[&str] = match (config.server.reverse_proxy, config.tls.is_some()) {
            (true, _) => &["http", "https"],
            (false, true) => &["https"],
            (false, false) => &["http"],
        };
        Self {
            origins: config.server.origins.clone(),
            local_names_only: !config.server.is_exposed(),
            schemes,
        }
    }

    /// Judges a request by its headers. A request without `Origin` does not come from another site's page: browsers
    /// send it with every WebSocket and every request that changes something (Fetch, 3.2).
    ///
    /// # Errors
    /// [`Foreign`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = text(headers, HOST)
            .map_err(|()| Foreign::Host)?
            .unwrap_or_default();
        if self.local_names_only && !self.is_local(host) {
            return Err(Foreign::Host);
        }
        let Some(origin) = text(headers, ORIGIN).map_err(|()| Foreign::Origin)? else {
            return Ok(());
        };
        let is_same = self
            .schemes
            .iter()
            .any(|scheme| same_origin(origin, scheme, host));
        let is_allowed = self
            .origins
            .iter()
            .any(|allowed| allowed.as_str().eq_ignore_ascii_case(origin));
        if is_same || is_allowed {
            Ok(())
        } else {
            Err(Foreign::Origin)
        }
    }

    fn is_local(&self, host: &str) -> bool {
        if host.contains(['@', '/', '\\', '?', '#']) {
            return false;
        }
        let Ok(url) = Url::parse(&format!("http://{host}")) else {
            return false;
        };
        match url.host() {
            Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            Some(url::Host::Domain(name)) => {
                name == "localhost"
                    || self.origins.iter().any(|origin| {
                        Url::parse(origin.as_str())
                            .is_ok_and(|origin| origin.host_str() == Some(name))
                    })
            }
            None => false,
        }
    }
}

/// RFC 6454 5: the same scheme, host and port.
fn same_origin(origin: &str, scheme: &str, host: &str) -> bool {
    match (
        Url::parse(origin),
        Url::parse(&format!("{scheme}://{host}")),
    ) {
        (Ok(origin), Ok(own)) => !host.is_empty() && origin.origin() == own.origin(),
        _ => false,
    }
}

/// The only header of this name as text; two of them, or bytes that are no text, are an error.
fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// The guard as a layer of the router.
pub async fn layer(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(foreign) => ApiError::from(foreign).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    const TOKENS: &str = "[auth]\napi_token = \"0123456789abcdef\"\nroom_key = \"0123456789abcdef0123456789abcdef\"\n";

    fn guard(text: &str) -> Guard {
        Guard::new(&Config::parse(text, None, Overrides::default()).unwrap())
    }

    fn check(guard: &Guard, host: &str, origin: Option<&str>) -> Result<(), Foreign> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        guard.check(&headers)
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_served() {
        let guard = guard("");
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "LOCALHOST",
        ] {
            assert_eq!(check(&guard, host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "192.0.2.1",
            "",
            "@localhost",
            "[::1",
        ] {
            assert_eq!(check(&guard, host, None), Err(Foreign::Host), "{host}");
        }
    }

    #[test]
    fn pages_of_this_server_come_in_and_others_do_not() {
        let guard = guard("[server]\norigins = [\"https://calls.example.org\"]\n");
        for origin in ["http://localhost:8080", "https://calls.example.org"] {
            assert_eq!(
                check(&guard, "localhost:8080", Some(origin)),
                Ok(()),
                "{origin}"
            );
        }
        let others = [
            "null",
            "http://evil.example",
            "http://localhost",
            "http://localhost:8081",
            "https://localhost:8080",
            "",
        ];
        for origin in others {
            assert_eq!(
                check(&guard, "localhost:8080", Some(origin)),
                Err(Foreign::Origin),
                "{origin}"
            );
        }
        assert_eq!(
            check(
                &guard,
                "calls.example.org",
                Some("https://calls.example.org")
            ),
            Ok(())
        );
    }

    #[test]
    fn with_tls_a_plain_page_of_the_same_host_is_another_site() {
        let guard = guard(&format!(
            "[server]\nlisten = \"0.0.0.0:443\"\n[tls]\nself_signed = true\n{TOKENS}"
        ));
        assert_eq!(
            check(&guard, "a.example", Some("https://a.example")),
            Ok(())
        );
        assert_eq!(
            check(&guard, "a.example", Some("http://a.example")),
            Err(Foreign::Origin)
        );
    }

    #[test]
    fn behind_a_proxy_the_page_is_secure_and_attache_is_not() {
        let guard = guard(&format!("[server]\nreverse_proxy = true\n{TOKENS}"));
        assert_eq!(
            check(&guard, "a.example", Some("https://a.example")),
            Ok(())
        );
        assert_eq!(
            check(&guard, "a.example", Some("https://b.example")),
            Err(Foreign::Origin)
        );
    }

    #[test]
    fn two_origins_are_no_origin() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        headers.append(ORIGIN, "http://localhost".parse().unwrap());
        headers.append(ORIGIN, "http://evil.example".parse().unwrap());
        assert_eq!(guard("").check(&headers), Err(Foreign::Origin));
    }
}
