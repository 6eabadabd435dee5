//! The id of a request: the client's if it is fit to be logged, else one of ours.

use axum::http::{HeaderMap, HeaderName};
use ofs_runtime::context::Context;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is taken from a client.
pub(super) const MAX: usize = 128;

/// The client's id if it is short and made of what ids are made of, else a new one; it is logged.
pub(super) fn of(headers: &HeaderMap) -> String {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    let sound = |id: &&str| (1..=MAX).contains(&id.len()) && id.bytes().all(fits);
    given.filter(sound).map_or_else(|| Context::new("http").new_id().to_string(), str::to_owned)
}
