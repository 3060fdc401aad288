//! What an error has beside its message: exit code, hint and details.

use serde::Serialize;

use crate::exit_code::ExitCode;

/// An error that may end the program.
pub(crate) trait Diagnostic: std::error::Error {
    /// The exit code of the process.
    fn exit_code(&self) -> ExitCode;

    /// What the operator can do: a command to paste, or one action.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The items of an error that is a list.
    fn details(&self) -> Details {
        Details::default()
    }
}

/// The items of a list.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// As text, one item a line.
    pub lines: Vec<String>,
    /// As JSON; null if there is no list.
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
