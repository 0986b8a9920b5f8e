//! The SQL of the detectors that a day is scored with: what a stage's query says once for each of them.

use gleaner_udfs::detector::Kind;

use crate::warehouse::tables::Table;

/// The detectors that a table of anomalies has columns for, in their order.
fn of_table(table: &Table) -> Vec<Kind> {
    let columns = (table.columns)();
    let has = |kind: &Kind| columns.iter().any(|(name, _)| *name == kind.score_column());
    Kind::EVERY.into_iter().filter(has).collect()
}

/// Writes a query for some detectors, in place of what stands in braces:
///
/// | in braces | what |
/// |---|---|
/// | `detector_scores` | a column of scores each, from `features` |
/// | `may_be_chosen` | whether a score reaches its `KIND_low` |
/// | `detector_states` | the `KIND_quota` highest scores each, of those that reach `KIND_floor` |
/// | `detector_counts` | how many rows reach `KIND_floor` |
/// | `detector_ranks` | a column of ranks each, within the quota `KIND_ranks` |
/// | `chosen` | whether a row has a rank |
/// | `detector_columns` | scores and ranks of all detectors of the table, NULL of those that did not score the day |
/// | `detector_names` | the detectors that a row has a rank of |
/// | `detector_reasons` | their reasons, by the models `KIND` |
///
/// Models, numbers and quotas stay in braces, to be filled in.
pub(super) fn of_detectors(sql: &str, kinds: &[Kind], table: &Table) -> String {
    let each = |separator: &str, of: &dyn Fn(&str, &str) -> String| {
        let one = |kind: &Kind| of(kind.name(), kind.score_column());
        kinds.iter().map(one).collect::<Vec<_>>().join(separator)
    };
    let columns = of_table(table).into_iter().map(|kind| {
        let (name, score) = (kind.name(), kind.score_column());
        if kinds.contains(&kind) {
            format!("{score}, {name}_rank")
        } else {
            format!("CAST(NULL AS FLOAT) AS {score}, CAST(NULL AS BIGINT) AS {name}_rank")
        }
    });
    let names = each(", ", &|name, _| {
        format!("CASE WHEN {name}_rank IS NOT NULL THEN '{name}' ELSE '' END")
    });
    let reasons = each(", ", &|name, _| {
        format!(
            "CASE WHEN {name}_rank IS NOT NULL THEN {name}_reasons(features, {{{name}}}) ELSE make_array() END"
        )
    });
    let parts = [
        (
            "{detector_scores}",
            each(", ", &|name, score| {
                format!("{score}(features, {{{name}}}) AS {score}")
            }),
        ),
        (
            "{may_be_chosen}",
            each(" OR ", &|name, score| format!("{score} >= {{{name}_low}}")),
        ),
        (
            "{detector_states}",
            each(", ", &|name, score| {
                format!(
                    "quota_state(CASE WHEN {score} >= {{{name}_floor}} THEN {score} END, hash, {{{name}_quota}}) AS {name}"
                )
            }),
        ),
        (
            "{detector_counts}",
            each(", ", &|name, score| {
                format!("count(CASE WHEN {score} >= {{{name}_floor}} THEN 1 END) AS {name}_reached")
            }),
        ),
        (
            "{detector_ranks}",
            each(", ", &|name, score| {
                format!("quota_rank({score}, hash, {{{name}_ranks}}) AS {name}_rank")
            }),
        ),
        (
            "{chosen}",
            each(" OR ", &|name, _| format!("{name}_rank IS NOT NULL")),
        ),
        ("{detector_columns}", columns.collect::<Vec<_>>().join(", ")),
        (
            "{detector_names}",
            format!("array_remove_all(make_array({names}), '')"),
        ),
        // Of one list there is nothing to put together.
        (
            "{detector_reasons}",
            match kinds {
                [_] => reasons,
                _ => format!("array_concat({reasons})"),
            },
        ),
    ];
    let mut written = sql.to_owned();
    for (place, text) in parts {
        written = written.replace(place, &text);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::tables::{ANOMALIES, REQUEST_ANOMALIES};

    #[test]
    fn a_table_of_lines_has_three_detectors_and_one_of_requests_all() {
        assert_eq!(of_table(&ANOMALIES), Kind::ALL);
        assert_eq!(of_table(&REQUEST_ANOMALIES), Kind::EVERY);
    }

    #[test]
    fn a_detector_that_did_not_score_the_day_has_null_columns_and_no_other_part() {
        let sql = include_str!("request_anomalies.sql");
        let sql = of_detectors(sql, &[Kind::Pca, Kind::Autoencoder], &REQUEST_ANOMALIES);
        for part in [
            "CAST(NULL AS FLOAT) AS iforest_score, CAST(NULL AS BIGINT) AS iforest_rank, pca_error, pca_rank",
            "autoencoder_reasons(features, {autoencoder})",
            "WHERE pca_rank IS NOT NULL OR autoencoder_rank IS NOT NULL",
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
        }
        assert!(
            !sql.contains("iforest_reasons") && !sql.contains("{detector"),
            "{sql}"
        );
    }
}
