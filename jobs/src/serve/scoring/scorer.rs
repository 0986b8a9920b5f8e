//! What an item is scored like.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::Utc;
use gleaner_proto::scoring as proto;
use gleaner_udfs::api::features::Surroundings;
use gleaner_udfs::api::request::OwnedRequest;
use gleaner_udfs::api::shared::{Bounds, Holds};
use gleaner_udfs::api::{Encoder, Featurizer, N_API_FEATURES, Request, SharedStream};
use gleaner_udfs::learner::LearnerError;
use gleaner_udfs::sql::detectors::reasons_of;
use gleaner_udfs::text::catalog::N_FEATURES;
use gleaner_udfs::text::context::Context;
use gleaner_udfs::text::features::Featurizer as LineFeaturizer;

use super::metrics::scoring;
use super::models::{Loaded, Usual};
use crate::telemetry::{Kind, single};

/// A request from further in the future than this is refused: one wrong clock would let the windows of others go. Microseconds.
const AHEAD: i64 = 3_600_000_000;

/// The models in use, and the windows.
#[derive(Debug)]
pub struct Scorer {
    kind: Kind,
    loaded: RwLock<Option<Arc<Loaded>>>,
    problem: Mutex<String>,
    windows: SharedStream,
    /// Scratch of command lines, one a thread that scores.
    lines: Mutex<Vec<LineFeaturizer>>,
}

/// Scores of a message, and what is counted of them.
pub(super) struct Answer {
    pub(super) scores: Vec<proto::Score>,
    pub(super) invalid: u64,
}

impl Scorer {
    /// Nothing can be scored until models are [put in use](Self::swap).
    #[must_use]
    pub fn new(kind: Kind, states: usize) -> Self {
        let bounds = Bounds {
            states,
            ..Bounds::default()
        };
        Self {
            kind,
            loaded: RwLock::default(),
            problem: Mutex::default(),
            windows: SharedStream::new(bounds),
            lines: Mutex::default(),
        }
    }

