//! Index port: the schema says what can be found, and another one makes another generation.

use super::{CORRELATION, COUNTRY, CREATED, EMAIL, Engine, PRODUCT, STATUS, STORE, UPDATED};
use super::{SCHEMA, any_of, everything, holding, id, ids, only, order, target, typed, with};
use ofs_runtime::index::{By, Error, FacetCount, Field, Filter, Kind, Put, Query, Schema};
use serde_json::json;

const SHOP: Field = Field { name: "shop", member: "shop", kind: Kind::Keyword { facet: Some(2) } };
const CLERK: Field = Field { name: "clerk", member: "clerk", kind: Kind::Keyword { facet: None } };
const DUE: Field = Field { name: "due", member: "dueAt", kind: Kind::Time { sortable: false } };

/// Orders with more fields, and without some.
pub const WIDER: Schema =
    Schema::new("orders-v1", "id", &[STATUS, EMAIL, CREATED, UPDATED, SHOP, CLERK, DUE]);

/// Orders that are not found by the ids of their events: no column and no member tells it.
const WITHOUT_EVENTS: Schema = Schema::new(
    "orders-v1",
    "id",
    &[STATUS, COUNTRY, PRODUCT, EMAIL, CORRELATION, CREATED, UPDATED],
);

pub async fn a_generation_of_another_schema_is_built_anew(engine: &impl Engine) {
    let sold = |number, shop: &str| with(order(number), "shop", shop);
    let due = with(with(sold(3, "B"), "dueAt", "2026-02-01T00:00:00Z"), "clerk", "Ann");
    let documents = [sold(1, "A"), sold(2, "B"), due, sold(4, "C"), sold(5, "C")];
    drop(holding(engine, &documents).await);

    let index = engine.open_with(WITHOUT_EVENTS).await;
    assert_eq!(index.status().await.unwrap().active, None, "it would find what it should not");
    drop(index);
    let index = engine.open_with(WIDER).await;
    assert_eq!(*index.schema(), WIDER);
    let status = index.status().await.unwrap();
    assert_eq!((status.active, status.targets, status.documents), (None, Vec::new(), 0));
    index.begin(&target("two"), STORE).await.unwrap();
    assert_eq!(index.put(&target("two"), &documents).await.unwrap(), vec![Put::Stored; 5]);
    index.finish(&target("two")).await.unwrap();
    assert_eq!(index.status().await.unwrap().targets, [target("two")], "the old one is removed");

    assert_eq!(ids(&*index, &only([any_of(SHOP, &["A", "B"])])).await, [id(3), id(2), id(1)]);
    assert_eq!(ids(&*index, &only([any_of(CLERK, &["Ann"])])).await, [id(3)]);
    let any_time = By::Times(Some(super::time(0)), None);
    let due = only([Filter { field: DUE.name, by: any_time }]);
    assert_eq!(ids(&*index, &due).await, [id(3)]);
    let found = index.search(&everything()).await.unwrap();
    let counted = |value: &str, count| FacetCount { value: value.to_owned(), count };
    assert!(found.facets.keys().eq(&["shop", "status"]), "{:?}", found.facets);
    assert_eq!(found.facets["shop"], [counted("B", 2), counted("C", 2)], "the two largest");
    assert_eq!(typed(&*index, "phone").await, [], "the product is not one of its fields");
    assert_eq!(typed(&*index, "user2@").await, [id(2)]);
    drop(index);

    let index = engine.open_with(WIDER).await;
    assert_eq!(index.status().await.unwrap().active, Some(target("two")), "of its own schema");
    drop(index);
    let index = engine.open().await;
    assert_eq!(index.status().await.unwrap().active, None, "and not of the one before");
    // Under the name that is taken.
    index.begin(&target("two"), STORE).await.unwrap();
    assert_eq!(index.put(&target("two"), &documents).await.unwrap(), vec![Put::Stored; 5]);
    index.finish(&target("two")).await.unwrap();
    assert_eq!(typed(&*index, "phone user2").await, [id(2)]);
}

pub async fn what_the_schema_does_not_have_is_not_asked_for(engine: &impl Engine) {
    let index = holding(engine, &[order(1)]).await;
    let by_time = |field: Field| Filter { field: field.name, by: By::Times(None, None) };
    for query in [
        only([any_of(SHOP, &["A"])]),
        only([any_of(EMAIL, &["user1@example.com"])]),
        only([any_of(CREATED, &["A"])]),
        only([by_time(COUNTRY)]),
        Query { sort_by: STATUS.name, ..everything() },
        Query { sort_by: "shop", ..everything() },
    ] {
        let asked = index.search(&query).await;
        assert!(matches!(asked, Err(Error::Rejected(_))), "{query:?}: {asked:?}");
    }
    assert_eq!(ids(&*index, &everything()).await, [id(1)]);
}

pub async fn ids_are_found_wherever_the_schema_has_them(engine: &impl Engine) {
    let chain = "01890000-aaaa-7000-8000-000000000001";
    let event = |number: u32| format!("01890000-bbbb-7000-8000-{number:012}");
    let events: Vec<_> = (0..320).map(|number| json!({"eventId": event(number)})).collect();
    let odd = json!([{"eventId": event(7)}, 7, {"eventId": 7}, {"other": event(8)}, null]);
    let documents = [
        with(order(1), "correlationId", chain),
        with(order(2), "timeline", events),
        with(order(3), "timeline", odd),
        with(order(4), "timeline", "nothing of the kind"),
    ];
    let index = holding(engine, &documents).await;
    for (text, expected) in [
        (chain, vec![id(1)]),
        ("01890000-AAAA", vec![id(1)]),
        ("01890000", vec![id(1), id(2), id(3)]),
        (&event(7), vec![id(2), id(3)]),
        (&event(319), vec![id(2)]),
        ("7000-8000", vec![]),
    ] {
        assert_eq!(typed(&*index, text).await, expected, "{text}");
    }
    let refused = with(order(5), "correlationId", 7);
    let puts = index.put(&target("one"), &[refused]).await.unwrap();
    assert_eq!(puts, [Put::Refused("`correlationId` is not a string".to_owned())]);
    assert_eq!(SCHEMA.field("correlation").map(|field| field.member), Some("correlationId"));
}
