use std::collections::{BTreeMap, BTreeSet};

use super::call::Call;
use super::incidents::Kind;
use super::*;

fn made(rows: u64, attacks: u64, seed: u64) -> (Vec<Call>, Vec<incidents::Incident>) {
    let users = Users::new(200, seed);
    let day = NaiveDate::from_ymd_opt(2025, 1, 1).unwrap();
    let mut traffic = Traffic::new(&users, begin_ms(day), rows, attacks, seed);
    let calls = std::iter::from_fn(|| traffic.next()).collect();
    (calls, traffic.incidents)
}

#[test]
fn a_day_has_the_rows_asked_for_in_order_of_time_and_within_the_day() {
    let begin = 1_735_689_600_000;
    for (rows, attacks) in [(1, 0), (7, 3), (5000, 0), (20_000, 1_000)] {
        let (calls, incidents) = made(rows, attacks, 3);
        assert_eq!(calls.len() as u64, rows);
        assert!(
            calls
                .iter()
                .all(|c| (begin..begin + 86_400_000).contains(&c.time_ms))
        );
        assert!(calls.windows(2).all(|two| two[0].time_ms <= two[1].time_ms));
        let of_bursts = incidents.iter().filter(|i| i.rows == 0);
        let struck: u64 = of_bursts.map(|i| i.written).sum();
        let marked = calls.iter().filter(|c| c.incident.is_some()).count() as u64;
        assert_eq!(marked, attacks + struck);
    }
}

#[test]
fn every_kind_of_incident_is_planted_and_shows_what_it_is() {
    let (calls, incidents) = made(60_000, 3_000, 5);
    let mut of: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
    for call in &calls {
        if let Some(at) = call.incident {
            of.entry(at).or_default().push(call);
        }
    }
    let kinds: BTreeSet<&str> = incidents.iter().map(|i| i.kind.name()).collect();
    assert_eq!(kinds.len(), 7);
    let benign = calls.iter().filter(|c| c.incident.is_none());
    let largest = benign.clone().map(|c| c.response_bytes).max().unwrap();
    for (at, incident) in incidents.iter().enumerate() {
        let calls = of.get(&at).map_or(&[][..], Vec::as_slice);
        assert_eq!(calls.len() as u64, incident.written);
        assert!(incident.rows == 0 || incident.written == incident.rows);
        let inside = incident.begin_ms..=incident.end_ms;
        assert!(calls.iter().all(|c| inside.contains(&c.time_ms)));
        let share = |f: &dyn Fn(&Call) -> bool| {
            calls.iter().filter(|c| f(c)).count() * 100 / calls.len().max(1)
        };
        match incident.kind {
            Kind::CredentialStuffing => assert!(share(&|c| c.status == 401) > 90),
            Kind::Enumeration => {
                let paths: BTreeSet<_> = calls.iter().map(|c| &c.path).collect();
                assert_eq!(paths.len(), calls.len());
                assert!(share(&|c| c.status >= 400) > 60);
            }
            Kind::Scraper => assert!(share(&|c| c.user.is_empty()) == 100),
            Kind::InjectionProbe => {
                let payload = |c: &Call| c.query.contains('%') || c.body.contains('%');
                assert_eq!(share(&payload), 100);
            }
            Kind::Exfiltration => assert!(calls.iter().all(|c| c.response_bytes > largest)),
            Kind::NewEndpoint => assert_eq!(share(&|c| c.name == "ExportUser"), 100),
            Kind::ErrorBurst => assert_eq!(share(&|c| c.status == 503), 100),
        }
    }
    assert!(benign.clone().all(|c| c.name != "ExportUser"));
    // Office work is done in office hours, and most calls succeed.
    let replies = benign.clone().filter(|c| c.name == "ReplyToTicket");
    let (mut office, mut all) = (0, 0);
    for call in replies {
        all += 1;
        let hour = call.time_ms / 3_600_000 % 24;
        office += usize::from((5..20).contains(&hour));
    }
    assert!(all > 100 && office * 100 / all > 60, "{office} of {all}");
    let failed = benign.clone().filter(|c| c.status >= 400).count();
    let permille = failed * 1000 / benign.count();
    assert!((2..50).contains(&permille), "{permille} failed of 1000");
}

#[test]
fn the_same_seed_makes_the_same_calls_and_another_others() {
    let shown = |seed| {
        let mut out = String::new();
        for call in made(2000, 100, seed).0 {
            lines::native(&call, &mut out);
        }
        out
    };
    assert_eq!(shown(7), shown(7));
    assert_ne!(shown(7), shown(8));
}

#[test]
fn a_line_of_every_shape_is_what_its_format_says() {
    for call in made(500, 200, 9).0 {
        let mut texts = [const { String::new() }; 5];
        lines::native(&call, &mut texts[0]);
        lines::ocsf(&call, &mut texts[1]);
        lines::cloudtrail(&call, &mut texts[2]);
        lines::csv(&call, &mut texts[3]);
        lines::access(&call, &mut texts[4]);
        let json = |at: usize| serde_json::from_str::<serde_json::Value>(&texts[at]).unwrap();
        assert_eq!(json(0)["path"], call.path);
        assert_eq!(json(1)["http_request"]["url"]["path"], call.path);
        assert_eq!(json(2)["eventName"], call.name);
        assert!(texts[4].contains(&format!("] \"{} {}", call.method, call.path)));
        assert!(!texts.iter().any(|text| text.contains('\n')));
    }
}
