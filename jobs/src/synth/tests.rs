//! Facts about what `synth` makes, read back from the files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::calendar::Day;
use super::catalog::Catalog;
use super::fleet::Fleet;
use super::generate::{Event, Generator};
use super::{Format, Schema, SynthError, SynthParams, SynthReport, synth};

fn small(lines: u64) -> SynthParams {
    SynthParams {
        lines,
        hosts: 200,
        ..SynthParams::default()
    }
}

fn make(params: &SynthParams) -> (tempfile::TempDir, SynthReport) {
    let dir = tempfile::tempdir().unwrap();
    let report = synth(params, &dir.path().join("out"), &mut |_| {}).unwrap();
    (dir, report)
}

fn batches(path: &Path) -> Vec<RecordBatch> {
    let file = fs::File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// A text column as owned values; an empty text stands for null.
fn texts(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        let column = cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        out.extend(
            column
                .as_string::<i32>()
                .iter()
                .map(|t| t.unwrap_or("").to_owned()),
        );
    }
    out
}

/// Truth by command line: label, technique, template.
fn truth(report: &SynthReport, day: usize) -> HashMap<String, [String; 3]> {
    let rows = batches(&report.truth[day].path);
    let [lines, labels, techniques, templates] =
        ["command_line", "label", "technique", "template"].map(|name| texts(&rows, name));
    let mut out = HashMap::new();
    for (i, line) in lines.into_iter().enumerate() {
        let row = [
            labels[i].clone(),
            techniques[i].clone(),
            templates[i].clone(),
        ];
        assert!(
            out.insert(line, row).is_none(),
            "a line stands twice in the truth"
        );
    }
    out
}

/// Share of each template in the rows of a day.
fn shares(report: &SynthReport, day: usize) -> BTreeMap<String, f64> {
    let truth = truth(report, day);
    let lines = texts(&batches(&report.files[day].path), "command_line");
    let one = 1.0 / f64::from(u32::try_from(lines.len()).unwrap());
    let mut out = BTreeMap::new();
    for line in lines {
        *out.entry(truth[&line][2].clone()).or_insert(0.0) += one;
    }
    out
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for format in [Format::Parquet, Format::NdjsonZst] {
        let params = SynthParams {
            format,
            ..small(3_000)
        };
        let read = |params: &SynthParams| {
            let (_dir, report) = make(params);
            let paths = report.files.iter().chain(&report.truth);
            paths
                .map(|f| fs::read(&f.path).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&params), read(&params));
        assert_ne!(
            read(&params),
            read(&SynthParams {
                seed: 2,
                ..params.clone()
            })
        );
    }
}

#[test]
fn two_fifths_to_a_half_of_the_lines_are_unique() {
    // A smaller day has more: each line is met for the first time.
    for lines in [20_000, 60_000] {
        let (_dir, report) = make(&small(lines));
        let share = f64::from(u32::try_from(report.unique_rows).unwrap())
            / f64::from(u32::try_from(lines).unwrap());
        assert!((0.40..=0.50).contains(&share), "{share}");
    }
}

#[test]
fn few_templates_hold_most_rows_and_many_hold_the_rest() {
    let (_dir, report) = make(&small(40_000));
    let mut shares: Vec<f64> = shares(&report, 0).into_values().collect();
    shares.sort_by(|a, b| b.total_cmp(a));
    let top: f64 = shares.iter().take(10).sum();
    assert!((0.33..0.50).contains(&top), "{top}");
    assert!(shares.len() > 180, "{}", shares.len());
    // Zipf: the thirtieth is rarer than the third by about an order of magnitude.
    assert!(shares[2] / shares[29] > 5.0);
}

#[test]
fn every_system_has_rows_and_only_windows_has_its_columns() {
    let (_dir, report) = make(&small(5_000));
    let rows = batches(&report.files[0].path);
    let [os, sid, level, user] =
        ["os", "user_sid", "integrity_level", "user"].map(|name| texts(&rows, name));
    let mut seen = BTreeMap::new();
    for (i, os) in os.iter().enumerate() {
        *seen.entry(os.as_str()).or_insert(0) += 1;
        assert_eq!(os == "windows", sid[i].starts_with("S-1-5-"));
        assert_eq!(os == "windows", !level[i].is_empty());
        assert_eq!(os == "windows", user[i].contains('\\'));
    }
    assert!(
        seen["windows"] > 2_500 && seen["linux"] > 700 && seen["macos"] > 200,
        "{seen:?}"
    );
}

