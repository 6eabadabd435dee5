//! The console: pages for people, rendered on the server, with their style and script.
//!
//! From values to HTML. Reads nothing itself, and knows no engine and no service.

pub mod assets;
pub mod events;
pub mod failure;
pub mod frame;
pub mod index;
pub mod keys;
pub mod order;
pub mod orders;
pub mod parked;
pub mod pipeline;
pub mod settings;
pub mod sign_in;
pub mod url;
pub mod words;

/// A page that can be rendered.
pub use askama::Template;
