//! Points in time: UTC, whole microseconds, so that JSON and every store agree on them.

use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A UTC time in whole microseconds. Written with six fractional digits and `Z`;
/// read from any RFC 3339 text (offset or `Z`, 0 to 9 fractional digits, the rest is cut off).
/// The first and the last hours of the years 0 to 9999 may not fit; the nearest that does is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.123456Z")]
pub struct Timestamp(jiff::Timestamp);

/// 0000-01-01T00:00:00Z in microseconds since 1970. What is earlier has no RFC 3339 text.
const YEAR_0: i64 = -62_167_219_200_000_000;

impl Timestamp {
    /// Cuts `time` to whole microseconds.
    #[must_use]
    pub fn from_jiff(time: jiff::Timestamp) -> Self {
        Self::from_micros(time.as_microsecond())
    }

    /// From microseconds since 1970. Out of range (the years 0 to 9999) becomes the nearest bound.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let micros = micros.max(YEAR_0);
        Self(jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Days since 1970 of the UTC day this time lies in.
    #[must_use]
    pub fn day(self) -> i32 {
        let days = self.as_micros().div_euclid(86_400_000_000);
        i32::try_from(days).unwrap_or(i32::MAX)
    }

    /// `self` moved by `seconds`, held within the range of times.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_micros(self.as_micros().saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Seconds from `earlier` to `self`; 0 if `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Timestamp) -> f64 {
        self.since(earlier).as_secs_f64()
    }

    /// The time from `earlier` to `self`; none if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        let micros = self.as_micros().saturating_sub(earlier.as_micros()).max(0);
        Duration::from_micros(micros.unsigned_abs())
    }

    /// The UTC date of this time.
    #[must_use]
    pub fn date(self) -> Date {
        self.0.to_zoned(jiff::tz::TimeZone::UTC).date()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::from_jiff).or_else(|error| match late(text) {
            true => Ok(Self(jiff::Timestamp::MAX)),
            false => Err(error),
        })
    }
}

/// Whether `text` is a time with an offset on the last days that RFC 3339 can write.
fn late(text: &str) -> bool {
    Pieces::parse(text).is_ok_and(|pieces| {
        let complete = pieces.time().is_some() && pieces.to_numeric_offset().is_some();
        complete && pieces.date() >= Date::constant(9999, 12, 30)
    })
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom("it is not an RFC 3339 time with an offset or Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_rfc_3339_time_is_read_and_six_digits_are_written() {
        for (text, written) in [
            ("2026-01-31T12:00:00.123Z", "2026-01-31T12:00:00.123000Z"),
            ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000000Z"),
            ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456Z"),
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
            ("0000-01-01T00:00:00+23:59", "0000-01-01T00:00:00.000000Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-30T22:00:00.999999Z"),
            ("9999-12-31T23:59:59-23:59", "9999-12-30T22:00:00.999999Z"),
        ] {
            assert_eq!(
                text.parse::<Timestamp>().map(|t| t.to_string()).ok().as_deref(),
                Some(written)
            );
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
        for text in
            ["2026-01-31T12:00:00", "9999-12-31", "9999-12-31T23:59:59", "9999-12-32T00:00:00Z"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