#[test]
fn the_truth_has_each_unique_line_once_with_the_label_of_its_template() {
    let params = SynthParams {
        attacks: 0.02,
        ..small(10_000)
    };
    let (_dir, report) = make(&params);
    let truth = truth(&report, 0);
    let lines = texts(&batches(&report.files[0].path), "command_line");
    let unique: BTreeSet<&String> = lines.iter().collect();
    assert_eq!(unique.len(), truth.len());
    assert_eq!(report.unique_rows, truth.len() as u64);
    assert_eq!(
        lines.iter().filter(|l| truth[*l][0] == "malicious").count(),
        200
    );
    assert_eq!(report.attack_rows, 200);
    for line in &unique {
        let [label, technique, template] = &truth[*line];
        assert_eq!(
            label == "malicious",
            template.starts_with("atk."),
            "{template}"
        );
        assert_eq!(label == "malicious", technique.starts_with('T'));
    }
}

#[test]
fn no_line_is_both_benign_and_malicious_and_every_template_comes_up() {
    let params = SynthParams {
        lines: 150_000,
        attacks: 0.3,
        ..SynthParams::default()
    };
    let catalog = Catalog::load().unwrap();
    let fleet = Fleet::new(600, params.seed);
    let mut labels: HashMap<String, bool> = HashMap::new();
    let mut templates = BTreeSet::new();
    for offset in 0..8 {
        let date = params
            .from
            .checked_add_days(chrono::Days::new(offset))
            .unwrap();
        let day = Day::new(date, &catalog.products, params.seed);
        let mut generator = Generator::new(
            &SynthParams {
                lines: 20_000,
                ..params.clone()
            },
            &catalog,
            &fleet,
            &day,
        );
        let mut event = Event::default();
        while generator.next(&mut event) {
            let attack = catalog.templates[event.template].technique.is_some();
            templates.insert(event.template);
            let first = *labels.entry(event.command_line.clone()).or_insert(attack);
            assert_eq!(first, attack, "{}", event.command_line);
            assert!(
                !event.image.is_empty()
                    && !event.command_line.is_empty()
                    && !event.parent_image.is_empty()
            );
            for text in [
                &event.command_line,
                &event.image,
                &event.parent_command_line,
                &event.parent_image,
            ] {
                assert!(!text.contains(['«', '»', '¦']), "{text}");
            }
        }
    }
    assert!(
        templates.len() > catalog.templates.len() - 8,
        "{} of {}",
        templates.len(),
        catalog.templates.len()
    );
}

#[test]
fn neighbouring_days_resemble_each_other_and_differ() {
    let params = SynthParams {
        days: 2,
        from: NaiveDate::from_ymd_opt(2025, 1, 7).unwrap(),
        ..small(30_000)
    };
    let (_dir, report) = make(&params);
    let (a, b) = (shares(&report, 0), shares(&report, 1));
    let dot = |x: &BTreeMap<String, f64>, y: &BTreeMap<String, f64>| -> f64 {
        x.iter().map(|(k, v)| v * y.get(k).unwrap_or(&0.0)).sum()
    };
    let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    assert!((0.97..0.9999).contains(&cosine), "{cosine}");
    assert!(
        a.keys().any(|k| !b.contains_key(k)),
        "no template went out of season"
    );
    assert!(b.keys().any(|k| !a.contains_key(k)), "no template is new");
    let (a, b) = (truth(&report, 0), truth(&report, 1));
    let shared = a.keys().filter(|line| b.contains_key(*line)).count();
    assert!(
        shared > 300 && shared < a.len() / 2,
        "{shared} of {}",
        a.len()
    );
}

#[test]
fn event_times_lie_within_the_day_and_hardly_go_back() {
    let (_dir, report) = make(&small(20_000));
    let start =
        i64::from(NaiveDate::from_ymd_opt(2025, 1, 1).unwrap().to_epoch_days()) * 86_400_000_000;
    let mut last = start;
    let mut hours = [0_u32; 24];
    for batch in batches(&report.files[0].path) {
        let times = batch
            .column_by_name("event_time")
            .unwrap()
            .as_primitive::<TimestampMicrosecondType>()
            .clone();
        assert_eq!(times.null_count(), 0);
        for &t in times.values() {
            assert!((start..start + 86_400_000_000).contains(&t));
            assert!(t > last - 90_000_000, "more than 90 s back");
            last = last.max(t);
            hours[usize::try_from((t - start) / 3_600_000_000).unwrap()] += 1;
        }
    }
    assert!(hours.iter().all(|&h| h > 100), "{hours:?}");
    assert!(hours[14] > 2 * hours[22], "{hours:?}");
}

