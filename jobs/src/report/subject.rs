//! What a report is of: how its sections, tables and plots are named, counted and ordered for a kind of telemetry. The code that draws them is one.

use gleaner_udfs::api::{API_CATALOG, Categorical};
use gleaner_udfs::text::catalog::CATALOG;

use super::chart::scale::full;
use super::page::Page;
use super::{Report, counted, finding, judging, requests, summary, worth};
use crate::stages::unit::Unit;
use crate::telemetry::Kind;

/// A column of the table of accounts.
#[derive(Debug, Clone, Copy)]
pub enum Account {
    /// Rows that a stage kept.
    Kept(&'static str),
    /// Rows that it quarantined.
    Quarantined(&'static str),
    /// Rows that it dropped.
    Dropped(&'static str),
    /// What the day cost.
    Cost,
    /// Seconds that it took.
    Secs,
}

/// How what a day adds is counted.
#[derive(Debug, Clone, Copy)]
pub enum Counts {
    /// Values of `key` that no earlier day of the report has in `table`.
    New {
        /// A column.
        key: &'static str,
        /// Its table.
        table: &'static str,
        /// Whether a share of them is counted where they are many: `key` is a hash then.
        share: bool,
    },
    /// Rows that a stage kept.
    Kept(&'static str),
}

/// Something of which each day adds some.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Its column in the table.
    pub column: &'static str,
    /// Name of its plot.
    pub plot: &'static str,
    /// Title of its plot.
    pub title: &'static str,
    /// Colour.
    pub paint: u8,
    /// How it is counted.
    pub counts: Counts,
}

/// What differs between reports of kinds of telemetry.
#[derive(Debug)]
pub struct Subject {
    /// The kind.
    pub kind: Kind,
    /// Title of the page.
    pub title: &'static str,
    /// One row that detectors look at, and several.
    pub unit: [&'static str; 2],
    /// Their table.
    pub table: &'static str,
    /// Flags of `gleaner run` in commands that are shown.
    pub flags: &'static str,
    /// The steps of the funnel: stage, name. The last is what a day is run for.
    pub steps: &'static [(&'static str, &'static str)],
    /// Title of the funnel.
    pub funnel: &'static str,
    /// The same with the numbers: stage, name.
    pub cards: &'static [(&'static str, &'static str)],
    /// The table of the funnel: head, what is counted.
    pub accounts: &'static [(&'static str, Account)],
    /// Its caption.
    pub accounts_caption: &'static str,
    /// What stands above what each day adds.
    pub growth_lead: &'static str,
    /// What each day adds.
    pub growth: &'static [Growth],
    /// Of these the one that has a plot by day: its place, name and title.
    pub growth_by_day: (usize, &'static str, &'static str),
    /// Whether what the detectors chose may become a part of the product: what it is called then.
    pub product: Option<&'static str>,
    /// The rows of a day whose hash is below `{border}`, with their features, by the models `{frequencies}` and `{categories}`; `{date}` is the day. How categorical values
    /// are encoded is the day's own.
    pub features: fn(Categorical) -> String,
    /// The family of a feature.
    pub family: fn(&str) -> Option<String>,
    /// The first sentence, as markup.
    pub lead: fn(&Report) -> String,
    /// What else a reader should know before believing the rest, as markup.
    pub remarks: fn(&Report) -> Vec<String>,
    /// What follows the summary, in this order.
    pub(super) sections: &'static [fn(&Report, &mut Page)],
    /// The same of a report without days.
    pub(super) sections_without_days: &'static [fn(&Report, &mut Page)],
}

static COMMANDS: Subject = Subject {
    kind: Kind::Command,
    title: "What was gleaned",
    unit: ["line", "lines"],
    table: "commands",
    flags: "",
    steps: &[
        ("telemetry", "events"),
        ("commands", "unique lines"),
        ("anomalies", "anomalies"),
        ("candidates", "kept after near-dedup"),
        ("labels", "labelled"),
        ("benign", "benign, emitted"),
    ],
    funnel: "From events to benign training lines, all days",
    cards: &[
        ("telemetry", "events read"),
        ("commands", "unique lines"),
        ("anomalies", "anomalies"),
        ("candidates", "kept after near-dedup"),
        ("benign", "benign lines emitted"),
    ],
    accounts: &[
        ("events", Account::Kept("telemetry")),
        ("quarantined", Account::Quarantined("telemetry")),
        ("unique lines", Account::Kept("commands")),
        ("anomalies", Account::Kept("anomalies")),
        ("near-duplicates", Account::Dropped("candidates")),
        ("kept", Account::Kept("candidates")),
        ("labelled", Account::Kept("labels")),
        ("benign", Account::Kept("benign")),
        ("cost", Account::Cost),
        ("seconds", Account::Secs),
    ],
    accounts_caption: "By day; anomalies = near-duplicates (and what a label budget left out) + kept",
    growth_lead: "Does another day still bring something new? Lines and templates count on the first day of this report that has them; near-dedup holds candidates against all days before.",
    growth: &[
        Growth {
            column: "new lines",
            plot: "cumulative-lines",
            title: "Unique lines, cumulative",
            paint: 0,
            counts: Counts::New {
                key: "hash",
                table: "commands",
                share: true,
            },
        },
        Growth {
            column: "new templates",
            plot: "cumulative-templates",
            title: "Templates, cumulative",
            paint: 5,
            counts: Counts::New {
                key: "template",
                table: "commands",
                share: true,
            },
        },
        Growth {
            column: "candidates kept",
            plot: "cumulative-candidates",
            title: "Candidates kept, cumulative",
            paint: 1,
            counts: Counts::Kept("candidates"),
        },
        Growth {
            column: "new benign lines",
            plot: "cumulative-benign",
            title: "Benign lines, cumulative",
            paint: 2,
            counts: Counts::New {
                key: "hash",
                table: "benign",
                share: false,
            },
        },
    ],
    growth_by_day: (
        1,
        "new-templates",
        "New templates a day: returns diminish where this falls",
    ),
    product: Some("emitted as benign"),
    features: |_| {
        "SELECT cmd_features(command_line, image, parent_image, original_file_name, user_sid, integrity_level, signed, signer_trusted, {frequencies}) AS features \
         FROM commands WHERE day = DATE '{date}' AND hash < '{border}'"
            .to_owned()
    },
    family: |name| {
        let found = CATALOG.iter().find(|f| f.name == name);
        found.map(|f| format!("{:?}", f.family).to_lowercase())
    },
    lead: gleaned,
    remarks: |report| {
        let mut remarks = vec![];
        if report.total("benign", |r| r.rows_kept) == 0 && report.unfinished().is_empty() {
            remarks.push("Nothing was emitted. The rule labeller is careful: it calls benign only what is ordinary and widespread. Analysts' verdicts (<code>gleaner labels audit</code>), a language \
                          model (<code>--labeller llm</code>) or lists (<code>--lists</code>) emit more.".to_owned());
        }
        remarks
    },
    sections: &[
        summary::by_step,
        summary::by_day,
        finding::scores,
        finding::detectors,
        finding::near_duplicates,
        judging::labels,
        judging::emitted,
        worth::lift,
        worth::drift,
    ],
    sections_without_days: &[worth::lift],
};

static REQUESTS: Subject = Subject {
    kind: Kind::Api,
    title: "What stood out",
    unit: ["request", "requests"],
    table: "requests",
    flags: "--kind api ",
    steps: &[
        ("telemetry", "events"),
        ("requests", "unique requests"),
        ("anomalies", "anomalous requests"),
        ("incidents", "incidents"),
    ],
    funnel: "From events to incidents, all days",
    cards: &[
        ("telemetry", "events read"),
        ("requests", "unique requests"),
        ("anomalies", "anomalous requests"),
        ("incidents", "incidents"),
    ],
    accounts: &[
        ("events", Account::Kept("telemetry")),
        ("quarantined", Account::Quarantined("telemetry")),
        ("duplicates", Account::Dropped("requests")),
        ("requests", Account::Kept("requests")),
        ("with windows", Account::Kept("windows")),
        ("anomalous", Account::Kept("anomalies")),
        ("incidents", Account::Kept("incidents")),
        ("seconds", Account::Secs),
    ],
    accounts_caption: "By day; events = duplicates + requests, each of which has its windows",
    growth_lead: "Endpoints and actors count on the first day of this report that has them. An endpoint is a method, a host and the template of a path, as the day's own requests taught it: where \
                  templates change, an endpoint is new.",
    growth: &[
        Growth {
            column: "new endpoints",
            plot: "cumulative-endpoints",
            title: "Endpoints, cumulative",
            paint: 0,
            counts: Counts::New {
                key: "endpoint",
                table: "windows",
                share: false,
            },
        },
        Growth {
            column: "new actors",
            plot: "cumulative-actors",
            title: "Actors, cumulative",
            paint: 5,
            counts: Counts::New {
                key: "actor",
                table: "requests",
                share: false,
            },
        },
        Growth {
            column: "anomalous requests",
            plot: "cumulative-anomalies",
            title: "Anomalous requests, cumulative",
            paint: 1,
            counts: Counts::Kept("anomalies"),
        },
        Growth {
            column: "incidents",
            plot: "cumulative-incidents",
            title: "Incidents, cumulative",
            paint: 3,
            counts: Counts::Kept("incidents"),
        },
    ],
    growth_by_day: (0, "new-endpoints", "New endpoints a day"),
    product: None,
    features: |categorical| {
        Unit::with_features(
            "SELECT request_features AS features FROM requests AS r JOIN windows AS w ON w.hash = r.hash \
             WHERE r.day = DATE '{date}' AND r.hash < '{border}' AND w.day = DATE '{date}' AND w.hash < '{border}'",
            categorical,
        )
    },
    family: |name| {
        let found = API_CATALOG.iter().find(|f| f.name == name);
        found.map(|f| format!("{:?}", f.family).to_lowercase())
    },
    lead: requests::lead,
    remarks: |_| vec![],
    sections: &[
        requests::incidents::write,
        requests::traffic::by_hour,
        requests::traffic::by_endpoint,
        requests::traffic::by_actor,
        requests::sample,
        summary::by_step,
        summary::by_day,
        finding::scores,
        finding::detectors,
        worth::drift,
    ],
    sections_without_days: &[],
};

impl Subject {
    /// That of a kind.
    #[must_use]
    pub const fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::Command => &COMMANDS,
            Kind::Api => &REQUESTS,
        }
    }

    /// The stage that a day is run for.
    #[must_use]
    pub fn last_stage(&self) -> &'static str {
        self.steps.last().map_or("", |(stage, _)| *stage)
    }
}

/// What came of command lines, in a sentence.
fn gleaned(report: &Report) -> String {
    let of = |stage: &str| report.total(stage, |r| r.rows_kept);
    let (events, unique, benign) = (of("telemetry"), of("commands"), of("benign"));
    let worth = if benign > 0 {
        let one_in = full(events / benign.max(1));
        format!(
            "<b>{}</b> were emitted as benign training data, one for every {one_in} events.",
            counted(benign, "line", "lines")
        )
    } else {
        "<b>none</b> was emitted as benign training data yet.".to_owned()
    };
    format!(
        "In {}, {} held {}{}. The detectors chose {} of them, near-dedup kept {}, and {worth}",
        counted(report.data.days.len() as u64, "day", "days"),
        counted(events, "event", "events"),
        counted(unique, "unique command line", "unique command lines"),
        report.each_day(),
        full(of("anomalies")),
        full(of("candidates")),
    )
}
