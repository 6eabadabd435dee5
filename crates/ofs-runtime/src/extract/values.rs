//! A query string for serde: a name that is given more than once is a sequence, which only a field that
//! takes one accepts.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// A deserializer of these names and values.
pub(super) fn of<'de>(
    pairs: impl Iterator<Item = (String, String)>,
) -> MapDeserializer<'de, std::vec::IntoIter<(String, Values)>, Error> {
    let mut named: Vec<(String, Values)> = Vec::new();
    for (name, value) in pairs {
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.0.push(value),
            None => named.push((name, Values(vec![value]))),
        }
    }
    MapDeserializer::new(named.into_iter())
}

/// Everything that one name was given.
pub(super) struct Values(Vec<String>);

impl Values {
    fn one(mut self) -> Result<String, Error> {
        match (self.0.pop(), self.0.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(Error::custom("is given more than once")),
        }
    }
}

impl<'de> IntoDeserializer<'de> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! whole_numbers {
    ($($deserialize:ident $visit:ident,)+) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let text = self.one()?;
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            visitor.$visit(number.ok_or_else(|| Error::custom("must be a whole number in range"))?)
        })+
    };
}

impl<'de> Deserializer<'de> for Values {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.one()?.into_deserializer())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let each = self.0.into_iter().map(|value| Values(vec![value]));
        visitor.visit_seq(SeqDeserializer::new(each))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let answer = self.one()?.parse();
        visitor.visit_bool(answer.map_err(|_| Error::custom("must be true or false"))?)
    }

    whole_numbers! {
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}
