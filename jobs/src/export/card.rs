//! The data card: `README.md` of an exported directory, for people, and for the Hugging Face hub, which reads its front matter. And `export.json`.
//!
//! A line in it is hostile text: it stands in a code fence longer than any run of backticks in it, control characters shown as escapes; other
//! values of the warehouse are code spans. What the owner says (name, licence) is quoted as JSON strings, which are YAML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::account::Account;
use super::place::{MANIFEST, Place};
use super::{Format, Plan, Split, table};
use crate::cli::output::printable;
use crate::cli::progress::thousands;
use crate::error::JobError;

/// Characters of an example.
const EXAMPLE: usize = 240;

/// Writes card and manifest.
///
/// # Errors
/// When there is no room.
pub(super) fn write(plan: &Plan, place: &Place, account: &Account) -> Result<(), JobError> {
    let manifest =
        serde_json::to_string_pretty(account).map_err(|e| JobError::Internal(e.to_string()))?;
    place.write(MANIFEST, (manifest + "\n").as_bytes())?;
    place.write("README.md", text(plan, account).as_bytes())
}

fn text(plan: &Plan, account: &Account) -> String {
    let mut out = String::new();
    if plan.format == Format::Hf {
        front_matter(&mut out, account);
    }
    for part in [
        head, splits, counts, quality, sources, lineage, licence, columns, examples, limits, load,
    ] {
        part(&mut out, plan, account);
    }
    out
}

/// A string as YAML and JSON both read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value as a code span that nothing in it ends.
fn span(text: &str) -> String {
    let shown = printable(text).replace(['`', '\n', '\r', '|'], "·");
    format!("`{shown}`")
}

fn front_matter(out: &mut String, account: &Account) {
    let license = account.license.as_deref().unwrap_or("unknown");
    let size = match account.rows() {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        _ => "100M<n<1B",
    };
    let held = || Split::ALL.into_iter().filter(|s| account.rows_of(*s) > 0);
    let _ = write!(
        out,
        "---\nlicense: {}\npretty_name: {}\ntask_categories:\n- text-classification\ntags:\n- security\n- command-line\n- anomaly-detection\n\
         size_categories:\n- {}\nconfigs:\n- config_name: default\n  data_files:\n",
        quoted(license),
        quoted(&account.name),
        quoted(size),
    );
    for split in held() {
        let name = split.name();
        let _ = write!(out, "  - split: {name}\n    path: data/{name}-*.parquet\n");
    }
    out.push_str("dataset_info:\n  features:\n");
    for field in table::schema(account.redacted).fields() {
        let _ = writeln!(out, "  - name: {}", field.name());
        if field.name() == "label" {
            out.push_str("    dtype:\n      class_label:\n        names:\n          '0': benign\n          '1': malicious\n");
            continue;
        }
        let _ = match field.data_type() {
            DataType::List(_) => writeln!(out, "    list: string"),
            kind => writeln!(out, "    dtype: {}", hf_type(kind)),
        };
    }
    out.push_str("  splits:\n");
    for split in held() {
        let _ = write!(
            out,
            "  - name: {}\n    num_examples: {}\n",
            split.name(),
            account.rows_of(split)
        );
    }
    out.push_str("---\n\n");
}

fn hf_type(kind: &DataType) -> &'static str {
    match kind {
        DataType::Int64 => "int64",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Boolean => "bool",
        DataType::Date32 => "date32",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "timestamp[us, tz=UTC]",
        _ => "string",
    }
}

