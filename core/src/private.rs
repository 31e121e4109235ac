//! The first fence around personal data: a type that cannot be printed.

/// Something about a person, or a secret. It has no text: no `Display`, no `Serialize`, and its `Debug` says nothing.
///
/// It is revealed by name, where `tests/it/tidy.rs` lists it with the reason: the codec that writes an event for the spool,
/// the rules, the rendering of a message, and whatever uses a secret.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Closes the fence around `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Opens the fence. Say in a comment why you may.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// Opens the fence and takes the value out.
    pub fn into_revealed(self) -> T {
        self.0
    }

    /// Changes what is inside without opening the fence.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Private<U> {
        Private(change(self.0))
    }
}

impl<T: AsRef<[u8]>> Private<T> {
    /// How many bytes are inside; that tells nothing of them.
    pub fn size(&self) -> usize {
        self.0.as_ref().len()
    }
}

impl<T> std::fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(private)")
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// In the schema a private value is what it holds, marked with `x-personal`, so that tools can tell which fields are.
impl<T: schemars::JsonSchema> schemars::JsonSchema for Private<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert("x-personal".into(), true.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::Private;

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Private::new("Li Wei")), "(private)");
        assert_eq!(Private::new("Li Wei").size(), 6);
    }
}
