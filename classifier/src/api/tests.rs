use gleaner_udfs::api::request::OwnedRequest;
use gleaner_udfs::threshold::Method;

use super::*;

const RATE: Method = Method::FalsePositiveRate(0.02);

fn row(i: u64, label: Label, attack: Option<&str>, query: String) -> Labelled {
    let mut request = OwnedRequest {
        micros: Some(1_700_000_000_000_000 + i64::try_from(i).unwrap() * 3_000_000),
        status: Some(200),
        response_bytes: Some(900 + i64::try_from(i % 50).unwrap()),
        ..OwnedRequest::default()
    };
    let texts = [
        (0, format!("user{}", i % 9)),
        (3, "GET".into()),
        (4, "shop".into()),
        (5, format!("/item/{}", i % 40)),
        (6, query),
    ];
    for (place, text) in texts {
        request.texts[place] = Some(text);
    }
    Labelled {
        kind: "http".into(),
        source: "made".into(),
        label,
        attack: attack.map(str::to_owned),
        request,
    }
}

/// Ordinary look-ups, and injections of two sorts.
fn traffic() -> Vec<Labelled> {
    let mut rows = vec![];
    for i in 0..900 {
        rows.push(row(
            i,
            Label::Benign,
            None,
            format!(
                "q={}&page={}",
                ["red shoes", "lamp", "chair", "table cloth"][usize::try_from(i % 4).unwrap()],
                i % 17
            ),
        ));
    }
    for i in 900..960 {
        rows.push(row(
            i,
            Label::Malicious,
            Some("sqli"),
            format!("q=lamp%27%20or%20{i}={i}--&page=1"),
        ));
        rows.push(row(
            i,
            Label::Malicious,
            Some("xss"),
            format!("q=%3Cscript%3Ealert({i})%3C/script%3E&page=1"),
        ));
    }
    rows
}

fn prepared(rows: &[Labelled]) -> Prepared {
    prepare(&rows.iter().collect::<Vec<_>>(), 3, Categorical::Rarity)
}

#[test]
fn rows_that_say_the_same_are_on_one_side_and_attacks_are_never_fitted_on() {
    let rows = traffic();
    let prepared = prepared(&rows);
    let mut side = std::collections::BTreeMap::new();
    for (row, part) in prepared.parts.iter().enumerate() {
        assert_eq!(*side.entry(prepared.contents[row]).or_insert(*part), *part);
        let malicious = rows[prepared.order[row]].label == Label::Malicious;
        assert_eq!(malicious, *part == Part::TestMalicious);
    }
    for part in [Part::Fit, Part::Validation, Part::TestBenign] {
        assert!(prepared.of(part).count() > 50, "{part:?}");
    }
}

#[test]
fn every_detector_finds_injections_among_look_ups() {
    let prepared = prepared(&traffic());
    let outcomes: Vec<Outcome> = evaluate(&prepared, RATE, Scale::Standard)
        .map(|(_, o)| o.unwrap())
        .collect();
    assert_eq!(outcomes.len(), 6);
    for outcome in &outcomes {
        assert!(
            outcome.auroc.unwrap() > 0.99,
            "{}: {:?}",
            outcome.detector,
            outcome.auroc
        );
    }
}

#[test]
fn without_labels_there_is_no_area_but_there_are_scores() {
    let mut rows = traffic();
    for row in &mut rows {
        row.label = Label::Unknown;
    }
    let prepared = prepared(&rows);
    assert!(prepared.remark.is_some());
    for (_, outcome) in evaluate(&prepared, RATE, Scale::Robust) {
        let outcome = outcome.unwrap();
        assert!(outcome.auroc.is_none() && outcome.scores.iter().all(|s| s.is_finite()));
    }
}

