//! Consumer groups as the cluster keeps them: which have a position on our topics, and forgetting one.

use super::client::{Cluster, reason, retire, unavailable};
use super::mark::STORE;
use super::observer::View;
use super::topics::options;
use ofs_events::Topic;
use ofs_runtime::log::Error;
use rdkafka::admin::AdminClient;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use std::time::Duration;

impl View {
    /// Names, without our prefix, of the groups that may read our topics.
    pub fn candidates(&self) -> Result<Vec<String>, Error> {
        let all = self.ask(|consumer, wait| consumer.fetch_group_list(None, wait))?;
        let names = all.groups().iter().filter_map(|group| self.cluster.names.own(group.name()));
        let mut names: Vec<String> =
            names.filter(|name| *name != STORE).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Whether the group that this looks for has a position on one of our topics.
    pub fn has_position(&mut self) -> Result<bool, Error> {
        let places = self.places(&Topic::ALL, Duration::ZERO)?;
        Ok(!self.committed(&places)?.is_empty())
    }
}

/// Deletes `group` with its positions.
pub(super) async fn delete(cluster: &Cluster, group: &str) -> Result<(), Error> {
    if cluster.address.has_token() {
        // The library's client for this never asks for one.
        return Err(Error::Refused(format!(
            "groups cannot be deleted with an OAUTHBEARER login; use another one, or \
             kafka-consumer-groups --delete --group {}",
            cluster.names.group(group)
        )));
    }
    let admin: AdminClient<_> =
        cluster.admin().create_with_context(cluster.talk()).map_err(|error| unavailable(&error))?;
    let name = cluster.names.group(group);
    let deleted = admin.delete_groups(&[&name], &options()).await;
    retire(admin);
    let deleted = deleted.map_err(|error| Error::Unavailable(reason(&error)))?;
    match deleted.into_iter().next() {
        Some(Err((_, Code::NonEmptyGroup))) => Err(Error::Busy(group.to_owned())),
        Some(Err((_, Code::GroupIdNotFound))) | Some(Ok(_)) => Ok(()),
        Some(Err((name, code))) => Err(Error::Unavailable(format!("delete group {name}: {code}"))),
        None => Err(Error::Unavailable(format!("the cluster says nothing of {name}"))),
    }
}
