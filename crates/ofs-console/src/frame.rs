//! The frame of every page: navigation, what needs attention, when the page was rendered.

use crate::assets::{ICON, SCRIPT, STYLE};
use crate::words::{Count, Moment};
use ofs_events::Timestamp;

/// Which page this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// The list of orders, or one of them.
    Orders,
    /// The backlog.
    Pipeline,
    /// What could not be handled.
    Parked,
    /// The log.
    Events,
    /// The search index.
    Index,
    /// What is configured.
    Settings,
    /// None of these.
    Nowhere,
}

impl Here {
    /// The last part of its URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Here::Orders => "orders",
            Here::Pipeline => "pipeline",
            Here::Parked => "parked",
            Here::Events => "events",
            Here::Index => "index",
            Here::Settings => "settings",
            Here::Nowhere => "",
        }
    }
}

/// How deep in the tree of URLs a page is. All links are relative, so that the console also works
/// behind a path prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// `/`.
    Root,
    /// `/ui/orders`.
    Page,
    /// `/ui/orders/{id}`.
    Below,
}

/// The frame of one page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which page it is.
    pub here: Here,
    /// How deep it is.
    pub depth: Depth,
    /// Open parked events, as last seen; none if there are none, or that is unknown.
    pub parked: Option<Count>,
    /// Findings about the pipeline that need attention, as last seen.
    pub findings: usize,
    /// When it was made.
    pub at: Timestamp,
}

impl Frame {
    /// From here to the other pages.
    #[must_use]
    pub const fn ui(&self) -> &'static str {
        match self.depth {
            Depth::Root => "ui/",
            Depth::Page => "",
            Depth::Below => "../",
        }
    }

    /// From here to the API.
    #[must_use]
    pub const fn api(&self) -> &'static str {
        match self.depth {
            Depth::Root => "",
            Depth::Page => "../",
            Depth::Below => "../../",
        }
    }

    /// Marks the page in the navigation.
    #[must_use]
    pub fn current(&self, page: &str) -> &'static str {
        if self.here.name() == page { r#" aria-current="page""# } else { "" }
    }

    /// The style sheet's name.
    #[must_use]
    pub fn style(&self) -> &'static str {
        &STYLE.name
    }

    /// The script's name.
    #[must_use]
    pub fn script(&self) -> &'static str {
        &SCRIPT.name
    }

    /// The icon's name.
    #[must_use]
    pub fn icon(&self) -> &'static str {
        &ICON.name
    }

    /// When the page was made.
    #[must_use]
    pub const fn moment(&self) -> Moment {
        Moment(self.at)
    }
}

/// Commands that do, or show, the same as a page.
#[derive(Clone, Debug)]
pub struct Copyable {
    /// What it is for.
    pub label: &'static str,
    /// The command.
    pub command: String,
}

impl Copyable {
    /// `curl` of `path` on the server at `base`.
    #[must_use]
    pub fn curl(base: &str, path: &str) -> Self {
        Self { label: "curl", command: format!("curl '{base}{}'", path.replace('\'', "%27")) }
    }

    /// The command line's own.
    #[must_use]
    pub fn ofs(command: impl Into<String>) -> Self {
        Self { label: "ofs", command: format!("ofs {}", command.into()) }
    }
}