fn head(out: &mut String, _: &Plan, account: &Account) {
    let what = match (account.days.is_empty(), account.baseline.is_empty()) {
        (false, true) => {
            "Rare, complex and **benign** command lines: anomalies of a day's telemetry, without near-duplicates, that were labelled benign. \
             They are meant to be added to the training set of a classifier of command lines, which raises false alarms on such lines"
        }
        (false, false) => {
            "A training set of command lines: a labelled baseline, and the rare, complex and **benign** lines that Gleaner found in telemetry and labelled"
        }
        _ => "Labelled command lines, as a training set",
    };
    let redacted = if account.redacted {
        " Secrets, user names and internal host names were replaced (`<secret:KIND:LENGTH>`, `<user:…>`, `<host:…>`); lines of which that could not be shown are left out."
    } else {
        " **The lines are as they ran: they may hold secrets and names.** `--redact` cuts them."
    };
    let _ = write!(
        out,
        "# {}\n\n{what}. Made by `gleaner export --format {}` {}.{redacted}\n\n",
        markdown(&account.name),
        account.format,
        account.gleaner,
    );
}

/// Text of the owner's in running prose: no markup of theirs.
fn markdown(text: &str) -> String {
    printable(text)
        .chars()
        .flat_map(|c| {
            let marks = "\\`*_{}[]<>()#+!|~&".contains(c);
            marks.then_some('\\').into_iter().chain([c])
        })
        .collect::<String>()
        .replace(['\n', '\r'], " ")
}

fn splits(out: &mut String, plan: &Plan, account: &Account) {
    out.push_str("| split | rows | benign | malicious |\n|---|---|---|---|\n");
    for split in Split::ALL {
        if account.rows_of(split) == 0 {
            continue;
        }
        let of = |label: &str| {
            let counts = account
                .counts
                .get(split.name())
                .and_then(|c| c.get("label"));
            thousands(counts.and_then(|c| c.get(label)).copied().unwrap_or(0))
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            split.name(),
            thousands(account.rows_of(split)),
            of("benign"),
            of("malicious")
        );
    }
    let why = match (plan.test_from, plan.test.is_empty()) {
        (Some(day), _) => format!(
            "The split is by time: lines emitted from {day} on are the test. Gleaner emits no line twice, nor a near-duplicate of one emitted before, so that \
             what is tested was not trained on."
        ),
        (None, false) => {
            "The test is of labelled files. Training rows that it knows (equal, of one template, near-duplicates) are left out.".to_owned()
        }
        (None, true) => {
            "There is no test split: these are lines to train on. Measure on lines of your own, from other places than these.".to_owned()
        }
    };
    let _ = write!(out, "\n{why}\n\n");
    let left = &account.left_out;
    let reasons = [
        (left.exact, "training rows whose text the test has"),
        (
            left.template,
            "training rows of a template that the test has",
        ),
        (
            left.near,
            "training rows that are near-duplicates of the test's",
        ),
        (left.known, "benign lines that were there already"),
        (
            left.contradicted,
            "benign lines that the baseline calls malicious",
        ),
        (
            left.refused,
            "lines that could not be redacted with certainty",
        ),
        (
            left.unlabelled,
            "rows of labelled files without a line or a label",
        ),
    ];
    let reasons: Vec<String> = reasons
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, why)| format!("{} {why}", thousands(*n)))
        .collect();
    if !reasons.is_empty() {
        let _ = write!(out, "Left out: {}.\n\n", reasons.join("; "));
    }
}

fn counts(out: &mut String, _: &Plan, account: &Account) {
    let mut all: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for split in account.counts.values() {
        for (column, values) in split {
            for (value, n) in values {
                *all.entry(column).or_default().entry(value).or_default() += n;
            }
        }
    }
    out.push_str("## Counts\n\n");
    for (column, title) in [
        ("day", "By day"),
        ("label_source", "By who labelled"),
        ("labeller", "By labeller"),
        ("model", "By model"),
        ("prompt", "By prompt (hash)"),
        ("detectors", "By detector (a line may have several)"),
        ("os", "By system"),
    ] {
        let Some(values) = all.get(column).filter(|values| !values.is_empty()) else {
            continue;
        };
        let _ = write!(out, "| {title} | rows |\n|---|---|\n");
        for (value, n) in values {
            let _ = writeln!(out, "| {} | {} |", span(value), thousands(*n));
        }
        out.push('\n');
    }
}

