//! Every function's documented example gives its documented result.

use datafusion::arrow::util::display::array_value_to_string;
use gleaner::session;

#[tokio::test]
async fn every_example_gives_its_result() {
    let ctx = session::embedded(1 << 28).unwrap();
    let mut wrong = vec![];
    for function in gleaner_udfs::described() {
        let batches = match ctx.sql(function.doc.example).await {
            Ok(frame) => frame.collect().await,
            Err(e) => Err(e),
        };
        let got = match batches {
            Ok(batches) => array_value_to_string(batches[0].column(0), 0).unwrap(),
            Err(e) => format!("error: {e}"),
        };
        if got != function.doc.result {
            wrong.push(format!(
                "{}: {} gives {got:?}, documented as {:?}",
                function.name, function.doc.example, function.doc.result
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_catalog_has_at_least_100_features_with_names_families_and_techniques() {
    let catalog = gleaner_udfs::text::catalog::CATALOG;
    assert!(catalog.len() >= 100, "{}", catalog.len());
    assert!(
        catalog
            .iter()
            .all(|f| !f.formula.is_empty() && !f.source.is_empty())
    );
    assert!(catalog.iter().filter(|f| f.technique.is_some()).count() >= 30);
    let families: std::collections::BTreeSet<_> =
        catalog.iter().map(|f| format!("{:?}", f.family)).collect();
    assert_eq!(families.len(), 6);
}

#[tokio::test]
async fn a_wrong_call_names_the_function_what_was_expected_and_what_was_given() {
    let ctx = session::embedded(1 << 28).unwrap();
    for (sql, expected) in [
        ("SELECT cmd_entropy()", "cmd_entropy"),
        (
            "SELECT vec_cosine('a', 'b')",
            "vec_cosine: expected vec_cosine(a vector",
        ),
        ("SELECT cmd_bucket('a', 3)", "power of two"),
        (
            "SELECT cmd_feature('a', 'no_such_feature')",
            "no feature is named",
        ),
    ] {
        let error = match ctx.sql(sql).await {
            Ok(frame) => frame.collect().await.unwrap_err(),
            Err(e) => e,
        };
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
}

#[test]
fn the_command_lists_functions_features_and_behaviours() {
    let text = crate::support::succeeds(&["functions"]);
    assert!(
        text.contains("cmd_features(line text, frequencies text)"),
        "{text}"
    );
    let features = crate::support::succeeds(&["functions", "--features", "--json"]);
    assert_eq!(
        features.lines().count(),
        gleaner_udfs::text::catalog::N_FEATURES
    );
    assert!(crate::support::succeeds(&["functions", "--behaviors"]).contains("T1003"));
}
