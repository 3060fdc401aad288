//! What is done with each class of values that PostgreSQL cannot hold. Without a chosen policy no value is changed.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// Why a value or a row cannot be converted exactly, as `--on` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// U+0000 in text, or its escape in JSON.
    Nul,
    /// An escape of half a surrogate pair in JSON.
    LoneSurrogate,
    /// NaN or an infinity in JSON.
    NonFinite,
    /// A number that `jsonb` cannot hold.
    NumberRange,
    /// A foreign key to a missing row.
    Orphan,
    /// An integer that the column's type cannot hold.
    IntegerRange,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Stored as another class than the column's type, and exactly convertible.
    StorageClass,
    /// Without an exact value in the column's type.
    Inexact,
    /// Not JSON in a JSON column.
    InvalidJson,
    /// JSON nested too deeply.
    Depth,
    /// More characters than the column allows.
    TooLong,
    /// Text too long for an index entry.
    IndexEntry,
    /// A duplicate key in an object for `jsonb`.
    DuplicateKey,
    /// A duplicate in a unique index.
    DuplicateRow,
    /// NULL in a column that is NOT NULL.
    Null,
    /// More bytes than a PostgreSQL field can hold.
    TooLarge,
    /// A value that the source's own table does not allow.
    SourceConstraint,
}

/// What is done with the values of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// The run ends and nothing is written.
    Fail,
    /// It is replaced by U+FFFD.
    Replace,
    /// It is removed from the text.
    Strip,
    /// It becomes NULL; in a JSON column JSON null.
    Null,
    /// It becomes a JSON string.
    String,
    /// It becomes the nearest value of the column's type.
    Clamp,
    /// It is converted exactly.
    Convert,
    /// Its end is removed.
    Truncate,
    /// The last of several values is kept.
    Last,
    /// The row is left out.
    Drop,
    /// A placeholder is added for the missing row.
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

    /// The policies of the class, besides [`Policy::Fail`].
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

    /// The name in `CLASS=POLICY`.
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
    /// The name in `CLASS=POLICY`.
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
    /// Before the `=`.
    pub class: Class,
    /// After the `=`.
    pub policy: Policy,
}

impl Choice {
    /// All choices, except those with [`Policy::Fail`].
    pub fn all() -> impl Iterator<Item = Choice> {
        Class::ALL.into_iter().flat_map(|class| class.policies().iter().map(move |&policy| Choice { class, policy }))
    }