fn quality(out: &mut String, _: &Plan, account: &Account) {
    if account.days.is_empty() {
        return;
    }
    out.push_str("## How right the benign label is\n\n");
    match account.reviews.as_ref().and_then(|r| r.precision.map(|p| (r, p))) {
        Some((reviews, precision)) => {
            let _ = write!(
                out,
                "Analysts looked at {} of the lines labelled benign, drawn at random from the whole warehouse (`gleaner labels audit`), and called {} of them \
                 something else: precision **{precision:.4}** (95%, Clopper and Pearson: {:.4} to {:.4}).\n\n",
                reviews.reviewed_benign, reviews.wrong, reviews.precision_low, reviews.precision_high
            );
        }
        None => out.push_str(
            "No analyst has looked at a sample of it: its precision is **not measured** by people (`gleaner labels audit` draws a sample).\n\n",
        ),
    }
    if account.precision.is_empty() {
        out.push_str("No language model labelled any of it, so that there are no canaries to measure one by.\n\n");
    }
    for set in &account.precision {
        let shown: Vec<String> = set.shown().iter().map(|line| printable(line)).collect();
        fence(out, &shown.join("\n"));
    }
}

fn sources(out: &mut String, _: &Plan, account: &Account) {
    out.push_str("## Sources\n\n");
    if !account.days.is_empty() {
        let files: u64 = account.days.iter().map(|d| d.files).sum();
        let of = |n: usize| thousands(account.days.iter().map(|d| d.rows[n]).sum());
        let _ = write!(
            out,
            "Process-creation telemetry of {} days, {} files: {} rows read, {} kept, {} quarantined. Whose machines these are, and what their users were told, \
             is for the owner of this set to say here.\n\n",
            account.days.len(),
            thousands(files),
            of(0),
            of(1),
            of(2)
        );
    }
    for (what, files) in [("Baseline", &account.baseline), ("Test", &account.test)] {
        if !files.is_empty() {
            let names: Vec<String> = files.iter().map(|name| span(name)).collect();
            let _ = write!(out, "{what}: {}.\n\n", names.join(", "));
        }
    }
}

fn lineage(out: &mut String, _: &Plan, account: &Account) {
    if account.days.is_empty() {
        return;
    }
    out.push_str(
        "## Lineage\n\nThe fingerprint names what a day's benign set rests on (inputs, code, flags, models, verdicts), the digest its rows; the same are in `runs` of the \
         warehouse. Models are named by the SHA-256 of their bytes.\n\n| day | gleaner | fingerprint | digest | models |\n|---|---|---|---|---|\n",
    );
    for day in &account.days {
        let short = |text: &str| span(text.get(..16).unwrap_or(text));
        let models: Vec<String> = day
            .models
            .iter()
            .map(|(kind, sha256)| format!("{kind} {}", short(sha256)))
            .collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            day.date,
            span(&day.gleaner),
            short(&day.fingerprint),
            short(&day.digest),
            models.join(", ")
        );
    }
    out.push_str("\n`export.json` has them whole.\n\n");
}

fn licence(out: &mut String, _: &Plan, account: &Account) {
    let said = match &account.license {
        Some(license) => span(license),
        None => "**unknown: fill in.** Nobody said under which licence this set may be used (`--license`). Until its owner does, assume that it may not.".to_owned(),
    };
    let _ = write!(out, "## Licence\n\n{said}\n\n");
}

