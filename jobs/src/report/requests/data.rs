//! What a report of requests is made of.
//!
//! **Cost.** Requests are counted by hour, and those of the actors that are listed by actor; windows by endpoint likewise. No join of a day's requests with anything, but that of those that are scored
//! again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::JobError;
use crate::report::data::{Counted, Data, Reader};

/// Incidents that are listed.
pub const INCIDENTS: usize = 50;
/// Requests of an incident that are listed.
const OF_INCIDENT: usize = 6;
/// Endpoints and actors that are listed.
const LISTED: usize = 20;
/// A failure.
const FAILED: &str = "(coalesce(status, 0) >= 400 OR coalesce(error_code, '') <> '')";
/// A path or query, with as much of it as can be shown or redacted.
const MOST: usize = 20_000;

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name, session or address.
    pub name: String,
    /// `user`, `session`, `address` or `nobody`.
    pub kind: String,
}

/// Anomalous requests that belong together.
#[derive(Debug, Clone, Deserialize)]
pub struct Incident {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Its name.
    pub incident: String,
    /// How many actors; none of an earlier version's, which knew one alone.
    pub actors: Option<u64>,
    /// Some of them.
    pub top_actors: Option<Vec<String>>,
    /// Of the first request, UTC.
    pub first_seen: String,
    /// Of the last.
    pub last_seen: String,
    /// How many.
    pub requests: u64,
    /// Of them failed.
    pub failed: u64,
    /// At how many endpoints.
    pub endpoints: u64,
    /// The most frequent of them.
    pub top_endpoints: Option<Vec<String>>,
    /// Addresses.
    pub clients: Option<Vec<String>>,
    /// Families of user agents.
    pub agents: Option<Vec<String>>,
    /// That chose some.
    pub detectors: Option<Vec<String>>,
    /// What stood out, in words.
    pub why: Option<Vec<String>>,
    /// How grave.
    pub severity: f64,
    /// What requests that say the same were judged before: `true_positive`, `false_positive`.
    pub verdict: Option<String>,
}

/// Analysts' verdicts on the requests of an incident.
#[derive(Debug, Clone, Deserialize)]
pub struct Judged {
    /// The incident.
    pub incident: String,
    /// `true_positive`, `false_positive` or `uncertain`.
    pub verdict: String,
    /// Requests.
    pub n: u64,
}

/// A request that stood out.
#[derive(Debug, Clone, Deserialize)]
pub struct Anomaly {
    /// The incident, where it is listed under one.
    pub incident: Option<String>,
    /// UTC.
    pub time: String,
    /// Who asked: the first that is known of user, session and address.
    pub actor: Option<String>,
    /// `user`, `session`, `address` or `nobody`.
    pub actor_kind: String,
    /// Who asked, where that is known.
    pub user: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// The query.
    pub query: Option<String>,
    /// The body.
    pub body: Option<String>,
    /// The status.
    pub status: Option<i64>,
    /// The error.
    pub error_code: Option<String>,
    /// How many were alike.
    pub events: u64,
    /// Why it stood out.
    pub reasons: Option<Vec<String>>,
}

impl Anomaly {
    /// As a line: `GET shop/orders/1?a=b`.
    #[must_use]
    pub fn line(&self) -> String {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let mut line = text(&self.method);
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&text(&self.host));
        line.push_str(&text(&self.path));
        if let Some(query) = self.query.as_deref().filter(|query| !query.is_empty()) {
            line.push('?');
            line.push_str(query);
        }
        line
    }

    /// Who asked.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.actor.clone().unwrap_or_else(|| "unknown".to_owned()),
            kind: self.actor_kind.clone(),
        }
    }
}

/// What happened in an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Hour {
    /// YYYY-MM-DD HH, UTC.
    pub hour: String,
    /// Requests.
    pub n: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them anomalous.
    pub anomalous: u64,
    /// Of those failed.
    pub anomalous_failed: u64,
}

/// An endpoint of anomalous requests.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// Method, host and template.
    pub name: String,
    /// Its hash.
    pub endpoint: i64,
    /// Anomalous requests.
    pub anomalous: u64,
    /// Of them failed.
    pub failed: u64,
    /// Actors of anomalous requests.
    pub actors: u64,
    /// All its requests.
    #[serde(default)]
    pub requests: u64,
}

/// An actor of anomalous requests.
#[derive(Debug, Clone, Deserialize)]
pub struct Busy {
    /// The actor.
    pub name: String,
    /// `user`, `session`, `address` or `nobody`.
    pub kind: String,
    /// Anomalous requests.
    pub anomalous: u64,
    /// Days with some.
    pub days: u64,
    /// Endpoints of those.
    pub endpoints: u64,
    /// All requests.
    #[serde(default)]
    pub requests: u64,
    /// Of all failed.
    #[serde(default)]
    pub failed: u64,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// The gravest.
    pub incidents: Vec<Incident>,
    /// Requests of those.
    pub of_incidents: Vec<Anomaly>,
    /// What analysts said of those.
    pub judged: Vec<Judged>,
    /// What analysts said of anomalous requests, each by the verdict that holds.
    pub verdicts: Vec<Counted>,
    /// Requests of actors that are listed, by day: what an incident's are a part of.
    pub of_actors: BTreeMap<(String, String), u64>,
    /// What the actors that are listed are named by.
    pub kinds: BTreeMap<String, String>,
    /// All hours with requests, in order.
    pub hours: Vec<Hour>,
    /// Those with most anomalous requests.
    pub endpoints: Vec<Endpoint>,
    /// Likewise.
    pub actors: Vec<Busy>,
    /// Some anomalous requests.
    pub sample: Vec<Anomaly>,
}

