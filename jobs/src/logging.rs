//! The logger of every program of ours: for people, or one JSON object a line for machines.

use std::io::Write as _;
use std::sync::OnceLock;

use log::{LevelFilter, Record};
use serde::Serialize;

use crate::observe::context;
use crate::storage::SECRETIVE_LOGS;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: time, level, target, message, and run, job, day, stage and task where they are known.
    Json,
}

/// The flag of the log's form; for every program.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct LogArgs {
    /// What standard error's log looks like: text, or json (one object a line, with the run, job, day, stage and task it is about). Its level is
    /// `RUST_LOG`'s.
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "GLEANER_LOG_FORMAT",
        global = true,
        hide_short_help = true
    )]
    pub log_format: LogFormat,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// How this process logs.
#[must_use]
pub fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or_default()
}

/// Logs to standard error at `default` and above, or as `RUST_LOG` says; modules that would log a secret stay silent.
pub fn init(default: &str, format: LogFormat) {
    let _ = FORMAT.set(format);
    let mut logger =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default));
    for module in SECRETIVE_LOGS {
        logger.filter_module(module, LevelFilter::Off);
    }
    if format == LogFormat::Json {
        logger.format(|out, record| writeln!(out, "{}", line(record)));
    }
    // A second call is a test's.
    let _ = logger.try_init();
}

/// A record as one line of JSON: line breaks and control characters of the message are escaped.
fn line(record: &Record) -> String {
    let about = context::current();
    let line = Line {
        time: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        level: record.level().as_str(),
        target: record.target(),
        message: record.args().to_string(),
        run: about.run.as_deref(),
        job: about.job.as_deref(),
        day: about.day.map(|day| day.to_string()),
        stage: about.stage.as_deref(),
        task: about.task.as_deref(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_one_object_and_says_what_it_is_about() {
        let about = context::Context {
            run: Some("r1".into()),
            stage: Some("labels".into()),
            ..context::Context::default()
        };
        let text = context::scope(about, async {
            line(
                &Record::builder()
                    .args(format_args!("two\nlines \"quoted\" \u{1b}[2J"))
                    .level(log::Level::Warn)
                    .target("gleaner::x")
                    .build(),
            )
        })
        .await;
        assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], "two\nlines \"quoted\" \u{1b}[2J");
        assert_eq!(
            (&object["run"], &object["stage"], &object["level"]),
            (&"r1".into(), &"labels".into(), &"WARN".into())
        );
        assert!(object.get("day").is_none());
        let time = object["time"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    }
}
