//! The console in a real browser: what only its script does, and how pages fit. Needs Chromium and its
//! driver; says that it was skipped where they are missing.

use crate::server::{PATIENCE, Server, order, place, until, until_status};
use crate::system::System;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing but what a test asks for: no updates, no services, no network of its own.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];
const PAGES: [&str; 8] = [
    "orders",
    "orders?status=Created&status=PaymentAuthorized",
    "pipeline",
    "parked",
    "events",
    "index",
    "settings",
    "keys",
];

/// A browser, and the program that drives it; both end with this value.
struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// None if this machine has none.
    async fn open() -> Option<Browser> {
        let found = |name: &str| Command::new(name).arg("--version").output().is_ok();
        if !found("chromedriver") || !found("chromium") {
            eprintln!("skipped: there is no chromium or no chromedriver");
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut said = BufReader::new(driver.stdout.take().expect("stdout")).lines();
        let port = said.find_map(|line| {
            let line = line.expect("text");
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = port.expect("a port");
        // Read on, or the driver would block once the pipe is full.
        std::thread::spawn(move || said.map_while(Result::ok).for_each(drop));
        let profile = tempfile::tempdir().expect("a directory");
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let client = crate::server::http();
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = client.post(&url).json(&wanted).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let session = format!("{url}/{id}");
        Some(Browser { driver, session, client, _profile: profile })
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.session);
        let answer = self.client.post(&url).json(&body).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    async fn visit(&self, url: &str) {
        self.ask("url", json!({ "url": url })).await;
    }

    /// What `script` returns.
    async fn run(&self, script: &str) -> Value {
        self.ask("execute/sync", json!({"script": script, "args": []})).await
    }

    async fn devtools(&self, command: &str, params: Value) {
        self.ask("goog/cdp/execute", json!({"cmd": command, "params": params})).await;
    }

    /// Presses keys where the focus is.
    async fn press(&self, keys: &str) {
        let key = |key: char| {
            [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
        };
        let actions: Vec<Value> = keys.chars().flat_map(key).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.ask("actions", json!({"actions": [keyboard]})).await;
    }

    /// Presses `key` while Control is held.
    async fn press_with_control(&self, key: char) {
        let step = |kind, key: char| json!({"type": kind, "value": key});
        let (control, key_of) = ('\u{e009}', key);
        let actions = [
            step("keyDown", control),
            step("keyDown", key_of),
            step("keyUp", key_of),
            step("keyUp", control),
        ];
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.ask("actions", json!({"actions": [keyboard]})).await;
    }

    /// Waits until `script` returns true.
    async fn until(&self, script: &str) {
        let began = Instant::now();
        while self.run(script).await != true {
            let page = "return location.href + ': ' + document.body.innerText";
            assert!(began.elapsed() < PATIENCE, "never `{script}`: {}", self.run(page).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the page at `path` is there, and its script runs.
    async fn until_at(&self, path: &str) {
        let there = "return document.readyState === 'complete' && location.pathname ===";
        self.until(&format!("{there} {}", json!(path))).await;
    }

    async fn until_says(&self, text: &str) {
        self.until(&format!("return document.body.innerText.includes({})", json!(text))).await;
    }

    /// What the browser complained about.
    async fn complaints(&self) -> Vec<Value> {
        let lines = self.ask("se/log", json!({"type": "browser"})).await;
        let lines = lines.as_array().expect("lines").iter();
        lines.filter(|line| line["level"] == "SEVERE").cloned().collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser outlives a driver that is killed.
        let _ = Command::new("curl").args(["-s", "-X", "DELETE", &self.session]).output();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

async fn with_browser() -> Option<(System, Server, Browser)> {
    let browser = Browser::open().await?;
    let system = System::new();
    let server = system.start();
    until(&format!("{}/index", server.url), "an index", |_, state| state["active"].is_string())
        .await;
    Some((system, server, browser))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_told_of_found_and_followed_without_loading_a_page() {
    let Some((_system, server, browser)) = with_browser().await else { return };
    browser.visit(&format!("{}/", server.url)).await;
    browser.until_says("No orders yet").await;
    browser.until("return document.querySelector('#live').dataset.state === 'live'").await;
    let id = place(&server.url, &order(Some("sim:slow:1500ms"))).await.expect("201");
    browser.until_says("1 new order – show").await;
    browser.visit(&format!("{}/ui/orders/{id}", server.url)).await;
    browser.run("window.stays = true").await;
    browser.until_says("Awaiting payment").await;
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    browser.until_says("Nothing more is expected").await;
    browser.until_says("FulfillmentScheduledV1").await;
    assert_eq!(browser.run("return window.stays").await, true, "the page was reloaded");
    browser.press("gp").await;
    browser.until_at("/ui/pipeline").await;
    browser.press("go").await;
    browser.until_at("/ui/orders").await;
    browser.run("window.stays = true").await;
    browser.press("/").await;
    browser.press("nobody").await;
    browser.until_says("No order matches").await;
    assert_eq!(browser.run("return location.search").await, "?q=nobody");
    assert_eq!(browser.run("return window.stays").await, true, "the page was reloaded");
    browser.visit(&format!("{}/ui/orders", server.url)).await;
    browser.press("j").await;
    browser.press("\u{e007}").await;
    browser.until_at(&format!("/ui/orders/{id}")).await;
    browser.ask("back", json!({})).await;
    browser.until_at("/ui/orders").await;
    browser.ask("forward", json!({})).await;
    browser.until_at(&format!("/ui/orders/{id}")).await;
    assert_eq!(browser.complaints().await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_fit_narrow_and_wide_in_both_themes_and_load_nothing_from_elsewhere() {
    let Some((_system, server, browser)) = with_browser().await else { return };
    let id = place(&server.url, &order(Some("sim:timeout:9"))).await.expect("201");
    let parked = format!("{}/parked?order={id}", server.url);
    let parked = until(&parked, "parked", |_, page| page["parked"][0].is_object()).await;
    let own = [format!("orders/{id}"), format!("parked/{}", parked["parked"][0]["id"])];
    for (width, theme) in [(320, "light"), (1280, "dark"), (3840, "light")] {
        let screen =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        for page in PAGES.iter().copied().chain(own.iter().map(String::as_str)) {
            browser.visit(&format!("{}/ui/{page}", server.url)).await;
            let over = "return document.documentElement.scrollWidth - innerWidth";
            let over = browser.run(over).await.as_i64().expect("a number");
            assert!(over <= 0, "{page} is {over} pixels wider than {width}");
            let dark = "return getComputedStyle(document.documentElement).backgroundColor";
            let is_dark = browser.run(dark).await == "rgb(18, 19, 23)";
            assert_eq!(is_dark, theme == "dark", "{page}");
            let loaded = "return performance.getEntriesByType('resource').map((one) => one.name)";
            for name in browser.run(loaded).await.as_array().expect("names") {
                let name = name.as_str().expect("text");
                assert!(name.starts_with(&server.url), "{page} loads {name}");
            }
        }
    }
    assert_eq!(browser.complaints().await, [] as [Value; 0]);
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// What a person without a mouse has to reach.
const CONTROLS: &str = "[...document.querySelectorAll('a[href], button, input, select, textarea, summary')]\
    .filter((one) => one.checkVisibility() && !one.disabled && one.type !== 'hidden')";

/// Goes through a page by Tab alone, and says what it did not reach or where focus could not be seen.
async fn out_of_reach(browser: &Browser) -> Value {
    let controls = browser.run(&format!("return {CONTROLS}.length")).await;
    // The page stays as it is meanwhile.
    let begin = "window.fetch = () => new Promise(() => {}); window.reached = new Set(); window.unseen = []";
    browser.run(begin).await;
    for _ in 0..=controls.as_u64().expect("a number") {
        browser.press(TAB).await;
        let look = "const one = document.activeElement; window.reached.add(one); \
                    if (one !== document.body && getComputedStyle(one).outlineStyle === 'none') \
                    window.unseen.push(one.outerHTML)";
        browser.run(look).await;
    }
    let left = "filter((one) => !window.reached.has(one)).map((one) => one.outerHTML)";
    browser.run(&format!("return {CONTROLS}.{left}.concat(window.unseen)")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_done_by_keyboard_alone() {
    let Some((_system, server, browser)) = with_browser().await else { return };
    let id = place(&server.url, &order(Some("sim:timeout:9"))).await.expect("201");
    let parked = format!("{}/parked?order={id}", server.url);
    let parked = until(&parked, "parked", |_, page| page["parked"][0].is_object()).await;
    let parked = format!("/ui/parked/{}", parked["parked"][0]["id"]);
    let own = [format!("orders/{id}"), parked.trim_start_matches("/ui/").to_owned()];
    for page in PAGES.iter().copied().chain(own.iter().map(String::as_str)) {
        browser.visit(&format!("{}/ui/{page}", server.url)).await;
        assert_eq!(out_of_reach(&browser).await, json!([]), "{page}");
    }

    browser.visit(&format!("{}/ui/orders", server.url)).await;
    browser.press_with_control('k').await;
    browser.press(&format!("park{ENTER}")).await;
    browser.until_at("/ui/parked").await;
    browser.press(&format!("j{ENTER}")).await;
    browser.until_at(&parked).await;
    browser.press_with_control('k').await;
    browser.press(&format!("discard{ENTER}")).await;
    browser.until("return document.activeElement.textContent.trim() === 'Discard'").await;
    browser.press_with_control('k').await;
    browser.press(&format!("{id}{ENTER}")).await;
    browser.until_at(&format!("/ui/orders/{id}")).await;
    browser.press_with_control('k').await;
    browser.press(&format!("nothing like this{ENTER}")).await;
    browser.until_says("No order matches").await;
    assert_eq!(browser.complaints().await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_explained_on_the_open_page_within_five_seconds() {
    let Some(browser) = Browser::open().await else { return };
    let system = System::new();
    let server = system.start_with(&["--service", "order-service"], &[]);
    browser.visit(&format!("{}/ui/pipeline", server.url)).await;
    browser.until("return document.readyState === 'complete'").await;
    let began = Instant::now();
    place(&server.url, &order(Some("success"))).await.expect("201");
    browser.until_says("payment-worker is behind").await;
    browser.until_says("It does not run in this process").await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(browser.complaints().await, [] as [Value; 0]);
}

/// The text of axe; none if the environment does not say where it is.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where it is")]
fn axe() -> Option<String> {
    let Ok(axe) = std::env::var("OFS_TEST_AXE") else {
        eprintln!("skipped: OFS_TEST_AXE does not say where axe is");
        return None;
    };
    Some(std::fs::read_to_string(axe).expect("axe"))
}

/// What axe finds wrong on the page by the rules of WCAG 2.2 AA.
async fn hindrances(browser: &Browser, axe: &str) -> Value {
    let tags = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']";
    let found = "found.violations.flatMap((rule) => rule.nodes.map((node) => \
                 `${rule.id} ${node.target}: ${node.failureSummary}`))";
    let run = format!("axe.run(document, {{runOnly: {tags}}}).then((found) => {found})");
    browser.run(&format!("{axe}; return {run}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_hinders_people_by_the_rules_of_axe_in_either_theme() {
    let Some(axe) = axe() else { return };
    let Some((_system, server, browser)) = with_browser().await else { return };
    let done = place(&server.url, &order(Some("success"))).await.expect("201");
    until_status(&server.url, &done, "FulfillmentScheduled").await;
    let id = place(&server.url, &order(Some("sim:timeout:99"))).await.expect("201");
    let parked = format!("{}/parked?order={id}", server.url);
    let parked = until(&parked, "parked", |_, page| page["parked"][0].is_object()).await;
    let parked = format!("parked/{}", parked["parked"][0]["id"]);
    let own = [
        format!("orders/{done}"),
        format!("orders/{id}"),
        format!("{parked}?dry-run=1"),
        "orders?q=nothing-like-this".to_owned(),
        "sign-in".to_owned(),
        "nowhere".to_owned(),
    ];
    let broken = "const text = document.createElement('p'); text.textContent = 'words to be read'; \
                  text.style.color = '#777'; text.style.background = '#888'; \
                  document.querySelector('main').append(text, new Image())";
    browser.visit(&format!("{}/ui/settings", server.url)).await;
    browser.run(broken).await;
    let found = hindrances(&browser, &axe).await.to_string();
    assert!(found.contains("image-alt") && found.contains("color-contrast"), "axe sees: {found}");
    let mut all: Vec<String> = Vec::new();
    for theme in ["light", "dark"] {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        for page in PAGES.iter().copied().chain(own.iter().map(String::as_str)) {
            browser.visit(&format!("{}/ui/{page}", server.url)).await;
            browser
                .run("for (const one of document.querySelectorAll('details')) one.open = true")
                .await;
            let found = hindrances(&browser, &axe).await;
            all.extend((found != json!([])).then(|| format!("{page}, {theme}: {found}")));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