/// What an actor is named by; `of` is a relation's name with its dot, or nothing.
fn kind(of: &str) -> String {
    format!(
        "CASE WHEN {of}\"user\" IS NOT NULL THEN 'user' WHEN {of}session IS NOT NULL THEN 'session' WHEN {of}client_ip IS NOT NULL THEN 'address' ELSE 'nobody' END"
    )
}

/// The columns of [`Anomaly`] but for the incident, of the relation `a`.
fn columns() -> String {
    let cut = |column: &str| format!("substr(a.{column}, 1, {MOST}) AS {column}");
    format!(
        "to_char(a.event_time, '%Y-%m-%d %H:%M:%S') AS time, a.actor, {} AS actor_kind, a.\"user\", a.method, a.host, {}, {}, {}, a.status, a.error_code, a.events, a.reasons",
        kind("a."),
        cut("path"),
        cut("query"),
        cut("body"),
    )
}

/// Texts as SQL's list of literals.
fn literals<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let quoted = texts.map(|text| format!("'{}'", text.replace('\'', "''")));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Reads everything; `sampled` anomalous requests are drawn by hash.
///
/// # Errors
/// When a table cannot be read.
pub async fn read(reader: &Reader<'_>, data: &Data, sampled: usize) -> Result<Requests, JobError> {
    let within = reader.within();
    let mut found = Requests {
        hours: hours(reader, &within).await?,
        endpoints: endpoints(reader, &within).await?,
        actors: actors(reader, &within).await?,
        ..Requests::default()
    };
    // One an endpoint, by hash: a draw, and the same one every time.
    let sql = format!(
        "SELECT {} FROM (
             SELECT *, row_number() OVER (PARTITION BY endpoint ORDER BY day DESC, hash) AS place FROM anomalies WHERE {within}
         ) AS a WHERE a.place = 1 ORDER BY a.hash LIMIT {sampled}",
        columns()
    );
    found.sample = reader.rows(&sql).await?;
    incidents(reader, data, &mut found).await?;
    Ok(found)
}

async fn incidents(reader: &Reader<'_>, data: &Data, found: &mut Requests) -> Result<(), JobError> {
    #[derive(Deserialize)]
    struct Kind {
        name: String,
        kind: String,
    }
    #[derive(Deserialize)]
    struct OfDay {
        date: String,
        name: String,
        n: u64,
    }
    let within = reader.within();
    let gravest = format!(
        "(SELECT * FROM incidents WHERE {within} ORDER BY severity DESC, day, incident LIMIT {INCIDENTS})"
    );
    let verdict = if reader.has("incidents", "verdict").await? {
        "verdict"
    } else {
        "CAST(NULL AS VARCHAR)"
    };
    let sql = format!(
        "SELECT CAST(day AS VARCHAR) AS date, incident, actors, coalesce(top_actors, make_array(actor)) AS top_actors, to_char(first_seen, '%H:%M:%S') AS first_seen,
                to_char(last_seen, '%H:%M:%S') AS last_seen, requests, failed, endpoints, top_endpoints, clients, agents, detectors, why, severity, {verdict} AS verdict
         FROM {gravest} ORDER BY severity DESC, day, incident"
    );
    found.incidents = reader.rows(&sql).await?;
    if found.incidents.is_empty() {
        return Ok(());
    }
    let ranks = data
        .detectors
        .iter()
        .map(|(name, _)| format!("coalesce({name}_rank, 1000000000)"));
    let best = format!("least({})", ranks.collect::<Vec<_>>().join(", "));
    let sql = format!(
        "SELECT incident, {} FROM (
             SELECT i.incident, r.*, row_number() OVER (PARTITION BY i.day, i.incident ORDER BY {best}, r.hash) AS place
             FROM (SELECT day, incident, unnest(hashes) AS hash FROM {gravest}) AS i JOIN anomalies AS r ON r.hash = i.hash AND r.day = i.day
         ) AS a WHERE place <= {OF_INCIDENT} ORDER BY incident, place",
        columns()
    );
    found.of_incidents = reader.rows(&sql).await?;
    if reader.has("reviews", "incident").await? {
        // Of several verdicts on a request the latest holds.
        let holds = "(SELECT day, hash, verdict FROM (SELECT day, hash, verdict, row_number() OVER (PARTITION BY day, hash ORDER BY version DESC) AS place FROM reviews) WHERE place = 1)";
        let sql = format!(
            "SELECT i.incident, v.verdict, count(*) AS n FROM (SELECT day, incident, unnest(hashes) AS hash FROM {gravest}) AS i
             JOIN {holds} AS v ON v.hash = i.hash AND v.day = i.day GROUP BY i.incident, v.verdict ORDER BY i.incident, n DESC, v.verdict"
        );
        found.judged = reader.rows(&sql).await?;
        let sql = format!(
            "SELECT verdict AS name, count(*) AS n FROM {holds} WHERE {within} GROUP BY verdict ORDER BY n DESC, name"
        );
        found.verdicts = reader.rows(&sql).await?;
    }
    let names: BTreeSet<&str> = found
        .incidents
        .iter()
        .flat_map(|i| i.top_actors.iter().flatten())
        .map(String::as_str)
        .collect();
    let names = literals(names.into_iter());
    let sql = format!(
        "SELECT actor AS name, min({}) AS kind FROM anomalies WHERE {within} AND actor IN ({names}) GROUP BY actor",
        kind("")
    );
    let kinds: Vec<Kind> = reader.rows(&sql).await?;
    found.kinds = kinds.into_iter().map(|k| (k.name, k.kind)).collect();
    let sql = format!(
        "SELECT CAST(day AS VARCHAR) AS date, actor AS name, sum(events) AS n FROM requests WHERE {within} AND actor IN ({names}) GROUP BY day, actor"
    );
    let of_day: Vec<OfDay> = reader.rows(&sql).await?;
    found.of_actors = of_day
        .into_iter()
        .map(|o| ((o.date, o.name), o.n))
        .collect();
    Ok(())
}

