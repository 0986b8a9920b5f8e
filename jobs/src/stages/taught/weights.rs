//! How much a handful of verdicts should weigh: measured on recorded requests.
//!
//! `cargo test --workspace --lib weights -- --ignored --nocapture` prints the table of `docs/api.md`. Benign requests of one kind and attacks
//! as a twentieth of them are dealt onto two days; on the first the alerts within a quota of 2% are judged by their labels, the highest
//! first, until twenty are false; the second is fitted with them, at several weights.

use std::collections::BTreeSet;

use gleaner_classifier::api::{self, Label, Labelled, Part, Prepared};
use gleaner_udfs::api::request::{OwnedRequest, pair_hash};
use gleaner_udfs::api::{Categorical, N_API_FEATURES};
use gleaner_udfs::detector::{self, Detector, FitParams, Kind};
use serde::Deserialize;

use super::super::verdicts::FALSE_POSITIVE;
use super::super::verdicts::tests::judged;
use super::*;
use crate::labels::store::typed;

const QUOTA: f64 = 0.02;
const JUDGED: usize = 20;

#[derive(Deserialize)]
struct Row {
    kind: String,
    malicious: bool,
    micros: Option<i64>,
    status: Option<f64>,
    request_bytes: Option<i64>,
    response_bytes: Option<i64>,
    latency_ms: Option<f32>,
    #[serde(default)]
    texts: Vec<Option<String>>,
}

async fn recorded(file: &str) -> Vec<Labelled> {
    let ctx = crate::session::embedded(1 << 30).unwrap();
    let sql = format!(
        "SELECT kind, label = 'malicious' AS malicious, arrow_cast(arrow_cast(event_time, 'Timestamp(Microsecond, None)'), 'Int64') AS micros, \
         CAST(status AS DOUBLE) AS status, CAST(request_bytes AS BIGINT) AS request_bytes, CAST(response_bytes AS BIGINT) AS response_bytes, \
         CAST(latency_ms AS FLOAT) AS latency_ms, make_array(user_id, session_id, client_ip, method, host, path, query, error_code, \
         user_agent, referer, request_body, request_headers) AS texts FROM '{file}' WHERE label IN ('benign', 'malicious')"
    );
    let ctx = ctx.enable_url_table();
    let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    let rows: Vec<Row> = typed(&batches).unwrap();
    let labelled = rows.into_iter().map(|row| {
        let mut texts = row.texts.into_iter();
        #[expect(clippy::cast_possible_truncation, reason = "a status")]
        let request = OwnedRequest {
            micros: row.micros,
            texts: std::array::from_fn(|_| texts.next().flatten()),
            status: row.status.map(|s| s as i32),
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            latency_ms: row.latency_ms,
        };
        Labelled {
            kind: row.kind,
            source: String::new(),
            label: if row.malicious {
                Label::Malicious
            } else {
                Label::Benign
            },
            attack: None,
            request,
        }
    });
    labelled.collect()
}

/// A day's rows: places in what was prepared, with keys that ascend.
fn dealt(prepared: &Prepared, attacks: &BTreeSet<usize>, day: u64) -> Vec<(u64, usize)> {
    let ordinary = |row: usize| prepared.parts[row] != Part::TestMalicious;
    let mut rows: Vec<(u64, usize)> = (0..prepared.parts.len())
        .filter(|row| ordinary(*row) || attacks.contains(row))
        .map(|row| (pair_hash(17, row as u64), row))
        .filter(|(key, _)| key % 2 == day)
        .collect();
    rows.sort_unstable();
    rows
}

fn features(prepared: &Prepared, rows: &[(u64, usize)]) -> (Vec<u64>, Vec<f32>) {
    let of = |(_, row): &(u64, usize)| prepared.row(*row).to_vec();
    (
        rows.iter().map(|(key, _)| *key).collect(),
        rows.iter().flat_map(of).collect(),
    )
}

fn fitted(kind: Kind, keys: &[u64], rows: &[f32]) -> Detector {
    let params = FitParams::default();
    let mut fitted = detector::fit_kinds(&[kind], keys, rows, N_API_FEATURES, &params).unwrap();
    fitted.remove(0)
}

