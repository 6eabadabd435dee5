//! A body of lines, one JSON object each, read as it comes: what is wrong with one line is said of it
//! alone.

use super::{BODY_TIME, BYTE_ORDER_MARK, MAX_BODY_BYTES, is_media, malformed, refuse_encoding};
use super::{object, refuse_nul};
use crate::problem::Problem;
use axum::body::BodyDataStream;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;

/// The lines of a body of the type `application/x-ndjson`. Blank lines are passed over.
#[derive(Debug)]
pub struct Lines {
    chunks: BodyDataStream,
    held: BytesMut,
    /// How much of what is held has no end of a line in it.
    looked_at: usize,
    taken: u64,
    ended: bool,
    /// The line is too long, and its end has not come.
    skipping: bool,
}

/// One line of a body.
#[derive(Clone, Debug)]
pub struct Line {
    /// The first is 1.
    pub number: u64,
    /// What it says, without its end; a problem if it is too long.
    pub text: Result<Bytes, Problem>,
}

impl<S: Send + Sync> FromRequest<S> for Lines {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_media(request.headers(), "application/x-ndjson") {
            return Err(Problem::wrong_content_type("application/x-ndjson"));
        }
        refuse_encoding(request.headers())?;
        let (chunks, held) = (request.into_body().into_data_stream(), BytesMut::new());
        Ok(Self { chunks, held, looked_at: 0, taken: 0, ended: false, skipping: false })
    }
}

impl Lines {
    /// The next line; none at the end.
    ///
    /// # Errors
    /// A [`Problem`] if the body breaks off, or nothing comes for 15 seconds.
    pub async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            if let Some(text) = self.take() {
                self.taken += 1;
                let text = text.map(|text| match self.taken {
                    1 => text
                        .strip_prefix(BYTE_ORDER_MARK)
                        .map_or(text.clone(), |t| text.slice_ref(t)),
                    _ => text,
                });
                if text.as_ref().is_ok_and(|text| text.trim_ascii().is_empty()) {
                    continue;
                }
                return Ok(Some(Line { number: self.taken, text }));
            }
            if self.ended {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// How many lines were taken, blank ones too.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// A whole line of what is held, or that one is too long.
    fn take(&mut self) -> Option<Result<Bytes, Problem>> {
        let new = self.held.get(self.looked_at..).unwrap_or_default();
        let end = new.iter().position(|byte| *byte == b'\n').map(|end| self.looked_at + end);
        self.looked_at = if end.is_some() || self.ended { 0 } else { self.held.len() };
        let too_long = self.skipping || end.unwrap_or(self.held.len()) > MAX_BODY_BYTES;
        let text = match end {
            Some(end) => self.held.split_to(end + 1).split_to(end).freeze(),
            None if self.ended && !self.held.is_empty() => self.held.split().freeze(),
            None if self.ended && self.skipping => Bytes::new(),
            None => {
                if too_long {
                    self.held.clear();
                    self.looked_at = 0;
                    self.skipping = true;
                }
                return None;
            }
        };
        self.skipping = false;
        Some(if too_long { Err(Problem::body_too_large(MAX_BODY_BYTES)) } else { Ok(text) })
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let chunk = tokio::time::timeout(BODY_TIME, self.chunks.next()).await;
        match chunk.map_err(|_| Problem::request_timeout(BODY_TIME.as_secs()))? {
            Some(Ok(chunk)) => self.held.extend_from_slice(&chunk),
            Some(Err(_)) => {
                return Err(Problem::malformed_json("the body ended before it was complete"));
            }
            None => self.ended = true,
        }
        Ok(())
    }
}

/// The members of an object, each given once.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceEach)
    }
}

struct OnceEach;

impl<'de> Visitor<'de> for OnceEach {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = given.next_entry::<String, Value>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            members.insert(name, value);
        }
        Ok(Members(members))
    }
}

impl Line {
    /// Reads the line as a JSON object: its member `apart`, if it is there, and all else as `T`.
    ///
    /// # Errors
    /// A [`Problem`] that says where the JSON breaks, or names the member that is wrong.
    pub fn read<T: DeserializeOwned>(self, apart: &str) -> Result<(Option<Value>, T), Problem> {
        let text = self.text?;
        refuse_nul(&text)?;
        serde_json::from_slice::<IgnoredAny>(&text).map_err(|error| malformed(&error))?;
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(super::no_object());
        }
        let Members(mut members) = object(&mut serde_json::Deserializer::from_slice(&text))?;
        let apart = members.shift_remove(apart);
        Ok((apart, object(Value::Object(members))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use serde::Deserialize;

    async fn lines(chunks: Vec<Vec<u8>>) -> Vec<(u64, Result<String, u16>)> {
        let chunks = chunks.into_iter().map(Ok::<_, std::convert::Infallible>);
        let body = Body::from_stream(futures::stream::iter(chunks));
        let request = Request::post("/").header("content-type", "application/x-ndjson");
        let request = request.body(body).expect("a request");
        let mut lines = Lines::from_request(request, &()).await.expect("lines");
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("a whole body") {
            let text = line.text.map(|text| String::from_utf8_lossy(&text).into_owned());
            all.push((line.number, text.map_err(|problem| problem.status)));
        }
        all
    }

    #[tokio::test]
    async fn lines_come_whole_however_the_body_is_cut() {
        let whole = "\u{feff}{\"a\":1}\n\n  \r\n{\"b\":2}".as_bytes().to_vec();
        let bytewise = whole.iter().map(|byte| vec![*byte]).collect();
        let expected = [(1, Ok("{\"a\":1}".to_owned())), (4, Ok("{\"b\":2}".to_owned()))];
        assert_eq!(lines(bytewise).await, expected);
        assert_eq!(lines(vec![whole]).await, expected);
        assert_eq!(lines(Vec::new()).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_refused_alone() {
        let long = vec![b'x'; MAX_BODY_BYTES + 1];
        let fits = "y".repeat(MAX_BODY_BYTES);
        let chunks =
            vec![long.clone(), b"zz\n".to_vec(), fits.clone().into(), b"\n".to_vec(), long];
        assert_eq!(lines(chunks).await, [(1, Err(413)), (2, Ok(fits)), (3, Err(413))]);
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: String,
    }

    fn read(text: &'static str) -> Result<(Option<Value>, Named), Problem> {
        Line { number: 1, text: Ok(Bytes::from_static(text.as_bytes())) }.read("key")
    }

    #[test]
    fn a_line_is_an_object_with_one_member_apart() {
        let (key, named) = read(r#"{"name":"n","key":7}"#).expect("read");
        assert_eq!((key, named.name.as_str()), (Some(7.into()), "n"));
        assert_eq!(read(r#"{"name":"n"}"#).expect("read").0, None);
        for (text, said) in [
            (r#"{"name":"n""#, "EOF"),
            (r#"{"name":3}"#, "/name"),
            (r#"{"name":"n","other":1}"#, "/other is unknown"),
            (r#"{"name":"n","name":"m"}"#, "/name is given more than once"),
            (r#"{"key":1,"name":"n","key":2}"#, "/key is given more than once"),
            ("[1]", "must be a JSON object"),
            ("{\"name\":\"\\u0000\"}", "U+0000"),
        ] {
            let detail = read(text).expect_err(text).detail;
            assert!(detail.contains(said), "{text}: {detail}");
        }
    }
}
