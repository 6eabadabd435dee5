//! Values: the merged texts read into one struct, every mistake named with its key and source.

use super::keys::Kind;
use super::merge::{Inputs, Setting, Settings, Source};
use super::{Error, Invalid};
use crate::http::Files;
use crate::issuer::{Trust, check_url};
use ofs_runtime::text::is_hidden;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Shape of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether requests need a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Anyone may do everything.
    None,
    /// A key with the scope of the route.
    Required,
}

/// Whether what is sent is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// It is not, on purpose.
    None,
    /// It is, or the server does not start.
    Required,
}

/// Where a debug build is to die.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashAt {
    /// Name of the kill point.
    pub point: String,
    /// At which pass, from 1.
    pub nth: u64,
}

/// Everything that can be configured, read once. The source of each value is in `settings`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`.
    pub listen: SocketAddr,
    /// `http.hosts`.
    pub hosts: Vec<String>,
    /// `http.cors-origins`.
    pub cors_origins: Vec<String>,
    /// `http.rate`.
    pub http_rate: Option<NonZeroU32>,
    /// `auth.mode`.
    pub auth_mode: Option<AuthMode>,
    /// `auth.issuer` and `auth.audience`.
    pub trust: Option<Trust>,
    /// `tls.certificate` and `tls.key`.
    pub tls: Option<Files>,
    /// `tls.mode`.
    pub tls_mode: Option<TlsMode>,
    /// `metrics.listen`.
    pub metrics_listen: Option<SocketAddr>,
    /// `data-dir`.
    pub data_dir: PathBuf,
    /// `log.url`.
    pub log_url: String,
    /// `store.url`.
    pub store_url: String,
    /// `index.url`.
    pub index_url: String,
    /// `log.retention`.
    pub log_retention: Duration,
    /// `log.partitions`.
    pub log_partitions: NonZeroU32,
    /// `log.replication`.
    pub log_replication: Option<NonZeroU32>,
    /// `log.max-pages`.
    pub log_max_pages: Option<NonZeroU32>,
    /// `store.inbox-retention`.
    pub inbox_retention: Duration,
    /// `store.max-pages`.
    pub store_max_pages: Option<NonZeroU32>,
    /// `payment.gateway-timeout`.
    pub gateway_timeout: Duration,
    /// `payment.simulator-ledger`.
    pub simulator_ledger: Option<PathBuf>,
    /// `order.payment-deadline`.
    pub payment_deadline: Duration,
    /// `fulfillment.eta`.
    pub fulfillment_eta: Duration,
    /// `search.commit-interval`.
    pub commit_interval: Duration,
    /// `startup.timeout`.
    pub startup_timeout: Duration,
    /// `shutdown.timeout`.
    pub shutdown_timeout: Duration,
    /// `logs.format`.
    pub log_format: LogFormat,
    /// `logs.level`, a filter for `tracing_subscriber::EnvFilter`.
    pub log_level: String,
    /// `server`, without a slash at its end.
    pub server: String,
    /// `api-key`.
    pub api_key: Option<String>,
    /// `crash-at`; always none in release builds.
    pub crash_at: Option<CrashAt>,
    /// Every key with its text and source.
    pub settings: Settings,
}

impl Config {
    /// Merges `inputs` and reads them.
    ///
    /// # Errors
    /// [`Error`]; values that cannot be used are named all at once.
    pub fn load(inputs: &Inputs) -> Result<Self, Error> {
        Self::read(Settings::merge(inputs)?)
    }

    /// Reads merged `settings`.
    ///
    /// # Errors
    /// [`Error::Invalid`] names every value that cannot be used, at once.
    pub fn read(settings: Settings) -> Result<Self, Error> {
        let invalid = check(&settings);
        if !invalid.is_empty() {
            return Err(Error::Invalid(invalid));
        }
        Self::of(settings).map_err(|invalid| Error::Invalid(vec![invalid]))
    }

