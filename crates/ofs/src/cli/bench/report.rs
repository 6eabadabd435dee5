//! What a run showed: as JSON, as a page of text, and beside an earlier run.

use super::check::Check;
use super::limits;
use super::load::{Amount, Load, Pace, Placed};
use super::probe::Promises;
use super::times::{Durations, Micros, float};
use crate::engines::Limit;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Shares of 1000, and what they are called.
const SHARES: [(&str, usize); 5] =
    [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999), ("max", 1000)];
/// The longest bar of a histogram.
const BAR: usize = 40;

pub(super) struct Report {
    load: Load,
    server: Value,
    fsync: Durations,
    limits: Vec<Limit>,
    orders: Orders,
    /// Orders a second until the last was accepted, scheduled, searchable.
    rates: [f64; 3],
    drain_seconds: f64,
    /// From when an order was due: until it was accepted, scheduled, searchable; and until a client that
    /// waited for it saw its final status.
    times: [(&'static str, Durations); 4],
}

struct Orders {
    accepted: u64,
    failed: Vec<(String, u64)>,
    lost: u64,
    doubled: u64,
    out_of_order: u64,
    not_found: u64,
}

impl Report {
    pub fn new(
        load: &Load,
        (server, fsync, limits): (Value, Durations, Vec<Limit>),
        placed: &Placed,
        check: &Check,
        promises: &Promises,
        found: u64,
    ) -> Self {
        let orders = &placed.orders;
        let ahead = check.ahead();
        let scheduled = |order| check.scheduled(order).map(|at| at - ahead);
        let searchable = |order| {
            let last = check.scheduled(order)?;
            let nth = promises.partition_point(|(_, as_of)| *as_of <= last);
            promises.get(nth).map(|(asked, _)| *asked)
        };
        let began = orders.iter().map(|order| order.due).min().unwrap_or(0);
        let last = |times: &mut dyn Iterator<Item = Micros>| times.max().unwrap_or(began) - began;
        let accepted = last(&mut orders.iter().map(|order| order.answered));
        let ended = last(&mut orders.iter().filter_map(scheduled));
        let indexed = last(&mut orders.iter().filter_map(searchable));
        let count = orders.len() as u64;
        let rate = |time: Micros| float(count.cast_signed()) * 1e6 / float(time.max(1));
        Self {
            load: *load,
            server,
            fsync,
            limits,
            orders: Orders {
                accepted: count,
                failed: placed.failed.clone().into_iter().collect(),
                lost: check.lost,
                doubled: check.doubled,
                out_of_order: check.out_of_order,
                not_found: count.saturating_sub(found),
            },
            rates: [rate(accepted), rate(ended), rate(indexed)],
            drain_seconds: float((ended.max(indexed) - accepted).max(0)) / 1e6,
            times: [
                ("accepted", orders.iter().map(|order| order.answered - order.due).collect()),
                ("scheduled", orders.iter().filter_map(|o| Some(scheduled(o)? - o.due)).collect()),
                (
                    "searchable",
                    orders.iter().filter_map(|o| Some(searchable(o)? - o.due)).collect(),
                ),
                (
                    "final status seen",
                    orders.iter().filter_map(|o| Some(o.seen? - o.due)).collect(),
                ),
            ],
        }
    }

    /// What is wrong with the orders, if anything is.
    pub fn fault(&self) -> Option<String> {
        let Orders { lost, doubled, out_of_order, not_found, failed, .. } = &self.orders;
        let failed: u64 = failed.iter().map(|(_, count)| count).sum();
        let wrong = lost + doubled + out_of_order + not_found + failed > 0;
        wrong.then(|| {
            format!(
                "not every order came through: {failed} not taken, {lost} lost, {doubled} doubled, \
                 {out_of_order} out of order, {not_found} not found by the search"
            )
        })
    }

    pub fn json(&self) -> Value {
        let Orders { accepted, lost, doubled, out_of_order, not_found, .. } = self.orders;
        let failed = self.orders.failed.iter();
        let failed: Vec<_> =
            failed.map(|(reason, count)| json!({"reason": reason, "count": count})).collect();
        let names = self.times.iter().map(|(name, _)| *name);
        let rates: Map<_, _> =
            names.zip(self.rates).map(|(name, rate)| (name.to_owned(), round(rate))).collect();
        let times = self.times.iter().filter(|(_, times)| !times.is_empty());
        let times: Map<_, _> =
            times.map(|(name, times)| ((*name).to_owned(), shares(times))).collect();
        json!({
            "server": self.server,
            "machine": {"cores": cores(), "fsyncMs": shares(&self.fsync)},
            "load": self.load.json(),
            "orders": {"accepted": accepted, "failed": failed, "lost": lost, "doubled": doubled,
                "outOfOrder": out_of_order, "notFound": not_found},
            "ordersPerSecond": rates,
            "limits": limits::document(&self.limits),
            "drainSeconds": round(self.drain_seconds),
            "latencyMs": times,
        })
    }

    /// For people; each figure beside that of an `earlier` report, if there is one.
    pub fn text(&self, earlier: Option<&Value>) -> String {
        let now = self.json();
        let mut page = self.head();
        page.push_str("\norders/s until the last was\n");
        for (name, _) in &self.times[..self.rates.len()] {
            page.push_str(&row(name, "", &["ordersPerSecond", name], &now, earlier));
        }
        let _ = writeln!(page, "all done {:.2} s after the last was accepted", self.drain_seconds);
        page.push_str(&self.shares());
        page.push_str("\nms from when an order was due, until it was\n");
        for (name, _) in self.times.iter().filter(|(_, times)| !times.is_empty()) {
            for (share, _) in SHARES {
                let name_once = if share == SHARES[0].0 { name } else { "" };
                page.push_str(&row(name_once, share, &["latencyMs", name, share], &now, earlier));
            }
        }
        page.push_str(&histogram(&self.times[1]));
        page.push_str(&self.verdict());
        page
    }

    fn head(&self) -> String {
        let Load { clients, pace, .. } = self.load;
        let pace = match pace {
            Pace::Rate(rate) => format!("{rate} orders/s"),
            Pace::Answer => "each places its next order when the last is answered".to_owned(),
            Pace::Final => "each places its next order when the last is at its end".to_owned(),
        };
        let engines = ["log", "store", "index"].map(|part| {
            let engine = self.server["engines"][part].as_str();
            format!("{part} {}", engine.unwrap_or("unknown"))
        });
        format!(
            "{}\n{} orders, {clients} clients, {pace}\n{} cores; the disk here keeps 4 KiB in {:.2} ms (p99 {:.2})\n",
            engines.join(", "),
            self.orders.accepted,
            cores(),
            self.fsync.at(500),
            self.fsync.at(990),
        )
    }

    /// What share of each limit is reached.
    fn shares(&self) -> String {
        let mut lines = String::new();
        for (nth, Limit { part, per_second }) in self.limits.iter().enumerate() {
            if nth == 0 {
                lines.push_str("\nthe parts bare, orders/s, and the share of it that is reached\n");
            }
            // All of it has to be done until an order is searchable; only the first part, to accept it.
            let ours = if *part == "http" { self.rates[0] } else { self.rates[2] };
            let share = 100.0 * ours / per_second;
            let _ = writeln!(lines, "  {part:<25} {per_second:>10.0} {share:>6.1} %");
        }
        lines
    }

    fn verdict(&self) -> String {
        let mut lines = String::from("\n");
        for (reason, count) in &self.orders.failed {
            let _ = writeln!(lines, "{count} requests were not answered with an order: {reason}");
        }
        if self.fault().is_none() {
            lines.push_str("0 lost, 0 doubled, 0 out of order; the search finds them all\n");
        }
        lines
    }
}

impl Load {
    fn json(&self) -> Value {
        let (orders, seconds) = match self.amount {
            Amount::Orders(orders) => (Some(orders), None),
            Amount::For(duration) => (None, Some(duration.as_secs_f64())),
        };
        let (pace, rate) = match self.pace {
            Pace::Rate(rate) => ("rate", Some(rate)),
            Pace::Answer => ("answer", None),
            Pace::Final => ("final", None),
        };
        json!({"clients": self.clients, "orders": orders, "seconds": seconds, "pace": pace, "rate": rate})
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn shares(times: &Durations) -> Value {
    SHARES.iter().map(|(name, share)| ((*name).to_owned(), round(times.at(*share)))).collect()
}

/// To two places, which is more than can be measured.
fn round(value: f64) -> Value {
    ((value * 100.0).round() / 100.0).into()
}

fn row(name: &str, share: &str, path: &[&str], now: &Value, earlier: Option<&Value>) -> String {
    let find = |report: &Value| {
        let found = path.iter().try_fold(report, |value, name| value.get(name));
        found.and_then(Value::as_f64)
    };
    let figure = find(now).unwrap_or(0.0);
    let beside = match earlier.and_then(find) {
        Some(before) if before > 0.0 => format!("   {:.2} x {before:.2}", figure / before),
        _ => String::new(),
    };
    format!("  {name:<18} {share:<6} {figure:>10.2}{beside}\n")
}

fn histogram((name, times): &(&'static str, Durations)) -> String {
    let bars = times.histogram();
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let mut lines = format!("\n{name} in less than\n");
    for (below, count) in bars {
        let bar = "#".repeat((count * BAR).div_ceil(most));
        let _ = writeln!(lines, "{below:>10} ms {count:>8} {bar}");
    }
    lines
}
