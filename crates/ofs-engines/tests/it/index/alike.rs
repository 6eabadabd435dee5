//! Both engines answer alike: made-up orders, made-up searches, and no expectation but each other.

use super::{COUNTRY, CREATED, PRODUCT, STATUS, UPDATED, any_of, created};
use super::{Elasticsearch, Engine, Tantivy, at_version, everything, holding, id, on_engine};
use super::{order, store, target, with};
use ofs_events::{OrderStatus, Timestamp};
use ofs_runtime::index::{Document, Filter, Query};
use serde_json::{Value, json};

/// Pieces of e-mails, products and searches: cases, scripts, marks, what other engines treat as special.
const PIECES: [&str; 40] = [
    "a",
    "b",
    "user",
    "User",
    "example",
    "com",
    "phone",
    "SMART",
    "größe",
    "GRÖSSE",
    "İ",
    "ı",
    "ΣΑΣ",
    "ςας",
    "\u{20000}",
    "\u{1F980}",
    "e\u{301}",
    "é",
    "日本",
    "١٢",
    "x\u{0}y",
    "*",
    "\"",
    "0000",
    "0000000",
    "4000-8000",
    "\u{FFFF}",
    "ǆ",
    "📱",
    "½",
    "C++",
    "C#",
    "(",
    "携帯電話",
    "ﾊﾟ",
    "Ｐ",
    "한국",
    "👩🏽\u{200d}💻",
    "🇧🇩🇪🇸",
    "☎\u{fe0f}",
];
const JOINS: [&str; 8] = [" ", ".", "@", "-", "", "+", "  ", "\u{a0}"];

/// A generator of numbers, the same in each run.
struct Dice(u64);

impl Dice {
    /// A number below `most`.
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn text(&mut self, pieces: usize) -> String {
        (0..=self.below(pieces))
            .map(|_| self.pick(&PIECES).to_owned() + self.pick(&JOINS))
            .collect()
    }

    /// Few different times, so that there are ties; some microseconds apart.
    fn micros(&mut self) -> i64 {
        let step = i64::try_from(self.below(5)).unwrap();
        self.pick(&[0, -1_000_000, 1_769_860_800_000_000])
            + step * self.pick(&[1, 1_000, 86_400_000_000])
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(self.micros())
    }

    fn status(&mut self) -> OrderStatus {
        self.pick(&OrderStatus::ALL)
    }

    fn country(&mut self) -> String {
        self.pick(&["US", "DE", "FR", "us", "", "Ü"]).to_owned()
    }

    /// Any member may be missing or null.
    fn document(&mut self, number: u128) -> Document {
        let members: [(&str, Value); 6] = [
            ("customerEmail", json!(self.text(5))),
            ("productType", json!(self.text(2))),
            ("country", json!(self.country())),
            ("status", json!(self.status())),
            ("createdAt", json!(self.time())),
            ("updatedAt", json!(self.time())),
        ];
        let mut document = order(number);
        for (name, value) in members {
            document = with(document, name, if self.one_in(9) { Value::Null } else { value });
            if self.one_in(20) {
                document.body.as_object_mut().unwrap().remove(name);
            }
        }
        document
    }

    /// The beginning of something that some document may hold.
    fn typed(&mut self, documents: &[Document]) -> String {
        let document = &documents[self.below(documents.len())];
        let member = self.pick(&["id", "customerEmail", "productType"]);
        let text = match document.body[member].as_str() {
            Some(text) if !self.one_in(3) => text.to_owned(),
            _ => self.text(3),
        };
        let letters = self.below(text.chars().count() + 1);
        text.chars().take(letters).collect()
    }

    /// One to three values once in `many` times, else none.
    fn some<T>(&mut self, many: usize, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = if self.one_in(many) { 1 + self.below(3) } else { 0 };
        (0..count).map(|_| value(self)).collect()
    }

    fn filters(&mut self, documents: &[Document]) -> Vec<Filter> {
        let status = self.some(5, |dice| dice.status().name().to_owned());
        let country = self.some(5, Self::country);
        let product = self.some(6, |dice| {
            match documents[dice.below(documents.len())].body["productType"].as_str() {
                Some(product) => product.to_uppercase(),
                None => dice.text(2),
            }
        });
        let texts = |texts: &[String], field| {
            any_of(field, &texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let (from, until) = (self.one_in(6), self.one_in(6));
        let times = created(from.then(|| self.time()), until.then(|| self.time()));
        vec![texts(&status, STATUS), texts(&country, COUNTRY), texts(&product, PRODUCT), times]
    }

    fn query(&mut self, documents: &[Document]) -> Query {
        Query {
            text: (!self.one_in(3)).then(|| self.typed(documents)),
            filters: self.filters(documents),
            sort_by: self.pick(&[CREATED.name, UPDATED.name]),
            descending: self.one_in(2),
            limit: self.pick(&[0, 1, 3, 10, 50, 300]),
            after: None,
        }
    }
}

#[tokio::test]
async fn both_engines_give_the_same_answers() {
    on_engine(async |engine: &Elasticsearch| {
        let mut dice = Dice(2026);
        let mut documents: Vec<_> = (0..240).map(|number| dice.document(number)).collect();
        let embedded = Tantivy::new().await.unwrap();
        let indices = [holding(engine, &documents).await, holding(&embedded, &documents).await];
        let changed: Vec<_> =
            (0..240).step_by(7).map(|number| at_version(dice.document(number), 2)).collect();
        for index in &indices {
            store(&**index, &changed).await;
        }
        for document in changed {
            let at = documents.iter().position(|old| old.id == document.id).unwrap();
            documents[at] = document;
        }
        let [one, other] = &indices;
        let scans = [
            one.scan(&target("one"), Some(id(3)), 300).await,
            other.scan(&target("one"), Some(id(3)), 300).await,
        ];
        assert_eq!(scans[0], scans[1]);
        assert_eq!(scans[0].as_deref().unwrap(), &documents[4..]);
        let (mut matched, mut pages) = (0, 0);
        for _ in 0..600 {
            let mut query = dice.query(&documents);
            for _ in 0..4 {
                let found = one.search(&query).await.unwrap();
                assert_eq!(found, other.search(&query).await.unwrap(), "{query:?}");
                matched += usize::from(found.total > 0);
                pages += usize::from(query.after.is_some());
                query.after = found.next;
                if query.after.is_none() {
                    break;
                }
            }
        }
        assert!(
            matched > 150 && pages > 100,
            "{matched} searches found something, {pages} went on"
        );
        assert_eq!(one.search(&everything()).await.unwrap().total, 240);
    })
    .await;
}
