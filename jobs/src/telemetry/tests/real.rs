//! The recorded data of `shared/data`, where the checkout has it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use chrono::TimeDelta;
use datafusion::arrow::datatypes::TimestampMillisecondType;

use super::*;

pub(super) fn recorded(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned();
    let path = PathBuf::from(std::env::var("GLEANER_DATA").unwrap_or(beside)).join(name);
    if path.exists() {
        return Some(path);
    }
    let why = format!("no recorded {name}: set GLEANER_DATA");
    assert!(
        std::env::var_os("GLEANER_NO_SKIP").is_none(),
        "skipped although GLEANER_NO_SKIP is set: {why}"
    );
    eprintln!("SKIPPED: {why}");
    None
}

fn read_recorded(name: &str, options: &ReadOptions) -> Option<Seen> {
    let path = recorded(name)?;
    let mut batches = Vec::new();
    let account = read_file(name, &path, options, &mut |batch| {
        batches.push(batch);
        Ok(())
    });
    Some(held_to_the_laws(
        Seen {
            account: account.unwrap(),
            batches,
        },
        options,
    ))
}

/// The days on which events were recorded, read the plain way.
pub(super) fn days_of(name: &str) -> BTreeSet<NaiveDate> {
    let Some(path) = recorded(name) else {
        return BTreeSet::new();
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut days = BTreeSet::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column_by_name("event_time").unwrap();
        let millis = column
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .flatten();
        days.extend(
            millis.map(|millis| {
                NaiveDate::default() + TimeDelta::days(millis.div_euclid(86_400_000))
            }),
        );
    }
    days
}

#[test]
fn the_days_of_the_recorded_events_add_up_to_all_of_them() {
    let mut kept = 0;
    for day in days_of("process_events.parquet") {
        let Some(seen) = read_recorded("process_events.parquet", &ReadOptions::new(day)) else {
            return;
        };
        let account = seen.account;
        assert_eq!(
            (account.rows_read, account.schema),
            (4928, Some(SchemaKind::Native))
        );
        assert_eq!(
            seen.reasons(),
            ["missing_event_time@4926", "missing_event_time@4927"]
        );
        kept += account.kept;
    }
    assert!(
        kept == 4926 || recorded("process_events.parquet").is_none(),
        "{kept}"
    );
}

#[test]
fn recorded_commands_without_a_time_are_read_as_the_days() {
    let options = ReadOptions {
        undated: Undated::AsDay,
        ..options()
    };
    let Some(seen) = read_recorded("commands_benign.parquet", &options) else {
        return;
    };
    assert_eq!(seen.account.rows_read, 55_641);
    assert_eq!(seen.account.quarantined, 0, "{:?}", seen.reasons());
    assert!(seen.account.kept > 54_000, "{:?}", seen.account);
    let linux = seen.column("os").iter().filter(|os| *os == "linux").count();
    assert!((45_000..49_000).contains(&linux), "{linux}");
    let Some(seen) = read_recorded("commands_benign.parquet", &super::options()) else {
        return;
    };
    assert!(
        seen.bad()
            .iter()
            .all(|bad| bad.reason == "missing_event_time")
    );
}