    fn of(settings: Settings) -> Result<Self, Invalid> {
        let s = &settings;
        Ok(Self {
            listen: required(s, "listen", address)?,
            hosts: optional(s, "http.hosts", names)?.unwrap_or_default(),
            cors_origins: optional(s, "http.cors-origins", origins)?.unwrap_or_default(),
            http_rate: optional(s, "http.rate", count)?,
            auth_mode: optional(s, "auth.mode", auth_mode)?,
            trust: trust(s)?,
            tls: tls(s)?,
            tls_mode: optional(s, "tls.mode", tls_mode)?,
            metrics_listen: optional(s, "metrics.listen", address)?,
            data_dir: required(s, "data-dir", path)?,
            log_url: required(s, "log.url", url)?,
            store_url: required(s, "store.url", url)?,
            index_url: required(s, "index.url", url)?,
            log_retention: required(s, "log.retention", duration)?,
            log_partitions: required(s, "log.partitions", count)?,
            log_replication: optional(s, "log.replication", count)?,
            log_max_pages: optional(s, "log.max-pages", count)?,
            inbox_retention: required(s, "store.inbox-retention", duration)?,
            store_max_pages: optional(s, "store.max-pages", count)?,
            gateway_timeout: required(s, "payment.gateway-timeout", duration)?,
            simulator_ledger: optional(s, "payment.simulator-ledger", path)?,
            payment_deadline: required(s, "order.payment-deadline", duration)?,
            fulfillment_eta: required(s, "fulfillment.eta", duration)?,
            commit_interval: required(s, "search.commit-interval", duration)?,
            startup_timeout: required(s, "startup.timeout", duration)?,
            shutdown_timeout: required(s, "shutdown.timeout", duration)?,
            log_format: required(s, "logs.format", log_format)?,
            log_level: required(s, "logs.level", filter)?,
            server: required(s, "server", http)?,
            api_key: optional(s, "api-key", secret)?,
            crash_at: optional(s, "crash-at", crash_at)?,
            settings,
        })
    }
}

type Parsed<T> = Result<T, String>;

/// Every value that cannot be used.
fn check(settings: &Settings) -> Vec<Invalid> {
    let problem = |setting: &Setting| {
        let text = setting.value.as_deref()?;
        let parsed = match setting.key.kind {
            Kind::Address => address(text).map(drop),
            Kind::Names => names(text).map(drop),
            Kind::Origins => origins(text).map(drop),
            Kind::Path => path(text).map(drop),
            Kind::Url => url(text).map(drop),
            Kind::Http => http(text).map(drop),
            Kind::Issuer => check_url(text),
            Kind::Text => line(text).map(drop),
            Kind::Duration => duration(text).map(drop),
            Kind::Count => count(text).map(drop),
            Kind::Filter => filter(text).map(drop),
            Kind::Secret => secret(text).map(drop),
            Kind::OneOf(words) => one_of(text, words),
            Kind::CrashAt => crash_at(text).map(drop),
        };
        parsed.err().map(|reason| invalid(setting, reason))
    };
    settings.list().iter().filter_map(problem).collect()
}

fn invalid(setting: &Setting, reason: String) -> Invalid {
    Invalid { key: setting.key.name, reason, source_name: setting.source.to_string() }
}

fn optional<T>(
    settings: &Settings,
    name: &'static str,
    parse: fn(&str) -> Parsed<T>,
) -> Result<Option<T>, Invalid> {
    let Some(setting) = settings.get(name) else { return Ok(None) };
    let Some(text) = setting.value.as_deref() else { return Ok(None) };
    parse(text).map(Some).map_err(|reason| invalid(setting, reason))
}

fn required<T>(
    settings: &Settings,
    name: &'static str,
    parse: fn(&str) -> Parsed<T>,
) -> Result<T, Invalid> {
    optional(settings, name, parse)?.ok_or_else(|| Invalid {
        key: name,
        reason: "it has no value".to_owned(),
        source_name: Source::Default.to_string(),
    })
}

fn address(text: &str) -> Parsed<SocketAddr> {
    text.parse()
        .map_err(|_| format!("`{text}` is not IP:port, such as 127.0.0.1:8080 or [::]:8080"))
}

fn path(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn names(text: &str) -> Parsed<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    match names.iter().find(|name| name.is_empty() || !name.chars().all(fits)) {
        Some(wrong) => Err(format!("`{wrong}` is not a host name, such as ofs.example.com")),
        None => Ok(names),
    }
}

fn origins(text: &str) -> Parsed<Vec<String>> {
    let origin = |text: &str| {
        let url = reqwest::Url::parse(text).ok()?;
        let origin = url.origin().ascii_serialization();
        (matches!(url.scheme(), "http" | "https") && origin == text).then_some(origin)
    };
    let wrong = |text| format!("`{text}` is not an origin, such as https://shop.example.com");
    let each = text.split(',').map(str::trim);
    each.map(|text| origin(text).ok_or_else(|| wrong(text))).collect()
}

/// The text itself may hold a password, so no message repeats it.
fn url(text: &str) -> Parsed<String> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("it is not a URL, such as sqlite: or postgres://user:password@host/db".to_owned())
    }
}

