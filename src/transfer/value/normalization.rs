//! What `jsonb` changes in a text that it accepts, by design and without changing the value.

/// One kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalization {
    /// Members are put in another order: by the length of the key, then by its bytes.
    KeyOrder,
    /// White space between tokens changes.
    Spacing,
    /// Numbers lose their exponent, and zero its sign.
    NumberForm,
    /// Escapes become the characters they stand for, or are written in another way.
    Escapes,
    /// All but the last value of a key are dropped.
    DuplicateKeys,
}

impl Normalization {
    /// All of them.
    pub const ALL: [Normalization; 5] = [
        Normalization::KeyOrder,
        Normalization::Spacing,
        Normalization::NumberForm,
        Normalization::Escapes,
        Normalization::DuplicateKeys,
    ];

    /// The name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Normalization::KeyOrder => "key-order",
            Normalization::Spacing => "spacing",
            Normalization::NumberForm => "number-form",
            Normalization::Escapes => "escapes",
            Normalization::DuplicateKeys => "duplicate-keys",
        }
    }
}

/// The changes to one text: none exactly if `('…'::jsonb)::text` gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Normalizations(u8);

impl Normalizations {
    /// Adds a kind of change.
    pub fn insert(&mut self, normalization: Normalization) {
        self.0 |= 1 << normalization as u8;
    }

    /// Whether the text comes back as it is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of the changes.
    #[must_use]
    pub fn contains(self, normalization: Normalization) -> bool {
        self.0 & (1 << normalization as u8) != 0
    }

    /// The changes.
    pub fn iter(self) -> impl Iterator<Item = Normalization> {
        Normalization::ALL.into_iter().filter(move |normalization| self.contains(*normalization))
    }
}

/// How many values were changed, one number for each kind of change.
pub(crate) type NormalizationCounts = [u64; Normalization::ALL.len()];
