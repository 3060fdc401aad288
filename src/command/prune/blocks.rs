//! What a run of `prune` would do or did, as text.

use std::time::Duration;

use super::next_command::NextCommand;
use super::summary::{FreedSummary, PruneSummary, RemovedSummary};
use crate::command::retention::Retention;
use crate::format::{counted, duration, number, percentage, size};
use crate::history::events::{self, EVENTS};
use crate::history::retention::plan::RetentionPlan;
use crate::history::space::Space;
use crate::history::tables::Reference;
use crate::output::{self, Block, Field};

impl FreedSummary {
    /// The report as text.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            FreedSummary::GivenBack(freed) => freed.lines(),
            FreedSummary::Free(space) if space.reclaimable_bytes() == 0 => Vec::new(),
            FreedSummary::Free(space) => {
                let place = match space {
                    Space::Tables(_) => "dead rows use about {} in the tables: autovacuum makes this space reusable",
                    Space::File(_) => "{} inside the file are free and will be reused; the file keeps its size",
                };
                let bytes = size(space.reclaimable_bytes());
                let next =
                    space.next_command().map_or(String::new(), |next| format!("; `{next}` reclaims the space now"));
                vec![format!("{}{next}", place.replace("{}", &bytes))]
            }
        }
    }
}

impl PruneSummary {
    pub(crate) fn nothing_blocks(&self) -> Vec<Block> {
        let Self { database, .. } = self;
        let events =
            self.events().map(|(_, cutoff)| format!(", and no event is from before {cutoff}")).unwrap_or_default();
        let sessions = match &self.cutoff {
            Some(cutoff) => format!("no {} started before {cutoff}", self.chosen),
            None => "no session is removed without a retention".to_owned(),
        };
        let mut blocks = vec![Block::Line(format!("nothing to remove from {database}: {sessions}{events}"))];
        blocks.extend(self.retention_blocks());
        blocks.extend(self.no_events_block());
        blocks.extend(self.kept_blocks());
        blocks.extend(self.lacking_blocks(&blocks));
        blocks
    }

    /// Reports that no retention is set, and what that means.
    fn retention_blocks(&self) -> impl Iterator<Item = Block> {
        let lines = match &self.cutoff {
            Some(_) => Retention::lines,
            None => Retention::lines_without_sessions,
        };
        self.retention.iter().flat_map(lines).map(Block::Line)
    }

    /// Reports that there is no table of events for `--events`.
    fn no_events_block(&self) -> Option<Block> {
        let is_uncounted = self.plan.as_ref().is_some_and(|plan| plan.has_uncounted_events);
        let there_are_none = self.event_cutoff.is_some() && self.events().is_none() && !is_uncounted;
        there_are_none.then(|| {
            let since = events::SINCE;
            Block::Line(format!("no events to remove: the table `{EVENTS}` exists only since revision {since}"))
        })
    }