#[test]
fn without_benign_rows_those_without_a_label_stand_for_them() {
    let mut rows = traffic();
    for row in rows.iter_mut().filter(|r| r.label == Label::Benign) {
        row.label = Label::Unknown;
    }
    let prepared = prepared(&rows);
    assert!(prepared.remark.clone().unwrap().contains("stand for them"));
    for (_, outcome) in evaluate(&prepared, RATE, Scale::Standard) {
        assert!(outcome.unwrap().auroc.unwrap() > 0.99);
    }
}

#[test]
fn too_few_rows_cost_a_detector_and_not_the_others() {
    let rows: Vec<Labelled> = traffic().into_iter().step_by(100).collect();
    let prepared = prepared(&rows);
    let results: Vec<_> = evaluate(&prepared, RATE, Scale::Standard).collect();
    assert_eq!(results.len(), 6);
    assert!(results.iter().any(|(_, r)| r.is_ok()), "{results:?}");
}

#[test]
fn a_novel_attack_is_one_that_no_model_saw() {
    let trials = paradigms::compare(&prepared(&traffic()), RATE, 40, 1).unwrap();
    // Six detectors and three models, each attack type held out once.
    assert_eq!(trials.len(), 2 * (6 + 3));
    for trial in &trials {
        assert_eq!(
            trial.labels == 0,
            trial.paradigm == "unsupervised",
            "{trial:?}"
        );
        assert!(
            trial.auroc_novel.is_some() && trial.auroc_known.is_some(),
            "{trial:?}"
        );
    }
    let few = trials.iter().filter(|t| t.paradigm == "semi_supervised");
    assert!(few.clone().count() == 2 && few.into_iter().all(|t| t.labels == 40));
}

#[test]
fn verdicts_change_what_is_fitted() {
    let changes = feedback::changes(&prepared(&traffic()), RATE, 30, 1).unwrap();
    for change in &changes {
        assert!(
            change.true_positives + change.false_positives <= 30,
            "{change:?}"
        );
        // A false positive that was judged is ordinary now: the rate of those that were not does not rise by much.
        assert!(
            change.refitted.false_positive_rate <= change.before.false_positive_rate + 0.03,
            "{change:?}"
        );
        assert_eq!(
            change.with_classifier.is_some(),
            change.true_positives >= feedback::MIN_TRUE,
            "{change:?}"
        );
        if let Some(both) = change.with_classifier {
            assert!(both.recall >= change.refitted.recall, "{change:?}");
        }
    }
    assert!(changes.iter().any(|c| c.with_classifier.is_some()));
}

#[test]
fn the_days_of_a_test_add_up_to_it_and_a_day_of_one_class_has_no_area() {
    let mut rows = traffic();
    for (i, row) in rows.iter_mut().enumerate() {
        // Attacks on the second day alone, ordinary rows on both; the last have no time.
        let second = row.label == Label::Malicious || i % 2 == 0;
        let start = 1_700_006_400_000_000 + i64::from(second) * 86_400_000_000;
        let within = i64::try_from(i).unwrap() * 1_000_000;
        row.request.micros = (i % 100 != 7).then_some(start + within);
    }
    let prepared = prepared(&rows);
    let (_, outcome) = evaluate(&prepared, RATE, Scale::Standard).next().unwrap();
    let outcome = outcome.unwrap();
    let days = days::by_day(&prepared, &outcome);
    let named: Vec<Option<i64>> = days.iter().map(|d| d.day).collect();
    assert_eq!(named, [Some(19_676), Some(19_677), None]);
    assert_eq!(days[0].malicious, 0);
    assert!(days[0].auroc.is_none() && days[0].average_precision.is_none());
    assert!(days[1].auroc.unwrap() > 0.98 && days[1].average_precision.is_some());
    let whole = outcome.confusion.unwrap();
    let sum = |of: fn(&gleaner_udfs::metrics::Confusion) -> u64| -> u64 {
        days.iter().map(|d| of(&d.confusion.unwrap())).sum()
    };
    assert_eq!(sum(|c| c.true_positives), whole.true_positives);
    assert_eq!(sum(|c| c.false_positives), whole.false_positives);
    let rows: usize = days.iter().map(|d| d.benign + d.malicious).sum();
    assert_eq!(rows, prepared.tested());
}

