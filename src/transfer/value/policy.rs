//! What may be done with a value that PostgreSQL cannot hold, class by class. Nothing is done that was not chosen.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// What keeps a value, or a row, from being carried over exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// U+0000 in text, or its escape in JSON.
    Nul,
    /// Half of a surrogate pair as an escape in JSON.
    LoneSurrogate,
    /// NaN or an infinity in JSON.
    NonFinite,
    /// A number that `jsonb` cannot hold.
    NumberRange,
    /// A foreign key to a row that is not there.
    Orphan,
    /// An integer that the column's type cannot hold.
    IntegerRange,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Stored as another class than the column's type, and exactly convertible.
    StorageClass,
    /// Stored as what the column's type has no exact counterpart for.
    Inexact,
    /// Not JSON in a JSON column.
    InvalidJson,
    /// JSON nested too deeply.
    Depth,
    /// More characters than the column allows.
    TooLong,
    /// Text that an index cannot hold.
    IndexEntry,
    /// A key twice in an object for `jsonb`.
    DuplicateKey,
    /// A row twice under a unique index.
    DuplicateRow,
    /// NULL in a column that is NOT NULL.
    Null,
    /// More bytes than a field holds.
    TooLarge,
    /// A value that the source's own table does not allow.
    SourceConstraint,
}

/// What is done with the values of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// The move ends, nothing is written.
    Fail,
    /// U+FFFD takes the place.
    Replace,
    /// It is left out.
    Strip,
    /// NULL takes the place; JSON's null in a JSON column.
    Null,
    /// A JSON string takes the place.
    String,
    /// The nearest value that fits takes the place.
    Clamp,
    /// It is converted, exactly.
    Convert,
    /// The beginning is kept.
    Truncate,
    /// The last value is kept.
    Last,
    /// The row is left out.
    Drop,
    /// The row gets a parent.
    Adopt,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 18] = [
        Class::Nul,
        Class::LoneSurrogate,
        Class::NonFinite,
        Class::NumberRange,
        Class::Orphan,
        Class::IntegerRange,
        Class::InvalidUtf8,
        Class::StorageClass,
        Class::Inexact,
        Class::InvalidJson,
        Class::Depth,
        Class::TooLong,
        Class::IndexEntry,
        Class::DuplicateKey,
        Class::DuplicateRow,
        Class::Null,
        Class::TooLarge,
        Class::SourceConstraint,
    ];

    /// What can be chosen for the class instead of [`Policy::Fail`].
    #[must_use]
    pub fn policies(self) -> &'static [Policy] {
        match self {
            Class::Nul | Class::LoneSurrogate => &[Policy::Replace, Policy::Strip],
            Class::NonFinite | Class::NumberRange => &[Policy::Null, Policy::String],
            Class::InvalidJson | Class::Depth => &[Policy::String, Policy::Null],
            Class::Orphan => &[Policy::Drop, Policy::Adopt],
            Class::IntegerRange => &[Policy::Clamp, Policy::Null],
            Class::InvalidUtf8 => &[Policy::Replace],
            Class::StorageClass => &[Policy::Convert],
            Class::Inexact => &[Policy::Null],
            Class::TooLong | Class::IndexEntry => &[Policy::Truncate],
            Class::DuplicateKey => &[Policy::Last],
            Class::DuplicateRow | Class::Null | Class::TooLarge | Class::SourceConstraint => &[],
        }
    }

    /// The name as it is written in a choice.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Nul => "nul",
            Class::LoneSurrogate => "lone-surrogate",
            Class::NonFinite => "non-finite",
            Class::NumberRange => "number-range",
            Class::Orphan => "orphan",
            Class::IntegerRange => "integer-range",
            Class::InvalidUtf8 => "invalid-utf8",
            Class::StorageClass => "storage-class",
            Class::Inexact => "inexact",
            Class::InvalidJson => "invalid-json",
            Class::Depth => "depth",
            Class::TooLong => "too-long",
            Class::IndexEntry => "index-entry",
            Class::DuplicateKey => "duplicate-key",
            Class::DuplicateRow => "duplicate-row",
            Class::Null => "null",
            Class::TooLarge => "too-large",
            Class::SourceConstraint => "source-constraint",
        }
    }
}