fn scored(detector: &Detector, rows: &[f32]) -> Vec<f32> {
    let mut scores = vec![0.0; rows.len() / N_API_FEATURES];
    detector.score(rows, N_API_FEATURES, &mut scores).unwrap();
    scores
}

#[tokio::test]
#[ignore = "prints a table; needs recorded requests"]
#[expect(clippy::print_stdout, reason = "it prints a table")]
async fn weights_of_verdicts_on_recorded_requests() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned();
    let data = std::env::var("GLEANER_DATA").unwrap_or(beside);
    let file = format!("{data}/api_requests.parquet");
    if !std::path::Path::new(&file).exists() {
        assert!(
            std::env::var_os("GLEANER_NO_SKIP").is_none(),
            "skipped although GLEANER_NO_SKIP is set: no recorded requests: set GLEANER_DATA"
        );
        eprintln!("SKIPPED: no recorded requests: set GLEANER_DATA");
        return;
    }
    let all = recorded(&file).await;
    for kind in ["http", "param"] {
        let rows: Vec<&Labelled> = all.iter().filter(|r| r.kind == kind).collect();
        let prepared = api::prepare(&rows, 0, Categorical::Rarity);
        let mut attacks: Vec<usize> = prepared.of(Part::TestMalicious).collect();
        attacks.sort_by_key(|row| pair_hash(23, *row as u64));
        attacks.truncate((prepared.parts.len() - attacks.len()) / 20);
        let attacks: BTreeSet<usize> = attacks.into_iter().collect();
        let days = [0, 1].map(|day| dealt(&prepared, &attacks, day));
        let [(first_keys, first), (keys, second)] =
            [0, 1].map(|day: usize| features(&prepared, &days[day]));
        println!("{kind}: {} and {} requests", first_keys.len(), keys.len());
        for detector in Kind::EVERY {
            let scores = scored(&fitted(detector, &first_keys, &first), &first);
            let border = Border::of(&scores, QUOTA);
            let mut alerts: Vec<usize> = (0..scores.len())
                .filter(|row| border.reached(scores[*row]))
                .collect();
            alerts.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            let harmless = alerts.iter().map(|at| days[0][*at].1);
            let harmless: Vec<Judged> = harmless
                .filter(|row| !attacks.contains(row))
                .take(JUDGED)
                .map(|row| Judged {
                    features: prepared.row(row).to_vec(),
                    ..judged(&format!("{row:032x}"), "", FALSE_POSITIVE, 1, 1)
                })
                .collect();
            let told: Vec<f32> = harmless.iter().flat_map(|j| &j.features).copied().collect();
            let verdicts = Verdicts {
                judged: harmless,
                ..Verdicts::default()
            };
            for (share, copies) in [
                (0.0, 0),
                (1.0, 1),
                (0.01, 64),
                (0.05, 64),
                (0.2, 64),
                (0.2, 1000),
            ] {
                let weight = Weight { share, copies };
                let on = weighted(&keys, &second, N_API_FEATURES, &verdicts, weight);
                let fitted = fitted(detector, &on.keys, &on.rows);
                let scores = scored(&fitted, &second);
                let border = Border::of(&scores, QUOTA);
                let alerts = || {
                    let at = (0..scores.len()).filter(|at| border.reached(scores[*at]));
                    at.map(|at| days[1][at].1)
                };
                let found = alerts().filter(|row| attacks.contains(row)).count();
                let again = scored(&fitted, &told);
                let again = again.iter().filter(|s| border.reached(**s)).count();
                println!(
                    "{kind} {:<12} share {share:<5} copies {copies:<5} rows {:>5}: of {} judged {again} would be alerts; alerts {} of which attacks {found} of {}",
                    detector.name(),
                    on.keys.len() - keys.len(),
                    verdicts.judged.len(),
                    alerts().count(),
                    days[1]
                        .iter()
                        .filter(|(_, row)| attacks.contains(row))
                        .count(),
                );
            }
        }
    }
}
