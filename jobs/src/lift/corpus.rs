//! The lines of the experiment, each with the source that it is from, and how sources are dealt to roles.
//!
//! A source has one role, whole: what the test holds is of sources that neither the baseline nor the telemetry has a line of. Which sources those
//! are is drawn by the seed: with a chance in proportion to the lines that a role still lacks, where the source is not more than
//! `OVERFULL` times the lines that the role wants. Sources that have malicious lines are dealt first, by those.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::array::{Array, AsArray};
use gleaner_classifier::leakage::Keys;
use gleaner_classifier::text::Lines;
use gleaner_udfs::rng::{SplitMix64, mix};
use gleaner_udfs::text::label::Verdict;

use super::{baselines, by_rules_alone};
use crate::error::JobError;
use crate::session;
use crate::synth::SynthParams;

/// A source that is larger than this many times what a role wants has another role.
const OVERFULL: f64 = 1.6;
const MEMORY_BYTES: usize = 1 << 30;

/// What a source's lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The classifier's training set as it is.
    Baseline,
    /// The telemetry that lines are chosen from.
    Telemetry,
    /// The incident test.
    Test,
}

const ROLES: [Role; 3] = [Role::Baseline, Role::Telemetry, Role::Test];
/// Shares of the benign lines that roles want, in the order of [`ROLES`].
const BENIGN: [f64; 3] = [0.15, 0.70, 0.15];
/// Shares of the malicious lines: attacks are few in telemetry.
const MALICIOUS: [f64; 3] = [0.50, 0.15, 0.35];

/// Lines, and all that is computed of them once: a list is one entry a line.
pub struct Corpus {
    /// N-grams and features.
    pub numbers: Lines,
    /// What near-dedup compares.
    pub keys: Vec<Keys>,
    /// Hashes of the content.
    pub hashes: Vec<u64>,
    /// The truth.
    pub malicious: Vec<bool>,
    /// Whether the rule labeller, with prevalence out of its way, calls it benign.
    pub rules_benign: Vec<bool>,
    /// Whether the regex baseline calls it malicious; `None` where the rules are in doubt.
    pub by_rules: Vec<Option<bool>>,
    /// Number of the programs it runs: the group that labels are spread over.
    pub groups: Vec<u32>,
    /// Number of its source.
    pub source: Vec<u32>,
    /// Names of sources.
    pub sources: Vec<String>,
}

impl Corpus {
    /// Of the labelled files of `directory` (`commands_benign.parquet` and `commands_malicious.parquet`: `command_line`, `source`,
    /// ambiguous); what is before a colon in `source` is its name. Ambiguous lines are left out.
    ///
    /// # Errors
    /// When a file is not as expected.
    pub async fn recorded(directory: &Path) -> Result<Self, JobError> {
        let of = |name: &str, label: &str| {
            let file = directory.join(name);
            let file = file.to_string_lossy().replace('\'', "''");
            format!(
                "SELECT command_line, split_part(source, ':', 1) AS source, {label} AS malicious FROM '{file}' WHERE NOT ambiguous"
            )
        };
        let sql = format!(
            "{} UNION ALL {}",
            of("commands_benign.parquet", "false"),
            of("commands_malicious.parquet", "true")
        );
        Self::of(&sql).await
    }

