//! `gleaner evaluate api --curves`: the curves of every detector, as points or drawn.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray};
use gleaner_classifier::api::{Outcome, Part, Prepared};
use gleaner_udfs::metrics::{CurvePoint, curve};
use parquet::arrow::ArrowWriter;
use serde_json::json;

use crate::cli::output;
use crate::error::JobError;
use crate::report::chart::Paint;
use crate::report::chart::axes::{About, Curve, roc};
use crate::report::chart::panels::{panels, precision_recall};

/// Points of a curve in JSON and drawn, at most; a file of points has all of them.
const MOST: usize = 400;
/// Width of a drawn plot, in pixels.
const WIDTH: f64 = 440.0;

/// What a file holds, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Parquet,
    Svg,
}

/// Where curves are written to, and as what.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    form: Form,
}

/// The path of `--curves`.
///
/// # Errors
/// When its end names no form that is written.
pub(super) fn place(text: &str) -> Result<Place, String> {
    let path = PathBuf::from(text);
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let form = match end.to_ascii_lowercase().as_str() {
        "csv" => Form::Csv,
        "parquet" => Form::Parquet,
        "svg" => Form::Svg,
        _ => return Err("expected a file that ends in .csv, .parquet or .svg".to_owned()),
    };
    Ok(Place { path, form })
}

/// The curves of one detector on one kind.
struct Curves {
    kind: String,
    detector: &'static str,
    /// By falling score.
    points: Vec<CurvePoint>,
    /// The share of attacks in the test.
    attacks: f64,
}

/// The curves of all detectors and kinds.
#[derive(Default)]
pub(super) struct All(Vec<Curves>);

impl All {
    /// Adds a detector's curves; with `as_json` also prints them. A test of one class has none, which is said.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn add(
        &mut self,
        as_json: bool,
        kind: &str,
        prepared: &Prepared,
        outcome: &Outcome,
    ) -> Result<(), JobError> {
        let rows = prepared
            .of(Part::TestBenign)
            .chain(prepared.of(Part::TestMalicious));
        let (scores, bad): (Vec<f32>, Vec<bool>) = rows
            .map(|row| {
                let attack = prepared.parts[row] == Part::TestMalicious;
                (outcome.scores[row], attack)
            })
            .unzip();
        let attacks = bad.iter().filter(|bad| **bad).count();
        let points = match curve(&scores, &bad) {
            Some(points) if attacks < bad.len() => points,
            _ => {
                output::note(&format!(
                    "{kind} {}: the test has one class alone, which has no curves",
                    outcome.detector
                ));
                return Ok(());
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "rows of a file")]
        let curves = Curves {
            kind: kind.to_owned(),
            detector: outcome.detector,
            points,
            attacks: attacks as f64 / bad.len() as f64,
        };
        if as_json {
            let object = json!({
                "detector": curves.detector, "kind": kind,
                "roc": thin(&curves.roc()), "precision_recall": thin(&curves.precision_recall()),
            });
            output::line(&object.to_string())?;
        }
        self.0.push(curves);
        Ok(())
    }

    /// Writes all curves.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, place: &Place) -> Result<(), JobError> {
        let bytes = match place.form {
            Form::Csv => self.csv(),
            Form::Parquet => self.parquet(&place.path)?,
            Form::Svg => self.svg(),
        };
        let written = File::create(&place.path).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|e| JobError::io(&place.path, e))
    }

    fn points(&self) -> impl Iterator<Item = (&Curves, &CurvePoint)> {
        self.0
            .iter()
            .flat_map(|curves| curves.points.iter().map(move |point| (curves, point)))
    }

    fn csv(&self) -> Vec<u8> {
        let mut text = "kind,detector,threshold,false_positive_rate,recall,precision\n".to_owned();
        for (curves, p) in self.points() {
            let line = format!(
                "{},{},{},{},{},{}\n",
                field(&curves.kind),
                curves.detector,
                p.score,
                p.false_positive_rate,
                p.recall,
                p.precision
            );
            text.push_str(&line);
        }
        text.into_bytes()
    }

    fn parquet(&self, path: &Path) -> Result<Vec<u8>, JobError> {
        let doubles = |of: fn(&CurvePoint) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(
                self.points().map(|(_, p)| of(p)),
            ))
        };
        // Lists, as texts are only taken from what says how many it has.
        let (kinds, detectors): (Vec<&str>, Vec<&str>) = self
            .points()
            .map(|(curves, _)| (curves.kind.as_str(), curves.detector))
            .unzip();
        let scores = self.points().map(|(_, p)| p.score);
        let columns: [(&str, ArrayRef); 6] = [
            ("kind", Arc::new(StringArray::from(kinds))),
            ("detector", Arc::new(StringArray::from(detectors))),
            (
                "threshold",
                Arc::new(Float32Array::from_iter_values(scores)),
            ),
            ("false_positive_rate", doubles(|p| p.false_positive_rate)),
            ("recall", doubles(|p| p.recall)),
            ("precision", doubles(|p| p.precision)),
        ];
        let failed = |e: &dyn std::fmt::Display| {
            JobError::Internal(format!("{}: cannot write curves ({e})", path.display()))
        };
        let batch = RecordBatch::try_from_iter(columns).map_err(|e| failed(&e))?;
        let mut bytes = vec![];
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), None).map_err(|e| failed(&e))?;
        writer.write(&batch).map_err(|e| failed(&e))?;
        writer.close().map_err(|e| failed(&e))?;
        Ok(bytes)
    }

    /// A row of plots a kind: ROC as it is, ROC from a thousandth of false alarms on, precision by recall.
    fn svg(&self) -> Vec<u8> {
        let mut figures = vec![];
        for of_kind in self.0.chunk_by(|a, b| a.kind == b.kind) {
            let Some(first) = of_kind.first() else {
                continue;
            };
            let drawn = |points: fn(&Curves) -> Vec<(f64, f64)>| -> Vec<Curve> {
                let curve = |(place, curves): (u8, &Curves)| Curve {
                    name: curves.detector.to_owned(),
                    paint: Paint::Series(place),
                    dashed: false,
                    points: thin(&points(curves)),
                };
                (0..).zip(of_kind).map(curve).collect()
            };
            let about = |title: &'static str, description: &'static str, unit| About {
                name: "curves",
                title,
                description,
                unit,
            };
            let found = about(
                "ROC curve",
                "The share of attacks that are alerts, by the share of ordinary requests that are",
                "recall",
            );
            let low = About {
                title: "ROC curve, few false alarms",
                ..found
            };
            let right = about(
                "Precision-recall curve",
                "The share of alerts that are attacks, by the share of attacks that are alerts",
                "precision",
            );
            let kind = output::printable(&first.kind);
            figures.push((
                kind,
                vec![
                    roc(&found, &drawn(Curves::roc), None, WIDTH),
                    roc(&low, &drawn(Curves::roc), Some(1e-3), WIDTH),
                    precision_recall(
                        &right,
                        &drawn(Curves::precision_recall),
                        first.attacks,
                        WIDTH,
                    ),
                ],
            ));
        }
        panels(
            "curves",
            "Detectors on labelled requests",
            "ROC and precision-recall curves of each detector, a row a kind of telemetry",
            &figures,
        )
        .svg()
        .into_bytes()
    }
}