/// The same traffic in three recordings: both classes, attacks alone, nothing labelled.
fn recordings() -> Vec<Labelled> {
    let mut rows = vec![];
    for source in ["a:1", "b:x", "c"] {
        for mut row in traffic() {
            if source == "b:x" && row.label == Label::Benign {
                continue;
            }
            if source == "c" {
                row.label = Label::Unknown;
            }
            // No row of one recording says what one of another says.
            let query = row.request.texts[6].clone().unwrap();
            row.request.texts[6] = Some(format!("{query}&from={}", &source[..1]));
            row.source = source.to_owned();
            rows.push(row);
        }
    }
    rows
}

#[test]
fn nothing_is_learned_from_a_source_that_is_held_out() {
    let rows = recordings();
    let refs: Vec<&Labelled> = rows.iter().collect();
    let held = sources::held_out(&refs, 3, Categorical::Rarity);
    let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["a", "b", "c"],
        "the file behind the colon is of one recording"
    );
    for (name, held) in &held {
        let held = held.as_ref().unwrap();
        let source = |row: usize| sources::recording(&rows[held.prepared.order[row]].source);
        for part in [Part::Fit, Part::Validation] {
            assert!(held.prepared.of(part).count() > 50);
            assert!(held.prepared.of(part).all(|row| source(row) != name));
        }
        assert!(
            held.prepared
                .of(Part::TestMalicious)
                .all(|row| source(row) == name)
        );
        assert!(held.known.iter().all(|&row| source(row) != name));
        // What it lacks comes from elsewhere, which is said.
        let own = held
            .prepared
            .of(Part::TestBenign)
            .all(|row| source(row) == name);
        assert_eq!((own, held.remarks.is_empty()), (name != "b", false));
        assert_eq!(held.unlabelled, name == "c");
    }
    let a = held[0].1.as_ref().unwrap();
    assert_eq!(a.prepared.of(Part::TestBenign).count(), 900);
    assert_eq!((a.prepared.tested(), a.known.len()), (1020, 120));
}

#[test]
fn models_with_and_without_labels_are_tested_on_a_held_out_source() {
    let rows = recordings();
    let refs: Vec<&Labelled> = rows.iter().collect();
    let held = sources::held_out(&refs, 3, Categorical::Rarity);
    let trials = sources::trials(held[1].1.as_ref().unwrap(), RATE, Scale::Standard, 40, 1);
    let models: Vec<(&str, bool)> = trials.iter().map(|t| (t.model, t.labels > 0)).collect();
    assert_eq!(
        models[6..],
        [("random_forest", true), ("svm", true), ("encoder", true)]
    );
    assert!(models[..6].iter().all(|(_, labels)| !labels));
    assert_eq!(trials[8].labels, 40);
    for trial in &trials {
        assert!(
            trial.outcome.as_ref().unwrap().auroc.unwrap() > 0.9,
            "{trial:?}"
        );
    }
}

#[test]
fn one_source_cannot_be_held_out() {
    let rows = traffic();
    let refs: Vec<&Labelled> = rows.iter().collect();
    let held = sources::held_out(&refs, 3, Categorical::Rarity);
    let [(name, Err(why))] = held.as_slice() else {
        panic!("one source, one reason")
    };
    assert!(name == "made" && why.contains("nothing is left"), "{why}");
}

