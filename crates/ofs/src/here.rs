//! What is done on this machine without asking a server, as the audit trail has it.

use ofs_runtime::access::Entry;

/// An entry of something done by this user.
pub(crate) fn entry(action: &str) -> Entry {
    let user = rustix::process::getuid().as_raw();
    Entry::new(action, &format!("user {user}"), "this machine")
}
