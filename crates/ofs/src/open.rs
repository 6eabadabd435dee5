//! What is open in a configuration, and among keys: one finding each, with why it matters and what closes
//! it. Asks nobody; what a server refuses to start with is in `exposed`.

use crate::config::{AuthMode, Config, Setting, Source};
use ofs_events::Timestamp;
use ofs_runtime::access::{ApiKey, Scopes};
use serde::Serialize;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Something that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Open {
    /// What it is.
    pub what: String,
    /// Why that matters.
    pub why: &'static str,
    /// The setting or command that closes it.
    pub close: String,
}

fn open(what: impl Into<String>, why: &'static str, close: impl Into<String>) -> Open {
    Open { what: what.into(), why, close: close.into() }
}

/// What is open in `config`.
#[must_use]
pub fn in_config(config: &Config) -> Vec<Open> {
    let mut all = listener(config);
    all.extend(config.cors_origins.iter().filter_map(|origin| origin_found(origin)));
    all.extend(
        ["log.url", "store.url", "index.url"].iter().filter_map(|key| encryption(config, key)),
    );
    all.extend(config.settings.list().iter().filter_map(password));
    let key = config.tls.iter().map(|files| files.key.as_path());
    all.extend(
        key.chain(config.settings.secret_files.iter().map(AsRef::as_ref)).filter_map(readable),
    );
    all
}

/// What the listeners let in.
fn listener(config: &Config) -> Vec<Open> {
    let (address, beyond) = (config.listen, !config.listen.ip().is_loopback());
    let mut all = Vec::new();
    if config.auth_mode == Some(AuthMode::None) || (beyond && config.auth_mode.is_none()) {
        let what = format!("auth.mode is not required, and {address} is listened on");
        let why = "everybody who reaches that address may do everything";
        all.push(open(what, why, "auth.mode=required"));
    }
    if beyond && config.tls.is_none() {
        let what = format!("{address} is listened on without TLS");
        let why = "keys, tokens and addresses of customers can be read on the way, unless a proxy that \\
                   encrypts is the only one that reaches it";
        all.push(open(
            what,
            why,
            "tls.certificate and tls.key, or listen on the loopback, behind the proxy",
        ));
    }
    if beyond && config.http_rate.is_none() {
        let what = format!("{address} is listened on without a limit of requests");
        all.push(open(what, "one client can take the room of all others", "http.rate"));
    }
    if let Some(address) = config.metrics_listen.filter(|address| !address.ip().is_loopback()) {
        let what = format!("metrics are served at {address} without a key");
        let why = "whoever reaches that address sees how much is ordered, and what fails";
        let close =
            format!("metrics.listen=127.0.0.1:{}, or read /metrics with a key", address.port());
        all.push(open(what, why, close));
    }
    all
}

fn origin_found(origin: &str) -> Option<Open> {
    let host = origin.strip_prefix("http://")?;
    if is_local(name_of(host)) {
        return None;
    }
    let what = format!("pages of {origin} may ask this server");
    let why = "such a page can be changed on its way, and then asks with its visitor's key";
    Some(open(what, why, "http.cors-origins with https:// origins alone"))
}

/// Whether what is sent to the engine at `key` can be read or changed on its way.
fn encryption(config: &Config, key: &str) -> Option<Open> {
    let url = config.settings.get(key)?.value.as_deref()?;
    let (scheme, rest) = url.split_once("://")?;
    if hosts(rest).all(is_local) {
        return None;
    }
    let (what, close) = match scheme {
        "kafka" => ("goes to another machine without TLS", "log.url=kafka+tls://…"),
        "http" => ("goes to another machine without TLS", "index.url=https://…"),
        "postgres" | "postgresql" if !url.contains("sslmode=verify-full") => (
            "goes to another machine that need not show a certificate",
            "store.url with ?sslmode=verify-full",
        ),
        _ => return None,
    };
    let why = "orders, addresses and the password can be read on the way, or the server be another";
    Some(open(format!("{key} {what}"), why, close))
}

/// Whether a password for another machine stands where it is easily seen.
fn password(setting: &Setting) -> Option<Open> {
    let url = setting.value.as_deref()?;
    let (_, rest) = url.split_once("://")?;
    let is_plain = match &setting.source {
        Source::Env(_) | Source::File(_) => true,
        Source::EnvFile(..) | Source::Default | Source::Flag(_) => false,
    };
    if !is_plain || setting.shown().as_deref() == Some(url) || hosts(rest).all(is_local) {
        return None;
    }
    let what = format!("{} holds a password ({})", setting.key.name, setting.source);
    let why = "whoever sees this process's variables or its configuration has it";
    Some(open(
        what,
        why,
        format!(
            "the whole URL in a file of this user alone, named in {}_FILE",
            setting.key.variable()
        ),
    ))
}

/// Whether every user of this machine can read the secret in the file at `path`.
fn readable(path: &Path) -> Option<Open> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    if mode & 0o004 == 0 {
        return None;
    }
    let what =
        format!("{} holds a secret, and every user of this machine can read it", path.display());
    let why = "whoever has it is taken for this server";
    Some(open(what, why, format!("chmod o-rwx {}", path.display())))
}

