//! The least that each service's API key must be allowed: bodies for `POST /_security/api_key`.

use super::way::Way;
use super::{Names, OpenError};
use crate::ServerUrl;
use ofs_runtime::index::Schema;
use ofs_runtime::pipeline::Station;
use serde_json::json;

/// A body for each of `services`, a line each: the one whose records are indexed makes, fills and swaps
/// the indices; the others search.
///
/// # Errors
/// If the URL cannot be read.
pub fn grants(
    url: impl Into<ServerUrl>,
    schema: &Schema,
    services: &[Station],
) -> Result<String, OpenError> {
    let (_, prefix) = Way::of(url.into().at_start())?;
    let names = Names::new(prefix.clone(), schema.name()).map_err(OpenError::Prefix)?;
    let body = |one: &Station| {
        let privileges: &[&str] = match one.indexed {
            true => &["manage", "read", "view_index_metadata", "write"],
            false => &["read", "view_index_metadata"],
        };
        let indices =
            json!([{ "names": [format!("{}*", names.alias())], "privileges": privileges }]);
        let body = json!({
            "name": format!("{prefix}{}", one.service),
            "role_descriptors": { one.service: { "indices": indices } },
        });
        format!("{body}\n")
    };
    Ok(services.iter().map(body).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_our_indices_alone() {
        let station = |indexed| Station { service: "a-worker", topics: &[], indexed };
        let schema = Schema::new("things", "id", &[]);
        let url = "https://u:secret@h?prefix=p-";
        let lines = grants(url, &schema, &[station(true), station(false)]).expect("lines");
        let lines: Vec<&str> = lines.lines().collect();
        assert!(lines.iter().all(|line| line.contains(r#"{"names":["p-things*"]"#)), "{lines:?}");
        assert!(lines[0].contains("write") && !lines[1].contains("write"), "{lines:?}");
        assert!(!lines.concat().contains("secret"), "{lines:?}");
    }
}
