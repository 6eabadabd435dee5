//! Records as the client library gives them, and as the port wants them.

use super::names::Names;
use bytes::Bytes;
use ofs_events::Timestamp;
use ofs_runtime::log::{Position, Received};
use rdkafka::Message as _;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The record in `message`; none if it is of a topic that is not ours.
pub(super) fn received(names: &Names, message: &BorrowedMessage<'_>) -> Option<Received> {
    let at = Position {
        topic: names.find(message.topic())?,
        partition: u32::try_from(message.partition()).ok()?,
        offset: u64::try_from(message.offset()).ok()?,
    };
    let millis = message.timestamp().to_millis().unwrap_or(0);
    Some(Received {
        at,
        appended_at: Timestamp::from_micros(millis.saturating_mul(1000)),
        key: message.key().map(Bytes::copy_from_slice),
        headers: message.headers().map(headers).unwrap_or_default(),
        value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
    })
}

/// The headers that are text. The library panics at a name that is not, which anybody may write.
fn headers(headers: &BorrowedHeaders) -> Vec<(String, String)> {
    let text = |at| {
        let header = headers.try_get(at)?;
        let value = std::str::from_utf8(header.value?).ok()?;
        Some((header.key.to_owned(), value.to_owned()))
    };
    let read = |at| catch_unwind(AssertUnwindSafe(|| text(at))).ok().flatten();
    (0..headers.count()).filter_map(read).collect()
}
