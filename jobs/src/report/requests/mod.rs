//! What a report of requests to APIs has of its own: incidents, traffic, a sample of what stood out.
//!
//! ```text
//! data       queries over requests, windows, anomalies, incidents
//! incidents  in order of severity, each unfolds
//! traffic    by hour, by endpoint, by actor
//! names      of people that a request tells
//! ```

pub mod data;
pub(super) mod incidents;
mod names;
pub(super) mod traffic;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use gleaner_udfs::api::reason;
use gleaner_udfs::text::redact::redact;

use super::chart::scale::{full, percent, rows};
use super::html::{command, escape};
use super::page::Page;
use super::{Lines, Report, counted};
use data::{Actor, Anomaly};

/// What came of requests, in a sentence.
pub(super) fn lead(report: &Report) -> String {
    let of = |stage: &str| report.total(stage, |r| r.rows_kept);
    let incidents = of("incidents");
    let made = if report.unfinished().len() == report.data.days.len() {
        "which were not made incidents yet.".to_owned()
    } else if incidents == 0 {
        "<b>none</b> of which is a matter for a person.".to_owned()
    } else {
        format!(
            "which make <b>{}</b> to look at, <a href=\"#incidents\">the gravest first</a>.",
            counted(incidents, "incident", "incidents")
        )
    };
    let anomalies = of("anomalies");
    format!(
        "In {}, {} held {}{}. The detectors chose {} of them ({}), {made}",
        counted(report.data.days.len() as u64, "day", "days"),
        counted(of("telemetry"), "event", "events"),
        counted(of("requests"), "unique request", "unique requests"),
        report.each_day(),
        full(anomalies),
        percent(rows(anomalies) / rows(of("requests").max(1))),
    )
}

/// Who asked, as markup: by default as a pseudonym, but for addresses that anybody may have and services of a cloud.
fn actor(report: &Report, who: &Actor) -> String {
    let bare = |text: &str| format!("<code dir=\"ltr\">{}</code>", command(text));
    if report.lines == Lines::Whole || who.kind == "address" || who.name.ends_with(".amazonaws.com")
    {
        return bare(&who.name);
    }
    if who.kind == "session" {
        return bare(&report.key.pseudonym("session", &who.name));
    }
    match redact(&who.name, &[], &[&who.name], &report.key) {
        Ok(redacted) => bare(&redacted.text),
        Err(_) => bare(&report.key.pseudonym("user", &who.name)),
    }
}

/// An endpoint as markup: a method, a host and a path or its template, without secrets and names of people.
fn endpoint(report: &Report, name: &str) -> String {
    let shown = if report.lines == Lines::Whole {
        name.to_owned()
    } else {
        match redact(name, &[], &[], &report.key) {
            Ok(redacted) => redacted.text,
            Err(why) => return format!("<small>left out: {}</small>", escape(&why.to_string())),
        }
    };
    format!("<code dir=\"ltr\">{}</code>", command(&shown))
}

/// What detectors said of a request, in words, each once; the reasons themselves where they say nothing.
fn words(reasons: &[String]) -> String {
    let mut seen = BTreeSet::new();
    let mut said: Vec<reason::Reason> = reasons.iter().filter_map(|r| reason::read(r)).collect();
    said.sort_by_key(|r| std::cmp::Reverse(r.weight));
    said.retain(|r| seen.insert(r.words));
    if said.is_empty() {
        return reason::COMBINATION.to_owned();
    }
    let words: Vec<&str> = said.iter().map(|r| r.words).collect();
    words.join(", ")
}

/// A request as an item of a list.
fn request(report: &Report, one: &Anomaly, out: &mut String) {
    let mut said = vec![escape(&one.time)];
    if let Some(status) = one.status {
        said.push(format!("status {status}"));
    }
    if let Some(code) = one.error_code.as_deref().filter(|code| !code.is_empty()) {
        said.push(command(code));
    }
    if one.events > 1 {
        said.push(counted(one.events, "time", "times"));
    }
    said.push(actor(report, &one.actor()));
    said.push(escape(&words(one.reasons.as_deref().unwrap_or_default())));
    let values: Vec<String> = one.reasons.iter().flatten().map(|r| escape(r)).collect();
    let (line, body) = (one.line(), one.body.as_deref().unwrap_or_default());
    let mut names = names::announced(&line);
    names.extend(names::announced(body));
    names.extend(one.user.as_deref());
    let _ = write!(out, "<li>{}", report.line(&line, &names));
    if !body.is_empty() && report.lines != Lines::None {
        let _ = write!(
            out,
            "<div class=\"body\">{}</div>",
            report.line(body, &names)
        );
    }
    let _ = write!(
        out,
        "<small>{}</small><details><summary>what the detectors named</summary><small>{}</small></details></li>",
        said.join(" · "),
        values.join("; ")
    );
}

/// A list of requests.
fn listed<'a>(report: &Report, requests: impl Iterator<Item = &'a Anomaly>) -> String {
    let mut list = String::from("<ol class=\"lines\">");
    for one in requests {
        request(report, one, &mut list);
    }
    list.push_str("</ol>");
    list
}

/// Some anomalous requests.
pub(super) fn sample(report: &Report, page: &mut Page) {
    page.section("sample", "Some of what stood out", "");
    let sampled = &report.data.requests.sample;
    if sampled.is_empty() {
        page.prose("No request stood out in these days.");
        return;
    }
    if report.lines == Lines::None {
        page.prose("Requests are left out of this report (<code>--lines none</code>).");
        return;
    }
    page.prose(&format!(
        "{}, drawn by hash, one of an endpoint, whichever incident they belong to.",
        counted(
            sampled.len() as u64,
            "anomalous request",
            "anomalous requests"
        )
    ));
    page.raw(&listed(report, sampled.iter()));
}
