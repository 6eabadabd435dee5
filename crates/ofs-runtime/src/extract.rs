//! Extractors that accept exactly what a route documents and answer anything else with a [`Problem`].
//!
//! Nothing is clamped, ignored or guessed: unknown members and parameters are named and refused.

mod lines;
mod values;

pub use lines::{Line, Lines};

use crate::problem::{Invalid, MAX_ERRORS, Problem};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::{HeaderMap, header, request::Parts};
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use std::str::FromStr;
use std::time::Duration;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Some programs begin every text with it, though JSON must not (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);

/// A JSON object in the body. `T` should derive `Deserialize` with `deny_unknown_fields`.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_media(request.headers(), "application/json") {
            return Err(Problem::wrong_content_type("application/json"));
        }
        refuse_encoding(request.headers())?;
        let body = tokio::time::timeout(BODY_TIME, collect(request)).await;
        let body = body.map_err(|_| Problem::request_timeout(BODY_TIME.as_secs()))??;
        read_object(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&body)).map(Body)
    }
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    match encoding.is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(Problem::encoded_body()),
    }
}

/// Whether the body is declared to be of the type `wanted`, in UTF-8.
fn is_media(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(Ok(text)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let wanted = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(wanted));
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    wanted && parts.all(utf8)
}

async fn collect(request: Request) -> Result<Vec<u8>, Problem> {
    let mut chunks = request.into_body().into_data_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            Problem::malformed_json("the body ended before it was complete; send it again")
        })?;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Problem::body_too_large(MAX_BODY_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a JSON object as `T`.
///
/// # Errors
/// A [`Problem`] that says where the JSON breaks, or names the member that is wrong.
pub fn read_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    // The whole text first: a typo behind a wrong member should be reported as a typo.
    serde_json::from_slice::<IgnoredAny>(json).map_err(|error| malformed(&error))?;
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(no_object());
    }
    refuse_nul(json)?;
    object(&mut serde_json::Deserializer::from_slice(json))
}

fn no_object() -> Problem {
    Problem::invalid_request(vec![Invalid::new("", "it must be a JSON object")])
}

fn object<'de, T, D>(deserializer: D) -> Result<T, Problem>
where
    T: DeserializeOwned,
    D: serde::Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            Problem::invalid_request(vec![invalid(path, &without_place(&error))])
        } else {
            malformed(&error)
        }
    })
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let what = without_place(error);
    Problem::malformed_json(format!("at line {line}, column {column}: {what}"))
}

fn without_place(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    error.to_string().replace(&place, "")
}

/// No store can keep U+0000, so no text may hold it. In JSON it is always written as an escape.
fn refuse_nul(json: &[u8]) -> Result<(), Problem> {
    if !json.windows(6).any(|window| window == br"\u0000") {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    let mut errors = Vec::new();
    find_nul(&value, String::new(), &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid_request(errors)) }
}