    /// What can be scored.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The models in use.
    #[must_use]
    pub fn loaded(&self) -> Option<Arc<Loaded>> {
        self.loaded
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts models in use; who scores with the earlier ones ends with them.
    pub fn swap(&self, loaded: Loaded) {
        let mut slot = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let before = slot.replace(Arc::new(loaded));
        drop(slot);
        // Megabytes are freed outside of the lock.
        drop(before);
    }

    /// Why there are no models, or no later ones; empty: nothing is wrong.
    #[must_use]
    pub fn problem(&self) -> String {
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says why; whether it is news.
    pub(super) fn tell(&self, problem: String) -> bool {
        let mut told = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *told != problem;
        *told = problem;
        news
    }

    /// What windows hold.
    #[must_use]
    pub fn holds(&self) -> Holds {
        self.windows.holds()
    }

    /// Scores requests, in their order.
    pub(super) fn requests(&self, loaded: &Loaded, items: Vec<proto::ApiRequest>) -> Answer {
        let Usual::Requests {
            templates,
            corpus,
            encoder,
        } = &loaded.usual
        else {
            return wrong_kind(items.into_iter().map(|item| item.id));
        };
        let latest = Utc::now().timestamp_micros().saturating_add(AHEAD);
        let mut featurizer = Featurizer::new();
        let mut row = [0.0; N_API_FEATURES];
        let mut whole = vec![0.0; encoder.as_ref().map_or(N_API_FEATURES, Encoder::width)];
        let mut rows = Rows::new(whole.len(), items.len());
        for mut item in items {
            let id = std::mem::take(&mut item.id);
            let request = match checked(item, latest) {
                Ok(request) => request,
                Err(why) => {
                    rows.invalid(id, why);
                    continue;
                }
            };
            let request = request.as_request();
            let (host, path) = (
                request.host.unwrap_or_default(),
                request.path.unwrap_or_default(),
            );
            let template = templates.template(host, path);
            let around: Surroundings<'_> = self.windows.push(&request, &template);
            // As in the batch's query, features know of time what the windows say.
            let timeless = Request {
                micros: None,
                ..request
            };
            featurizer.compute(&timeless, &around, corpus, &mut row);
            whole[..N_API_FEATURES].copy_from_slice(&row);
            if let Some(encoder) = encoder {
                encoder.encode(&timeless, &around, &mut whole);
            }
            rows.push(id, template, &whole);
        }
        rows.scored(loaded)
    }

    /// Scores command lines, in their order.
    pub(super) fn commands(&self, loaded: &Loaded, items: Vec<proto::CommandLine>) -> Answer {
        let Usual::Commands(frequencies) = &loaded.usual else {
            return wrong_kind(items.into_iter().map(|item| item.id));
        };
        let spare = || self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = spare().pop();
        let mut featurizer = kept.unwrap_or_default();
        let mut row = [0.0; N_FEATURES];
        let mut rows = Rows::new(N_FEATURES, items.len());
        for item in items {
            if let Err(why) = single::check_line(&item.command_line) {
                rows.invalid(item.id, why);
                continue;
            }
            let context = Context {
                image: item.image.as_deref(),
                parent_image: item.parent_image.as_deref(),
                original_file_name: item.original_file_name.as_deref(),
                user_sid: item.user_sid.as_deref(),
                integrity_level: item.integrity_level.as_deref(),
                signed: item.signed,
                signer_trusted: item.signer_trusted,
            };
            featurizer.compute(&item.command_line, &context, Some(frequencies), &mut row);
            rows.push(item.id, String::new(), &row);
        }
        spare().push(featurizer);
        rows.scored(loaded)
    }
}

/// A request in the table's form, with a time that can be.
fn checked(item: proto::ApiRequest, latest: i64) -> Result<OwnedRequest, String> {
    let micros = item.event_time_micros.ok_or("event time is missing")?;
    if micros < 0 {
        return Err("event time is before 1970".to_owned());
    }
    if micros > latest {
        return Err("event time is more than an hour ahead of the server's clock".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as the batch's CAST to FLOAT"
    )]
    let latency_ms = item.latency_ms.map(|ms| ms as f32);
    single::clean(&OwnedRequest {
        micros: Some(micros),
        texts: [
            item.user,
            item.session,
            item.client_ip,
            item.method,
            item.host,
            Some(item.path),
            item.query,
            item.error_code,
            item.user_agent,
            item.referer,
            item.body,
            item.headers,
        ],
        status: item.status,
        request_bytes: item.request_bytes,
        response_bytes: item.response_bytes,
        latency_ms,
    })
}

fn wrong_kind(ids: impl Iterator<Item = String>) -> Answer {
    let scores: Vec<proto::Score> = ids
        .map(|id| proto::Score {
            id,
            error: "the warehouse holds telemetry of another kind".to_owned(),
            ..proto::Score::default()
        })
        .collect();
    Answer {
        invalid: scores.len() as u64,
        scores,
    }
}

/// Rows of features, and the answers that they belong to.
struct Rows {
    width: usize,
    features: Vec<f32>,
    scores: Vec<proto::Score>,
    /// The answers of the rows.
    of: Vec<usize>,
}

impl Rows {
    fn new(width: usize, items: usize) -> Self {
        Self {
            width,
            features: Vec::with_capacity(width * items),
            scores: Vec::with_capacity(items),
            of: Vec::with_capacity(items),
        }
    }

    fn invalid(&mut self, id: String, error: String) {
        self.scores.push(proto::Score {
            id,
            error,
            ..proto::Score::default()
        });
    }

    fn push(&mut self, id: String, template: String, row: &[f32]) {
        self.of.push(self.scores.len());
        self.features.extend_from_slice(row);
        self.scores.push(proto::Score {
            id,
            template,
            ..proto::Score::default()
        });
    }

    /// Scores all rows by one detector after the other: that is how they are fastest.
    fn scored(mut self, loaded: &Loaded) -> Answer {
        let invalid = (self.scores.len() - self.of.len()) as u64;
        if let Err(error) = self.score(loaded) {
            // A model of another width: of another version of the catalog.
            log::error!("scoring with the models of {}: {error}", loaded.day);
            for score in &mut self.scores {
                score.error = format!(
                    "the models of {} do not fit this gleaner: run the day again",
                    loaded.day
                );
            }
        }
        for score in &mut self.scores {
            score.models_day.clone_from(&loaded.day_text);
        }
        Answer {
            scores: self.scores,
            invalid,
        }
    }

    fn score(&mut self, loaded: &Loaded) -> Result<(), LearnerError> {
        let mut values = vec![0.0; self.of.len()];
        for armed in &loaded.detectors {
            let kind = armed.detector.kind().name();
            armed
                .detector
                .score(&self.features, self.width, &mut values)?;
            let rows = self.features.chunks_exact(self.width);
            for ((place, value), row) in self.of.iter().zip(&values).zip(rows) {
                let Some(score) = self.scores.get_mut(*place) else {
                    continue;
                };
                let alert = armed.threshold.is_some_and(|threshold| *value >= threshold);
                if alert {
                    scoring().alert(kind);
                    score.alert = true;
                    score.reasons.extend(reasons_of(&armed.detector, row)?);
                }
                score.scores.push(proto::DetectorScore {
                    detector: kind.to_owned(),
                    score: *value,
                    alert,
                });
            }
        }
        Ok(())
    }
}
