//! Style, script and icon: part of the program, and named by their content, so that a browser may keep
//! them for ever and never has an old one.

use std::sync::LazyLock;
use uuid::Uuid;

/// One file that pages refer to.
#[derive(Debug)]
pub struct Asset {
    /// Its name, with a hash of its content.
    pub name: String,
    /// Its content type.
    pub media: &'static str,
    /// Its content.
    pub text: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, media: &'static str, text: &'static str) -> Self {
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string();
        let hash = hash.get(..12).unwrap_or_default();
        Self { name: format!("{stem}-{hash}.{extension}"), media, text }
    }
}

/// How every page looks.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../assets/console.css");
    Asset::new("console", "css", "text/css; charset=utf-8", text)
});

/// What HTML cannot do: live updates, keys, copying.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../assets/console.js");
    Asset::new("console", "js", "text/javascript; charset=utf-8", text)
});

/// What a browser shows beside the title.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../assets/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", text)
});

/// The asset called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.name == name)
}
