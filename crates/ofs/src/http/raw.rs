//! Bytes of a record as JSON can hold them: as text where they are UTF-8, else in base64.

use bytes::Bytes;
use serde::Serialize;

/// How [`Raw::value`] is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// The bytes are UTF-8, and this is the text.
    Text,
    /// RFC 4648 base64 with padding.
    Base64,
    /// The bytes may hold an e-mail address, and the caller lacks the scope `pii`: `value` is empty.
    Withheld,
}

/// Bytes of a record, every one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct Raw {
    /// How `value` is to be read.
    pub(super) encoding: Encoding,
    /// The bytes.
    #[schema(example = "{not json")]
    pub(super) value: String,
}

impl Raw {
    /// This text.
    pub(super) const fn text(value: String) -> Self {
        Raw { encoding: Encoding::Text, value }
    }

    /// Bytes that are not shown.
    pub(super) const fn withheld() -> Self {
        Raw { encoding: Encoding::Withheld, value: String::new() }
    }

    /// Whether `value` is the bytes as they are.
    pub(super) fn is_text(&self) -> bool {
        self.encoding == Encoding::Text
    }
}

impl From<&Bytes> for Raw {
    fn from(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Raw::text(text.to_owned()),
            Err(_) => Raw { encoding: Encoding::Base64, value: base64(bytes) },
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for sextet in 0..4_usize {
            let index = (bits >> (18 - 6 * sextet)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(char::from(if sextet > chunk.len() { b'=' } else { letter }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn only_bytes_that_are_no_text_are_encoded() {
        assert_eq!(Raw::from(&Bytes::from_static("ü".as_bytes())).encoding, Encoding::Text);
        assert_eq!(Raw::from(&Bytes::from_static(&[0xff])).value, "/w==");
    }
}