#[test]
fn a_dozen_benign_rows_are_learned_from_and_attacks_are_not() {
    let mut rows: Vec<Labelled> = traffic();
    let mut benign = 0;
    rows.retain(|row| {
        benign += usize::from(row.label == Label::Benign);
        row.label == Label::Malicious || benign <= 12
    });
    let prepared = prepared(&rows);
    assert!(prepared.remark.clone().unwrap().contains("12 benign rows"));
    let counts = [
        Part::Fit,
        Part::Validation,
        Part::TestBenign,
        Part::TestMalicious,
    ]
    .map(|part| prepared.of(part).count());
    assert_eq!(counts, [6, 2, 4, 120]);
    for (detector, outcome) in evaluate(&prepared, RATE, Scale::Standard) {
        let outcome = outcome.unwrap();
        assert!(outcome.auroc.unwrap() > 0.9, "{detector}");
        // Too few for 2%: the least rate that they tell is asked for.
        let threshold = outcome.threshold.unwrap();
        assert!(threshold.rows == 2 && threshold.interval[1] > 0.5);
    }
}

#[test]
fn where_one_row_sets_the_threshold_it_is_that_row_s_score() {
    let mut rows: Vec<Labelled> = traffic();
    let mut benign = 0;
    rows.retain(|row| {
        benign += usize::from(row.label == Label::Benign);
        row.label == Label::Malicious || benign <= 5
    });
    let prepared = prepared(&rows);
    let validation: Vec<usize> = prepared.of(Part::Validation).collect();
    assert_eq!(validation.len(), 1);
    for (_, outcome) in evaluate(&prepared, RATE, Scale::Standard) {
        let outcome = outcome.unwrap();
        let threshold = outcome.threshold.unwrap();
        assert_eq!((threshold.rows, threshold.above), (1, 0));
        assert!((threshold.threshold - outcome.scores[validation[0]]).abs() < f32::EPSILON);
        assert!(threshold.interval[1] > 0.9 && outcome.confusion.is_some());
    }
}

#[test]
fn the_files_of_a_single_recording_are_held_out_in_five_parts() {
    let mut rows = traffic();
    for (i, row) in rows.iter_mut().enumerate() {
        row.source = format!("one:{}", i % 40);
    }
    let refs: Vec<&Labelled> = rows.iter().collect();
    let held = sources::held_out(&refs, 3, Categorical::Rarity);
    assert_eq!(held.len(), 5);
    let mut tested = 0;
    for (name, held) in &held {
        let held = held.as_ref().unwrap();
        assert!(name.starts_with("one, files ") && held.remarks[0].contains("one recording"));
        let files = |part: Part| -> std::collections::BTreeSet<&str> {
            let rows_of = held.prepared.of(part);
            rows_of
                .map(|row| rows[held.prepared.order[row]].source.as_str())
                .collect()
        };
        assert!(files(Part::Fit).is_disjoint(&files(Part::TestMalicious)));
        assert!(files(Part::Validation).is_disjoint(&files(Part::TestBenign)));
        tested += held.prepared.tested();
    }
    assert_eq!(tested, rows.len());
}

#[test]
fn ordinary_rows_that_all_say_the_same_are_fitted_on_and_tested() {
    let mut rows = traffic();
    for row in rows.iter_mut().filter(|r| r.label == Label::Benign) {
        row.request.texts = OwnedRequest::default().texts;
        row.request.texts[5] = Some("/health".into());
    }
    let same = prepared(&rows);
    assert!(same.remark.clone().unwrap().contains("several sides"));
    let count = |prepared: &Prepared, part| prepared.of(part).count();
    let parts = [Part::Fit, Part::Validation, Part::TestBenign];
    assert_eq!(parts.map(|part| count(&same, part)), [450, 180, 270]);
    for (detector, outcome) in evaluate(&same, RATE, Scale::Standard) {
        assert!(outcome.unwrap().auroc.unwrap() > 0.99, "{detector}");
    }
    // Of a handful of contents each is on one side, and no part is empty.
    for row in rows.iter_mut().filter(|r| r.label == Label::Benign) {
        let path = format!("/health/{}", row.request.micros.unwrap() / 3_000_000 % 5);
        row.request.texts[5] = Some(path);
    }
    let few = prepared(&rows);
    assert!(few.remark.is_none());
    assert!(parts.iter().all(|part| count(&few, *part) >= 180));
}