impl Curves {
    /// False-positive rate and recall, from (0, 0) on, both rising.
    fn roc(&self) -> Vec<(f64, f64)> {
        let points = self
            .points
            .iter()
            .map(|p| (p.false_positive_rate, p.recall));
        std::iter::once((0.0, 0.0)).chain(points).collect()
    }

    /// Recall and precision, by rising recall.
    fn precision_recall(&self) -> Vec<(f64, f64)> {
        self.points
            .iter()
            .map(|p| (p.recall, p.precision))
            .collect()
    }
}

/// Few enough points: those that differ from the last kept by more than 1/[`MOST`] in either number, or by a quarter in the first
/// (the beginning of a logarithmic axis), and the last.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let step = 2.0 / MOST as f64;
    let mut kept: Vec<(f64, f64)> = vec![];
    for (place, point) in points.iter().enumerate() {
        let apart = kept.last().is_none_or(|last| {
            (point.0 - last.0).abs() >= step
                || (point.1 - last.1).abs() >= step
                || point.0 > 1.25 * last.0
        });
        if apart || place + 1 == points.len() {
            kept.push(*point);
        }
    }
    kept
}

/// A field of CSV: quoted where it has to be.
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thin_curves_keep_their_ends_and_every_large_step() {
        let many: Vec<(f64, f64)> = (0..=10_000)
            .map(|i| (f64::from(i) / 1e4, (f64::from(i) / 1e4).sqrt()))
            .collect();
        let few = thin(&many);
        assert!(few.len() < 2 * MOST, "{}", few.len());
        assert_eq!((few[0], few[few.len() - 1]), (many[0], many[10_000]));
        for pair in few.windows(2) {
            assert!(pair[1].0 - pair[0].0 < 0.02 && pair[1].1 - pair[0].1 < 0.02);
        }
        // Steps larger than that all stay.
        let steps = [(0.0, 0.0), (0.0, 0.5), (0.4, 0.5), (1.0, 1.0)];
        assert_eq!(thin(&steps), steps);
    }

    #[test]
    fn a_field_of_csv_cannot_end_its_line() {
        assert_eq!(field("http"), "http");
        assert_eq!(field("a\n\"b\",c"), "\"a\n\"\"b\"\",c\"");
    }

    #[test]
    fn a_file_s_end_says_what_it_holds() {
        assert_eq!(place("a/b.CSV").unwrap().form, Form::Csv);
        assert_eq!(place("b.svg").unwrap().form, Form::Svg);
        assert!(place("b.png").unwrap_err().contains(".parquet"));
    }
}