fn columns(out: &mut String, plan: &Plan, account: &Account) {
    out.push_str("## Columns\n\n");
    if plan.format == Format::Libsvm {
        let _ = write!(
            out,
            "`features.csv` says what each of the columns is. A row is `0` (benign) or `1` (malicious) and its values, columns from 1 on. A feature that is not in a row \
             is missing; an n-gram that is not in it is absent.{}\n\n",
            account
                .classifier
                .map_or_else(String::new, |family| format!(
                    " The columns are those of a classifier of the family {family}."
                ))
        );
        return;
    }
    out.push_str("| column | what |\n|---|---|\n");
    for (name, private, what) in table::COLUMNS {
        if !(*private && account.redacted) {
            let _ = writeln!(out, "| `{name}` | {what} |");
        }
    }
    out.push('\n');
}

fn examples(out: &mut String, plan: &Plan, account: &Account) {
    if account.examples.is_empty() || plan.format == Format::Libsvm {
        return;
    }
    out.push_str("## Examples\n\n");
    for line in &account.examples {
        let shown = printable(line);
        let cut: String = shown.chars().take(EXAMPLE).collect();
        let more = if cut.len() < shown.len() { " …" } else { "" };
        fence(out, &format!("{cut}{more}"));
    }
}

/// A code block that nothing in it ends.
fn fence(out: &mut String, text: &str) {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let ticks = "`".repeat(longest.max(2) + 1);
    let _ = write!(out, "{ticks}text\n{text}\n{ticks}\n\n");
}

fn limits(out: &mut String, _: &Plan, account: &Account) {
    out.push_str(
        "## Known limits\n\n- The benign lines are anomalies: they are no sample of what runs on the machines, and their shares of programs or systems say nothing about those.\n\
         - A line says what was started, not what it did. What is benign where it was seen may be malicious elsewhere.\n",
    );
    if !account.redacted {
        out.push_str("- Not redacted: treat it as you treat the telemetry.\n");
    }
    if account.baseline.is_empty() {
        out.push_str("- One class: to train a classifier add malicious lines (`--baseline`).\n");
    } else {
        out.push_str("- Labels of the baseline are its owner's; they were not checked.\n");
    }
    out.push('\n');
}

fn load(out: &mut String, plan: &Plan, account: &Account) {
    let code = match plan.format {
        Format::Hf => {
            "from datasets import load_dataset\n\nlines = load_dataset(\"PATH/OF/THIS/DIRECTORY\", split=\"train\")"
        }
        Format::Parquet => "import pandas\n\nlines = pandas.read_parquet(\"train.parquet\")",
        Format::Csv => {
            "import pandas\n\nlines = pandas.read_csv(\"train.csv\", keep_default_na=False, na_values={})"
        }
        _ => {
            "from sklearn.datasets import load_svmlight_file\n\nx, y = load_svmlight_file(\"train.libsvm\", zero_based=False)"
        }
    };
    let _ = write!(out, "## Use\n\n```python\n{code}\n```\n\n");
    let days = match (account.days.first(), account.days.last()) {
        (Some(first), Some(last)) => format!(", telemetry of {} to {}", first.date, last.date),
        _ => String::new(),
    };
    let _ = write!(
        out,
        "## How to cite\n\n{}{days}; made with Gleaner {} after Gelman and Bergeron (Sophos AI, Black Hat USA 2025). Name the fingerprints above: they say which version of the set it was.\n",
        markdown(&account.name),
        account.gleaner
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_ends_its_fence() {
        let mut out = String::new();
        fence(&mut out, "echo ```` > x\n```\n# not a heading");
        let ticks = "`".repeat(5);
        assert!(
            out.starts_with(&format!("{ticks}text\n")) && out.ends_with(&format!("\n{ticks}\n\n"))
        );
        assert_eq!(out.matches(&ticks).count(), 2);
    }

    #[test]
    fn a_value_stays_in_its_cell_and_a_name_is_no_markup() {
        assert_eq!(span("a`|b\nc\u{202e}"), "`a··b·c\\u{202e}`");
        assert_eq!(markdown("<b>*x*"), "\\<b\\>\\*x\\*");
        assert_eq!(quoted("a\"b: c"), "\"a\\\"b: c\"");
    }
}
