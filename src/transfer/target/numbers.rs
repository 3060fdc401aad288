//! Numbers of the source that leave none to a sequence of the target.

use super::obstacle::{Obstacle, ObstacleKind, ObstacleSeverity};
use crate::schema::sequence::is_nearly_full;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::column_type::ColumnType;

/// The column whose numbers come from a sequence, and the largest number that it can hold. Of TARSy's tables only the events
/// have one, their key.
pub(crate) fn numbered(table: &TablePlan) -> Option<(&str, i64)> {
    let [key] = table.primary_key.as_slice() else { return None };
    let column = &table.columns[*key];
    let largest_possible = match column.target {
        ColumnType::Integer => i32::MAX.into(),
        ColumnType::BigInt => i64::MAX,
        _ => return None,
    };
    Some((&column.name, largest_possible))
}

/// The obstacle, if rows with numbers up to `largest` leave none for the next row, or nine tenths are used.
pub(crate) fn without_numbers(table: &str, column: &str, largest: i64, largest_possible: i64) -> Option<Obstacle> {
    // What is larger than possible is a hazard.
    let (weight, what) = match largest_possible.checked_sub(largest)? {
        0 => (ObstacleSeverity::Refusal, "which leaves no number for the next row".to_owned()),
        left if left > 0 && is_nearly_full(largest, largest_possible) => {
            (ObstacleSeverity::Warning, format!("which leaves {left} numbers for the next rows"))
        }
        _ => return None,
    };
    Some(Obstacle {
        kind: ObstacleKind::Sequence,
        object: format!("{table}.{column}"),
        what: format!("goes up to {largest} in the source, {what}"),
        advice: "give the rows with the largest numbers smaller ones in the source, with UPDATE".to_owned(),
        weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_is_refused_and_one_close_to_it_warned_of() {
        let weight = |largest| without_numbers("events", "id", largest, i32::MAX.into()).map(|found| found.weight);
        assert_eq!(weight(2_147_483_647), Some(ObstacleSeverity::Refusal));
        assert_eq!(weight(2_147_483_646), Some(ObstacleSeverity::Warning));
        assert_eq!([weight(1_900_000_000), weight(-1), weight(2_147_483_648)], [None; 3]);
    }
}
