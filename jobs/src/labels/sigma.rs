//! Sigma rules of the user's own, loaded from a directory: a hit keeps a line from being benign as a hard rule does.
//!
//! What: every `.yml` and `.yaml` file below the directory is read. Rules of `logsource: category: process_creation` look at each kept
//! candidate under Sysmon's field names ([`FIELDS`]), once as it was recorded and once for each text that it decodes to. Rules of other
//! log sources, correlations, and rules whose status is `deprecated` or `unsupported` are left out and counted.
//!
//! A file that cannot be used as it stands is an error that names it: a veto that is silently not there is worse than a run that does not start.
//!
//! Why in the driver and not in the executors: it is where hard rules stand before a language model, where analysts' lists are, and the only place
//! where a user's file need exist; what is decided travels to the executors as rows, so that they can see no other rules.
//!
//! Levels: `critical` makes a line malicious; `high`, `medium`, and no level suspicious; `low` and `informational` mark a dual use, which keeps the
//! rule labeller from saying benign, and which a language model may outweigh, as with the built-in rules of that level.
//!
//! Cost: rules × patterns × length of the line; spread over the cores. Lines beyond [`MAX_BYTES`] are read at both ends, and never benign.
//!
//! Source: the Sigma specification 2.0, as `sigma-rust` implements it (all modifiers but `expand`, and none of `re`'s flags).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gleaner_udfs::text::decode::decode;
use gleaner_udfs::text::label::Verdict;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_norway::Value;
use sigma_rust::{Event, Rule};

use super::Line;
use crate::error::JobError;

/// The fields that a line comes with, by Sysmon's names.
pub const FIELDS: [&str; 7] = [
    "CommandLine",
    "Image",
    "ParentImage",
    "ParentCommandLine",
    "User",
    "OriginalFileName",
    "IntegrityLevel",
];
/// Bytes of a line that rules look at: the first and the last half of this, where a line is longer. Windows allows 32,767 characters.
pub const MAX_BYTES: usize = 32 * 1024;
/// No rule is this long; what is, is no rule.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files named in one message.
const NAMED: usize = 10;

/// A rule that a line hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// `sigma:` and the rule's id, or its file's path below the directory where it has none.
    pub name: String,
    /// What it says of itself.
    pub title: String,
    /// What a hit proves.
    pub verdict: Verdict,
    /// Whether no label outweighs it.
    pub vetoes: bool,
}

struct Loaded {
    name: String,
    title: String,
    verdict: Verdict,
    vetoes: bool,
    product: Option<String>,
    rule: Rule,
}

/// Rules, ready to be asked.
#[derive(Default)]
pub struct SigmaRules {
    rules: Vec<Loaded>,
    /// Documents that are no rule of processes, or out of use.
    left_out: u64,
    /// Fields that lines do not come with, and how many rules look at each.
    blind: BTreeMap<String, u64>,
    /// Rules that look at such fields alone, and never hit.
    never: u64,
    fingerprint: String,
}

/// What of a document says whether it is a rule to be used.
#[derive(Deserialize)]
struct Head {
    logsource: Option<Logsource>,
    correlation: Option<IgnoredAny>,
    action: Option<IgnoredAny>,
    status: Option<String>,
    level: Option<String>,
}

#[derive(Deserialize)]
struct Logsource {
    category: Option<String>,
    product: Option<String>,
}

impl SigmaRules {
    /// Loads a directory, or one file.
    ///
    /// # Errors
    /// When there is no such place, no rule of processes in it, or a file that is no rule or wants what is not supported: up to ten are named.
    pub fn read(place: &str) -> Result<Self, JobError> {
        let root = Path::new(place);
        let mut files = vec![];
        walk(root, &mut files)?;
        files.sort();
        let mut loaded = Self::default();
        let mut refused = vec![];
        let mut content = String::new();
        for file in &files {
            let shown = file
                .strip_prefix(root)
                .ok()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(file);
            let shown = shown.to_string_lossy().replace('\\', "/");
            match text(file).and_then(|text| loaded.add(&shown, &text).map(|used| (text, used))) {
                Ok((text, used)) => {
                    if used {
                        content.push_str(&shown);
                        content.push('\0');
                        content.push_str(&text);
                        content.push('\0');
                    }
                }
                Err(why) => refused.push(format!("{shown}: {why}")),
            }
        }
        if !refused.is_empty() {
            let more = refused.len().saturating_sub(NAMED);
            let n = refused.len();
            refused.truncate(NAMED);
            if more > 0 {
                refused.push(format!("and {more} more"));
            }
            return Err(JobError::Usage(format!(
                "--sigma {place}: {n} files cannot be used; mend them, or move them elsewhere: {}",
                refused.join("; ")
            )));
        }
        if loaded.rules.is_empty() {
            return Err(JobError::Usage(format!(
                "--sigma {place}: {} files with the extension .yml or .yaml and no rule of category process_creation in them; name a directory that has some",
                files.len()
            )));
        }
        // The worst first: it is the one that a label's reason names.
        loaded
            .rules
            .sort_by(|a, b| (rank(b.verdict), &a.name).cmp(&(rank(a.verdict), &b.name)));
        let mut names = BTreeSet::new();
        if let Some(twice) = loaded.rules.iter().find(|r| !names.insert(&r.name)) {
            return Err(JobError::Usage(format!(
                "--sigma {place}: two rules have the id {:?}; remove one of them",
                twice.name
            )));
        }
        gleaner_udfs::model_cache::sha256(content.as_bytes())[..16]
            .clone_into(&mut loaded.fingerprint);
        Ok(loaded)
    }

