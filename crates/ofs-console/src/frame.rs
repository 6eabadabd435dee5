//! The frame of every page: navigation, what needs attention, when the page was rendered.

use crate::assets::{ICON, SCRIPT, STYLE};
use crate::words::{Count, Moment};
use askama::filters::{Html, HtmlSafe, escape};
use ofs_events::Timestamp;
use std::fmt;

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
    /// Who may ask for what.
    Keys,
    /// None of these.
    Nowhere,
}

impl Here {
    /// Those that the navigation leads to, in its order.
    pub const ALL: [Here; 7] = [
        Here::Orders,
        Here::Pipeline,
        Here::Parked,
        Here::Events,
        Here::Index,
        Here::Settings,
        Here::Keys,
    ];

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
            Here::Keys => "keys",
            Here::Nowhere => "",
        }
    }

    /// What the navigation calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Here::Orders => "Orders",
            Here::Pipeline => "Pipeline",
            Here::Parked => "Parked",
            Here::Events => "Events",
            Here::Index => "Index",
            Here::Settings => "Settings",
            Here::Keys => "Keys",
            Here::Nowhere => "",
        }
    }

    /// The key that leads to it, after `g`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Here::Orders => "o",
            Here::Pipeline => "p",
            Here::Parked => "d",
            Here::Events => "e",
            Here::Index => "i",
            Here::Settings => "s",
            Here::Keys => "k",
            Here::Nowhere => "",
        }
    }

    /// Whether `link`, which is relative to all pages, is to this one or one below it.
    #[must_use]
    pub fn holds(self, link: &str) -> bool {
        let page = link.split(['/', '?', '.']).next().unwrap_or_default();
        page == self.name()
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
    /// The pages that the reader may see.
    pub pages: Vec<Here>,
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

    /// Whether the reader may follow `link`, which is relative to all pages.
    #[must_use]
    pub fn opens(&self, link: &str) -> bool {
        self.pages.iter().any(|page| page.holds(link))
    }

    /// From here to where `link` leads, if it leads anywhere and the reader may follow it.
    #[must_use]
    pub fn link(&self, link: &Option<String>) -> Option<String> {
        let link = link.as_deref().filter(|link| self.opens(link))?;
        Some(format!("{}{link}", self.ui()))
    }

    /// The page to begin with.
    #[must_use]
    pub fn home(&self) -> &'static str {
        self.pages.first().map_or("sign-in", |page| page.name())
    }

    /// The id of an order, as a link to it if the reader may follow that.
    #[must_use]
    pub fn order(&self, id: &str) -> OrderLink {
        OrderLink { href: self.link(&Some(format!("orders/{id}"))), id: id.to_owned() }
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

/// The id of an order, as HTML.
#[derive(Clone, Debug)]
pub struct OrderLink {
    href: Option<String>,
    id: String,
}

impl HtmlSafe for OrderLink {}

impl fmt::Display for OrderLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = escape(&self.id, Html).map_err(|_| fmt::Error)?;
        match &self.href {
            Some(href) => {
                let href = escape(href, Html).map_err(|_| fmt::Error)?;
                write!(f, r#"<a class="id" href="{href}">{id}</a>"#)
            }
            None => write!(f, r#"<span class="id">{id}</span>"#),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pages: &[Here]) -> Frame {
        let at = Timestamp::from_micros(0);
        let (here, depth) = (Here::Parked, Depth::Below);
        Frame { here, depth, pages: pages.to_vec(), parked: None, findings: 0, at }
    }

    #[test]
    fn an_order_is_a_link_only_for_those_who_may_follow_it() {
        let id = "7\"<b>";
        let open = frame(&[Here::Parked, Here::Orders]).order(id).to_string();
        assert_eq!(
            open,
            r##"<a class="id" href="../orders/7&#34;&#60;b&#62;">7&#34;&#60;b&#62;</a>"##
        );
        let closed = frame(&[Here::Parked]).order(id).to_string();
        assert_eq!(closed, r##"<span class="id">7&#34;&#60;b&#62;</span>"##);
    }

    #[test]
    fn a_link_belongs_to_the_page_it_begins_with() {
        let frame = frame(&[Here::Parked]);
        assert!(
            frame.opens("parked") && frame.opens("parked/7") && frame.opens("parked?state=any")
        );
        for closed in ["orders", "parkedness", "", "//parked", "https://elsewhere.example/parked"] {
            assert!(!frame.opens(closed), "{closed}");
        }
        assert_eq!(frame.home(), "parked");
    }
}
