//! How a run is shown: bars on a terminal, one line a stage otherwise, one JSON object a stage for machines.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::logging::{self, LogFormat};
use crate::stages::{Progress, StageRecord, thresholds};

/// Shows one day.
pub struct Shown {
    bar: ProgressBar,
    json: bool,
    day: String,
}

impl Shown {
    /// Bars when standard error is a terminal and `json` is off.
    #[must_use]
    pub fn new(day: &str, json: bool) -> Self {
        let bar = ProgressBar::new(0);
        if json || logging::format() == LogFormat::Json || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template(
            "{prefix:>12} {bar:30} {pos}/{len} {msg} {elapsed} left {eta}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self {
            bar,
            json,
            day: day.to_owned(),
        }
    }

    fn say(&self, text: &str) {
        if logging::format() == LogFormat::Json {
            log::info!("{text}");
        } else if self.bar.is_hidden() {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        } else {
            self.bar.println(text);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Shown {
    fn step(&self, stage: &str, step: &str, tasks: usize) {
        self.bar.reset();
        self.bar.set_length(tasks as u64);
        self.bar.set_prefix(stage.to_owned());
        self.bar.set_message(step.to_owned());
    }

    fn task_done(&self) {
        self.bar.inc(1);
    }

    fn message(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    fn remark(&self, text: &str) {
        self.say(&format!("{} {text}", self.day));
    }

    fn stage_done(&self, record: &StageRecord) {
        if self.json {
            let mut object = serde_json::json!({
                "date": self.day,
                "stage": record.stage,
                "rows_in": record.rows_in,
                "rows_kept": record.rows_kept,
                "rows_quarantined": record.rows_quarantined,
                "rows_dropped": record.rows_dropped,
                "secs": record.secs,
                "bytes": record.bytes,
                "digest": record.digest,
                "unchanged": record.reused,
            });
            let outcomes: BTreeMap<_, _> = thresholds::outcomes(record).into_iter().collect();
            if !outcomes.is_empty() {
                object["thresholds"] = serde_json::json!(outcomes);
            }
            let _ = output::line(&object.to_string());
            return;
        }
        // The log has said it.
        if logging::format() == LogFormat::Text {
            self.say(&stage_line(&self.day, record));
        }
    }
}

/// One line of a stage, for people.
#[must_use]
pub fn stage_line(day: &str, record: &StageRecord) -> String {
    let what = match record.stage.as_str() {
        "telemetry" => "events of the day",
        "commands" => "unique lines",
        "requests" => "requests",
        "windows" => "requests with what came before",
        "incidents" => "incidents",
        "models" => "lines to fit on",
        "anomalies" => "anomalies",
        "candidates" => "after near-dedup",
        "labels" => "labelled",
        _ => "benign",
    };
    let quarantined = match record.rows_quarantined {
        0 => String::new(),
        n => format!(", {} in quarantine", thousands(n)),
    };
    let took = if record.reused {
        "unchanged".to_owned()
    } else {
        format!("{:.1} s", record.secs)
    };
    let stage = &record.stage;
    let (rows_in, kept) = (thousands(record.rows_in), thousands(record.rows_kept));
    format!("{day} {stage:<10} {rows_in:>12} rows in {kept:>12} {what}{quarantined} ({took})")
}

/// `1,234,567`.
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 50_000_000].map(super::thousands),
            ["0", "999", "1,000", "50,000,000"]
        );
    }
}