/// What is open among `keys` at `now`.
#[must_use]
pub fn in_keys(keys: &[ApiKey], now: Timestamp) -> Vec<Open> {
    let counts =
        |key: &&ApiKey| key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now);
    let found = |key: &ApiKey| {
        let name = format!("key {} ({})", key.id, key.name);
        let instead = |with: &str| {
            format!("`ofs keys create {with}` for its owner, then `ofs keys revoke {}`", key.id)
        };
        let for_ever = key.expires_at.is_none().then(|| {
            let why = "whoever finds it can use it for as long as nobody notices";
            open(format!("{name} does not expire"), why, instead("--expires 90d"))
        });
        let all = (key.scopes == Scopes::all()).then(|| {
            let why = "whoever finds it may do everything, and make keys of their own";
            open(format!("{name} has all scopes"), why, instead("--scope SCOPE"))
        });
        [for_ever, all]
    };
    keys.iter().filter(counts).flat_map(found).flatten().collect()
}

/// The hosts of a URL, behind its scheme.
fn hosts(rest: &str) -> impl Iterator<Item = &str> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').map(name_of)
}

/// `host:port` without the port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether `host` is this machine; a socket in the file system is, too.
fn is_local(host: &str) -> bool {
    let socket = host.is_empty() || host.starts_with("%2F") || host.starts_with("%2f");
    socket
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;
    use ofs_runtime::access::{Digest, Scope};
    use uuid::Uuid;

    fn found(variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let inputs = Inputs { variables: variables.collect(), ..Inputs::default() };
        let config = Config::load(&inputs).expect("a configuration");
        in_config(&config).into_iter().map(|open| open.what).collect()
    }

    #[test]
    fn what_is_as_it_comes_is_closed_and_each_door_that_is_opened_is_named() {
        let beyond = ("OFS_LISTEN", "0.0.0.0:8080");
        let required = ("OFS_AUTH_MODE", "required");
        let tls = [("OFS_TLS_CERTIFICATE", "cert.pem"), ("OFS_TLS_KEY", "key.pem")];
        let rate = ("OFS_HTTP_RATE", "50");
        assert_eq!(found(&[]), [""; 0]);
        assert_eq!(found(&[beyond, required, tls[0], tls[1], rate]), [""; 0]);
        for (variables, words) in [
            (&[("OFS_AUTH_MODE", "none")][..], "auth.mode is not required"),
            (&[beyond, tls[0], tls[1], rate], "auth.mode is not required"),
            (&[beyond, required, rate], "without TLS"),
            (&[beyond, required, tls[0], tls[1]], "without a limit"),
            (&[("OFS_METRICS_LISTEN", "0.0.0.0:9100")], "metrics are served at 0.0.0.0:9100"),
            (&[("OFS_HTTP_CORS_ORIGINS", "http://shop.example.com")], "pages of http://shop"),
        ] {
            let found = found(variables);
            assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
        }
        let near = [
            ("OFS_METRICS_LISTEN", "[::1]:9100"),
            ("OFS_HTTP_CORS_ORIGINS", "http://localhost:3000"),
        ];
        assert_eq!(found(&near), [""; 0]);
    }

    #[test]
    fn engines_elsewhere_are_reached_by_tls_and_their_passwords_are_in_files() {
        let urls = |log: &str, store: &str, index: &str| {
            found(&[("OFS_LOG_URL", log), ("OFS_STORE_URL", store), ("OFS_INDEX_URL", index)])
        };
        let near = [
            "kafka://[::1]:9092,localhost",
            "postgres://ofs:pw@127.0.0.1/ofs",
            "http://localhost:9200",
        ];
        assert_eq!(urls(near[0], near[1], near[2]), [""; 0]);
        let far = [
            "kafka+tls://k1:9093,k2:9093",
            "postgres://ofs@db/ofs?sslmode=verify-full",
            "https://es:9200",
        ];
        assert_eq!(urls(far[0], far[1], far[2]), [""; 0]);
        for (nth, url, words) in [
            (0, "kafka://localhost:9092,k2:9092", "log.url goes to another machine without TLS"),
            (1, "postgres://ofs@db/ofs?sslmode=require", "store.url goes to another machine that"),
            (1, "postgres://ofs@db/ofs", "store.url goes to another machine that"),
            (
                1,
                "postgres://o:pw@db/ofs?sslmode=verify-full",
                "store.url holds a password (env OFS_STORE_URL)",
            ),
            (2, "http://es:9200", "index.url goes to another machine without TLS"),
            (2, "https://es:9200?api-key=k", "index.url holds a password"),
        ] {
            let mut all = far;
            all[nth] = url;
            let found = urls(all[0], all[1], all[2]);
            assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
            assert!(!found[0].contains("pw"), "{found:?}");
        }
    }

    #[test]
    fn keys_that_last_for_ever_or_open_everything_are_named_while_they_count() {
        let now = Timestamp::from_micros(1_000_000);
        let key = |scopes, expires_at, revoked_at| ApiKey {
            id: Uuid::from_u128(7),
            name: "shop".to_owned(),
            scopes,
            digest: Digest([0; 32]),
            created_at: now,
            expires_at,
            revoked_at,
            used_at: None,
        };
        let (one, later) = ([Scope::Operate].into_iter().collect(), Some(now.plus_seconds(60)));
        let found = |key| in_keys(&[key], now).len();
        assert_eq!(found(key(one, later, None)), 0);
        assert_eq!(found(key(one, None, None)), 1);
        assert_eq!(found(key(Scopes::all(), later, None)), 1);
        assert_eq!(found(key(Scopes::all(), None, None)), 2);
        assert_eq!(found(key(Scopes::all(), None, Some(now))), 0, "revoked");
        assert_eq!(found(key(Scopes::all(), Some(now), None)), 0, "expired");
    }
}
