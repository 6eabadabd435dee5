//! Numbers, times and states as people read them; what goes into a page as HTML comes from constants.

use askama::filters::HtmlSafe;
use ofs_events::{OrderStatus, Timestamp};
use std::fmt;

/// A length of time in seconds: `40 ms`, `1.2 s`, `2 m 06 s`, `1 h 04 m`, `3 d 2 h`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Age(pub f64);

impl HtmlSafe for Age {}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&age(self.0))
    }
}

/// A count, with a narrow space between thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl HtmlSafe for Count {}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.0))
    }
}

/// As [`Age`].
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds, not below 0")]
pub fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0 if seconds < 0.9995 => format!("{:.0} ms", seconds.max(0.0) * 1000.0),
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} m {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} m", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// As [`Count`].
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 order`, `2 orders`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A rate: `0`, `0.4`, `41`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate < 0.005 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// A point in time, in UTC, to the millisecond; the whole is in its `datetime`.
#[derive(Clone, Copy, Debug)]
pub struct Moment(pub Timestamp);

/// A point in time within a sentence: `2026-01-31 12:00:00 UTC`.
#[must_use]
pub fn time(at: Timestamp) -> String {
    let whole = at.to_string();
    format!("{} UTC", whole.get(..19).unwrap_or(&whole).replace('T', " "))
}

/// As [`Moment`], without the date where that is the date of the second time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub Timestamp, pub Timestamp);

impl HtmlSafe for Clock {}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.date() != self.1.date() {
            return Moment(self.0).fmt(f);
        }
        let whole = self.0.to_string();
        let time = whole.get(11..23).unwrap_or(&whole);
        write!(f, r#"<time datetime="{whole}">{time}</time>"#)
    }
}

impl HtmlSafe for Moment {}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.to_string();
        let (date, time) = whole.split_once('T').unwrap_or((&whole, ""));
        let time = time.get(..12).unwrap_or(time);
        write!(f, r#"<time datetime="{whole}"><span class="date">{date} </span>{time}</time>"#)
    }
}

/// How a thing stands; decides colour and sign, never without a word beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Done, or as it should be.
    Good,
    /// In progress.
    Waiting,
    /// Ended otherwise than hoped, or needs a look.
    Warning,
    /// Needs attention.
    Bad,
    /// Nothing to say.
    Plain,
}

impl Tone {
    /// The class that colours it.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Waiting => "waiting",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
            Tone::Plain => "plain",
        }
    }

    const fn sign(self) -> &'static str {
        match self {
            Tone::Good => "M3 8.5l3.2 3.2L13 5",
            Tone::Waiting => "M8 4.2V8l2.6 1.8M8 1.8a6.2 6.2 0 110 12.4A6.2 6.2 0 018 1.8z",
            Tone::Warning => "M8 2.2l6.2 11H1.8zM8 6.4v3.2m0 1.7v.2",
            Tone::Bad => "M4 4l8 8m0-8l-8 8",
            Tone::Plain => "M3.5 8h9",
        }
    }
}

/// A word with a sign and a colour.
#[derive(Clone, Copy, Debug)]
pub struct Badge {
    /// Colour and sign.
    pub tone: Tone,
    /// The word; only constants come here, because it is not escaped.
    pub word: &'static str,
}

impl Badge {
    /// Where an order stands, in words.
    #[must_use]
    pub const fn of(status: OrderStatus) -> Self {
        let (tone, word) = match status {
            OrderStatus::Created => (Tone::Waiting, "Awaiting payment"),
            OrderStatus::PaymentAuthorized => (Tone::Waiting, "Paid, awaiting fulfillment"),
            OrderStatus::PaymentFailed => (Tone::Bad, "Payment failed"),
            OrderStatus::FulfillmentScheduled => (Tone::Good, "Scheduled"),
        };
        Self { tone, word }
    }
}

impl HtmlSafe for Badge {}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, sign, word) = (self.tone.class(), self.tone.sign(), self.word);
        write!(
            f,
            r#"<span class="badge {class}"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="{sign}"/></svg>{word}</span>"#
        )
    }
}

/// The words of a status that may be one this build does not know.
#[must_use]
pub fn status_words(name: &str) -> String {
    let known = OrderStatus::ALL.into_iter().find(|status| status.name() == name);
    known.map_or_else(|| name.to_owned(), |status| Badge::of(status).word.to_owned())
}

/// The last hour as a line, newest on the right; as wide as what it stands in.
#[derive(Clone, Debug, Default)]
pub struct Spark(pub Vec<f64>);

impl HtmlSafe for Spark {}

impl fmt::Display for Spark {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred points")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() < 2 {
            return f.write_str(r#"<span class="spark none">no history yet</span>"#);
        }
        let top = self.0.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let step = 240.0 / (self.0.len() - 1) as f64;
        write!(
            f,
            r#"<svg class="spark" viewBox="0 0 240 32" preserveAspectRatio="none" role="img"><title>the last hour, at most {}</title><path d=""#,
            rate(top)
        )?;
        let mut pen = 'M';
        for (at, value) in self.0.iter().enumerate() {
            // A gap where nothing was known.
            if !value.is_finite() {
                pen = 'M';
                continue;
            }
            let height = if top > 0.0 { value / top } else { 0.0 };
            write!(f, "{pen}{:.1} {:.1}", at as f64 * step, 30.0 - 28.0 * height)?;
            pen = 'L';
        }
        f.write_str(r#""/></svg>"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_told_in_their_two_largest_units() {
        for (seconds, text) in [
            (0.0, "0 ms"),
            (0.0421, "42 ms"),
            (1.25, "1.2 s"),
            (59.9, "59 s"),
            (126.0, "2 m 06 s"),
            (3840.0, "1 h 04 m"),
            (266_400.0, "3 d 2 h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_284_906), "1\u{202f}284\u{202f}906");
    }
}
