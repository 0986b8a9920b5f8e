//! The incidents, the gravest first; each unfolds without script.

use std::fmt::Write as _;

use super::data::{Actor, Incident};
use super::{actor, endpoint, listed};
use crate::report::chart::scale::{full, percent, rows};
use crate::report::html::{command, escape};
use crate::report::page::Page;
use crate::report::{Lines, Report, counted};

pub(in crate::report) fn write(report: &Report, page: &mut Page) {
    page.section(
        "incidents",
        "Incidents",
        "Anomalous requests of one actor, no more than half an hour apart; or of several actors who each did little and stood out alike at one endpoint. The gravest first: a detector's first request of \
         a day counts 1, its second a half, its third a third, and so on, summed over requests and detectors. Every day has its first, a quiet one too. Times are UTC.",
    );
    let shown = &report.data.requests.incidents;
    if shown.is_empty() {
        page.missing(
            "There are no incidents in these days. A day that runs to its end makes them of its anomalies.",
            &report.command(""),
        );
        return;
    }
    let all = report.total("incidents", |r| r.rows_kept);
    if all > shown.len() as u64 {
        page.prose(&format!(
            "{} of {}; the others: <code>gleaner sql --warehouse … \"SELECT summary FROM incidents ORDER BY severity DESC\"</code>.",
            counted(shown.len() as u64, "is listed", "are listed"),
            full(all)
        ));
    }
    let verdicts = &report.data.requests.verdicts;
    if !verdicts.is_empty() {
        let said: Vec<String> = verdicts
            .iter()
            .map(|v| format!("{} {}", full(v.n), escape(called(&v.name))))
            .collect();
        page.prose(&format!(
            "Analysts judged anomalous requests of these days: {}.",
            said.join(", ")
        ));
    }
    let mut list = String::from(
        "<div class=\"incidents\"><p class=\"heads\" aria-hidden=\"true\"><span>severity</span><span>when</span><span>who</span><span>where and why</span><span>requests</span></p>",
    );
    for one in shown {
        write_one(report, one, &mut list);
    }
    list.push_str("</div>");
    page.raw(&list);
}

/// A verdict in words.
fn called(verdict: &str) -> &str {
    match verdict {
        "true_positive" => "true positive",
        "false_positive" => "false positive",
        other => other,
    }
}

/// What analysts said of an incident's requests; empty where nobody did.
fn judged(report: &Report, one: &Incident) -> String {
    let found = report.data.requests.judged.iter();
    let said: Vec<String> = found
        .filter(|j| j.incident == one.incident)
        .map(|j| format!("{} {}", full(j.n), escape(called(&j.verdict))))
        .collect();
    said.join(", ")
}

fn write_one(report: &Report, one: &Incident, out: &mut String) {
    let names = one.top_actors.as_deref().unwrap_or_default();
    let who = |name: &String| {
        let kind = report.data.requests.kinds.get(name);
        let found = Actor {
            name: name.clone(),
            kind: kind.map_or("nobody", String::as_str).to_owned(),
        };
        actor(report, &found)
    };
    let people = match one.actors {
        Some(n) if n > 1 => format!("{} actors", full(n)),
        _ => names.first().map_or_else(|| "unknown".to_owned(), who),
    };
    let places = one.top_endpoints.as_deref().unwrap_or_default();
    let first = places
        .first()
        .map_or_else(|| "–".to_owned(), |name| endpoint(report, name));
    let more = match one.endpoints {
        0 | 1 => String::new(),
        n => format!(" and {} more", full(n - 1)),
    };
    let why = one.why.as_deref().unwrap_or_default();
    let short: Vec<String> = why.iter().take(3).map(|w| escape(w)).collect();
    let failed = if one.failed == 0 {
        String::new()
    } else {
        format!("<small>{} failed</small>", full(one.failed))
    };
    let verdict = judged(report, one);
    let verdict = if verdict.is_empty() {
        verdict
    } else {
        format!("<small class=\"judged\">judged: {verdict}</small>")
    };
    let when = if one.first_seen == one.last_seen {
        escape(&one.first_seen)
    } else {
        format!("{}–{}", escape(&one.first_seen), escape(&one.last_seen))
    };
    let _ = write!(
        out,
        "<details class=\"incident\"><summary><span class=\"n\">{:.2}</span><span><b>{}</b> {when}</span><span>{people}</span><span>{first}{more}<small>{}</small>{verdict}</span><span class=\"n\">{}{failed}</span></summary>",
        one.severity,
        escape(&one.date),
        short.join(", "),
        full(one.requests),
    );
    details(report, one, &who, out);
    out.push_str("</details>");
}

