//! Elasticsearch only: what the contract promises to other clients, and what they can do to the index.

use super::{Elasticsearch, Engine, STORE, at_version, everything, holding, id, ids, on_engine};
use super::{order, store, target, typed, with};
use ofs_events::Key;
use ofs_runtime::index::{Document, Error, Put};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl Elasticsearch {
    /// What another client sees at `path`, which begins with a name.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method, format!("{}/{path}", self.server));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    pub async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, Some(body)).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, None).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub async fn delete(&self, index: &str) {
        let (status, answer) = self.ask(Method::DELETE, index, None).await;
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "{index}: {answer}");
    }

    fn alias(&self) -> String {
        format!("{}orders-v1", self.prefix)
    }

    /// The concrete index of a generation.
    pub fn concrete(&self, target: &str) -> String {
        format!("{}{target}", self.prefix)
    }

    pub async fn is_there(&self, index: &str) -> bool {
        self.ask(Method::GET, index, None).await.0.is_success()
    }
}

fn hits(answer: &Value) -> Vec<(Key, Value)> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let mut hits: Vec<_> = hits
        .iter()
        .map(|hit| (hit["_id"].as_str().unwrap().parse().unwrap(), hit["_source"].clone()))
        .collect();
    hits.sort_by_key(|(id, _)| *id);
    hits
}

fn expected(documents: &[Document]) -> Vec<(Key, Value)> {
    documents.iter().map(|document| (document.id, document.body.clone())).collect()
}

#[tokio::test]
async fn the_queries_of_the_contract_find_exactly_what_was_put() {
    on_engine(async |engine: &Elasticsearch| {
        let status = |number, status| with(order(number), "status", status);
        let documents = [
            status(1, "FulfillmentScheduled"),
            status(2, "PaymentFailed"),
            status(3, "FulfillmentScheduled"),
            status(4, "Created"),
        ];
        holding(engine, &documents).await;
        let all = engine.get(&format!("{}/_search?pretty", engine.alias())).await;
        assert_eq!(hits(&all), expected(&documents));
        let path = format!("{}/_search", engine.alias());
        let query = json!({"query": {"match": {"status": "FulfillmentScheduled"}}});
        let scheduled = engine.done(Method::POST, &path, query).await;
        assert_eq!(hits(&scheduled), expected(&[documents[0].clone(), documents[2].clone()]));
    })
    .await;
}

#[tokio::test]
async fn the_data_view_for_kibana_fits_the_index() {
    let saved = include_str!("../../../../../deploy/kibana/orders-v1.ndjson");
    let views: Vec<Value> = saved.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [view] = views.as_slice() else { panic!("one data view") };
    let view = &view["attributes"];
    assert_eq!(view["title"], "orders-v1");
    for json in ["fieldAttrs", "fieldFormatMap", "fields", "sourceFilters", "typeMeta"] {
        let text = view[json].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(text).is_ok(), "{json} is JSON in a string");
    }
    let time = view["timeFieldName"].as_str().unwrap().to_owned();
    on_engine(async |engine: &Elasticsearch| {
        holding(engine, &[order(1)]).await;
        let path = format!("{}/_field_caps?fields={time}", engine.alias());
        let fields = engine.get(&path).await;
        assert_eq!(fields["fields"][&time]["date"]["searchable"], true, "{fields}");
    })
    .await;
}

