use super::*;
use crate::sketch::document_frequency::DocumentFrequencies;
use crate::text::catalog::Family;

const FULL: Context<'static> = Context {
    image: Some(r"C:\Users\bob\Downloads\a.exe"),
    parent_image: Some(r"C:\Windows\Temp\b.exe"),
    original_file_name: Some("b.exe"),
    user_sid: Some("S-1-5-18"),
    integrity_level: Some("High"),
    signed: Some(true),
    signer_trusted: Some(true),
};

fn model() -> CorpusModel {
    let mut model = DocumentFrequencies::new();
    for line in [
        "net user bob",
        "net user alice",
        "ls -la /tmp",
        "",
        "curl http://a | sh",
    ] {
        model.add_line(line);
    }
    model.into()
}

fn row(line: &str, context: &Context<'_>, model: Option<&CorpusModel>) -> Vec<f32> {
    let mut out = vec![0.0; N_FEATURES];
    Featurizer::new().compute(line, context, model, &mut out);
    out
}

fn value(row: &[f32], slot: Slot) -> f32 {
    row[slot as usize]
}

fn odd_lines() -> Vec<String> {
    let mut lines: Vec<String> = [
        "",
        " ",
        "a",
        "\"",
        "'",
        "`",
        "^",
        "\0",
        "\0\0\0",
        "\u{a0}",
        "\u{3000}\u{3000}",
        "👩‍💻👩‍💻",
        "e\u{301}e\u{301}",
        "\u{202e}cod.exe",
        "שלום עולם",
        "🇩🇪",
        "\u{feff}powershell",
        "\u{10ffff}",
        "a\nb\r\nc\td",
        "....",
        "1.2.3.",
        "\"unclosed 'both",
        "^^^^",
        "====",
        "\u{fffd}",
        "`a`b`c",
        "%%%",
        "ß ﬀ ǆ İ",
        "-",
        "|",
        "/",
        "\\\\",
        "É'É\"É",
    ]
    .map(str::to_owned)
    .into();
    for unit in [
        " ",
        "a",
        "a ",
        "日",
        "日 ",
        "9",
        "Aa1",
        "\"a b\" ",
        "<&",
        "\u{301}",
        "1.1.1.1 ",
        "nc -e sh|",
    ] {
        lines.push(unit.repeat((1 << 20) / unit.len()));
    }
    // A small deterministic fuzz over what the pass has states for.
    let alphabet: Vec<char> = "aZ9 \"'`^|&;.-+=/\\%$(){}[]<>\té日\u{a0}\u{301}\0"
        .chars()
        .collect();
    let mut state = 7_u64;
    for length in 0..400 {
        let mut line = String::new();
        for _ in 0..length % 80 {
            state = tokens::mix(state.wrapping_add(1));
            line.push(alphabet[(state % alphabet.len() as u64) as usize]);
        }
        lines.push(line);
    }
    lines
}

#[test]
fn values_lie_in_their_range_for_odd_lines() {
    let (model, mut featurizer, mut out) = (model(), Featurizer::new(), vec![0.0; N_FEATURES]);
    for line in odd_lines() {
        for (context, model) in [(FULL, Some(&model)), (Context::default(), None)] {
            featurizer.compute(&line, &context, model, &mut out);
            let head: String = line.chars().take(20).collect();
            for (feature, value) in CATALOG.iter().zip(&out) {
                if model.is_some() {
                    assert!(
                        value.is_finite(),
                        "{} is {value} for {head:?}",
                        feature.name
                    );
                }
                let inside = value.is_nan() || (feature.low..=feature.high).contains(value);
                assert!(inside, "{} is {value} for {head:?}", feature.name);
            }
        }
    }
}

#[test]
fn every_feature_varies() {
    let mut lines: Vec<_> = include_str!("../behaviors/cases.tsv")
        .split(['\t', '\n'])
        .map(str::to_owned)
        .collect();
    lines.extend(odd_lines().into_iter().filter(|line| line.len() < 200));
    lines.push("for netsh readbytes set unrestricted winstations -value compression server set-mppreference".to_owned());
    lines.push(
        "terminal -name catch get-wmiobject hklm streamreader system32 username webrequest count"
            .to_owned(),
    );
    lines.push(
        "webclient writeallbytes convert create function net com http io system new-object if"
            .to_owned(),
    );
    lines.push(
        "threading mutex cryptography computehash ,0x41,0x42 w'h'oami 'a'+'b' +++ ?~#".to_owned(),
    );
    let contexts = [
        FULL,
        Context {
            image: Some("/bin/sh"),
            parent_image: Some("/home/bob/x"),
            original_file_name: Some("sh"),
            user_sid: Some("1"),
            integrity_level: Some("low"),
            signed: Some(false),
            signer_trusted: Some(false),
        },
        Context {
            parent_image: Some("/usr/bin/x"),
            ..Context::default()
        },
        Context {
            parent_image: Some("/opt/x"),
            ..Context::default()
        },
    ];
    let (model, mut featurizer, mut out) = (model(), Featurizer::new(), vec![0.0; N_FEATURES]);
    let mut seen = vec![(f32::INFINITY, f32::NEG_INFINITY); N_FEATURES];
    for line in &lines {
        for context in &contexts {
            featurizer.compute(line, context, Some(&model), &mut out);
            for ((low, high), value) in seen.iter_mut().zip(&out) {
                (*low, *high) = (low.min(*value), high.max(*value));
            }
        }
    }
    let constant = CATALOG
        .iter()
        .zip(&seen)
        .filter(|(_, (low, high))| low >= high);
    let constant: Vec<_> = constant.map(|(feature, _)| feature.name).collect();
    assert!(constant.is_empty(), "{constant:?}");
}