/// What analysts said of an incident, and of what is like it.
fn verdicts(report: &Report, one: &Incident) -> Vec<(&'static str, String)> {
    let mut facts = vec![];
    let verdict = judged(report, one);
    if !verdict.is_empty() {
        facts.push(("judged", verdict));
    }
    if let Some(before) = &one.verdict {
        facts.push((
            "before",
            format!(
                "requests that say the same were judged: {}",
                escape(called(before))
            ),
        ));
    }
    facts
}

/// What unfolds of an incident.
fn details(report: &Report, one: &Incident, who: &dyn Fn(&String) -> String, out: &mut String) {
    let names = one.top_actors.as_deref().unwrap_or_default();
    let people: Vec<String> = names.iter().map(who).collect();
    let rest = one.actors.unwrap_or(1).saturating_sub(names.len() as u64);
    let rest = if rest > 0 {
        format!(" and {} more", full(rest))
    } else {
        String::new()
    };
    let of_day: u64 = names
        .iter()
        .filter_map(|name| {
            report
                .data
                .requests
                .of_actors
                .get(&(one.date.clone(), name.clone()))
        })
        .sum();
    let share = if rest.is_empty() && of_day >= one.requests {
        format!(", of {} that day", full(of_day))
    } else {
        String::new()
    };
    let failed = if one.failed == 0 {
        "none failed".to_owned()
    } else {
        format!(
            "{} failed",
            percent(rows(one.failed) / rows(one.requests.max(1)))
        )
    };
    let texts = |values: &Option<Vec<String>>| {
        let values = values.iter().flatten().map(|v| command(v));
        let values: Vec<String> = values.collect();
        if values.is_empty() {
            "–".to_owned()
        } else {
            values.join(", ")
        }
    };
    let places: Vec<String> = one
        .top_endpoints
        .iter()
        .flatten()
        .map(|name| endpoint(report, name))
        .collect();
    let more = one.endpoints.saturating_sub(places.len() as u64);
    let more = if more > 0 {
        format!("<br>and {} more", full(more))
    } else {
        String::new()
    };
    let facts = [
        ("who", format!("{}{rest}", people.join(", "))),
        (
            "requests",
            format!("{} anomalous{share}; {failed}", full(one.requests)),
        ),
        ("where", format!("{}{more}", places.join("<br>"))),
        ("why", texts(&one.why)),
        ("from", texts(&one.clients)),
        ("with", texts(&one.agents)),
        ("chosen by", texts(&one.detectors)),
    ];
    let mut facts: Vec<(&str, String)> = facts.into();
    facts.extend(verdicts(report, one));
    out.push_str("<dl>");
    for (name, markup) in facts {
        let _ = write!(out, "<dt>{name}</dt><dd>{markup}</dd>");
    }
    let _ = write!(
        out,
        "<dt>incident</dt><dd><code>{}</code></dd></dl>",
        escape(&one.incident)
    );
    let of_incident = report.data.requests.of_incidents.iter();
    let of_incident: Vec<_> = of_incident
        .filter(|a| a.incident.as_deref() == Some(one.incident.as_str()))
        .collect();
    if report.lines == Lines::None || of_incident.is_empty() {
        return;
    }
    if one.requests > of_incident.len() as u64 {
        let _ = write!(
            out,
            "<p>The {} that stand out most:</p>",
            full(of_incident.len() as u64)
        );
    }
    out.push_str(&listed(report, of_incident.into_iter()));
}