impl Policy {
    /// The name as it is written in a choice.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Fail => "fail",
            Policy::Replace => "replace",
            Policy::Strip => "strip",
            Policy::Null => "null",
            Policy::String => "string",
            Policy::Clamp => "clamp",
            Policy::Convert => "convert",
            Policy::Truncate => "truncate",
            Policy::Last => "last",
            Policy::Drop => "drop",
            Policy::Adopt => "adopt",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One policy chosen for one class: `nul=replace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// What it is for.
    pub class: Class,
    /// What is done.
    pub policy: Policy,
}

impl Choice {
    /// All that can be chosen, apart from failing.
    pub fn all() -> impl Iterator<Item = Choice> {
        Class::ALL.into_iter().flat_map(|class| class.policies().iter().map(move |&policy| Choice { class, policy }))
    }

    /// What the choice does, for the manual.
    #[must_use]
    pub fn help(self) -> &'static str {
        match (self.class, self.policy) {
            (Class::Nul, Policy::Replace) => "U+FFFD takes the place of U+0000 in text and JSON",
            (Class::Nul, Policy::Strip) => "U+0000 is left out of text and JSON",
            (Class::LoneSurrogate, Policy::Replace) => "U+FFFD takes the place of half a surrogate pair in JSON",
            (Class::LoneSurrogate, Policy::Strip) => "half a surrogate pair is left out of JSON",
            (Class::NonFinite, Policy::Null) => "NaN and Infinity in JSON become null",
            (Class::NonFinite, Policy::String) => "NaN and Infinity in JSON become the strings that name them",
            (Class::NumberRange, Policy::Null) => "a number that jsonb cannot hold becomes null",
            (Class::NumberRange, Policy::String) => "a number that jsonb cannot hold becomes a string of its digits",
            (Class::Orphan, Policy::Drop) => "a row that points to a missing row is left out",
            (Class::Orphan, Policy::Adopt) => "a row that points to a missing row gets a placeholder to point to",
            (Class::IntegerRange, Policy::Clamp) => "an integer out of range becomes the nearest that the column holds",
            (Class::IntegerRange, Policy::Null) => "an integer out of range becomes NULL, where the column allows NULL",
            (Class::InvalidUtf8, Policy::Replace) => "U+FFFD takes the place of bytes that are not UTF-8",
            (Class::StorageClass, Policy::Convert) => "a value stored as another class is converted, if that is exact",
            (Class::Inexact, Policy::Null) => {
                "a value without exact counterpart becomes NULL, where the column allows it"
            }
            (Class::InvalidJson, Policy::String) => "text that is not JSON becomes one JSON string",
            (Class::InvalidJson, Policy::Null) => "text that is not JSON becomes JSON null",
            (Class::Depth, Policy::String) => "JSON nested too deeply becomes one JSON string",
            (Class::Depth, Policy::Null) => "JSON nested too deeply becomes JSON null",
            (Class::TooLong, Policy::Truncate) => "text with too many characters for its column loses its end",
            (Class::IndexEntry, Policy::Truncate) => "indexed text of more than 2,600 bytes loses its end",
            (Class::DuplicateKey, Policy::Last) => "of several values for one key jsonb keeps the last",
            _ => "nothing is written",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.class, self.policy)
    }
}

impl FromStr for Choice {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (class, policy) = text.split_once('=').ok_or_else(|| PolicyError::Form(text.to_owned()))?;
        let class = Class::ALL
            .into_iter()
            .find(|known| known.name() == class)
            .ok_or_else(|| PolicyError::Class(class.to_owned()))?;
        let allowed = std::iter::once(Policy::Fail).chain(class.policies().iter().copied());
        let found = allowed.clone().find(|known| known.name() == policy);
        match found {
            Some(policy) => Ok(Choice { class, policy }),
            None => Err(PolicyError::Policy { class, policy: policy.to_owned(), allowed: allowed.collect() }),
        }
    }
}

/// Why a choice of a policy means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not `CLASS=POLICY`.
    #[error("`{0}` is not of the form CLASS=POLICY, such as nul=replace")]
    Form(String),
    /// No such class.
    #[error("there is no class `{0}`; there are {known}", known = listed(&Class::ALL))]
    Class(String),
    /// The class has no such policy.
    #[error("`{class}` has no policy `{policy}`, but {known}", known = listed(allowed))]
    Policy {
        /// The class.
        class: Class,
        /// What was asked for.
        policy: String,
        /// What there is.
        allowed: Vec<Policy>,
    },
    /// Two policies for one class.
    #[error("`{class}` is given two policies, {} and {}", .policies[0], .policies[1])]
    Twice {
        /// The class.
        class: Class,
        /// Both.
        policies: [Policy; 2],
    },
}

impl Diagnostic for PolicyError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

fn listed(names: &[impl fmt::Display]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is done with each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies([Policy; Class::ALL.len()]);

impl Default for Policies {
    /// Every class fails.
    fn default() -> Self {
        Self([Policy::Fail; Class::ALL.len()])
    }
}

impl Policies {
    /// Gathers choices; what nobody chose fails.
    ///
    /// # Errors
    /// [`PolicyError::Twice`] when a class is given two different policies.
    pub fn new(choices: &[Choice]) -> Result<Self, PolicyError> {
        let mut policies = Self::default();
        for (index, choice) in choices.iter().enumerate() {
            let other = choices[..index].iter().find(|other| other.class == choice.class);
            if let Some(other) = other.filter(|other| other.policy != choice.policy) {
                return Err(PolicyError::Twice { class: choice.class, policies: [other.policy, choice.policy] });
            }
            policies.0[choice.class as usize] = choice.policy;
        }
        Ok(policies)
    }

    /// What is done with a class.
    #[must_use]
    pub fn of(&self, class: Class) -> Policy {
        self.0[class as usize]
    }

    /// What was chosen other than to fail.
    pub fn choices(&self) -> impl Iterator<Item = Choice> {
        let chosen = Class::ALL.into_iter().map(|class| Choice { class, policy: self.of(class) });
        chosen.filter(|choice| choice.policy != Policy::Fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        for choice in Choice::all() {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert_ne!(choice.help(), "nothing is written", "{choice}");
        }
        assert_eq!("nul=fail".parse(), Ok(Choice { class: Class::Nul, policy: Policy::Fail }));
        assert!(Class::ALL.into_iter().enumerate().all(|(index, class)| class as usize == index));
    }

    #[test]
    fn errors_name_what_was_allowed() {
        let error = |text: &str| text.parse::<Choice>().expect_err(text).to_string();
        assert_eq!(error("nul"), "`nul` is not of the form CLASS=POLICY, such as nul=replace");
        assert_eq!(error("nul=null"), "`nul` has no policy `null`, but fail, replace, strip");
        assert_eq!(error("null=null"), "`null` has no policy `null`, but fail");
        assert!(error("nan=null").starts_with("there is no class `nan`; there are nul, lone-surrogate, non-finite, "));
    }

    #[test]
    fn what_nobody_chose_fails() {
        let choice = |text: &str| text.parse::<Choice>().expect(text);
        assert_eq!(Policies::default().choices().count(), 0);
        let chosen = [choice("nul=strip"), choice("depth=null"), choice("nul=strip")];
        let policies = Policies::new(&chosen).expect("no contradiction");
        assert_eq!(policies.of(Class::Nul), Policy::Strip);
        assert_eq!(policies.of(Class::InvalidUtf8), Policy::Fail);
        assert_eq!(policies.choices().collect::<Vec<_>>(), chosen[..2]);
        let error = Policies::new(&[choice("nul=strip"), choice("nul=replace")]).expect_err("a contradiction");
        assert_eq!(error.to_string(), "`nul` is given two policies, strip and replace");
    }
}
