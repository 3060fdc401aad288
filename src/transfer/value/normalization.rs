//! Differences between a JSON text and what `jsonb` prints for it. The value is the same.

/// A kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalization {
    /// Members are sorted by the length of the key, then by its bytes.
    KeyOrder,
    /// White space between tokens changes.
    Spacing,
    /// Numbers lose their exponent, and zero its sign.
    NumberForm,
    /// Escapes are replaced by their characters, or written differently.
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

/// The differences for one text: empty exactly if `('…'::jsonb)::text` returns the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Normalizations(u8);

impl Normalizations {
    /// Adds a kind of difference.
    pub fn insert(&mut self, normalization: Normalization) {
        self.0 |= 1 << normalization as u8;
    }

    /// Whether `jsonb` prints the same text.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this kind was found.
    #[must_use]
    pub fn contains(self, normalization: Normalization) -> bool {
        self.0 & (1 << normalization as u8) != 0
    }

    /// The kinds that were found.
    pub fn iter(self) -> impl Iterator<Item = Normalization> {
        Normalization::ALL.into_iter().filter(move |normalization| self.contains(*normalization))
    }
}

/// The number of values with each kind of difference, in the order of [`Normalization::ALL`].
pub(crate) type NormalizationCounts = [u64; Normalization::ALL.len()];
