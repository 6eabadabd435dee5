//! The text of a key: `ofs_`, the key's id, `_`, 256 bits at random. Only a digest of it is stored.
//!
//! The bits are random, so that a plain SHA-256 cannot be searched, and needs no salt.

use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

const MARK: &str = "ofs_";

/// What is stored of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// A key's id and its secret: what its owner sends.
#[derive(Clone)]
pub struct Secret {
    id: Uuid,
    bits: [u8; 32],
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Secret {
    /// The key `id` with these bits.
    #[must_use]
    pub const fn new(id: Uuid, bits: [u8; 32]) -> Self {
        Self { id, bits }
    }

    /// Reads what [`Secret::text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, hex) = text.strip_prefix(MARK)?.split_once('_')?;
        if id.len() != 32 || hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bits = [0; 32];
        for (at, byte) in bits.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self { id: Uuid::try_parse(id).ok()?, bits })
    }

    /// The key it belongs to.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The key's text, which is shown once.
    #[must_use]
    pub fn text(&self) -> String {
        let hex: String = self.bits.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{MARK}{}_{hex}", self.id.simple())
    }

    /// What is stored of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.bits).into())
    }

    /// Whether `digest` is this secret's, in a time that does not depend on the answer.
    #[must_use]
    pub fn fits(&self, digest: &Digest) -> bool {
        self.digest().0.ct_eq(&digest.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_fits_its_own_digest_alone() {
        let secret = Secret::new(Uuid::from_u128(7), [0xa5; 32]);
        let text = secret.text();
        let read = Secret::parse(&text).expect("a key");
        assert_eq!((read.id(), read.text()), (secret.id(), text.clone()));
        assert!(read.fits(&secret.digest()));
        let mut bits = [0xa5; 32];
        bits[31] ^= 1;
        assert!(!Secret::new(Uuid::from_u128(7), bits).fits(&secret.digest()));
        for wrong in ["", "ofs_", "ofs_7_a5", &text[1..], &format!("{text}0"), &text[..100]] {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
        let odd = format!("{}+f", &text[..text.len() - 2]);
        assert!(Secret::parse(&odd).is_none(), "{odd}");
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let secret = Secret::new(Uuid::nil(), [0xa5; 32]);
        assert!(!format!("{secret:?} {:?}", secret.digest()).contains("a5"));
    }
}
