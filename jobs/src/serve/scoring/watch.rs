//! Later models take the place of earlier ones.

use std::sync::Arc;

use tokio::sync::Notify;

use super::metrics::scoring;
use super::models::load;
use super::{Scorer, ScoringOptions};
use crate::warehouse::Warehouse;

/// Looks for later models, for ever: when this server has `published` a day, and every so often, as others publish too.
pub async fn keep_latest(
    scorer: Arc<Scorer>,
    warehouse: Warehouse,
    options: ScoringOptions,
    published: Arc<Notify>,
) {
    loop {
        let _ = tokio::time::timeout(options.every, published.notified()).await;
        look(&scorer, &warehouse, options).await;
    }
}

/// Looks once.
pub async fn look(scorer: &Scorer, warehouse: &Warehouse, options: ScoringOptions) {
    let held = scorer.loaded();
    let held = held.as_ref().map(|loaded| loaded.fingerprint.as_str());
    match load(warehouse, options.models_day, held).await {
        Ok(None) => {
            scorer.tell(String::new());
        }
        Ok(Some(loaded)) => {
            let models = loaded.detectors.len();
            log::info!("scoring with the {models} detectors of {}", loaded.day);
            scoring().loaded(loaded.day);
            scorer.swap(loaded);
            scorer.tell(String::new());
        }
        Err(error) => {
            let first = held.is_none();
            if !first {
                scoring().load_failed();
            }
            // Said once, not at every look.
            let why = error.to_string();
            if scorer.tell(why.clone()) {
                if first {
                    log::info!("nothing is scored yet: {why}");
                } else {
                    log::error!("later models are not in use, the earlier ones score on: {why}");
                }
            }
        }
    }
}
