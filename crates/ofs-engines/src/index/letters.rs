//! What single characters mean for searches: which of them are the same, which begin something.
//!
//! Knows nothing of words and documents.

use std::ops::RangeInclusive;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Letters in another width than usual, and the space between them, as Japanese keyboards type them.
const OTHER_WIDTH: [RangeInclusive<char>; 2] = ['\u{3000}'..='\u{3000}', '\u{ff00}'..='\u{ffef}'];
/// Two of them are one flag.
const FLAG_HALVES: RangeInclusive<char> = '\u{1f1e6}'..='\u{1f1ff}';
const SKIN_TONES: RangeInclusive<char> = '\u{1f3fb}'..='\u{1f3ff}';
/// Say which flag a black one is.
const TAGS: RangeInclusive<char> = '\u{e0020}'..='\u{e007f}';
/// Choose between two looks of the character before.
const LOOKS: [RangeInclusive<char>; 2] = ['\u{fe00}'..='\u{fe0f}', '\u{e0100}'..='\u{e01ef}'];
const JOINER: char = '\u{200d}';
/// Besides brackets and quotes, what is put around words or after them.
const EDGES: &str = "\"'`<>,;:!?¡¿…、。・";
/// Scripts whose words are not written apart, or are put together at will: Thai and Lao, Burmese,
/// Khmer, Chinese and Japanese, Korean.
const UNSPACED: [RangeInclusive<char>; 13] = [
    '\u{e00}'..='\u{eff}',
    '\u{1000}'..='\u{109f}',
    '\u{1780}'..='\u{17ff}',
    '\u{2e80}'..='\u{2fdf}',
    '\u{3005}'..='\u{303c}',
    '\u{3041}'..='\u{31ff}',
    '\u{3400}'..='\u{4dbf}',
    '\u{4e00}'..='\u{9fff}',
    '\u{a9e0}'..='\u{a9ff}',
    '\u{aa60}'..='\u{aa7f}',
    '\u{ac00}'..='\u{d7a3}',
    '\u{f900}'..='\u{faff}',
    '\u{20000}'..='\u{323af}',
];

/// What a character is to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// White space and the like.
    Gap,
    /// A quote, a bracket, a comma: not part of what it stands around.
    Edge,
    /// A letter or digit of a script with spaces.
    Letter,
    /// Belongs to the character before.
    Mark,
    /// Means something by itself: `+`, `½`, `電`, an emoji.
    Own,
}

impl Part {
    pub(super) fn of(character: char) -> Self {
        use GeneralCategory as Category;
        use GeneralCategoryGroup as Group;
        let category = character.general_category();
        if character.is_whitespace() || character.is_control() {
            return Self::Gap;
        }
        if EDGES.contains(character) {
            return Self::Edge;
        }
        if SKIN_TONES.contains(&character) {
            return Self::Mark;
        }
        match (character.general_category_group(), category) {
            (Group::Mark, _) | (_, Category::Format) => Self::Mark,
            (
                _,
                Category::OpenPunctuation
                | Category::ClosePunctuation
                | Category::InitialPunctuation
                | Category::FinalPunctuation,
            ) => Self::Edge,
            (Group::Letter, _) if !is_in(&UNSPACED, character) => Self::Letter,
            (_, Category::DecimalNumber) => Self::Letter,
            _ => Self::Own,
        }
    }
}

/// Whether `character` is something to look for, unlike a dash between two words.
pub(super) fn says_something(character: char) -> bool {
    let punctuation = character.general_category_group() == GeneralCategoryGroup::Punctuation;
    !punctuation
        && !character.is_ascii_punctuation()
        && !matches!(Part::of(character), Part::Gap | Part::Edge)
}

/// `text` in the one form that it is stored and looked for in: lower-case letter by letter (so that a
/// beginning folds to a beginning; `str::to_lowercase` looks at a letter's neighbours), accents
/// composed, letters in their usual width, nothing that cannot be seen.
pub(super) fn fold(text: &str) -> String {
    let mut usual = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !is_unseen(*character)) {
        if is_in(&OTHER_WIDTH, character) {
            decompose_compatible(character, |character| usual.push(character));
        } else {
            usual.push(character);
        }
    }
    usual.chars().flat_map(char::to_lowercase).nfc().collect()
}

fn is_unseen(character: char) -> bool {
    let joins = character == JOINER || TAGS.contains(&character);
    is_in(&LOOKS, character) || (character.general_category() == GeneralCategory::Format && !joins)
}

fn is_in(ranges: &[RangeInclusive<char>], character: char) -> bool {
    ranges.iter().any(|range| range.contains(&character))
}

/// Goes through a string and finds where a searchable term begins.
pub(super) struct Reader {
    /// What the last character was that is not a mark.
    before: Part,
    joined: bool,
    in_flag: bool,
}

impl Reader {
    /// At the start of a string.
    pub(super) fn new() -> Self {
        Self { before: Part::Gap, joined: false, in_flag: false }
    }

    /// Whether `character`, the next one, begins something: a word, or what means something by itself
    /// and is not the rest of an emoji.
    pub(super) fn begins(&mut self, character: char) -> bool {
        let part = Part::of(character);
        let begins = match part {
            Part::Gap | Part::Edge => false,
            Part::Letter => self.before != Part::Letter,
            Part::Mark => matches!(self.before, Part::Gap | Part::Edge),
            Part::Own => !self.joined && !self.in_flag,
        };
        self.joined = character == JOINER;
        self.in_flag = FLAG_HALVES.contains(&character) && !self.in_flag;
        if part != Part::Mark {
            self.before = part;
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_folds_to_the_same() {
        for (one, other) in [
            ("CAFE\u{301}", "café"),
            ("ＰＨＯＮＥ　１２", "phone 12"),
            ("ﾊﾟｿｺﾝ", "パソコン"),
            ("か\u{3099}", "が"),
            ("☎\u{fe0f}", "☎"),
            ("soft\u{ad}ware", "software"),
            ("\u{202e}abc\u{feff}", "abc"),
        ] {
            assert_eq!(fold(one), fold(other), "{one}");
        }
        for (one, other) in [("½", "1/2"), ("m²", "m2"), ("cafe", "café"), ("👩\u{200d}💻", "👩💻")]
        {
            assert_ne!(fold(one), fold(other), "{one}");
        }
    }

    #[test]
    fn something_begins_at_each_word_and_at_what_means_something_by_itself() {
        for (text, begins) in [
            ("Smart-Phone x2", "S-Px"),
            ("iPhone電話Case", "i電話C"),
            ("C++ (new)", "C++n"),
            ("1½inch", "1½i"),
            ("x\u{30c}y z\u{301}", "xz"),
            ("a👩🏽\u{200d}💻b", "a👩b"),
            ("🇧🇩🇪🇸", "🇧🇪"),
            ("เก้าอี้", "เกาอ"),
            ("…\u{301}", "\u{301}"),
        ] {
            let mut reader = Reader::new();
            let found: String = text.chars().filter(|letter| reader.begins(*letter)).collect();
            assert_eq!(found, begins, "{text}");
        }
    }
}
