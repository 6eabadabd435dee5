//! Generations: which there are, making one, and handing the alias over to one.
//!
//! Touches only what says of itself that it belongs to this installation.

use super::client::{Client, Failure};
use super::mapping::{About, creation};
use super::names::Names;
use ofs_runtime::index::{Error, Schema, Status, Target};
use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One index, as the server describes it.
#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    aliases: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    mappings: Mappings,
}

#[derive(Default, Deserialize)]
struct Mappings {
    #[serde(rename = "_meta", default)]
    meta: Value,
}

/// A generation of this installation.
struct Generation {
    target: Target,
    index: String,
    about: About,
}

/// What the server has of this installation.
struct There {
    alias: String,
    /// The schema of the generations that this program can use.
    schema: Schema,
    generations: Vec<Generation>,
    /// The indices that searches read. One that has the alias as its name is another program's.
    searched: Vec<String>,
}

impl There {
    async fn load(client: &Client, names: &Names, schema: &Schema) -> Result<Self, Failure> {
        let alias = names.alias();
        // An index without any alias shows up only if something else of it is asked for.
        let path = format!(
            "{},{alias}?ignore_unavailable=true&expand_wildcards=all\
             &filter_path=*.aliases,*.mappings._meta,*.settings.index.uuid",
            names.all_writing()
        );
        let described: BTreeMap<String, Described> = client.send(Method::GET, &path, None).await?;
        if described.is_empty() {
            client.knows_its_indices().await?;
        }
        let reads = |(index, it): (&String, &Described)| {
            (*index == alias || it.aliases.contains_key(&alias)).then(|| index.clone())
        };
        let searched = described.iter().filter_map(reads).collect();
        let ours = |(index, it): (String, Described)| {
            let about: About = serde_json::from_value(it.mappings.meta.get("ofs")?.clone()).ok()?;
            let target = names.target(&index)?;
            let writing = names.generation(&target).ok()?.writing;
            let is_ours = about.prefix == names.prefix() && it.aliases.contains_key(&writing);
            is_ours.then_some(Generation { target, index, about })
        };
        let generations = described.into_iter().filter_map(ours).collect();
        Ok(Self { alias, schema: *schema, generations, searched })
    }

    /// The generations that this program can use.
    fn current(&self) -> impl Iterator<Item = &Generation> {
        self.generations.iter().filter(|generation| generation.about.is_current(&self.schema))
    }

    /// The generation that searches read; none if they read anything else, too.
    fn active(&self) -> Option<&Generation> {
        let [only] = self.searched.as_slice() else { return None };
        self.current().find(|generation| generation.index == *only)
    }

    fn find(&self, target: &Target) -> Option<&Generation> {
        self.current().find(|generation| generation.target == *target)
    }
}

pub(super) async fn status(
    client: &Client,
    names: &Names,
    schema: &Schema,
) -> Result<Status, Error> {
    #[derive(Deserialize)]
    struct Count {
        count: u64,
    }
    let there = There::load(client, names, schema).await?;
    let active = there.active();
    let documents = match active {
        None => 0,
        Some(active) => {
            let path = format!("{}/_count", active.index);
            client.send::<Count>(Method::GET, &path, None).await?.count
        }
    };
    let first = active.or(there.current().next());
    Ok(Status {
        instance: first.map(|generation| generation.about.instance),
        active: active.map(|generation| generation.target.clone()),
        targets: there.current().map(|generation| generation.target.clone()).collect(),
        documents,
    })
}

/// Makes the empty generation `target` for `instance`, unless it is there.
pub(super) async fn begin(
    client: &Client,
    names: &Names,
    schema: &Schema,
    target: &Target,
    instance: Uuid,
) -> Result<(), Error> {
    let generation = names.generation(target)?;
    let there = There::load(client, names, schema).await?;
    if there.find(target).is_some_and(|found| found.about.instance == instance) {
        return Ok(());
    }
    // What stands there under this name is another store's, or its documents are indexed in another way.
    if there.generations.iter().any(|found| found.target == *target) {
        remove(client, &[&generation.index]).await?;
    }
    let request = creation(names, &generation, schema, instance);
    match client.send::<IgnoredAny>(Method::PUT, &generation.index, Some(&request)).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is("resource_already_exists_exception") => {
            // Another process was faster, or it belongs to another program.
            let there = There::load(client, names, schema).await?;
            let found = there.find(target).is_some_and(|found| found.about.instance == instance);
            found.then_some(()).ok_or_else(|| {
                let index = generation.index;
                let text = format!("the index `{index}` is there already, and not this program's");
                Error::Unavailable(text)
            })
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Makes searches read `target` alone, at once, and then removes the other generations.
pub(super) async fn finish(
    client: &Client,
    names: &Names,
    schema: &Schema,
    target: &Target,
) -> Result<(), Error> {
    let there = There::load(client, names, schema).await?;
    let chosen = there
        .find(target)
        .ok_or_else(|| Error::Missing(format!("there is no generation `{}`", target.0)))?;
    let alias = &there.alias;
    if there.searched.contains(alias) {
        return Err(Error::Unavailable(format!(
            "`{alias}` is an index but has to be an alias: some other program wrote to it while it was \
             not there. Look what is in it and delete it (DELETE /{alias}); the alias takes its place \
             within a minute. To keep this from happening again, set action.auto_create_index to false"
        )));
    }
    let others = there.searched.iter().filter(|index| **index != chosen.index);
    let mut actions: Vec<Value> =
        others.map(|index| json!({"remove": {"index": index, "alias": alias}})).collect();
    actions.push(json!({"add": {"index": chosen.index, "alias": alias}}));
    let request = json!({"actions": actions});
    client.send::<IgnoredAny>(Method::POST, "_aliases", Some(&request)).await?;
    let old: Vec<&str> = there
        .generations
        .iter()
        .filter(|generation| generation.index != chosen.index)
        .map(|generation| generation.index.as_str())
        .collect();
    remove(client, &old).await
}

async fn remove(client: &Client, indices: &[&str]) -> Result<(), Error> {
    for index in indices {
        match client.send::<IgnoredAny>(Method::DELETE, index, None).await {
            Err(failure) if !failure.is_missing() => return Err(failure.into()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}
