//! The answer of `--check-only` and `--dry-run` if the source has values that PostgreSQL cannot hold: what they are, and
//! the command that moves the history in spite of them.

use serde::Serialize;

use super::next_command::NextCommand;
use super::run::Run;
use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::format::counted;
use crate::output::{self, Block, Field, Report};
use crate::settings::Settings;
use crate::transfer::error::TransferError;
use crate::transfer::source::undecided::Undecided;
use crate::transfer::value::hazard_list::{HazardError, HazardGroup, HazardList, ShownHazards};
use crate::transfer::value::policy::{Choice, Class, Policies, Policy};

/// All policies that change something. The first one that a class has loses the least, or leaves the clearest mark.
const PREFERRED: [Policy; 10] = [
    Policy::Convert,
    Policy::Replace,
    Policy::String,
    Policy::Adopt,
    Policy::Truncate,
    Policy::Last,
    Policy::Null,
    Policy::Clamp,
    Policy::Strip,
    Policy::Drop,
];

/// What an answer needs of a run.
pub(crate) struct Question<'r> {
    arguments: &'r MigrateSqliteToPostgres,
    settings: &'r Settings,
    policies: Policies,
    source: String,
    revision: &'static str,
    undecided: Vec<Undecided>,
}

#[derive(Serialize)]
struct Refusal<'h> {
    source: &'h str,
    revision: &'static str,
    /// Of `--dry-run` only those in rows that have other hazards.
    #[serde(skip_serializing_if = "Option::is_none")]
    undecided: Option<&'h [Undecided]>,
    hazards: Vec<&'h HazardGroup>,
    /// The command that moves the history with these values changed; null if no policy can change any.
    next_command: Option<String>,
}

impl<'r> Run<'r> {
    /// What the answer will need.
    pub(crate) fn question(&self, settings: &'r Settings) -> Question<'r> {
        Question {
            arguments: self.arguments,
            settings,
            policies: *self.policies,
            source: self.source.url.to_string(),
            revision: self.source.end.revision.id(),
            undecided: self.undecided.take(),
        }
    }
}

impl Question<'_> {
    /// The report of a refusal because of such values; all other results stay as they are.
    pub(crate) fn answer(&self, result: Result<Report, Error>) -> Result<Report, Error> {
        match result {
            Err(Error::Transfer(TransferError::Hazards(error))) => Ok(self.refusal(error.0)),
            result => result,
        }
    }

    fn refusal(&self, hazards: HazardList) -> Report {
        let choices = choices(&hazards);
        // A policy of this run that could not handle every value gives way to one that can.
        let is_replaced = |given: &Choice| choices.iter().any(|choice| choice.class == given.class);
        let kept = self.policies.choices().filter(|given| !is_replaced(given));
        let all = kept.chain(choices.iter().copied());
        let command = (!choices.is_empty()).then(|| NextCommand::new(self.arguments, self.settings, &self.source, all));
        let groups: Vec<_> = hazards.groups().collect();
        let unhandled: u64 =
            groups.iter().filter(|group| chosen(group, &choices).is_none()).map(|group| group.count).sum();
        let mut blocks = vec![Block::Table {
            title: "values that PostgreSQL cannot hold",
            header: vec!["class", "column", "values", "example", "policies"],
            rows: groups.iter().map(|group| fields(group)).collect(),
        }];
        let title = match self.arguments.check_only {
            true => ASK_SERVER,
            false => "values that the server decides about when the other values of their rows are changed",
        };
        blocks.extend(undecided_block(title, &self.undecided));
        if unhandled > 0 {
            let (values, them) = (counted(unhandled, "value"), if unhandled == 1 { "it" } else { "them" });
            blocks
                .push(Block::Line(format!("{values} without a policy: correct {them} in a copy of the source first")));
        }
        blocks.extend(command.as_ref().map(|command| self.command_block(command, unhandled > 0)));
        let summary = Refusal {
            source: &self.source,
            revision: self.revision,
            undecided: Some(&self.undecided[..]).filter(|open| self.arguments.check_only || !open.is_empty()),
            hazards: groups,
            next_command: command.map(|command| command.text),
        };
        let report = Report::new(&summary, blocks);
        // With `--show-values` each value was asked for.
        let shown = match self.arguments.show_values {
            true => ShownHazards::Each,
            false => {
                ShownHazards::InTable { report: self.arguments.report.as_ref().map(|path| path.display().to_string()) }
            }
        };
        let error = Error::from(TransferError::Hazards(HazardError(hazards, shown)));
        Report { exit_code: error.exit_code(), error: Some(error), ..report }
    }

