use super::*;
use crate::api::corpus::endpoint_hash;
use crate::api::features::Surroundings;
use crate::api::{N_API_FEATURES, Request};
use crate::rng::mix;

fn sample(n: u64) -> CategorySample {
    let mut sample = CategorySample::new();
    let mut before = None;
    for i in 0..n {
        // Frequencies fall: number k is called about n / k² times.
        let k = (1..40)
            .rev()
            .find(|k| mix(i).is_multiple_of(k * k))
            .unwrap_or(1);
        let path = format!("/e{k}");
        let agent = if i.is_multiple_of(3) {
            "curl/8"
        } else {
            "wget/1"
        };
        let request = Request {
            method: Some("GET"),
            host: Some("shop"),
            path: Some(&path),
            user: Some("ana"),
            user_agent: Some(agent),
            status: Some(200),
            ..Request::default()
        };
        sample.add(mix(i + 77_777), &request, &path, before);
        before = Some(endpoint_hash(request.method, request.host, &path));
    }
    sample
}

fn row(encoder: &Encoder, request: &Request<'_>) -> Vec<f32> {
    let mut row = vec![-7.0; encoder.width()];
    let around = Surroundings {
        template: request.path.unwrap_or_default(),
        ..Surroundings::default()
    };
    encoder.encode(request, &around, &mut row);
    row
}

fn known() -> Request<'static> {
    Request {
        method: Some("get"),
        host: Some("SHOP"),
        path: Some("/e1"),
        user_agent: Some("curl/9.9"),
        status: Some(200),
        ..Request::default()
    }
}

const ENCODERS: [Categorical; 3] = [
    Categorical::OneHot,
    Categorical::Hashed,
    Categorical::Embedding,
];

#[test]
fn an_encoder_fills_its_own_columns_and_no_other() {
    for choice in ENCODERS {
        let encoder = Encoder::learn(choice, &sample(3000));
        let row = row(&encoder, &known());
        assert!(
            row[..N_API_FEATURES]
                .iter()
                .all(|v| v.to_bits() == (-7.0_f32).to_bits())
        );
        for block in choice.blocks() {
            let columns = &row[block.first..block.first + block.columns];
            let length: f32 = columns.iter().map(|v| v * v).sum();
            assert!(length > 0.0 && length < 2.001, "{block:?} {columns:?}");
        }
    }
    let none = Encoder::learn(Categorical::Rarity, &sample(10));
    assert_eq!(row(&none, &known()).len(), N_API_FEATURES);
}

#[test]
fn what_was_never_seen_is_other_and_what_is_missing_is_missing() {
    let unseen = Request {
        path: Some("/never"),
        host: Some("elsewhere"),
        error_code: Some("Odd"),
        ..known()
    };
    let one_hot = Encoder::learn(Categorical::OneHot, &sample(3000));
    let of = |row: &[f32], choice: Categorical, field: Field| {
        let block = choice.blocks().iter().find(|b| b.field == field).unwrap();
        row[block.first..block.first + block.columns].to_vec()
    };
    let other = row(&one_hot, &unseen);
    for field in [Field::Endpoint, Field::Host, Field::Outcome] {
        let columns = of(&other, Categorical::OneHot, field);
        let (last, rest) = columns.split_last().unwrap();
        assert!(
            *last > 0.5 && rest.iter().all(|v| v.abs() < 0.5),
            "{field:?}"
        );
        let known = of(&row(&one_hot, &known()), Categorical::OneHot, field);
        assert!(known.last().unwrap().abs() < 0.5 && known.iter().any(|v| *v > 0.5));
    }
    let embedding = Encoder::learn(Categorical::Embedding, &sample(3000));
    let columns = of(
        &row(&embedding, &unseen),
        Categorical::Embedding,
        Field::Endpoint,
    );
    let (last, rest) = columns.split_last().unwrap();
    assert!(
        *last > 0.5 && rest.iter().all(|v| v.to_bits() == 0),
        "a defined vector: zeros"
    );
    // Hashes need nobody to have seen a value, and differ.
    let hashed = Encoder::learn(Categorical::Hashed, &CategorySample::new());
    assert_ne!(row(&hashed, &unseen), row(&hashed, &known()));
    for encoder in [&one_hot, &embedding, &hashed] {
        let row = row(encoder, &Request::default());
        let (endpoint, choice) = (Field::Endpoint, encoder.choice());
        assert!(of(&row, choice, endpoint).iter().all(|v| v.is_nan()));
        // No agent is a value.
        assert!(of(&row, choice, Field::Agent).iter().all(|v| v.is_finite()));
    }
}

#[test]
fn an_encoder_is_bounded_however_many_values_there_are() {
    let mut sample = CategorySample::new();
    for i in 0..40_000_u64 {
        let path = format!("/{}", i / 4);
        let agent = format!("agent{}x", i / 4);
        let host = format!("host{i}");
        let request = Request {
            method: Some("GET"),
            host: Some(if i.is_multiple_of(2) { &host } else { "h" }),
            path: Some(&path),
            user_agent: Some(&agent),
            ..Request::default()
        };
        sample.add(mix(i), &request, &path, Some(mix(i / 8)));
    }
    assert_eq!(sample.rows(), sample::MAX_ROWS);
    for choice in ENCODERS {
        let encoder = Encoder::learn(choice, &sample);
        assert!(encoder.endpoints() <= embed::MAX_ENDPOINTS);
        assert!(encoder.to_bytes().len() < 200_000);
        assert_eq!(row(&encoder, &known()).len(), choice.width());
    }
}

