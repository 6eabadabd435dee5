//! Where a request comes from: whether it means this server, and whether a page of another site sent it.
//!
//! A browser sends requests of any page to any address, and lets a page read what a name of its own site
//! answers, even if that name leads here.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Version, header};
use ofs_runtime::problem::{self, Problem};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names under which the server may be asked.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: Arc<[String]>,
    /// Whether a name that is not among them is refused.
    closed: bool,
}

impl Hosts {
    /// Of a server that listens on `address` and has these `names` besides the loopback's; one that
    /// listens beyond the loopback and is given none may be asked under any.
    #[must_use]
    pub fn new(address: SocketAddr, names: &[String]) -> Self {
        let closed = address.ip().is_loopback() || !names.is_empty();
        Self { names: names.into(), closed }
    }

    /// Whether `request` may be answered; a page that is `allowed` may change something from elsewhere.
    ///
    /// # Errors
    /// If it names no host, or one that is not this server's, or changes something for another site.
    pub(super) fn check(&self, request: &Request, allowed: bool) -> Result<(), Problem> {
        let host = host(request)?;
        if self.closed && !self.knows(host.host()) {
            return Err(Problem::new(problem::FOREIGN_HOST, FOREIGN_HOST));
        }
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        if !reads && !allowed && self.is_foreign(request.headers(), &host) {
            return Err(Problem::new(problem::FOREIGN_ORIGIN, FOREIGN_ORIGIN));
        }
        Ok(())
    }

    /// Whether a page of this server has sent `request`, as far as the browser says, or a person who
    /// typed its address. What says nothing may read, for no other site's page sees the answer.
    pub(super) fn is_own_page(&self, request: &Request) -> bool {
        let headers = request.headers();
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        if let Some(site) = headers.get(SEC_FETCH_SITE) {
            return site == "same-origin" || (site == "none" && reads);
        }
        let own = || host(request).is_ok_and(|host| !self.is_foreign(headers, &host));
        reads || (headers.contains_key(header::ORIGIN) && own())
    }

    fn knows(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is = |name: &str| host.eq_ignore_ascii_case(name);
        address.is_ok_and(|address| address.is_loopback())
            || is("localhost")
            || self.names.iter().any(|name| is(name))
    }

    fn is_foreign(&self, headers: &HeaderMap, host: &Authority) -> bool {
        if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") {
            return true;
        }
        headers.get_all(header::ORIGIN).iter().any(|origin| {
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            let origin = origin.and_then(|(_, authority)| authority.parse::<Authority>().ok());
            origin.is_none_or(|origin| {
                let named = self.names.iter().any(|name| origin.host().eq_ignore_ascii_case(name));
                !named && !origin.as_str().eq_ignore_ascii_case(host.as_str())
            })
        })
    }
}

const FOREIGN_HOST: &str = "this server is not asked under this name; ask for localhost, or add the \
                            name to http.hosts";
const FOREIGN_ORIGIN: &str = "a page of another site has sent this; only pages of this server may \
                              change something, and those of names in http.hosts or \
                              http.cors-origins";

/// The host that the request names, as RFC 9112 section 3.2 wants it.
fn host(request: &Request) -> Result<Authority, Problem> {
    let invalid = |rule| Problem::invalid_header("Host", rule);
    let mut given = request.headers().get_all(header::HOST).iter();
    let named = match (given.next(), given.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse().ok()),
        (None, None) if request.version() >= Version::HTTP_2 => None,
        (None, _) => return Err(invalid("is missing; send the name under which you ask")),
        (Some(_), Some(_)) => return Err(invalid("is there more than once; send it once")),
    };
    let named: Option<Authority> = request.uri().authority().cloned().or(named);
    named.ok_or_else(|| invalid("must be a host, with or without a port, such as localhost:8080"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn status(hosts: &Hosts, method: &str, headers: &[(&str, &str)]) -> u16 {
        let request = Request::builder().method(method).uri("/orders");
        let request = headers.iter().fold(request, |request, (n, v)| request.header(*n, *v));
        let request = request.body(Body::empty()).expect("a request");
        hosts.check(&request, false).map_or_else(|problem| problem.status, |()| 200)
    }

    fn local() -> Hosts {
        Hosts::new(([127, 0, 0, 1], 8080).into(), &["ofs.example.com".to_owned()])
    }

    #[test]
    fn only_this_servers_names_are_served() {
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST", "ofs.example.com:9"]
        {
            assert_eq!(status(&local(), "GET", &[("host", host)]), 200, "{host}");
        }
        for host in ["rebound.example:8080", "10.0.0.1", "localhost.example"] {
            assert_eq!(status(&local(), "GET", &[("host", host)]), 421, "{host}");
        }
        let open = Hosts::new(([0, 0, 0, 0], 8080).into(), &[]);
        assert_eq!(status(&open, "GET", &[("host", "anything.example")]), 200);
    }

    #[test]
    fn a_host_is_named_once() {
        let two = [("host", "localhost"), ("host", "localhost")];
        for headers in [&[] as &[_], &two, &[("host", "")], &[("host", "a b")]] {
            assert_eq!(status(&local(), "GET", headers), 400, "{headers:?}");
        }
    }

    #[test]
    fn a_cookie_counts_only_from_a_page_of_this_server() {
        let own = |method: &str, headers: &[(&str, &str)]| {
            let request = Request::builder().method(method).uri("/").header("host", "localhost");
            let request = headers.iter().fold(request, |request, (n, v)| request.header(*n, *v));
            local().is_own_page(&request.body(Body::empty()).expect("a request"))
        };
        for (headers, get, post) in [
            (&[("sec-fetch-site", "same-origin")][..], true, true),
            (&[("sec-fetch-site", "none")], true, false),
            (&[("sec-fetch-site", "same-site")], false, false),
            (&[("sec-fetch-site", "cross-site")], false, false),
            (&[], true, false),
            (&[("origin", "http://localhost")], true, true),
            (&[("origin", "http://evil.example")], true, false),
        ] {
            assert_eq!((own("GET", headers), own("POST", headers)), (get, post), "{headers:?}");
        }
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let host = ("host", "localhost:8080");
        for (name, value, expected) in [
            ("origin", "http://localhost:8080", 200),
            ("origin", "https://ofs.example.com", 200),
            ("origin", "http://evil.example", 403),
            ("origin", "http://localhost:3000", 403),
            ("origin", "null", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "cross-site", 403),
        ] {
            assert_eq!(status(&local(), "POST", &[host, (name, value)]), expected, "{value}");
            assert_eq!(status(&local(), "GET", &[host, (name, value)]), 200, "{value}");
        }
    }
}
