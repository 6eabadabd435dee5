//! `GET /metrics` as numbers, and the law that holds at every scrape.

use crate::server::{PATIENCE, http};
use crate::system::readers;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub type Labels = BTreeMap<String, String>;

/// One scrape: every sample, by metric name.
pub struct Scrape(pub BTreeMap<String, Vec<(Labels, f64)>>);

impl Scrape {
    pub async fn of(client: &reqwest::Client, url: &str) -> Scrape {
        let answer = client.get(format!("{url}/metrics")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        Self::read(&answer.text().await.expect("text"))
    }

    pub fn read(text: &str) -> Scrape {
        let mut samples: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("labels end");
            let pair = |label: &str| {
                let (name, value) = label.split_once('=').expect("a label");
                (name.to_owned(), value.trim_matches('"').to_owned())
            };
            let labels = labels.split("\",").filter(|label| !label.is_empty()).map(pair).collect();
            let value = value.parse().unwrap_or(f64::NAN);
            samples.entry(name.to_owned()).or_default().push((labels, value));
        }
        Scrape(samples)
    }

    fn samples(&self, name: &str) -> &[(Labels, f64)] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of all samples of `name`.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples(name).iter().map(|(_, value)| value).sum()
    }

    /// The sum of those samples of `name` that have these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |found: &Labels| {
            labels.iter().all(|(name, value)| found.get(*name).is_some_and(|is| is == value))
        };
        self.samples(name).iter().filter(|(found, _)| fits(found)).map(|(_, value)| value).sum()
    }

    pub fn consumed(&self, service: &str, topic: &str) -> f64 {
        self.value("ofs_events_consumed_total", &[("service", service), ("topic", topic)])
    }

    pub fn handled(&self, service: &str, topic: &str, outcome: &str) -> f64 {
        let labels = [("service", service), ("topic", topic), ("outcome", outcome)];
        self.value("ofs_events_handled_total", &labels)
    }

    /// What was consumed is what was handled, for every service and topic.
    pub fn assert_law(&self) {
        let consumed = self.samples("ofs_events_consumed_total");
        let reads: usize = readers().iter().map(|(_, topics)| topics.len()).sum();
        assert_eq!(consumed.len(), reads, "every service reads its topics");
        for (labels, consumed) in consumed {
            let of = |name: &str| labels.get(name).expect("a label").as_str();
            let labels = [("service", of("service")), ("topic", of("topic"))];
            let handled = self.value("ofs_events_handled_total", &labels);
            assert!((consumed - handled).abs() < 0.5, "{labels:?}: {consumed} ≠ {handled}");
        }
    }
}

/// Scrapes until `done` says so; the law holds each time.
pub async fn until_scrape(url: &str, what: &str, done: impl Fn(&Scrape) -> bool) -> Scrape {
    let (client, began) = (http(), Instant::now());
    loop {
        let scrape = Scrape::of(&client, url).await;
        scrape.assert_law();
        if done(&scrape) {
            return scrape;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Scrapes all the time, and checks the law each time.
pub struct Watch {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<usize>,
}

impl Watch {
    pub fn over(url: &str) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (Arc::clone(&stop), url.to_owned());
        let watching = tokio::spawn(async move {
            let client = http();
            let mut scrapes = 0;
            while !stopped.load(Ordering::Relaxed) {
                Scrape::of(&client, &url).await.assert_law();
                scrapes += 1;
            }
            scrapes
        });
        Watch { stop, watching }
    }

    /// Stops, and answers with the number of scrapes.
    pub async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.await.expect("the law held at every scrape")
    }
}
