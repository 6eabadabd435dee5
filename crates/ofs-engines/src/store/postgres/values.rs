//! Our values as PostgreSQL has them: times, numbers, JSON.

use super::session::Failure;
use bytes::{BufMut, BytesMut};
use ofs_events::Timestamp;
use std::error::Error;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;

/// A `timestamptz`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub Timestamp);

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0.as_micros() - EPOCH);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Time(Timestamp::from_micros(micros.saturating_add(EPOCH))))
    }

    accepts!(TIMESTAMPTZ);
}

/// A number as a `bigint`.
pub(super) fn int(number: u64) -> Result<i64, Failure> {
    i64::try_from(number).map_err(|_| Failure::Refused(format!("{number} is too large a number")))
}

/// A number as it was stored; never negative.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// As many rows as may be asked for.
pub(super) fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

/// A wait in microseconds, at most a thousand years: beyond that a time is not one any more.
pub(super) fn micros(wait: Duration) -> i64 {
    const MOST: u64 = 1_000 * 31_557_600_000_000;
    i64::try_from(wait.as_micros()).unwrap_or(i64::MAX).min(MOST.cast_signed())
}

/// Column `at` of `row`.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Failure> {
    row.try_get(at).map_err(Failure::from)
}

/// Column `at` of `row`, a number that is never negative.
pub(super) fn number(row: &Row, at: usize) -> Result<u64, Failure> {
    get(row, at).map(uint)
}
