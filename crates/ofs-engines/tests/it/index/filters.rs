//! Index port: filters, with one value and with several.

use super::{Engine, everything, holding, id, ids, order, time, with};
use ofs_events::OrderStatus;
use ofs_runtime::index::Query;
use serde_json::Value;

pub async fn filters_are_exact(engine: &impl Engine) {
    let index = holding(
        engine,
        &[
            with(order(1), "status", "PaymentFailed"),
            with(order(2), "country", "DE"),
            with(order(3), "productType", "Smart Phone"),
            with(with(order(4), "country", "DE"), "status", "PaymentFailed"),
            with(with(order(5), "country", Value::Null), "productType", Value::Null),
        ],
    )
    .await;
    let failed = Query { status: vec![OrderStatus::PaymentFailed], ..everything() };
    assert_eq!(ids(&*index, &failed).await, [id(4), id(1)]);
    let german = Query { country: vec!["DE".to_owned()], ..everything() };
    assert_eq!(ids(&*index, &german).await, [id(4), id(2)]);
    let lower = Query { country: vec!["de".to_owned()], ..everything() };
    assert_eq!(ids(&*index, &lower).await, []);
    let both = Query { country: vec!["DE".to_owned()], ..failed };
    assert_eq!(ids(&*index, &both).await, [id(4)]);
    for product in ["smart phone", "SMART PHONE"] {
        let smart = Query { product: vec![product.to_owned()], ..everything() };
        assert_eq!(ids(&*index, &smart).await, [id(3)]);
    }
    let phone = Query { product: vec!["phone".to_owned()], ..everything() };
    assert_eq!(ids(&*index, &phone).await, [id(4), id(2), id(1)]);
    let times =
        Query { created_after: Some(time(2)), created_before: Some(time(4)), ..everything() };
    assert_eq!(ids(&*index, &times).await, [id(3), id(2)]);
    let late = Query { created_after: Some(time(5)), ..everything() };
    assert_eq!(ids(&*index, &late).await, [id(5)]);
    let early = Query { created_before: Some(time(2)), ..everything() };
    assert_eq!(ids(&*index, &early).await, [id(1)]);
}

pub async fn a_filter_with_several_values_finds_any_of_them(engine: &impl Engine) {
    let index = holding(
        engine,
        &[
            with(order(1), "status", "PaymentFailed"),
            with(with(order(2), "country", "DE"), "productType", "Lamp"),
            with(with(order(3), "country", "JP"), "productType", "Ｃａｆé"),
            with(with(order(4), "country", "DE"), "status", "FulfillmentScheduled"),
            with(with(order(5), "country", Value::Null), "productType", Value::Null),
        ],
    )
    .await;
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let status = vec![OrderStatus::FulfillmentScheduled, OrderStatus::PaymentFailed];
    let ended = Query { status, ..everything() };
    assert_eq!(ids(&*index, &ended).await, [id(4), id(1)]);
    let twice = Query { country: texts(&["DE", "JP", "DE", "FR"]), ..everything() };
    assert_eq!(ids(&*index, &twice).await, [id(4), id(3), id(2)]);
    let both = Query { country: texts(&["DE", "US"]), ..ended };
    assert_eq!(ids(&*index, &both).await, [id(4), id(1)]);
    let products = Query { product: texts(&["CAFE\u{301}", "lamp"]), ..everything() };
    assert_eq!(ids(&*index, &products).await, [id(3), id(2)]);
    let all = Query { country: texts(&["DE"]), ..products };
    let found = index.search(&all).await.unwrap();
    assert_eq!((found.total, found.orders.len()), (1, 1));
    // As many as fit into a request, and some that cannot be in the index at all.
    let mut many: Vec<String> = (0..5_000).map(|number| format!("product {number}")).collect();
    many.extend(["x".repeat(50_000), "LAMP".to_owned()]);
    let many = Query { product: many.clone(), country: many, ..everything() };
    assert_eq!(ids(&*index, &many).await, []);
    let many = Query { country: vec![], ..many };
    assert_eq!(ids(&*index, &many).await, [id(2)]);
    let none = Query { country: vec!["x".repeat(50_000)], ..everything() };
    assert_eq!(ids(&*index, &none).await, [], "a value that nothing can have is not left out");
}