#[test]
fn bytes_round_trip_and_anything_else_is_refused() {
    for choice in Categorical::ALL {
        let encoder = Encoder::learn(choice, &sample(2000));
        let bytes = encoder.to_bytes();
        let read = Encoder::from_bytes(&bytes).unwrap();
        assert_eq!(read, encoder);
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(row(&read, &known()).len(), row(&encoder, &known()).len());
        let mut damaged = bytes.clone();
        let at = damaged.len() / 2;
        damaged[at] ^= 1;
        assert!(Encoder::from_bytes(&damaged).is_err());
        // A model of another kind.
        assert!(Encoder::from_bytes(&sample(5).to_bytes()).is_err());
    }
}

#[test]
fn what_is_learned_does_not_depend_on_the_order_of_arrival() {
    let whole = sample(4000);
    let mut parts = [CategorySample::new(), CategorySample::new()];
    let bytes = whole.to_bytes();
    for part in &mut parts {
        part.merge(&CategorySample::from_bytes(&bytes).unwrap());
    }
    let [mut a, b] = parts;
    a.merge(&b);
    for choice in ENCODERS {
        let of = |s: &CategorySample| Encoder::learn(choice, s).to_bytes();
        assert_eq!(of(&a), of(&whole));
    }
}

#[test]
fn a_hash_splits_its_weight_and_collides_seldom_in_both_columns() {
    let encoder = Encoder::learn(Categorical::Hashed, &CategorySample::new());
    let block = Categorical::Hashed.blocks()[0];
    let rows: Vec<Vec<u32>> = (0..200)
        .map(|i| {
            let path = format!("/p{i}");
            let request = Request {
                path: Some(&path),
                ..known()
            };
            let row = row(&encoder, &request);
            row[block.first..block.first + block.columns]
                .iter()
                .map(|v| v.to_bits())
                .collect()
        })
        .collect();
    let mut distinct = rows.clone();
    distinct.sort();
    distinct.dedup();
    // 32 · 32 pairs of columns, and signs: of 200 endpoints about ten share both.
    assert!(distinct.len() > 170, "{}", distinct.len());
}

/// `cargo test --workspace --lib what_an_encoding_costs -- --ignored --nocapture` prints microseconds a row.
#[test]
#[ignore = "a measurement of some seconds"]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers to look at"
)]
fn what_an_encoding_costs() {
    use crate::detector::{FitParams, Kind, fit_kinds};
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::time::Instant;
    let sample = sample(20_000);
    let requests: Vec<(String, &str)> = (0..4096)
        .map(|i| {
            (
                format!("/e{}", mix(i) % 60),
                if i % 3 == 0 { "curl/8" } else { "wget/1" },
            )
        })
        .collect();
    for choice in Categorical::ALL {
        let started = Instant::now();
        let encoder = Encoder::learn(choice, &sample);
        let learned = started.elapsed().as_secs_f64();
        let d = encoder.width();
        let mut rng = crate::rng::SplitMix64::new(3);
        let mut rows = vec![0.0; requests.len() * d];
        for value in &mut rows {
            *value = rng.next_normal() as f32;
        }
        let started = Instant::now();
        for ((path, agent), row) in requests.iter().zip(rows.chunks_exact_mut(d)) {
            let request = Request {
                method: Some("GET"),
                host: Some("shop"),
                path: Some(path),
                user_agent: Some(agent),
                status: Some(200),
                ..Request::default()
            };
            let around = Surroundings {
                template: path,
                ..Surroundings::default()
            };
            encoder.encode(&request, &around, row);
        }
        let micros = |secs: f64| 1e6 * secs / requests.len() as f64;
        let encode = micros(started.elapsed().as_secs_f64());
        let mut line = format!(
            "{:<10} {d} columns, learned in {learned:.3} s, encode {encode:.2}",
            choice.name()
        );
        let keys: Vec<u64> = (0..requests.len() as u64).collect();
        let params = FitParams {
            categorical: choice,
            ..FitParams::default()
        };
        for kind in Kind::EVERY {
            let started = Instant::now();
            let fitted = fit_kinds(&[kind], &keys, &rows, d, &params).unwrap();
            let fit = started.elapsed().as_secs_f64();
            let mut scores = vec![0.0; requests.len()];
            let started = Instant::now();
            fitted[0].score(&rows, d, &mut scores).unwrap();
            let score = micros(started.elapsed().as_secs_f64());
            assert!(scores.iter().all(|s| s.is_finite()));
            write!(line, "; {} fit {fit:.2} s, score {score:.2}", kind.name()).unwrap();
        }
        writeln!(std::io::stdout(), "{line}").unwrap();
    }
}
