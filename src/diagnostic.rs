//! What an error says beside its message: the exit code, what the reader can do, and the list that it is made of.

use serde::Serialize;

use crate::exit_code::ExitCode;

/// An error that the program may end with. Each stands in the module that it comes from.
pub(crate) trait Diagnostic: std::error::Error {
    /// What the process ends with.
    fn exit_code(&self) -> ExitCode;

    /// What the reader can do about it.
    fn hint(&self) -> Option<String> {
        None
    }

    /// What the error is made of, where that is a list.
    fn details(&self) -> Details {
        Details::default()
    }
}

/// The items of a list, for both kinds of reader.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// For people, one a line.
    pub lines: Vec<String>,
    /// For JSON; null where there is no list.
    pub document: serde_json::Value,
}

impl Details {
    /// One line for each item.
    pub(crate) fn of<T: Serialize + ToString>(items: &[T]) -> Self {
        Self { lines: items.iter().map(ToString::to_string).collect(), document: document(items) }
    }
}

/// Items as JSON.
pub(crate) fn document(items: &(impl Serialize + ?Sized)) -> serde_json::Value {
    serde_json::to_value(items).unwrap_or_default()
}