    /// The command, and before it what it does not settle.
    fn command_block(&self, command: &NextCommand, leaves_values: bool) -> Block {
        let undecided: u64 = self.undecided.iter().map(|question| question.count).sum();
        let decided =
            format!("the server decides about {} when the command runs", counted(undecided, "undecided value"));
        let which = if leaves_values { "the other" } else { "these" };
        let mut lines: Vec<_> = (undecided > 0).then_some(decided).into_iter().collect();
        lines.extend(command.lacks.iter().cloned());
        lines.push(format!("to move the history with {which} values changed:"));
        lines.push(command.text.clone());
        Block::Lines(lines)
    }
}

/// One policy for each class that has any: one that can handle every value, if there is such a policy.
fn choices(hazards: &HazardList) -> Vec<Choice> {
    let choice = |class: Class| {
        let groups: Vec<_> =
            hazards.groups().filter(|group| group.class == class && !group.policies.is_empty()).collect();
        let handled = |policy: &Policy| groups.iter().filter(|group| group.policies.contains(policy)).count();
        // Of several that are equally good the first.
        let policy = PREFERRED.into_iter().rev().max_by_key(handled).filter(|policy| handled(policy) > 0)?;
        Some(Choice { class, policy })
    };
    Class::ALL.into_iter().filter_map(choice).collect()
}

/// The policy that the command has for a group, if it can handle its values.
fn chosen(group: &HazardGroup, choices: &[Choice]) -> Option<Policy> {
    let choice = choices.iter().find(|choice| choice.class == group.class)?;
    Some(choice.policy).filter(|policy| group.policies.contains(policy))
}

fn fields(group: &HazardGroup) -> Vec<Field> {
    let policies: Vec<_> = group.policies.iter().map(ToString::to_string).collect();
    let policies = if policies.is_empty() { "none".to_owned() } else { policies.join(", ") };
    // Only the server decides about values of these classes: its words are the reason.
    let is_decided = matches!(group.class, Class::IndexEntry | Class::TooLarge);
    let answer = if is_decided { format!("PostgreSQL {}", group.postgresql) } else { String::new() };
    let lines = [group.example.clone(), group.reason.clone(), answer];
    vec![
        group.class.to_string().into(),
        format!("{}.{}", group.table, group.column).trim_end_matches('.').into(),
        output::count(group.count),
        Field::Lines(lines.into_iter().filter(|line| !line.is_empty()).collect()),
        policies.into(),
    ]
}

/// The title of [`undecided_block`] where no server was asked.
pub(crate) const ASK_SERVER: &str = "values that only a server can decide about: ask it with --dry-run";

/// The values that only a server can accept or reject.
pub(crate) fn undecided_block(title: &'static str, undecided: &[Undecided]) -> Option<Block> {
    let row = |question: &Undecided| {
        let Undecided { table, columns, class, count, example, .. } = question;
        let column = format!("{table}.{}", columns.join(", "));
        vec![class.to_string().into(), column.into(), output::count(*count), example.as_str().into()]
    };
    (!undecided.is_empty()).then(|| Block::Table {
        title,
        header: vec!["class", "column", "values", "example"],
        rows: undecided.iter().map(row).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::value::column_type::ColumnType;
    use crate::transfer::value::hazard::{Fault, Hazard, Reason};

    #[test]
    fn each_class_gets_the_policy_that_handles_most_of_its_columns() {
        let range = |column: &str, policies: &'static [Policy]| {
            let fault = Fault { policies, ..Fault::whole(Reason::IntegerRange(ColumnType::Integer)) };
            Hazard::new("stage_executions", "one".to_owned(), column, &fault)
        };
        let choose = |hazards: &[Hazard]| {
            let mut list = HazardList::default();
            list.add(hazards);
            choices(&list).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (nullable, required) = (&[Policy::Clamp, Policy::Null], &[Policy::Clamp]);
        assert_eq!(choose(&[range("a", nullable)]), ["integer-range=null"]);
        assert_eq!(choose(&[range("a", nullable), range("b", required)]), ["integer-range=clamp"]);
        assert_eq!(choose(&[range("a", &[])]), [""; 0]);
    }
}