    pub(crate) fn plan_blocks(&self) -> Vec<Block> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let mut rows: Vec<Vec<Field>> =
            plan.tables.iter().map(|table| counted_row(table.table, table.rows, table.bytes, table.is_exact)).collect();
        rows.extend(plan.orphans.iter().map(|orphans| {
            let Reference { child, parent, .. } = orphans.reference;
            vec![
                format!("{child} without a parent in {parent}").into(),
                output::count(orphans.rows),
                Field::Number("-".into()),
            ]
        }));
        rows.push(counted_row("total", plan.rows(), plan.bytes(), plan.is_exact()));
        let sessions =
            format!("{} of {} ({})", number(plan.sessions), number(plan.of_sessions), percentage(plan.share()));
        let mut facts: Vec<Vec<Field>> = vec![
            vec!["database".into(), self.database.as_str().into()],
            vec!["cutoff".into(), self.cutoff.as_deref().unwrap_or("-").into()],
            vec!["retention".into(), self.retention.as_ref().map(Retention::described).unwrap_or_default().into()],
            vec!["sessions".into(), sessions.into()],
            vec!["oldest".into(), output::time(plan.oldest_us).into()],
            vec!["newest".into(), output::time(plan.newest_us).into()],
        ];
        if let Some((_, cutoff)) = self.events() {
            facts.insert(3, vec!["cutoff of events".into(), cutoff.into()]);
        }
        let mut blocks = vec![Block::Table { title: "plan (nothing was changed)", header: vec![], rows: facts }];
        if plan.is_interrupted {
            blocks.push(Block::Line("`--max-duration` left no time to count rows and kept sessions".to_owned()));
        } else {
            let header = vec!["table", "rows", "bytes"];
            blocks.push(Block::Table { title: "rows that would be removed", header, rows });
        }
        if !plan.is_interrupted && !plan.is_exact() {
            let next = &self.dry_run_command.text;
            blocks.push(Block::Line(format!(
                "~ is an estimate from about 1,000 of the sessions; `{next} --exact` counts every row"
            )));
        }
        blocks.extend(self.retention_blocks());
        blocks.extend(self.in_the_way.iter().map(|obstacle| Block::Line(obstacle.line())));
        blocks.extend(self.no_events_block());
        blocks.extend(self.kept_blocks());
        blocks.extend(self.lacking_blocks(&blocks));
        blocks
    }

    /// What is left out of the command that the blocks recommend, and how to give it.
    fn lacking_blocks(&self, blocks: &[Block]) -> Vec<Block> {
        let NextCommand { text, lacks } = &self.dry_run_command;
        let is_recommended = blocks.iter().any(|block| matches!(block, Block::Line(line) if line.contains(text)));
        lacks.iter().filter(|_| is_recommended).cloned().map(Block::Line).collect()
    }

    /// The first old sessions that are kept, and how many there are.
    fn kept_blocks(&self) -> Vec<Block> {
        let Some(RetentionPlan { kept, kept_counts, .. }) = &self.plan else { return Vec::new() };
        if kept.is_empty() {
            return Vec::new();
        }
        let rows = kept.iter().map(|session| {
            let started = output::time(Some(session.started_at_us));
            let reason = session.reason.to_string();
            vec![session.session_id.as_str().into(), session.status.as_str().into(), started.into(), reason.into()]
        });
        let mut blocks = vec![Block::Table {
            title: "old sessions that are kept (`--include-active` also removes those that are open or in use)",
            header: vec!["session", "status", "started", "reason"],
            rows: rows.collect(),
        }];
        if kept_counts.total() > kept.len() as u64 {
            let reasons = kept_counts.by_reason().map(|(reason, sessions)| format!("{} {reason}", number(sessions)));
            let (total, reasons) = (number(kept_counts.total()), reasons.collect::<Vec<_>>().join("; "));
            let next = &self.dry_run_command.text;
            blocks.push(Block::Line(format!(
                "these are the first of {total} that are kept: {reasons}; `{next} --kept-file FILE` writes all of them to a file"
            )));
        }
        blocks
    }

    /// Reports the remaining sessions that are not listed.
    fn remaining_block(&self, removed: &RemovedSummary, plan: &RetentionPlan) -> Option<Block> {
        let line = match (removed.stopped, self.remaining_sessions) {
            (None, remaining) if plan.is_interrupted => {
                let kept = remaining.filter(|remaining| *remaining > 0)?;
                format!(
                    "sessions from before the cutoff that were kept, because they are open, in use, locked, or \
                     needed by other sessions: {}; `{}` lists them",
                    number(kept),
                    self.dry_run_command.text
                )
            }
            (None, remaining) => {
                let listed = plan.kept_total()? + self.stuck.len() as u64;
                let others = remaining?.checked_sub(listed).filter(|others| *others > 0)?;
                format!(
                    "more sessions from before the cutoff that were locked or in use, or that other sessions need: {}; \
                     the next run retries them",
                    number(others)
                )
            }
            (Some(reason), Some(0)) => format!("{}; other rows remain; the next run continues", reason.text()),
            (Some(reason), remaining) => {
                let remaining = remaining.map_or("unknown".to_owned(), number);
                let reason = reason.text();
                format!("{reason}; remaining sessions from before the cutoff: {remaining}; the next run continues")
            }
        };
        Some(Block::Line(line))
    }

    pub(crate) fn removed_blocks(&self) -> Vec<Block> {
        let (Some(removed), Some(plan)) = (&self.removed, &self.plan) else { return Vec::new() };
        let planned = plan.tables.iter().map(|table| table.table);
        // After an interrupted planning, what was removed is all that is known.
        let others = removed.rows.keys().copied().filter(|_| plan.is_interrupted || plan.has_uncounted_events);
        let tables: Vec<_> =
            planned.clone().chain(others.filter(|table| !planned.clone().any(|of| of == *table))).collect();
        let rows = tables
            .into_iter()
            .map(|table| vec![table.into(), output::count(removed.rows.get(table).copied().unwrap_or_default())]);
        let events = match (removed.rows.get(EVENTS), &self.event_cutoff) {
            (Some(rows), Some(cutoff)) => format!(" and {} from before {cutoff}", counted(*rows, "event")),
            _ => String::new(),
        };
        let longest = removed.longest_batch_seconds.map(Duration::from_secs_f64);
        let longest =
            longest.map(|longest| format!("; the longest batch took {}", duration(longest))).unwrap_or_default();
        let sessions = match &self.cutoff {
            Some(cutoff) => format!("{} that started before {cutoff}", counted(removed.sessions, "session")),
            None => "no sessions".to_owned(),
        };
        let mut blocks = vec![
            Block::Line(format!(
                "removed {sessions}{events} from {} in {}{longest}",
                self.database,
                duration(Duration::from_secs_f64(removed.seconds)),
            )),
            Block::Table { title: "removed", header: vec!["table", "rows"], rows: rows.collect() },
        ];
        if !removed.confirmed {
            let what = match self.remaining_sessions {
                Some(_) => "the rows of other tables than `alert_sessions` are not certain: the connection was lost",
                None => {
                    "these counts are not certain: the connection was lost, and the database could not be reached again"
                }
            };
            blocks.push(Block::Line(format!("{what}; `{}` shows what is left", self.dry_run_command.text)));
        }
        blocks.extend(self.retention_blocks());
        blocks.extend(self.remaining_block(removed, plan));
        blocks.extend(self.no_events_block());
        blocks.extend(self.kept_blocks());
        if !self.stuck.is_empty() {
            let rows =
                self.stuck.iter().map(|stuck| vec![stuck.session_id.as_str().into(), stuck.reason.as_str().into()]);
            let header = vec!["session", "reason"];
            blocks.push(Block::Table { title: "could not be removed", header, rows: rows.collect() });
        }
        blocks.extend(self.lacking_blocks(&blocks));
        blocks
    }
}

/// The rows and bytes of a table; an estimate is marked.
fn counted_row(table: &str, rows: u64, bytes: u64, is_exact: bool) -> Vec<Field> {
    let mark = if is_exact { "" } else { "~" };
    let field = |text: String| Field::Number(format!("{mark}{text}"));
    vec![table.into(), field(number(rows)), field(size(bytes))]
}