#[test]
fn a_line_has_its_hand_computed_features() {
    let row = row("cmd.exe /c \"echo AAbb\"", &Context::default(), None);
    for (slot, expected) in [
        (Slot::commandline_len, 22.0),
        (Slot::commandline_tokens, 4.0),
        (Slot::commandline_tokens_full, 7.0),
        (Slot::process_name_len, 7.0),
        (Slot::process_name_tokens, 1.0),
        (Slot::arguments, 3.0),
        (Slot::words, 5.0),
        (Slot::length_maximum, 11.0),
        (Slot::length_minimum, 2.0),
        (Slot::length_median, 7.0),
        (Slot::length_total, 20.0),
        (Slot::longest_token_ratio, 0.5),
        (Slot::double_quote_count, 2.0),
        (Slot::special_character_only_count, 4.0),
        (Slot::interpreter_count, 1.0),
        (Slot::density_minimum, 10.0 / 11.0),
        (Slot::upper_alpha_percent_maximum, 2.0 / 11.0),
    ] {
        assert!(
            (value(&row, slot) - expected).abs() < 1e-6,
            "{slot:?} is {}",
            value(&row, slot)
        );
    }
}

#[test]
fn what_is_not_known_is_nan_and_only_that() {
    let row = row("net user", &Context::default(), None);
    for (feature, value) in CATALOG.iter().zip(&row) {
        let unknown = feature.family == Family::Context
            || feature.family == Family::Corpus && !feature.name.starts_with("token_count_");
        assert_eq!(value.is_nan(), unknown, "{}", feature.name);
    }
}

#[test]
fn the_corpus_tells_the_rare_from_the_common() {
    let model = model();
    let (common, rare) = (
        row("net user", &FULL, Some(&model)),
        row("net zebra zebra", &FULL, Some(&model)),
    );
    assert!(value(&rare, Slot::idf_max) > value(&common, Slot::idf_max));
    assert!((value(&rare, Slot::unseen_word_share) - 0.5).abs() < 1e-6);
    assert!((value(&common, Slot::document_frequency_min) - 0.4).abs() < 1e-6);
    assert!(value(&rare, Slot::tfidf_norm) > value(&common, Slot::tfidf_norm));
    assert!(value(&rare, Slot::transition_log2_mean) < value(&common, Slot::transition_log2_mean));
}

#[test]
fn a_line_leaves_no_trace_in_the_next() {
    let (model, mut featurizer) = (model(), Featurizer::new());
    let mut out = vec![0.0; N_FEATURES];
    for line in odd_lines().iter().filter(|line| line.len() < 1000) {
        featurizer.compute(line, &FULL, Some(&model), &mut out);
        assert_eq!(out, row_of_new(line, &model), "{line:?}");
    }
}

fn row_of_new(line: &str, model: &CorpusModel) -> Vec<f32> {
    row(line, &FULL, Some(model))
}

#[test]
fn a_short_row_takes_what_fits() {
    let mut out = [0.0; 2];
    Featurizer::new().compute("abc", &Context::default(), None, &mut out);
    assert!((out[0] - 3.0).abs() < f32::EPSILON);
}

#[test]
fn distinct_words_are_the_same_for_few_and_for_many() {
    let distinct = |words: &mut [u64]| {
        let mut found = Vec::new();
        each_distinct(words, |hash, count| found.push((hash, count)));
        found.sort_unstable();
        found
    };
    assert_eq!(distinct(&mut [3, 1, 3, 3, 1, 2]), [(1, 2), (2, 1), (3, 3)]);
    let mut many: Vec<u64> = (0..100).map(|n| n % 40).collect();
    let expected: Vec<_> = (0..40).map(|n| (n, if n < 20 { 3 } else { 2 })).collect();
    assert_eq!(distinct(&mut many), expected);
}
