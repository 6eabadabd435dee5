//! The description of the surface, read as a client reads it: operations, requests from their
//! examples, and what each answer must look like.

use crate::server::http;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct Api {
    pub described: Value,
}

pub struct Operation<'a> {
    pub method: Method,
    /// The template, such as `/orders/{id}`.
    pub path: &'a str,
    pub value: &'a Value,
}

impl Api {
    pub async fn of(url: &str) -> Api {
        let answer = http().get(format!("{url}/openapi.json")).send().await.expect("an answer");
        Api { described: answer.json().await.expect("JSON") }
    }

    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.described["paths"].as_object().expect("paths");
        let of_path = |(path, item): (&'_ String, &'_ Value)| -> Vec<(Method, String)> {
            let methods = item.as_object().expect("operations").keys();
            methods
                .map(|method| (method.to_uppercase().parse().expect("a method"), path.clone()))
                .collect()
        };
        let named: Vec<(Method, String)> = paths.iter().flat_map(of_path).collect();
        let find = |(method, path): (Method, String)| {
            let (path, item) = paths.get_key_value(&path).expect("a path");
            let value = &item[method.as_str().to_lowercase()];
            Operation { method, path, value }
        };
        named.into_iter().map(find).collect()
    }

    /// What is wrong with `body` as the answer with `status` to `operation`; none if it is described so.
    pub fn wrong_with(
        &self,
        operation: &Operation<'_>,
        status: u16,
        kind: &str,
        body: &str,
    ) -> Option<String> {
        let response = &operation.value["responses"][status.to_string()];
        if response.is_null() {
            return Some(format!("status {status} is not described"));
        }
        let Some(content) = response["content"].as_object() else {
            return (!body.is_empty()).then(|| "a body is not described".to_owned());
        };
        let media = kind.split(';').next().unwrap_or_default();
        let Some(described) = content.get(media) else {
            return Some(format!("`{media}` with status {status} is not described"));
        };
        match media {
            "application/json" | "application/problem+json" => {
                self.breaks(&described["schema"], body)
            }
            "application/x-ndjson" => {
                body.lines().find_map(|line| self.breaks(&described["schema"], line))
            }
            _ => None,
        }
    }

    fn breaks(&self, schema: &Value, json: &str) -> Option<String> {
        let Ok(value) = serde_json::from_str::<Value>(json) else {
            return Some(format!("not JSON: {json}"));
        };
        let schema = json!({"allOf": [schema], "components": self.described["components"]});
        let validator = jsonschema::validator_for(&schema).expect("a sound schema");
        validator
            .iter_errors(&value)
            .next()
            .map(|error| format!("at `{}`: {error}", error.instance_path()))
    }

    /// The schema itself, where `schema` refers to it, or is it or null.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(one) =
            schema["oneOf"].as_array().into_iter().flatten().find(|one| !one["$ref"].is_null())
        {
            return self.resolve(one);
        }
        match schema["$ref"].as_str() {
            Some(name) => self.described.pointer(&name[1..]).expect("a schema"),
            None => schema,
        }
    }

    /// The words that `schema`, or each item of the array it describes, may be.
    pub fn words<'a>(&'a self, schema: &'a Value) -> impl Iterator<Item = &'a str> {
        let schema = if schema["items"].is_null() { schema } else { &schema["items"] };
        let words = self.resolve(schema)["enum"].as_array().into_iter().flatten();
        words.filter_map(Value::as_str)
    }
}

impl Operation<'_> {
    pub fn parameters(&self, place: &str) -> Vec<&Value> {
        let all = self.value["parameters"].as_array().into_iter().flatten();
        all.filter(|parameter| parameter["in"] == place).collect()
    }

    /// The request that the examples describe, with every parameter that has one; `ids` are the ids
    /// for the path, by the first segment of the path.
    pub fn request(&self, api: &Api, url: &str, ids: &BTreeMap<&str, String>) -> RequestBuilder {
        let resource = self.path.split('/').nth(1).unwrap_or_default();
        let id = ids.get(resource).map(String::as_str).unwrap_or_default();
        let path = self.path.replace("{id}", id);
        let mut request = http().request(self.method.clone(), format!("{url}{path}"));
        let query: Vec<(String, String)> = self
            .parameters("query")
            .into_iter()
            .filter_map(|parameter| {
                let name = parameter["name"].as_str().expect("a name").to_owned();
                Some((name, example(api, parameter)?))
            })
            .collect();
        if !query.is_empty() {
            request = request.query(&query);
        }
        let Some(content) = self.value["requestBody"]["content"].as_object() else {
            return request;
        };
        let (media, body) = content.iter().next().expect("a body");
        request.header("content-type", media).body(body_example(api, body).to_string())
    }
}

/// A parameter's example or default, as text.
fn example(api: &Api, parameter: &Value) -> Option<String> {
    let schema = api.resolve(&parameter["schema"]);
    let found = [&parameter["example"], &schema["example"], &schema["default"]];
    let found = found.into_iter().find(|value| !value.is_null())?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

fn body_example(api: &Api, body: &Value) -> Value {
    let schema = api.resolve(&body["schema"]);
    if let Some(whole) =
        [&body["example"], &schema["example"]].into_iter().find(|one| !one.is_null())
    {
        return whole.clone();
    }
    let properties = schema["properties"].as_object().expect("properties");
    let members = properties.iter().map(|(name, member)| (name.clone(), member["example"].clone()));
    Value::Object(members.collect())
}
