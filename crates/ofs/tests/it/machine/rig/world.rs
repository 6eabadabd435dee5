//! What happens to all processes at once: retention, and parts of the log that take nothing for a while.

use super::Rig;
use ofs_events::Topic;
use ofs_runtime::log::{Reader, Received};
use ofs_runtime::pipeline::group_of;
use ofs_runtime::store::Retention;
use std::time::Duration;

impl Rig {
    /// Drops what retention allows: what every group has read leaves the log, whatever its age, and
    /// the inbox and the closed parked events are emptied. Keys are kept for their time.
    pub async fn tidy(&mut self) {
        let mut readers = Vec::new();
        for (nth, service) in self.services.iter().enumerate() {
            let (group, topics) = (group_of(service.name()), service.handler.topics());
            let mut subscription = self.log.subscribe(&group, topics).await.expect("the log");
            let at = |topic| self.groups.get(&(nth, topic)).map_or(0, |group| group.at);
            let done: Vec<_> = topics.iter().map(|topic| (*topic, 0, at(*topic))).collect();
            subscription.ack(&done);
            subscription.close().await.expect("the log");
            readers.push(Reader { group, topics });
        }
        for topic in Topic::ALL {
            let all = self.history(topic).await;
            self.cut.insert(topic, all);
        }
        self.log.tidy(Duration::ZERO, &readers).await.expect("the log");
        let retention = Retention { inbox_days: 0, once_hours: 72, parked_days: 0 };
        while self.store.tidy(retention).await.expect("the store") {}
    }

    /// Everything that was ever appended to `topic`.
    pub async fn history(&self, topic: Topic) -> Vec<Received> {
        let mut all = self.cut.get(&topic).cloned().unwrap_or_default();
        let next = all.last().map_or(0, |last| last.at.offset + 1);
        all.extend(self.log.read(topic, 0, next, 10_000).await.expect("the log"));
        all
    }

    /// A part of the log takes nothing from now on, or takes again.
    pub fn turn_part(&mut self, nth: usize) {
        let part = (Topic::ALL[nth / 2 % Topic::ALL.len()], nth.is_multiple_of(2));
        if !self.closed.remove(&part) {
            self.closed.insert(part);
        }
    }

    /// What failed for no lasting reason is tried again.
    pub async fn heal(&mut self) {
        self.closed.clear();
        self.watch().retry_refused().await.expect("the store");
    }
}
