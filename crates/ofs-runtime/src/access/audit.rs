//! The audit trail: who did what, when, from where and why. Each entry is hashed with the one before it,
//! so that none can be changed, removed or moved unnoticed. Holds no secret and no e-mail address.

use super::mask::masked_text;
use super::{Access, Caller, Noted};
use crate::context::Context;
use crate::store::Error;
use ofs_events::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Entries read at once.
const PAGE: usize = 1_000;

/// What was done, in words that never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What was done, or tried.
    #[schema(example = "parked.discard")]
    pub action: String,
    /// Who: a key, a user of the machine, or anyone.
    #[schema(example = "anyone")]
    pub who: String,
    /// From where: an address, or the machine itself.
    #[schema(example = "127.0.0.1")]
    pub from: String,
    /// With what: a key, a parked event, a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// The reason given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

impl Entry {
    /// `action`, done now by `who`, `from` somewhere.
    #[must_use]
    pub fn new(action: &str, who: &str, from: &str) -> Self {
        Self {
            at: Context::new("audit").now(),
            action: action.to_owned(),
            who: masked_text(who),
            from: from.to_owned(),
            subject: None,
            reason: None,
        }
    }

    /// `action`, done now by `caller`.
    #[must_use]
    pub fn by(caller: &Caller, action: &str) -> Self {
        Self::new(action, &caller.to_string(), &caller.from())
    }

    /// Done with `subject`.
    #[must_use]
    pub fn with(mut self, subject: impl ToString) -> Self {
        self.subject = Some(masked_text(&subject.to_string()));
        self
    }

    /// Done for `reason`.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(masked_text(reason));
        self
    }

    /// As it is stored.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The hash of the entry `seq`: over the hash of the one before it, its number and its text.
#[must_use]
pub fn link(before: &[u8], seq: u64, entry: &str) -> Vec<u8> {
    let number = seq.to_be_bytes();
    let parts = Sha256::new().chain_update(before).chain_update(number).chain_update(entry);
    parts.finalize().to_vec()
}

/// What the hash of the first entry is made with.
const BEGINNING: [u8; 32] = [0; 32];

/// Writes the audit trail. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<dyn Access>);

impl Audit {
    /// The trail in `access`.
    #[must_use]
    pub const fn new(access: Arc<dyn Access>) -> Self {
        Self(access)
    }

    /// Notes `entry`; call it before what it tells of is done, so that nothing is done unnoticed.
    ///
    /// # Errors
    /// If the store cannot take it now.
    pub async fn note(&self, entry: &Entry) -> Result<(), Error> {
        self.0.note(&entry.text()).await
    }
}

/// Something that is wrong with the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Finding {
    /// The number of the entry.
    pub seq: u64,
    /// What is wrong, for people.
    pub wrong: String,
}

/// The result of checking the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Verified {
    /// Entries checked.
    pub entries: u64,
    /// The newest entry's hash, in hexadecimal; kept elsewhere, it shows later whether the trail
    /// still holds everything up to here.
    pub hash: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Looks through the whole trail.
///
/// # Errors
/// If the store cannot be reached.
pub async fn verify(access: &dyn Access) -> Result<Verified, Error> {
    // Before the entries: more may come meanwhile, none may go.
    let (end, hash) = access.trail_end().await?;
    let mut last = Noted { hash: BEGINNING.to_vec(), ..Noted::default() };
    let mut findings = Vec::new();
    let mut entries = 0;
    loop {
        let page = access.trail(last.seq, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for noted in page {
            entries += 1;
            findings.extend(missing(last.seq, noted.seq));
            let follows = noted.seq == last.seq + 1;
            if follows && noted.hash != link(&last.hash, noted.seq, &noted.entry) {
                let wrong = "is not as it was written, or does not follow the one before it";
                findings.push(Finding { seq: noted.seq, wrong: wrong.to_owned() });
            }
            if noted.seq == end && noted.hash != hash {
                let wrong = "is not the entry that was written last";
                findings.push(Finding { seq: end, wrong: wrong.to_owned() });
            }
            last = noted;
        }
    }
    findings.extend(missing(last.seq, end + 1));
    let hash = last.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Verified { entries, hash, findings })
}

/// The entries between two that stand side by side.
fn missing(before: u64, behind: u64) -> Option<Finding> {
    let first = before + 1;
    let gone = behind.checked_sub(first).filter(|gone| *gone > 0)?;
    let wrong = if gone == 1 {
        "is missing".to_owned()
    } else {
        format!("is missing, and so is everything up to {}", behind - 1)
    };
    Some(Finding { seq: first, wrong })
}
