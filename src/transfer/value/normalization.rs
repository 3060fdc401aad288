//! What `jsonb` changes in a text that it accepts, by design and without changing the value.

/// One kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalisation {
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

impl Normalisation {
    /// All of them.
    pub const ALL: [Normalisation; 5] = [
        Normalisation::KeyOrder,
        Normalisation::Spacing,
        Normalisation::NumberForm,
        Normalisation::Escapes,
        Normalisation::DuplicateKeys,
    ];

    /// The name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Normalisation::KeyOrder => "key-order",
            Normalisation::Spacing => "spacing",
            Normalisation::NumberForm => "number-form",
            Normalisation::Escapes => "escapes",
            Normalisation::DuplicateKeys => "duplicate-keys",
        }
    }
}

/// The changes to one text: none exactly if `('…'::jsonb)::text` gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Normalised(u8);

impl Normalised {
    /// Adds a kind of change.
    pub fn insert(&mut self, normalisation: Normalisation) {
        self.0 |= 1 << normalisation as u8;
    }

    /// Whether the text comes back as it is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of the changes.
    #[must_use]
    pub fn contains(self, normalisation: Normalisation) -> bool {
        self.0 & (1 << normalisation as u8) != 0
    }

    /// The changes.
    pub fn iter(self) -> impl Iterator<Item = Normalisation> {
        Normalisation::ALL.into_iter().filter(move |normalisation| self.contains(*normalisation))
    }
}