fn http(text: &str) -> Parsed<String> {
    let fits = reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if fits {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(format!("`{text}` is not an http:// or https:// URL"))
    }
}

fn issuer(text: &str) -> Parsed<String> {
    check_url(text).map(|()| text.to_owned())
}

fn line(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(is_hidden) {
        return Err("it must be a text without control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Parsed<Duration> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be more than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!("`{text}` is not a time with a unit, such as 200ms, 25s or 30d")),
    }
}

fn count(text: &str) -> Parsed<NonZeroU32> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number from 1 to {}", u32::MAX))
}

fn filter(text: &str) -> Parsed<String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("`{text}` is not a log filter, such as info or debug: {error}")),
    }
}

fn one_of(text: &str, words: &[&str]) -> Parsed<()> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(format!("`{text}` is none of {}", words.join(", ")))
}

fn log_format(text: &str) -> Parsed<LogFormat> {
    one_of(text, &["text", "json"])?;
    Ok(if text == "json" { LogFormat::Json } else { LogFormat::Text })
}

fn auth_mode(text: &str) -> Parsed<AuthMode> {
    one_of(text, &["none", "required"])?;
    Ok(if text == "required" { AuthMode::Required } else { AuthMode::None })
}

fn tls_mode(text: &str) -> Parsed<TlsMode> {
    one_of(text, &["none", "required"])?;
    Ok(if text == "required" { TlsMode::Required } else { TlsMode::None })
}

/// That the value of `name` does not fit the others, as `reason` says.
fn unfit<T>(settings: &Settings, name: &'static str, reason: &str) -> Result<T, Invalid> {
    let source_name = settings.get(name).map(|setting| setting.source.to_string());
    let (reason, source_name) = (reason.to_owned(), source_name.unwrap_or_default());
    Err(Invalid { key: name, reason, source_name })
}

/// Certificate and key, both or neither, as `tls.mode` allows.
fn tls(settings: &Settings) -> Result<Option<Files>, Invalid> {
    let certificate = optional(settings, "tls.certificate", path)?;
    let key = optional(settings, "tls.key", path)?;
    let mode = optional(settings, "tls.mode", tls_mode)?;
    let wrong = |name, reason| unfit(settings, name, reason);
    match (certificate, key, mode) {
        (Some(_), Some(_), Some(TlsMode::None)) => {
            wrong("tls.mode", "it is none, but there is a certificate; remove one of them")
        }
        (Some(certificate), Some(key), _) => Ok(Some(Files { certificate, key })),
        (Some(_), None, _) => wrong("tls.key", "tls.certificate is set; set its key, too"),
        (None, Some(_), _) => wrong("tls.certificate", "tls.key is set; set its certificate, too"),
        (None, None, Some(TlsMode::Required)) => {
            wrong("tls.mode", "it is required; set tls.certificate and tls.key")
        }
        (None, None, _) => Ok(None),
    }
}

/// Issuer and audience, both or neither, and only where requests need something.
fn trust(settings: &Settings) -> Result<Option<Trust>, Invalid> {
    let issuer = optional(settings, "auth.issuer", issuer)?;
    let audience = optional(settings, "auth.audience", line)?;
    let mode = optional(settings, "auth.mode", auth_mode)?;
    let wrong = |name, reason| unfit(settings, name, reason);
    match (issuer, audience, mode) {
        (None, None, _) => Ok(None),
        (Some(issuer), Some(audience), Some(AuthMode::Required)) => {
            Ok(Some(Trust { issuer, audience }))
        }
        (Some(_), None, _) => wrong(
            "auth.audience",
            "auth.issuer is set; set what its tokens for this server have in aud, too",
        ),
        (None, Some(_), _) => wrong("auth.issuer", "auth.audience is set; set the issuer, too"),
        (Some(_), Some(_), _) => wrong(
            "auth.mode",
            "auth.issuer is set, and tokens count only where auth.mode is required; set that, too",
        ),
    }
}

/// It goes into a header. No message repeats it.
fn secret(text: &str) -> Parsed<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("it must be visible ASCII characters, without spaces".to_owned())
}

fn crash_at(text: &str) -> Parsed<CrashAt> {
    let (point, nth) = text.split_once(':').unwrap_or((text, "1"));
    match nth.parse() {
        Ok(nth) if nth > 0 && !point.is_empty() => Ok(CrashAt { point: point.to_owned(), nth }),
        _ => Err(format!("`{text}` is not point or point:nth, such as commit.before:3")),
    }
}