fn find_nul(value: &Value, pointer: String, found: &mut Vec<Invalid>) {
    if found.len() >= MAX_ERRORS {
        return;
    }
    match value {
        Value::String(text) if text.contains('\0') => {
            found.push(Invalid::new(pointer, "must not hold the character U+0000"));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                find_nul(item, format!("{pointer}/{at}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                find_nul(member, format!("{pointer}/{}", escape(name)), found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

/// Turns serde's words about a member into a pointer and an instruction.
fn invalid(path: String, message: &str) -> Invalid {
    let named = |rest: &str| rest.split('`').nth(1).map(|name| format!("/{}", escape(name)));
    // Depending on where serde notices it, the path ends at the member or at its parent.
    let at = |name: Option<String>| match name {
        Some(name) if !path.ends_with(&name) => format!("{path}{name}"),
        _ => path.clone(),
    };
    if let Some(rest) = message.strip_prefix("missing field ") {
        return Invalid::new(at(named(rest)), "is missing");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return Invalid::new(at(named(rest)), "is given more than once");
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let known = rest.split_once(", ").map_or("", |(_, known)| known);
        return Invalid::new(at(named(rest)), format!("is unknown; {known}"));
    }
    Invalid::new(path, message)
}

/// The query string. `T` should derive `Deserialize` with `deny_unknown_fields`.
#[derive(Clone, Copy, Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read_query(parts.uri.query().unwrap_or_default()).map(Params)
    }
}

/// Reads a query string as `T`; see [`Params`].
///
/// # Errors
/// A [`Problem`] that names the parameter that is unknown, repeated or invalid.
pub fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let unreadable = |text: &str| text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    let errors: Vec<_> = pairs()
        .filter(|(name, value)| unreadable(name) || unreadable(value))
        .map(|(name, _)| Invalid::new(name, "must be UTF-8 without the character U+0000"))
        .collect();
    if !errors.is_empty() {
        return Err(Problem::invalid_query(errors));
    }
    let values = values::of(pairs().map(|(name, value)| (name.into_owned(), value.into_owned())));
    serde_path_to_error::deserialize(values).map_err(|error| {
        let path = pointer(error.path());
        let found = invalid(path, &error.into_inner().to_string());
        let name = found.pointer.trim_start_matches('/').to_owned();
        Problem::invalid_query(vec![Invalid::new(name, found.detail)])
    })
}

/// The one id in the path.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refuse = |text: &str| Problem::invalid_path(format!("`{text}` is not an id"));
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Ok(Path(text)) = path else { return Err(refuse(parts.uri.path())) };
        text.parse().map(Id).map_err(|_| refuse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Sample {
        first_name: String,
        age: Option<u8>,
        #[serde(default)]
        hobby: Vec<String>,
    }

    fn refused(json: &str) -> (String, String) {
        let problem = read_object::<Sample>(json.as_bytes()).expect_err("refused");
        let at = problem.errors.first().map(|error| error.pointer.clone()).unwrap_or_default();
        (problem.uri.trim_start_matches("urn:ofs:problem:").to_owned(), at)
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        for (json, kind, at) in [
            (r#"{"firstName":"a","age":1"#, "malformed-json", ""),
            (r#"{"firstName":1,"age":}"#, "malformed-json", ""),
            (r#"{"firstName":"a"} x"#, "malformed-json", ""),
            ("", "malformed-json", ""),
            (r#"["a",1]"#, "invalid-request", ""),
            ("null", "invalid-request", ""),
            (r#"{"age":1}"#, "invalid-request", "/firstName"),
            (r#"{"firstName":1}"#, "invalid-request", "/firstName"),
            (r#"{"firstName":"a","age":300}"#, "invalid-request", "/age"),
            (r#"{"firstName":"a","a/ge":1}"#, "invalid-request", "/a~1ge"),
            (r#"{"firstName":"a","firstName":"b"}"#, "invalid-request", "/firstName"),
            (r#"{"firstName":"a\u0000"}"#, "invalid-request", "/firstName"),
        ] {
            assert_eq!(refused(json), (kind.to_owned(), at.to_owned()), "{json}");
        }
        assert!(read_object::<Sample>(br#"{"firstName":"\\u0000","age":null}"#).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, at) in [
            ("firstName=a&age=x", "age"),
            ("firstName=a&height=1", "height"),
            ("firstName=a&firstName=b", "firstName"),
            ("firstName=a&age=1&hobby=x&age=2", "age"),
            ("firstName=a&age=", "age"),
            ("firstName=a&age=%2B1", "age"),
            ("firstName=a&age=256", "age"),
            ("firstName=%00", "firstName"),
            ("firstName=%FF", "firstName"),
            ("", "firstName"),
        ] {
            let problem = read_query::<Sample>(query).expect_err("refused");
            assert_eq!(problem.uri, "urn:ofs:problem:invalid-query");
            assert_eq!(problem.errors[0].pointer, at, "{query}: {problem:?}");
        }
        let read = read_query::<Sample>("hobby=x&firstName=a%20b&age=7&hobby=&hobby=x");
        let Ok(read) = read else { panic!("{read:?}") };
        assert_eq!((read.first_name.as_str(), read.age), ("a b", Some(7)));
        assert_eq!(read.hobby, ["x", "", "x"]);
    }

    #[tokio::test]
    async fn only_small_json_bodies_are_taken() {
        let send = |content_type: &'static str, body: String| {
            let request = Request::post("/")
                .header(header::CONTENT_TYPE, content_type)
                .body(axum::body::Body::from(body))
                .expect("request");
            async move { Body::<Sample>::from_request(request, &()).await.map(|_| ()) }
        };
        let good = || r#"{"firstName":"a"}"#.to_owned();
        assert!(send("application/json", good()).await.is_ok());
        assert!(send("Application/JSON; charset=UTF-8", good()).await.is_ok());
        for content_type in ["text/plain", "application/json; charset=latin1", ""] {
            let problem = send(content_type, good()).await.expect_err("refused");
            assert_eq!(problem.status, 415, "{content_type}");
        }
        let long = format!("{}{}", good(), " ".repeat(MAX_BODY_BYTES));
        assert_eq!(send("application/json", long).await.expect_err("refused").status, 413);
    }
}
