//! The engines behind the three ports of `ofs-runtime`. Only this crate contains SQL or names a
//! broker or a search server; it knows nothing of services.

pub mod bare;
pub mod index;
pub mod log;
mod server_url;
pub mod sqlite;
pub mod store;
mod tls;

pub use server_url::ServerUrl;
