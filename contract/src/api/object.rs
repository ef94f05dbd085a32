//! An object is an object.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A struct that is read from an object alone. What serde derives takes a list of the fields'
/// values, too, which nobody means and no document says.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// For a field that is a struct.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(it)| it)
}

/// For a field that may be a struct.
pub(super) fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|it| it.map(|Object(it)| it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{GrantRequest, RollbackRequest, RotateRequest};

    #[test]
    fn a_list_is_no_object() {
        assert!(serde_json::from_str::<Object<RollbackRequest>>(r#"{"version":1}"#).is_ok());
        for text in ["[1]", "[]", "1", "null", "\"x\""] {
            assert!(
                serde_json::from_str::<Object<RollbackRequest>>(text).is_err(),
                "{text} was taken"
            );
        }
        for text in [r#"{"generate":[]}"#, r#"{"generate":[32,"hex"]}"#] {
            assert!(serde_json::from_str::<RotateRequest>(text).is_err(), "{text} was taken");
        }
        assert!(serde_json::from_str::<RotateRequest>(r#"{"generate":null}"#).is_ok());
        assert!(
            serde_json::from_str::<GrantRequest>(
                r#"{"subject":["user","ada"],"scope":"shop","access":"admin"}"#
            )
            .is_err()
        );
    }
}
