//! A person without script: reads pages, follows links, sends forms.

use crate::server::{PATIENCE, http};
use reqwest::Url;
use reqwest::header::HeaderMap;
use std::time::{Duration, Instant};

/// A page as it was received.
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub html: String,
}

/// A form of a page.
struct Form {
    url: Url,
    is_post: bool,
    fields: Vec<(String, String)>,
}

pub async fn visit(url: &str) -> Page {
    read(http().get(url).header("accept", "text/html").send().await.expect("an answer")).await
}

async fn read(answer: reqwest::Response) -> Page {
    Page {
        url: answer.url().clone(),
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        html: answer.text().await.expect("text"),
    }
}

/// Reloads the page at `url` until it says `text`.
pub async fn until_page(url: &str, text: &str) -> Page {
    let began = Instant::now();
    loop {
        let page = visit(url).await;
        if page.text().contains(text) {
            return page;
        }
        assert!(began.elapsed() < PATIENCE, "{url} never says `{text}`: {}", page.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Page {
    /// What can be read, with single spaces.
    pub fn text(&self) -> String {
        let (_, body) = self.html.split_once("<body>").unwrap_or(("", &self.html));
        let text: String = body
            .split('<')
            .filter_map(|part| part.split_once('>').map_or(Some(part), |(_, text)| Some(text)))
            .collect::<Vec<_>>()
            .join(" ");
        unescape(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The address of the link that reads `text`.
    pub fn link(&self, text: &str) -> Url {
        let mut links = self.html.split("<a ").skip(1).filter_map(|rest| {
            let (tag, rest) = rest.split_once('>')?;
            let (inner, _) = rest.split_once("</a>")?;
            let words = Page { html: inner.to_owned(), headers: HeaderMap::new(), ..self.empty() };
            (words.text() == text).then(|| attribute(tag, "href"))?
        });
        let href = links.next().unwrap_or_else(|| panic!("no link `{text}`: {}", self.text()));
        self.url.join(&href).expect("a URL")
    }

    fn empty(&self) -> Page {
        let headers = HeaderMap::new();
        Page { url: self.url.clone(), status: self.status, headers, html: String::new() }
    }

    pub async fn click(&self, text: &str) -> Page {
        visit(self.link(text).as_str()).await
    }

    /// The form with a button that reads `button`.
    fn form(&self, button: &str) -> Form {
        let mut forms = self.html.split("<form ").skip(1).filter_map(|rest| {
            let (form, _) = rest.split_once("</form>")?;
            let (tag, inner) = form.split_once('>')?;
            let mut buttons = inner.split("<button").skip(1);
            let is_it = buttons.any(|rest| {
                let text = rest.split_once('>').and_then(|(_, rest)| rest.split_once('<'));
                text.is_some_and(|(text, _)| unescape(text).trim() == button)
            });
            is_it.then(|| (tag.to_owned(), inner.to_owned()))
        });
        let (tag, inner) =
            forms.next().unwrap_or_else(|| panic!("no button `{button}`: {}", self.text()));
        let inputs = inner.split("<input ").skip(1);
        let fields = inputs.filter_map(|input| {
            let tag = input.split_once('>')?.0;
            Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
        });
        let action = attribute(&tag, "action").expect("an action");
        let is_post = attribute(&tag, "method").is_some_and(|method| method == "post");
        Form { url: self.url.join(&action).expect("a URL"), is_post, fields: fields.collect() }
    }

    /// Fills in `fields` of the form with this button, and presses it.
    pub async fn press(&self, button: &str, fields: &[(&str, &str)]) -> Page {
        let mut form = self.form(button);
        for (name, value) in fields {
            let field = form.fields.iter_mut().find(|(known, _)| known == name);
            field.unwrap_or_else(|| panic!("no field `{name}`")).1 = (*value).to_owned();
        }
        let origin = self.url.origin().ascii_serialization();
        let request = if form.is_post {
            let body =
                form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
            let kind = "application/x-www-form-urlencoded";
            http().post(form.url).header("content-type", kind).header("origin", origin).body(body)
        } else {
            http().get(form.url).query(&form.fields)
        };
        read(request.header("accept", "text/html").send().await.expect("an answer")).await
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    Some(unescape(rest.split_once('"')?.0))
}

fn unescape(text: &str) -> String {
    let known = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    let plain = known.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    plain.replace("&amp;", "&")
}
