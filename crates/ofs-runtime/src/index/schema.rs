//! What an index is made of: a value that the program declares, and every engine is built from.
//!
//! Knows no engine; engines know nothing else of what their documents are about.

use serde::Serialize;
use uuid::Uuid;

/// What an index is called, and what can be found in its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    name: &'static str,
    key: &'static str,
    fields: &'static [Field],
}

/// Something that can be found in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What queries call it.
    pub name: &'static str,
    /// The document's member that holds it.
    pub member: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// What a field is, and thereby how it is found. A document whose member is something else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// A lower-case id. Free text finds it, whole or by its beginning.
    Id,
    /// A list of objects, each of which has an id in this member, found as [`Kind::Id`]. Whatever has
    /// none is passed over.
    Ids(&'static str),
    /// Text as people type it. Free text finds each of its words, whole or by its beginning.
    Text,
    /// As [`Kind::Text`]; filters find the whole of it as well, in any case.
    Name,
    /// One of a set of values. Filters find exactly these.
    Keyword {
        /// How many of the most frequent values are counted in a result; none if it is not a facet.
        facet: Option<usize>,
    },
    /// An RFC 3339 time. Filters find what lies between two.
    Time {
        /// Whether answers may be sorted by it.
        sortable: bool,
    },
}

/// Names of fields that engines have for themselves.
const RESERVED: [&str; 2] = ["id", "words"];
/// Namespace of fingerprints; indices hold them, so it must not change.
const FINGERPRINT: Uuid = Uuid::from_u128(0x6f66_732d_7363_6865_8000_6d61_2d66_7001);

impl Schema {
    /// The schema of an index called `name`, whose documents hold their id in the member `key`, by a
    /// beginning of which free text finds them.
    ///
    /// # Panics
    /// If two fields have the same name or member, or one has a name of the engines' own.
    #[must_use]
    pub const fn new(name: &'static str, key: &'static str, fields: &'static [Field]) -> Self {
        let mut rest = fields;
        while let [field, others @ ..] = rest {
            assert!(!is_one_of(field.name, &RESERVED), "`id` and `words` are names of the engines");
            assert!(!same(field.member, key), "the member of the id needs no field");
            let mut other = others;
            while let [next, behind @ ..] = other {
                let differs = !same(field.name, next.name) && !same(field.member, next.member);
                assert!(differs, "two fields of a schema have the same name or member");
                other = behind;
            }
            rest = others;
        }
        Self { name, key, fields }
    }

    /// What the index is called where others see it; its generations' names begin with it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The member that holds a document's id.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// All fields, as declared.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// The field called `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Fields that answers count, and how many of their values.
    pub fn facets(&self) -> impl Iterator<Item = (&'static Field, usize)> + use<> {
        self.fields.iter().filter_map(|field| match field.kind {
            Kind::Keyword { facet } => Some((field, facet?)),
            Kind::Id | Kind::Ids(_) | Kind::Text | Kind::Name | Kind::Time { .. } => None,
        })
    }

    /// The same for two schemas exactly if the same can be found in the same way in documents of both.
    #[must_use]
    pub fn fingerprint(&self) -> Uuid {
        let meaning = serde_json::to_vec(&(self.key, self.fields)).unwrap_or_default();
        Uuid::new_v5(&FINGERPRINT, &meaning)
    }
}

const fn is_one_of(name: &str, all: &[&str]) -> bool {
    let mut rest = all;
    while let [first, others @ ..] = rest {
        if same(name, first) {
            return true;
        }
        rest = others;
    }
    false
}

const fn same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, rest @ ..], [b, behind @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest, behind);
    }
    one.is_empty() && other.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Field = Field { name: "size", member: "size", kind: Kind::Name };
    const SHOP: Field =
        Field { name: "shop", member: "shopId", kind: Kind::Keyword { facet: Some(9) } };
    const AT: Field = Field { name: "at", member: "at", kind: Kind::Time { sortable: true } };

    #[test]
    fn a_schema_is_another_one_whatever_of_it_changes() {
        const NO_FACET: Field = Field { kind: Kind::Keyword { facet: None }, ..SHOP };
        const MOVED: Field = Field { member: "shop", ..SHOP };
        const RENAMED: Field = Field { name: "store", ..SHOP };
        const UNSORTED: Field = Field { kind: Kind::Time { sortable: false }, ..AT };
        let schema = Schema::new("things", "id", &[SIZE, SHOP, AT]);
        assert_eq!(schema.fingerprint(), Schema { name: "others", ..schema }.fingerprint());
        for other in [
            Schema::new("things", "key", &[SIZE, SHOP, AT]),
            Schema::new("things", "id", &[SIZE, SHOP]),
            Schema::new("things", "id", &[SIZE, NO_FACET, AT]),
            Schema::new("things", "id", &[SIZE, MOVED, AT]),
            Schema::new("things", "id", &[SIZE, RENAMED, AT]),
            Schema::new("things", "id", &[SIZE, SHOP, UNSORTED]),
        ] {
            assert_ne!(schema.fingerprint(), other.fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn only_facets_are_counted() {
        let schema = Schema::new("things", "id", &[SIZE, SHOP, AT]);
        assert_eq!(schema.facets().collect::<Vec<_>>(), [(&SHOP, 9)]);
        assert_eq!((schema.field("shop"), schema.field("shopId")), (Some(&SHOP), None));
    }

    #[test]
    #[should_panic(expected = "the same name or member")]
    fn two_fields_of_one_member_are_no_schema() {
        const TWICE: Field = Field { name: "store", ..SHOP };
        let _ = Schema::new("things", "id", &[SHOP, SIZE, TWICE]);
    }

    #[test]
    #[should_panic(expected = "names of the engines")]
    fn a_name_of_the_engines_is_no_name_of_a_field() {
        const WORDS: Field = Field { name: "words", ..SIZE };
        let _ = Schema::new("things", "id", &[WORDS]);
    }
}