#[test]
fn every_json_schema_parses_and_has_the_command_line_where_its_source_has_it() {
    let cases: [(Schema, &str, &str); 5] = [
        (Schema::Native, "/command_line", "/event_time"),
        (Schema::Ocsf, "/process/cmd_line", "/time"),
        (Schema::Ecs, "/process/command_line", "/@timestamp"),
        (
            Schema::Sysmon,
            "/winlog/event_data/CommandLine",
            "/@timestamp",
        ),
        (
            Schema::Security4688,
            "/winlog/event_data/CommandLine",
            "/@timestamp",
        ),
    ];
    for (schema, line, time) in cases {
        let params = SynthParams {
            format: Format::Ndjson,
            schema,
            ..small(500)
        };
        let (_dir, report) = make(&params);
        let truth = truth(&report, 0);
        let text = fs::read_to_string(&report.files[0].path).unwrap();
        assert_eq!(text.lines().count(), 500);
        for row in text.lines() {
            let document: serde_json::Value = serde_json::from_str(row).unwrap();
            let line = document.pointer(line).and_then(|v| v.as_str()).unwrap();
            assert!(truth.contains_key(line));
            assert!(document.pointer(time).is_some_and(|v| !v.is_null()));
        }
    }
}

#[test]
fn all_formats_hold_the_same_lines() {
    let lines = |format, schema| {
        let (_dir, report) = make(&SynthParams {
            format,
            schema,
            ..small(400)
        });
        let file = fs::File::open(&report.files[0].path).unwrap();

        match format {
            Format::NdjsonGz => {
                std::io::read_to_string(flate2::read::MultiGzDecoder::new(file)).unwrap()
            }
            Format::NdjsonZst => {
                std::io::read_to_string(zstd::Decoder::new(file).unwrap()).unwrap()
            }
            Format::Ndjson | Format::Csv => std::io::read_to_string(file).unwrap(),
            Format::Parquet => {
                let rows = batches(&report.files[0].path);
                let nested = rows[0].column_by_name("process").unwrap().as_struct();
                assert_eq!(nested.column_by_name("cmd_line").unwrap().len(), 400);
                assert!(
                    report.files[0]
                        .path
                        .to_string_lossy()
                        .contains("eventDay=20250101")
                );
                String::new()
            }
        }
    };
    let plain = lines(Format::Ndjson, Schema::Native);
    assert_eq!(plain, lines(Format::NdjsonGz, Schema::Native));
    assert_eq!(plain, lines(Format::NdjsonZst, Schema::Native));
    assert_eq!(lines(Format::Csv, Schema::Native).lines().count(), 401);
    lines(Format::Parquet, Schema::Ocsf);
}

#[test]
fn a_day_is_cut_into_files_and_none_is_left_half_written() {
    let params = SynthParams {
        rows_per_file: 700,
        ..small(2_000)
    };
    let (dir, report) = make(&params);
    assert_eq!(
        report.files.iter().map(|f| f.rows).collect::<Vec<_>>(),
        [700, 700, 600]
    );
    let folder = dir.path().join("out/day=2025-01-01");
    let names: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        [
            "part-00000.parquet",
            "part-00001.parquet",
            "part-00002.parquet"
        ]
    );
    assert!(
        report
            .files
            .iter()
            .all(|f| fs::metadata(&f.path).unwrap().len() == f.bytes)
    );
}

#[test]
fn a_folder_that_holds_something_is_refused_unless_it_may_be_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    let many = SynthParams {
        rows_per_file: 100,
        ..small(500)
    };
    synth(&many, out, &mut |_| {}).unwrap();
    assert!(matches!(
        synth(&many, out, &mut |_| {}),
        Err(SynthError::NotEmpty(_))
    ));
    let fewer = SynthParams {
        overwrite: true,
        ..small(500)
    };
    synth(&fewer, out, &mut |_| {}).unwrap();
    assert_eq!(fs::read_dir(out.join("day=2025-01-01")).unwrap().count(), 1);
}

#[test]
fn a_parameter_out_of_its_range_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [
        (
            SynthParams {
                lines: 0,
                ..small(1)
            },
            "lines",
        ),
        (
            SynthParams {
                days: 0,
                ..small(1)
            },
            "days",
        ),
        (
            SynthParams {
                hosts: 0,
                ..small(1)
            },
            "hosts",
        ),
        (
            SynthParams {
                attacks: f64::NAN,
                ..small(1)
            },
            "attacks",
        ),
        (
            SynthParams {
                rows_per_file: 0,
                ..small(1)
            },
            "rows_per_file",
        ),
        (
            SynthParams {
                schema: Schema::Ecs,
                ..small(1)
            },
            "format",
        ),
    ];
    for (params, name) in wrong {
        let error = synth(&params, dir.path(), &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn progress_ends_with_the_number_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    synth(
        &SynthParams {
            days: 2,
            ..small(20_000)
        },
        dir.path(),
        &mut |rows| seen.push(rows),
    )
    .unwrap();
    assert!(seen.is_sorted() && seen.len() > 2);
    assert_eq!(seen.last(), Some(&40_000));
}
