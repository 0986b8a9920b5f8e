//! Flags that say which lines are labelled when labels are few.

use std::sync::Arc;

use gleaner_classifier::choice::SHARE;

use crate::error::JobError;
use crate::lift::guide::Guide;
use crate::stages::selection::Selection;

/// Over what labels are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Spread {
    /// The programs that lines run: each program's best line, then its second best.
    Programs,
    /// Nothing: by rank alone.
    None,
}

/// The budget of labels, and how it is spent.
#[derive(Debug, Clone, clap::Args)]
pub struct SelectionArgs {
    /// Lines to label a day; without it, all that near-dedup keeps.
    #[arg(long, value_name = "N")]
    label_budget: Option<u64>,
    /// Spend it on what this classifier takes for malice: a file of `gleaner evaluate lift --save`.
    #[arg(long, value_name = "FILE", requires = "label_budget", conflicts_with_all = ["guide_baseline", "guide_scores"])]
    guide: Option<String>,
    /// Spend it on what a classifier trained on these files (`command_line`, label) takes for malice.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "label_budget", conflicts_with = "guide_scores")]
    guide_baseline: Vec<String>,
    /// Spend it on the lines with the highest scores of this file (`command_line`, score).
    #[arg(long, value_name = "FILE", requires = "label_budget")]
    guide_scores: Option<String>,
    /// Files with a column `command_line`: lines that are labelled already. They are passed over, and so are lines of their templates and near-duplicates, but
    /// for the random share. The lines of --guide-baseline are.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "label_budget")]
    known: Vec<String>,
    /// Share of the budget that is drawn at random, so that estimates are without bias.
    #[arg(long, default_value_t = SHARE)]
    random_share: f64,
    /// With a guide: share of the budget that the detectors choose.
    #[arg(long, default_value_t = SHARE)]
    unguided_share: f64,
    /// Take turns among the programs that lines run, or go by rank alone.
    #[arg(long, value_enum, default_value_t = Spread::Programs)]
    spread: Spread,
    /// Of the draw.
    #[arg(long, default_value_t = 1)]
    choice_seed: u64,
}

impl SelectionArgs {
    /// The choice; `None` without a budget.
    ///
    /// # Errors
    /// When a file of a guide is not as expected.
    pub async fn selection(&self) -> Result<Option<Selection>, JobError> {
        let Some(budget) = self.label_budget else {
            return Ok(None);
        };
        let mut guide = if let Some(path) = &self.guide {
            Some(Guide::saved(path)?)
        } else if let Some(path) = &self.guide_scores {
            Some(Guide::scores(path).await?)
        } else if self.guide_baseline.is_empty() {
            None
        } else {
            Some(Guide::trained(&self.guide_baseline).await?)
        };
        let mut known = guide
            .as_mut()
            .map(|g| std::mem::take(&mut g.known))
            .unwrap_or_default();
        Guide::read_known(&self.known, &mut known).await?;
        let selection = Selection {
            budget,
            random_share: self.random_share,
            unguided_share: if guide.is_some() {
                self.unguided_share
            } else {
                0.0
            },
            spread: self.spread == Spread::Programs,
            seed: self.choice_seed,
            guide: guide.map(Arc::new),
            known: Arc::new(known),
        };
        selection.check()?;
        Ok(Some(selection))
    }
}