#[tokio::test]
async fn a_scan_sees_what_another_client_did_to_a_document() {
    on_engine(async |engine: &Elasticsearch| {
        let documents: Vec<_> = (1..6).map(order).collect();
        let index = holding(engine, &documents).await;
        let alias = engine.alias();
        let one = |number: u128, rest: &str| format!("{alias}/_{rest}/{}?refresh=true", id(number));
        let changed = json!({"doc": {"status": "tampered"}});
        engine.done(Method::POST, &one(2, "update"), changed).await;
        engine.done(Method::PUT, &one(4, "doc"), json!({"status": "replaced"})).await;
        engine.done(Method::PUT, &one(9, "doc"), json!({"status": "added"})).await;
        let nobody = format!("{alias}/_doc/nobody?refresh=true");
        engine.done(Method::PUT, &nobody, json!({"search": {"id": "zzz"}})).await;
        let (status, _) = engine.ask(Method::DELETE, &one(5, "doc"), None).await;
        assert!(status.is_success());

        let scanned = index.scan(&target("one"), None, 9).await.unwrap();
        let seen: Vec<_> = scanned.iter().map(|document| document.id).collect();
        assert_eq!(seen, [id(1), id(2), id(3), id(4), id(9)]);
        assert_eq!((&scanned[0], &scanned[2]), (&documents[0], &documents[2]));
        assert_eq!(scanned[1].body["status"], "tampered");
        assert_eq!(scanned[3].body, json!({"status": "replaced"}));
        for max in 1..4 {
            let mut paged: Vec<Document> = Vec::new();
            while let page @ [_, ..] =
                &*index.scan(&target("one"), paged.last().map(|last| last.id), max).await.unwrap()
            {
                paged.extend_from_slice(page);
            }
            assert_eq!(paged, scanned, "in pages of {max}");
        }
        let found = index.search(&everything()).await.unwrap();
        assert_eq!((found.total, found.documents.len()), (6, 6), "searches go on");
        assert_eq!(typed(&*index, "user1@example.com").await, [id(1)]);
    })
    .await;
}

#[tokio::test]
async fn an_index_in_the_place_of_the_alias_is_named_and_then_replaced() {
    on_engine(async |engine: &Elasticsearch| {
        let index = engine.open().await;
        engine.done(Method::PUT, &engine.alias(), json!({})).await;
        assert!(matches!(index.search(&everything()).await, Err(Error::Missing(_))));
        let one = target("one");
        index.begin(&one, STORE).await.unwrap();
        assert_eq!(index.put(&one, &[order(1)]).await.unwrap(), [Put::Stored]);
        assert_eq!(index.status().await.unwrap().active, None);
        let Err(Error::Unavailable(text)) = index.finish(&one).await else { panic!("refused") };
        let told = format!("DELETE /{}", engine.alias());
        assert!(text.contains(&told) && text.contains("action.auto_create_index"), "{text}");
        assert!(
            engine.is_there(&engine.alias()).await,
            "what another program wrote is not ours to delete"
        );
        engine.delete(&engine.alias()).await;
        index.finish(&one).await.unwrap();
        assert_eq!(ids(&*index, &everything()).await, [id(1)]);
    })
    .await;
}

#[tokio::test]
async fn an_alias_that_was_given_to_another_index_is_taken_back() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[order(1)]).await;
        let other = engine.concrete("other");
        engine.done(Method::PUT, &format!("{other}/_doc/1"), json!({"status": "x"})).await;
        let add = json!({"actions": [{"add": {"index": other, "alias": engine.alias()}}]});
        engine.done(Method::POST, "_aliases", add).await;
        assert_eq!(index.status().await.unwrap().active, None, "so that it is rebuilt");
        index.begin(&target("two"), STORE).await.unwrap();
        index.finish(&target("two")).await.unwrap();
        let status = index.status().await.unwrap();
        assert_eq!((status.active, status.targets), (Some(target("two")), vec![target("two")]));
        assert_eq!(index.search(&everything()).await.unwrap().total, 0);
        assert!(engine.is_there(&other).await, "it is another program's");
    })
    .await;
}

