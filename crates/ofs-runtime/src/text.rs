//! Text from outside: characters that make it look different from what it is.

/// Whether `character` moves a terminal's cursor, begins a new line, or changes the direction in which
/// text is read.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    let direction = ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&character)
        || ('\u{2028}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character);
    direction || character.is_control()
}

/// `text` with every hidden character written out, such as `\n` or `\u{202e}`.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_written_out_and_all_else_stays() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\u{202e}"), "a\\u{1b}[2J\\r\\nb\\u{202e}");
        assert_eq!(printable("jürgen@例え.jp 📱"), "jürgen@例え.jp 📱");
    }
}