async fn hours(reader: &Reader<'_>, within: &str) -> Result<Vec<Hour>, JobError> {
    let of = |table: &str| {
        format!(
            "SELECT to_char(event_time, '%Y-%m-%d %H') AS hour, sum(events) AS n, sum(CASE WHEN {FAILED} THEN events ELSE 0 END) AS failed FROM {table} WHERE {within} GROUP BY 1"
        )
    };
    let sql = format!(
        "SELECT r.hour, r.n, r.failed, coalesce(a.n, 0) AS anomalous, coalesce(a.failed, 0) AS anomalous_failed
         FROM ({}) AS r LEFT JOIN ({}) AS a ON a.hour = r.hour ORDER BY r.hour",
        of("requests"),
        of("anomalies")
    );
    reader.rows(&sql).await
}

async fn endpoints(reader: &Reader<'_>, within: &str) -> Result<Vec<Endpoint>, JobError> {
    #[derive(Deserialize)]
    struct All {
        endpoint: i64,
        n: u64,
    }
    let sql = format!(
        "SELECT concat_ws(' ', min(method), concat(coalesce(min(host), ''), min(template))) AS name, endpoint, count(*) AS anomalous,
                count(CASE WHEN {FAILED} THEN 1 END) AS failed, count(DISTINCT actor) AS actors
         FROM anomalies WHERE {within} GROUP BY endpoint ORDER BY anomalous DESC, name LIMIT {LISTED}"
    );
    let mut found: Vec<Endpoint> = reader.rows(&sql).await?;
    if found.is_empty() {
        return Ok(found);
    }
    let hashes: Vec<String> = found.iter().map(|e| e.endpoint.to_string()).collect();
    let sql = format!(
        "SELECT endpoint, count(*) AS n FROM windows WHERE {within} AND endpoint IN ({}) GROUP BY endpoint",
        hashes.join(", ")
    );
    let all: Vec<All> = reader.rows(&sql).await?;
    let all: BTreeMap<i64, u64> = all.into_iter().map(|a| (a.endpoint, a.n)).collect();
    for one in &mut found {
        one.requests = all.get(&one.endpoint).copied().unwrap_or_default();
    }
    Ok(found)
}

async fn actors(reader: &Reader<'_>, within: &str) -> Result<Vec<Busy>, JobError> {
    #[derive(Deserialize)]
    struct All {
        name: String,
        n: u64,
        failed: u64,
    }
    let sql = format!(
        "SELECT coalesce(actor, 'unknown') AS name, min({}) AS kind, sum(events) AS anomalous, count(DISTINCT day) AS days, count(DISTINCT endpoint) AS endpoints
         FROM anomalies WHERE {within} GROUP BY 1 ORDER BY anomalous DESC, name LIMIT {LISTED}",
        kind("")
    );
    let mut found: Vec<Busy> = reader.rows(&sql).await?;
    if found.is_empty() {
        return Ok(found);
    }
    let names = literals(found.iter().map(|b| b.name.as_str()));
    let sql = format!(
        "SELECT coalesce(actor, 'unknown') AS name, sum(events) AS n, sum(CASE WHEN {FAILED} THEN events ELSE 0 END) AS failed
         FROM requests WHERE {within} AND coalesce(actor, 'unknown') IN ({names}) GROUP BY 1"
    );
    let all: Vec<All> = reader.rows(&sql).await?;
    let all: BTreeMap<String, (u64, u64)> =
        all.into_iter().map(|a| (a.name, (a.n, a.failed))).collect();
    for one in &mut found {
        (one.requests, one.failed) = all.get(&one.name).copied().unwrap_or_default();
    }
    Ok(found)
}