    /// Adds the rules of a file; `true` when there are any.
    fn add(&mut self, shown: &str, text: &str) -> Result<bool, String> {
        let mut used = false;
        for document in serde_norway::Deserializer::from_str(text) {
            let value = Value::deserialize(document).map_err(|e| format!("no YAML: {e}"))?;
            if value.is_null() {
                continue;
            }
            let head: Head =
                serde_norway::from_value(value.clone()).map_err(|e| format!("no rule: {e}"))?;
            if head.action.is_some() {
                return Err(
                    "a collection (action:) is not supported; write its rules out".to_owned(),
                );
            }
            if head.correlation.is_some() {
                self.left_out += 1;
                continue;
            }
            let Some(source) = head.logsource else {
                return Err("no rule: it has no logsource".to_owned());
            };
            let out_of_use = head
                .status
                .is_some_and(|s| matches!(s.as_str(), "deprecated" | "unsupported"));
            if out_of_use || source.category.as_deref() != Some("process_creation") {
                self.left_out += 1;
                continue;
            }
            let (verdict, vetoes) = proves(head.level.as_deref())?;
            let fields = value.get("detection").map(fields).unwrap_or_default();
            let rule: Rule = serde_norway::from_value(value).map_err(|e| e.to_string())?;
            selects(&rule)?;
            let unknown = fields.iter().filter(|f| !FIELDS.contains(&f.as_str()));
            for field in unknown {
                *self.blind.entry(field.clone()).or_default() += 1;
            }
            if !fields.is_empty() && !fields.iter().any(|f| FIELDS.contains(&f.as_str())) {
                self.never += 1;
            }
            self.rules.push(Loaded {
                name: format!("sigma:{}", rule.id.as_deref().unwrap_or(shown)),
                title: rule.title.clone(),
                verdict,
                vetoes,
                product: source.product.map(|p| p.to_lowercase()),
                rule,
            });
            used = true;
        }
        Ok(used)
    }

    /// How many rules are asked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Of the names and the whole content of all files with rules that are asked.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What the user should know of what was loaded.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut said = format!("Sigma: {} rules of process creation", self.rules.len());
        if self.left_out > 0 {
            let _ = write!(
                said,
                "; {} of other log sources or out of use are left out",
                self.left_out
            );
        }
        if !self.blind.is_empty() {
            let named: Vec<String> = self
                .blind
                .iter()
                .map(|(field, n)| format!("{field} {n}"))
                .collect();
            let _ = write!(
                said,
                "; some look at fields that lines do not come with ({}), and {} of them at no other, so that they never hit",
                named.join(", "),
                self.never
            );
        }
        said
    }

    /// The rules that each line hits, the worst first.
    #[must_use]
    pub fn hits(&self, lines: &[Line]) -> Vec<Vec<Hit>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let share = lines.len().div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = lines
                .chunks(share)
                .map(|part| {
                    (
                        part,
                        scope.spawn(move || part.iter().map(|line| self.of(line)).collect()),
                    )
                })
                .collect();
            parts
                .into_iter()
                .flat_map(|(part, thread)| {
                    let found: Result<Vec<Vec<Hit>>, _> = thread.join();
                    // A rule that cannot be asked fails closed: nothing of its share is benign.
                    found.unwrap_or_else(|_| part.iter().map(|_| vec![unread()]).collect())
                })
                .collect()
        })
    }

    fn of(&self, line: &Line) -> Vec<Hit> {
        let shown = ends(&line.command_line);
        let decoded = decode(&shown).texts;
        let events: Vec<Event> = std::iter::once(&shown)
            .chain(&decoded)
            .map(|text| event(line, text))
            .collect();
        let os = line.os.as_deref().map(str::to_lowercase);
        let mut hits: Vec<Hit> = self
            .rules
            .iter()
            .filter(|rule| match (&rule.product, &os) {
                // What is not known of a line is never in its favour.
                (Some(product), Some(os)) => {
                    product == os || !matches!(product.as_str(), "windows" | "linux" | "macos")
                }
                _ => true,
            })
            .filter(|rule| events.iter().any(|event| rule.rule.is_match(event)))
            .map(|rule| Hit {
                name: rule.name.clone(),
                title: rule.title.clone(),
                verdict: rule.verdict,
                vetoes: rule.vetoes,
            })
            .collect();
        if shown.len() < line.command_line.len() {
            hits.push(unread());
        }
        hits
    }
}