    /// Of made telemetry, which is written below `directory`: its templates are the sources. It shows that the machinery works, and proves
    /// nothing about classifiers.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn made(directory: &Path, lines: u64, seed: u64) -> Result<Self, JobError> {
        let params = SynthParams {
            lines,
            seed,
            attacks: 0.1,
            overwrite: true,
            ..SynthParams::default()
        };
        crate::cli::synth::make(&params, directory)?;
        let truth = directory.join("_truth");
        let file = truth.join(format!("day={}.parquet", params.from));
        let sql = format!(
            "SELECT command_line, template AS source, label = 'malicious' AS malicious FROM '{}'",
            file.to_string_lossy().replace('\'', "''")
        );
        Self::of(&sql).await
    }

    async fn of(sql: &str) -> Result<Self, JobError> {
        let ctx = session::embedded(MEMORY_BYTES)?.enable_url_table();
        // A text that both classes have tells nothing; of equal ones the first source counts.
        let sql = format!(
            "SELECT command_line, min(source) AS source, bool_or(malicious) AS harmful FROM ({sql}) \
             WHERE command_line IS NOT NULL GROUP BY command_line HAVING bool_or(malicious) = bool_and(malicious) ORDER BY command_line"
        );
        let mut texts: Vec<String> = vec![];
        let (mut names, mut malicious): (Vec<String>, Vec<bool>) = (vec![], vec![]);
        for batch in ctx.sql(&sql).await?.collect().await? {
            let text = |n: usize| batch.column(n).as_string_opt::<i32>();
            let (Some(lines), Some(sources)) = (text(0), text(1)) else {
                return Err(JobError::Usage(
                    "command_line and source must be texts".to_owned(),
                ));
            };
            let labels = batch.column(2).as_boolean();
            for row in 0..batch.num_rows() {
                if lines.is_valid(row) && sources.is_valid(row) {
                    texts.push(lines.value(row).to_owned());
                    names.push(sources.value(row).to_owned());
                    malicious.push(labels.value(row));
                }
            }
        }
        let keys: Vec<Keys> = texts.iter().map(|line| Keys::of(line)).collect();
        let mut numbers = BTreeMap::new();
        let mut number = |name: &str| {
            let next = numbers.len();
            let number = *numbers.entry(name.to_owned()).or_insert(next);
            u32::try_from(number).unwrap_or(u32::MAX)
        };
        let groups = keys.iter().map(|keys| number(keys.programs())).collect();
        let mut sources: Vec<String> = names.clone();
        sources.sort_unstable();
        sources.dedup();
        let place = |name: &String| sources.binary_search(name).unwrap_or(0);
        let source = names
            .iter()
            .map(|name| u32::try_from(place(name)).unwrap_or(0))
            .collect();
        let (rules_benign, by_rules) = texts
            .iter()
            .map(|line| {
                let label = by_rules_alone(line);
                (
                    label.verdict == Verdict::Benign,
                    baselines::of_label(&label),
                )
            })
            .unzip();
        Ok(Self {
            numbers: Lines::read(&texts, &[], 0)?,
            hashes: texts.iter().map(|line| hash(line)).collect(),
            rules_benign,
            by_rules,
            keys,
            malicious,
            groups,
            source,
            sources,
        })
    }

    /// Lines of a role, in the order of the corpus, given each source's role.
    #[must_use]
    pub fn of_role(&self, roles: &[Role], role: Role) -> Vec<usize> {
        (0..self.source.len())
            .filter(|line| roles.get(self.source[*line] as usize) == Some(&role))
            .collect()
    }

    /// Deals the sources to roles.
    #[must_use]
    pub fn deal(&self, seed: u64) -> Vec<Role> {
        let mut counts = vec![[0.0_f64; 2]; self.sources.len()];
        for (source, malicious) in self.source.iter().zip(&self.malicious) {
            counts[*source as usize][usize::from(*malicious)] += 1.0;
        }
        let total = |class: usize| counts.iter().map(|c| c[class]).sum::<f64>();
        let wanted = [
            BENIGN.map(|s| s * total(0)),
            MALICIOUS.map(|s| s * total(1)),
        ];
        let mut lacking = wanted;
        let mut draws = SplitMix64::stream(seed, 77);
        let mut order: Vec<(bool, u64, usize)> = (0..self.sources.len())
            .map(|source| (counts[source][1] == 0.0, draws.next_u64(), source))
            .collect();
        order.sort_unstable();
        let mut roles = vec![Role::Telemetry; self.sources.len()];
        for (benign_only, _, source) in order {
            let class = usize::from(!benign_only);
            let size = counts[source][class];
            let chance = |role: usize| {
                let fits = size <= OVERFULL * wanted[class][role] && lacking[class][role] > 0.0;
                if fits {
                    lacking[class][role] / wanted[class][role].max(1.0)
                } else {
                    0.0
                }
            };
            let chances = [chance(0), chance(1), chance(2)];
            let mut at = draws.next_f64() * chances.iter().sum::<f64>();
            let mut role = 1;
            for (n, chance) in chances.into_iter().enumerate() {
                if chance > 0.0 {
                    role = n;
                    at -= chance;
                    if at < 0.0 {
                        break;
                    }
                }
            }
            roles[source] = ROLES[role];
            lacking[0][role] -= counts[source][0];
            lacking[1][role] -= counts[source][1];
        }
        roles
    }
}

fn hash(line: &str) -> u64 {
    line.bytes()
        .fold(0x9d1e, |hash, byte| mix(hash ^ u64::from(byte)))
}