#[tokio::test]
async fn an_index_of_somebody_else_with_the_name_of_a_generation_is_left_alone() {
    on_engine(async |engine: &Elasticsearch| {
        let index = engine.open().await;
        let theirs = format!("{}/_doc/1?refresh=true", engine.concrete("one"));
        engine.done(Method::PUT, &theirs, json!({"theirs": true})).await;
        let Err(Error::Unavailable(text)) = index.begin(&target("one"), STORE).await else {
            panic!("refused")
        };
        assert!(text.contains(&engine.concrete("one")), "{text}");
        let puts = index.put(&target("one"), &[order(1)]).await;
        assert!(matches!(puts, Err(Error::Missing(_))), "{puts:?}");
        let count = engine.get(&format!("{}/_count", engine.concrete("one"))).await;
        assert_eq!(count["count"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_put_never_makes_an_index() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[order(1)]).await;
        let puts = index.put(&target("never"), &[order(1)]).await;
        assert!(matches!(puts, Err(Error::Missing(_))), "{puts:?}");
        assert!(!engine.is_there(&engine.concrete("never")).await);
        // Another program deletes the index while it is written.
        let deleted = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4_u128)
            .map(|writer| {
                let (index, deleted) = (index.clone(), deleted.clone());
                tokio::spawn(async move {
                    let mut number = writer;
                    loop {
                        let was_there = !deleted.load(Ordering::SeqCst);
                        number += 4;
                        match index.put(&target("one"), &[order(number)]).await {
                            Ok(_) => assert!(was_there, "written to nothing"),
                            Err(Error::Missing(_)) => return,
                            Err(Error::Unavailable(_)) => assert!(was_there),
                            Err(error @ Error::Rejected(_)) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        engine.delete(&engine.concrete("one")).await;
        deleted.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.await.unwrap();
        }
        let left = engine.get(&format!("{}*", engine.prefix)).await;
        assert_eq!(left, json!({}));
    })
    .await;
}

#[tokio::test]
async fn a_document_the_server_refuses_is_refused_alone() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[]).await;
        let documents = [
            order(1),
            with(with(order(2), "", 1), "customerEmail", "secret@example.com"),
            order(3),
            at_version(order(4), u64::MAX),
            with(order(5), "search", "ours"),
        ];
        let puts = index.put(&target("one"), &documents).await.unwrap();
        let [Put::Stored, Put::Refused(reason), Put::Stored, Put::Refused(_), Put::Refused(_)] =
            puts.as_slice()
        else {
            panic!("{puts:?}")
        };
        assert!(reason.contains("empty string") && !reason.contains("secret"), "{reason}");
        let scanned = index.scan(&target("one"), None, 9).await.unwrap();
        assert_eq!(scanned, [order(1), order(3)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_too_much_for_one_request_goes_in_several() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[]).await;
        let long = "x".repeat(900_000);
        let mut documents: Vec<_> =
            (0..8).map(|number| with(order(number), "timeline", json!([{"at": long}]))).collect();
        documents.push(with(order(8), "timeline", json!([long.repeat(7)])));
        documents.extend((9..1_500).map(order));
        store(&*index, &documents).await;
        let mut scanned: Vec<Document> = Vec::new();
        while scanned.len() < documents.len() {
            let after = scanned.last().map(|document| document.id);
            scanned.extend(index.scan(&target("one"), after, 9_999).await.unwrap());
        }
        assert_eq!(scanned, documents);
        assert_eq!(index.status().await.unwrap().documents, 1_500);
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_or_a_closed_index_is_waited_for() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[order(1)]).await;
        let (one, concrete) = (target("one"), engine.concrete("one"));
        // As the server sets it by itself when its disk runs full.
        let settings = format!("{concrete}/_settings");
        let full = |full: Value| json!({"index.blocks.read_only_allow_delete": full});
        engine.done(Method::PUT, &settings, full(json!(true))).await;
        let puts = index.put(&one, &[order(2)]).await.unwrap();
        assert!(
            matches!(puts.as_slice(), [Put::Later(why)] if why.contains("disk usage exceeded")),
            "{puts:?}"
        );
        assert_eq!(ids(&*index, &everything()).await, [id(1)], "searches go on");
        engine.done(Method::PUT, &settings, full(Value::Null)).await;
        let switch = async |to: &str| {
            let (status, answer) =
                engine.ask(Method::POST, &format!("{concrete}/{to}"), None).await;
            assert!(status.is_success(), "{answer}");
        };
        switch("_close").await;
        let puts = index.put(&one, &[order(2)]).await.unwrap();
        assert!(matches!(puts.as_slice(), [Put::Later(_)]), "{puts:?}");
        assert!(matches!(index.search(&everything()).await, Err(Error::Unavailable(_))));
        switch("_open").await;
        store(&*index, &[order(2)]).await;
    })
    .await;
}