fn unread() -> Hit {
    Hit {
        name: "sigma:unread".to_owned(),
        title: "the line could not be read whole by Sigma rules".to_owned(),
        verdict: Verdict::Uncertain,
        vetoes: true,
    }
}

/// How much a verdict outweighs others.
pub(super) const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Malicious => 3,
        Verdict::Suspicious => 2,
        Verdict::Uncertain => 1,
        Verdict::Benign => 0,
    }
}

fn proves(level: Option<&str>) -> Result<(Verdict, bool), String> {
    match level {
        Some("critical") => Ok((Verdict::Malicious, true)),
        Some("high" | "medium") | None => Ok((Verdict::Suspicious, true)),
        Some("low" | "informational") => Ok((Verdict::Uncertain, false)),
        Some(other) => Err(format!(
            "level {other:?}: expected informational, low, medium, high or critical"
        )),
    }
}

/// `all of` a name that no selection has would hit every line, and `1 of` it none.
fn selects(rule: &Rule) -> Result<(), String> {
    let words: Vec<&str> = rule
        .detection
        .get_condition()
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')'))
        .filter(|word| !word.is_empty())
        .collect();
    let names = rule.detection.get_selections();
    for pair in words.windows(2) {
        let pattern = pair[1];
        if pair[0] != "of" || pattern == "them" {
            continue;
        }
        let pattern: Vec<char> = pattern.chars().collect();
        let selects =
            |name: &String| super::lists::matches(&pattern, &name.chars().collect::<Vec<_>>());
        if !names.keys().any(selects) {
            return Err(format!(
                "its condition names selections {:?}, and there are none",
                pair[1]
            ));
        }
    }
    Ok(())
}

/// The fields that a detection looks at.
fn fields(detection: &Value) -> BTreeSet<String> {
    fn of(selection: &Value, found: &mut BTreeSet<String>) {
        match selection {
            Value::Sequence(parts) => parts.iter().for_each(|part| of(part, found)),
            Value::Mapping(fields) => found.extend(
                fields
                    .keys()
                    .filter_map(Value::as_str)
                    .map(|key| key.split('|').next().unwrap_or(key).to_owned()),
            ),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for (name, selection) in detection.as_mapping().into_iter().flatten() {
        if name.as_str() != Some("condition") {
            of(selection, &mut found);
        }
    }
    found
}

fn event(line: &Line, text: &str) -> Event {
    // What a line lacks is null, which rules ask for by name.
    let value = |value: &Option<String>| value.clone();
    let mut event = Event::new();
    event.insert("CommandLine", text.to_owned());
    for (field, value) in [
        ("Image", value(&line.image)),
        ("ParentImage", value(&line.parent_image)),
        ("ParentCommandLine", value(&line.parent_command_line)),
        ("User", value(&line.user)),
        ("OriginalFileName", value(&line.original_file_name)),
        ("IntegrityLevel", value(&line.integrity_level)),
    ] {
        match value {
            Some(value) => event.insert(field, ends(&value)),
            None => event.insert(field, None),
        }
    }
    event
}

/// The first and the last half of what is read of a text.
fn ends(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let mut first = MAX_BYTES / 2;
    while !text.is_char_boundary(first) {
        first -= 1;
    }
    let mut last = text.len() - MAX_BYTES / 2 + 1;
    while !text.is_char_boundary(last) {
        last += 1;
    }
    let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
    part(text.get(..first)) + " " + &part(text.get(last..))
}

fn walk(place: &Path, found: &mut Vec<PathBuf>) -> Result<(), JobError> {
    let failed = |e| JobError::io(place, e);
    if !place.is_dir() {
        let given = std::fs::metadata(place).map_err(failed)?;
        if given.is_file() {
            found.push(place.to_owned());
        }
        return Ok(());
    }
    for entry in std::fs::read_dir(place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        let rule = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("yml") || e.eq_ignore_ascii_case("yaml"));
        // A link to a directory is not followed: it may lead back.
        if kind.is_dir() {
            walk(&path, found)?;
        } else if rule && !path.is_dir() {
            found.push(path);
        }
    }
    Ok(())
}

fn text(file: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!("{bytes} bytes; no rule is longer than 1 MiB"));
    }
    std::fs::read_to_string(file).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
