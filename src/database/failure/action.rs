//! The attempted action. Every "cannot ..." uses a verb of this one list, so that a thing has one word.

use std::borrow::Cow;

/// Defines the verbs with their words.
macro_rules! verbs {
    ($($verb:ident => $word:literal),+ $(,)?) => {
        /// What the tool could not do, in the words of PostgreSQL's and SQLite's manuals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb {
            $(#[doc = concat!("`cannot ", $word, " ...`")] $verb),+
        }

        impl Verb {
            /// All verbs in alphabetical order.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$verb),+];

            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$verb => $word),+ }
            }
        }
    };
}

verbs! {
    Analyze => "analyze",
    Apply => "apply",
    Archive => "archive",
    Ask => "ask",
    Begin => "begin",
    Change => "change",
    Check => "check",
    Close => "close",
    Commit => "commit",
    Compare => "compare",
    Compress => "compress",
    Connect => "connect to",
    Continue => "continue",
    Copy => "copy",
    Count => "count",
    Create => "create",
    Determine => "determine",
    Drop => "drop",
    Find => "find",
    Finish => "finish",
    Insert => "insert",
    List => "list",
    Listen => "listen",
    Lock => "lock",
    Measure => "measure",
    Open => "open",
    Plan => "plan",
    Print => "print",
    Prune => "prune",
    Read => "read",
    Reconnect => "reconnect",
    Recreate => "recreate",
    Remove => "remove",
    Reset => "reset",
    RollBack => "roll back",
    Run => "run",
    Set => "set",
    Start => "start",
    Truncate => "truncate",
    Upgrade => "upgrade",
    Vacuum => "vacuum",
    Write => "write",
}

/// The action of an error if the connection breaks during a COMMIT.
pub(crate) const COMMIT_OUTCOME: (Verb, &str) =
    (Verb::Determine, "whether the commit took place (`tarsy-db info` shows it)");

/// A verb with its object, as in `lock` `the target's tables`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    verb: Verb,
    object: Cow<'static, str>,
}

impl<T: Into<Cow<'static, str>>> From<(Verb, T)> for Action {
    fn from((verb, object): (Verb, T)) -> Self {
        Self { verb, object: object.into() }
    }
}

impl From<&Self> for Action {
    fn from(action: &Self) -> Self {
        action.clone()
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.verb.word(), self.object)
    }
}