    /// The help text of the choice.
    #[must_use]
    pub fn help(self) -> &'static str {
        match (self.class, self.policy) {
            (Class::Nul, Policy::Replace) => "U+0000 in text and JSON is replaced by U+FFFD",
            (Class::Nul, Policy::Strip) => "U+0000 is removed from text and JSON",
            (Class::LoneSurrogate, Policy::Replace) => "a lone surrogate in JSON is replaced by U+FFFD",
            (Class::LoneSurrogate, Policy::Strip) => "a lone surrogate is removed from JSON",
            (Class::NonFinite, Policy::Null) => "NaN and Infinity in JSON become null",
            (Class::NonFinite, Policy::String) => "NaN and Infinity in JSON become strings",
            (Class::NumberRange, Policy::Null) => "a number that jsonb cannot hold becomes null",
            (Class::NumberRange, Policy::String) => "a number that jsonb cannot hold becomes a string of its digits",
            (Class::Orphan, Policy::Drop) => "a row that references a missing row is left out",
            (Class::Orphan, Policy::Adopt) => "a placeholder is added for the missing row that a row references",
            (Class::IntegerRange, Policy::Clamp) => {
                "an integer out of range becomes the nearest value of the column's type"
            }
            (Class::IntegerRange, Policy::Null) => "an integer out of range becomes NULL, where the column allows NULL",
            (Class::InvalidUtf8, Policy::Replace) => "bytes that are not UTF-8 are replaced by U+FFFD",
            (Class::StorageClass, Policy::Convert) => "a value stored as another class is converted, if that is exact",
            (Class::Inexact, Policy::Null) => {
                "a value that cannot be converted exactly becomes NULL, where the column allows NULL"
            }
            (Class::InvalidJson, Policy::String) => "text that is not JSON becomes one JSON string",
            (Class::InvalidJson, Policy::Null) => "text that is not JSON becomes JSON null",
            (Class::Depth, Policy::String) => "JSON nested too deeply becomes one JSON string",
            (Class::Depth, Policy::Null) => "JSON nested too deeply becomes JSON null",
            (Class::TooLong, Policy::Truncate) => "text with too many characters for its column is truncated",
            (Class::IndexEntry, Policy::Truncate) => "indexed text of more than 2,600 bytes is truncated",
            (Class::DuplicateKey, Policy::Last) => "of several values for one key the last is kept",
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

/// Why `--on` was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not `CLASS=POLICY`.
    #[error("`{0}` is not of the form CLASS=POLICY, such as `nul=replace`")]
    Form(String),
    /// No such class.
    #[error("there is no class `{0}`; the classes are {known}", known = listed(&Class::ALL))]
    Class(String),
    /// The class has no such policy.
    #[error("the class `{class}` has no policy `{policy}`; {}", alternatives(allowed, policy))]
    Policy {
        /// The named class.
        class: Class,
        /// The named policy.
        policy: String,
        /// The policies of the class.
        allowed: Vec<Policy>,
    },
    /// Two policies for one class.
    #[error("`--on` gives the class `{class}` two policies, `{}` and `{}`", .policies[0], .policies[1])]
    Twice {
        /// The class of both.
        class: Class,
        /// In the order of the command line.
        policies: [Policy; 2],
    },
}

impl Diagnostic for PolicyError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// The policies of a class, and the classes that have the policy which was named.
fn alternatives(allowed: &[Policy], named: &str) -> String {
    let own = match allowed {
        [only] => format!("its only policy is {only}"),
        _ => format!("its policies are {}", listed(allowed)),
    };
    let others: Vec<_> =
        Choice::all().filter(|choice| choice.policy.name() == named).map(|choice| choice.class).collect();
    if others.is_empty() { own } else { format!("{own}; classes with `{named}`: {}", listed(&others)) }
}

fn listed(names: &[impl fmt::Display]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The policy of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies([Policy; Class::ALL.len()]);

impl Default for Policies {
    /// Every class fails.
    fn default() -> Self {
        Self([Policy::Fail; Class::ALL.len()])
    }
}

impl Policies {
    /// Collects choices; every other class fails.
    ///
    /// # Errors
    /// [`PolicyError::Twice`] if a class is given two different policies.
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

    /// The policy of a class.
    #[must_use]
    pub fn of(&self, class: Class) -> Policy {
        self.0[class as usize]
    }

    /// The policies other than [`Policy::Fail`].
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
        assert_eq!(error("nul"), "`nul` is not of the form CLASS=POLICY, such as `nul=replace`");
        assert_eq!(error("nul=adapt"), "the class `nul` has no policy `adapt`; its policies are fail, replace, strip");
        assert!(
            error("nan=null").starts_with("there is no class `nan`; the classes are nul, lone-surrogate, non-finite")
        );
    }

    #[test]
    fn a_policy_of_other_classes_is_named_with_them() {
        let error = |text: &str| text.parse::<Choice>().expect_err(text).to_string();
        assert_eq!(
            error("null=replace"),
            "the class `null` has no policy `replace`; its only policy is fail; \
             classes with `replace`: nul, lone-surrogate, invalid-utf8"
        );
        assert_eq!(
            error("nul=last"),
            "the class `nul` has no policy `last`; its policies are fail, replace, strip; \
             classes with `last`: duplicate-key"
        );
    }

    #[test]
    fn classes_without_a_choice_fail() {
        let choice = |text: &str| text.parse::<Choice>().expect(text);
        assert_eq!(Policies::default().choices().count(), 0);
        let chosen = [choice("nul=strip"), choice("depth=null"), choice("nul=strip")];
        let policies = Policies::new(&chosen).expect("no contradiction");
        assert_eq!(policies.of(Class::Nul), Policy::Strip);
        assert_eq!(policies.of(Class::InvalidUtf8), Policy::Fail);
        assert_eq!(policies.choices().collect::<Vec<_>>(), chosen[..2]);
        let error = Policies::new(&[choice("nul=strip"), choice("nul=replace")]).expect_err("a contradiction");
        assert_eq!(error.to_string(), "`--on` gives the class `nul` two policies, `strip` and `replace`");
    }
}
