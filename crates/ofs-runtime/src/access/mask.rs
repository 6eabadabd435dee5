//! Masking: hides e-mail addresses from callers who may not see them.
//!
//! An address may be any string, so members that hold one are also known by their names.

use crate::log::Position;
use serde_json::Value;

/// Stands for what is masked.
pub const MASK: &str = "***";

/// `text` with every word that holds an `@` masked, unless it is a position in the log, with or without
/// the time of its record. A word ends at white space, quotes, brackets, commas, semicolons and colons.
#[must_use]
pub fn masked_text(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`<>()[]{},;:".contains(c);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        let is_address = word.contains(['@', '＠']) && !is_position(word);
        masked.push_str(if is_address { MASK } else { word });
        let (gap, behind) = behind.split_at(behind.find(|c| !ends(c)).unwrap_or(behind.len()));
        masked.push_str(gap);
        rest = behind;
    }
    masked
}

fn is_position(word: &str) -> bool {
    let (position, time) = word.split_once('~').unwrap_or((word, ""));
    position.parse::<Position>().is_ok() && !time.contains(['@', '＠'])
}

/// Masks every address in `value`, and each of `members`, whatever it looks like.
pub fn mask_value(value: &mut Value, members: &[&str]) {
    match value {
        Value::String(text) if text.contains(['@', '＠']) => *text = masked_text(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_value(item, members)),
        Value::Object(object) => {
            if object.keys().any(|name| name.contains(['@', '＠'])) {
                let all = std::mem::take(object).into_iter();
                *object = all.map(|(name, member)| (masked_text(&name), member)).collect();
            }
            for (name, member) in object.iter_mut() {
                let is_one = members.iter().any(|known| known.eq_ignore_ascii_case(name));
                if is_one && !member.is_null() {
                    *member = MASK.into();
                } else {
                    mask_value(member, members);
                }
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_with_an_at_sign_are_masked_and_all_else_stays() {
        for (text, masked) in [
            ("", ""),
            ("user@example.com", "***"),
            ("to <user@example.com>, then \"b@c\"; end ", "to <***>, then \"***\"; end "),
            ("before orders.events.v1/0@17, not a@17", "before orders.events.v1/0@17, not ***"),
            (
                "id: orders.events.v1/0@17~2026-01-31T09:30:00Z;payments.events.v1/0@4",
                "id: orders.events.v1/0@17~2026-01-31T09:30:00Z;payments.events.v1/0@4",
            ),
            ("orders.events.v1/0@17~ada@example.com", "***"),
            ("mailto:üser@例え.jp ok", "mailto:*** ok"),
            ("no address  here\n", "no address  here\n"),
        ] {
            assert_eq!(masked_text(text), masked);
        }
    }

    #[test]
    fn an_address_that_looks_like_none_is_known_by_its_member() {
        let mut value = json!({"customerEmail": "ada", "list": [{"CustomerEmail": 7}, "a@b"],
            "country": "US", "n": 1.5, "none": {"customerEmail": null}, "c@d": 1});
        mask_value(&mut value, &["customerEmail"]);
        assert_eq!(
            value,
            json!({"customerEmail": "***", "list": [{"CustomerEmail": "***"}, "***"],
                "country": "US", "n": 1.5, "none": {"customerEmail": null}, "***": 1})
        );
    }
}
