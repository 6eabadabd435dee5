//! How a string is split into the terms that find it, and what a user typed into the terms to look for.
//!
//! Every engine uses this, so that a word is found on one exactly if it is found on the other.

use super::letters::{Part, Reader, fold, says_something};

/// Bytes of a word that count: 320 letters, as many as an e-mail address has, of three bytes each.
/// Elasticsearch can look for beginnings of 999 bytes.
const WORD_BYTES: usize = 960;
/// Places of one text where a word may begin; bounds the work a hostile text can cause. An e-mail
/// address in a script without spaces may have one at each of its 320 letters.
const WORDS_PER_TEXT: usize = 320;
/// Words of a search text beyond which nothing is found: no document is meant by so many.
const MAX_WORDS: usize = 64;

/// The part of `text` that is indexed, or looked for.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORD_BYTES)).unwrap_or(text)
}

/// The folded `text` from each place on where a word or a character with a meaning of its own begins:
/// `a@b.c`, `@b.c`, `b.c`, `.c`, `c`. A prefix of one of these is what a searcher may type.
pub(super) fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    let mut reader = Reader::new();
    text.char_indices()
        .filter(move |&(_, letter)| reader.begins(letter))
        .map(|(at, _)| cut(text.get(at..).unwrap_or_default()))
        .take(WORDS_PER_TEXT)
}

/// What to look for when a user types `text`: its words, folded, without the quotes, brackets and
/// commas around them, a full stop behind them, and dashes that stand alone. None if nothing can
/// match: there is nothing to look for though something was typed, or there are too many words.
pub(super) fn typed_words(text: &str) -> Option<Vec<String>> {
    let edge = |letter: char| Part::of(letter) == Part::Edge;
    let mut words: Vec<String> = fold(text)
        .split_whitespace()
        .map(|word| word.trim_start_matches(edge))
        .map(|word| word.trim_end_matches(|letter| letter == '.' || edge(letter)))
        .filter(|word| word.contains(says_something))
        .map(|word| cut(word).to_owned())
        .collect();
    words.sort_unstable();
    words.dedup();
    let any = !words.is_empty() || text.trim().is_empty();
    (any && words.len() <= MAX_WORDS).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_be_found_from_the_beginning_of_each_word_on() {
        let found: Vec<_> = beginnings("<a.b@example.com>").collect();
        let expected = [
            "a.b@example.com>",
            ".b@example.com>",
            "b@example.com>",
            "@example.com>",
            "example.com>",
            ".com>",
            "com>",
        ];
        assert_eq!(found, expected);
        assert_eq!(beginnings("").count(), 0);
        assert_eq!(beginnings(&"é.".repeat(10_000)).count(), WORDS_PER_TEXT);
    }

    #[test]
    fn what_was_typed_loses_what_surrounds_its_words() {
        assert_eq!(
            typed_words(" \"Smart  PHONE\", smart - "),
            Some(vec!["phone".to_owned(), "smart".to_owned()])
        );
        assert_eq!(typed_words("  "), Some(Vec::new()));
        assert_eq!(typed_words("*\"()"), None);
        for (typed, looked_for) in [
            ("(C++),", "c++"),
            ("C#", "c#"),
            (".NET", ".net"),
            ("Phone.", "phone"),
            ("📱", "📱"),
            ("½", "½"),
            ("<a@b.c>", "a@b.c"),
        ] {
            assert_eq!(typed_words(typed), Some(vec![looked_for.to_owned()]), "{typed}");
        }
        assert_eq!(typed_words(&"ß".repeat(2000)).map(|words| words[0].len()), Some(WORD_BYTES));
        let words = |most: usize| (0..most).map(|number| format!("w{number} ")).collect::<String>();
        assert_eq!(typed_words(&words(MAX_WORDS)).map(|words| words.len()), Some(MAX_WORDS));
        assert_eq!(typed_words(&words(MAX_WORDS + 1)), None);
    }
}
