//! A day's calls in order of time: sessions of users and incidents, each a stream of its own, merged.
//!
//! Only where a stream begins is planned ahead (some 40 bytes for each of them, a dozen calls a session); what it calls follows from its
//! key while it runs.

use std::collections::BTreeMap;

use super::super::prng::{Alias, Prng, mix2};
use super::call::{Call, spread};
use super::incidents::{self, Incident};
use super::services::{ENDPOINTS, Role, TOKEN};
use super::users::{User, Users};

const DAY_MS: i64 = 86_400_000;
const THINK: u64 = 0x7468_696e_6b21;

/// Share of a role's sessions by the hour of its own day.
const OFFICE: [f64; 24] = [
    0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 1.0, 3.0, 7.0, 9.0, 9.5, 9.0, 7.0, 8.5, 9.0, 9.0, 8.0, 6.0, 3.0,
    1.5, 1.0, 0.8, 0.5, 0.3,
];
const LEISURE: [f64; 24] = [
    1.5, 0.7, 0.4, 0.3, 0.3, 0.6, 1.5, 3.0, 4.0, 4.5, 4.5, 5.0, 6.0, 5.0, 4.5, 4.5, 5.0, 6.5, 8.0,
    9.5, 10.0, 9.0, 6.0, 3.5,
];
const ALWAYS: [f64; 24] = [1.0; 24];

/// A stream that is to begin.
#[derive(Debug, Clone, Copy)]
struct Planned {
    start_ms: i64,
    key: u64,
    source: Source,
    calls: u64,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// Of the user at that place.
    Session(usize),
    /// The one at that place.
    Incident(usize),
}

/// A stream that runs.
struct Running {
    planned: Planned,
    done: u64,
    endpoint: usize,
    calls: Prng,
    thinking: Prng,
}

/// The calls of a day.
pub(super) struct Traffic<'u> {
    users: &'u Users,
    pub(super) incidents: Vec<Incident>,
    /// The last begins first.
    planned: Vec<Planned>,
    running: BTreeMap<(i64, u64), Running>,
    begun: u64,
}

impl<'u> Traffic<'u> {
    /// `rows` calls of the day that begins at `begin_ms`, `attack_rows` of them of incidents.
    pub(super) fn new(
        users: &'u Users,
        begin_ms: i64,
        rows: u64,
        attack_rows: u64,
        seed: u64,
    ) -> Self {
        let key = mix2(seed, begin_ms.unsigned_abs());
        let incidents = incidents::plan(users, begin_ms, DAY_MS, attack_rows, mix2(key, 1));
        let mut planned: Vec<Planned> = incidents
            .iter()
            .enumerate()
            .filter(|(_, incident)| incident.rows > 0)
            .map(|(at, incident)| Planned {
                start_ms: incident.begin_ms,
                key: incident.key,
                source: Source::Incident(at),
                calls: incident.rows,
            })
            .collect();
        let hours = Hours::new();
        let mut left = rows - attack_rows;
        let mut n = 2;
        while left > 0 {
            let session = session(users, &hours, begin_ms, left, mix2(key, n));
            left -= session.calls;
            n += 1;
            planned.push(session);
        }
        planned.sort_by_key(|planned| std::cmp::Reverse((planned.start_ms, planned.key)));
        Self {
            users,
            incidents,
            planned,
            running: BTreeMap::new(),
            begun: 0,
        }
    }

    /// The next call; `None` when the day is over.
    pub(super) fn next(&mut self) -> Option<Call> {
        while let Some(next) = self.planned.last().copied() {
            let first = self.running.first_key_value();
            if first.is_some_and(|((time, _), _)| *time < next.start_ms) {
                break;
            }
            self.planned.pop();
            let running = Running {
                planned: next,
                done: 0,
                endpoint: TOKEN,
                calls: Prng::new(next.key),
                thinking: Prng::new(next.key ^ THINK),
            };
            self.running.insert((next.start_ms, self.begun), running);
            self.begun += 1;
        }
        let ((time_ms, order), mut running) = self.running.pop_first()?;
        let (call, gap_ms) = match running.planned.source {
            Source::Session(user) => self.of_session(user, &mut running, time_ms),
            Source::Incident(at) => self.of_incident(at, &mut running, time_ms),
        };
        running.done += 1;
        if running.done < running.planned.calls {
            self.running.insert((time_ms + gap_ms, order), running);
        }
        if let Some(at) = call.incident {
            let incident = &mut self.incidents[at];
            if incident.rows > 0 {
                incident.end_ms = call.time_ms;
            }
            incident.written += 1;
        }
        Some(call)
    }

    fn of_session(&self, at: usize, running: &mut Running, time_ms: i64) -> (Call, i64) {
        let user = &self.users.all[at];
        let endpoint = running.endpoint;
        let rng = &mut running.calls;
        let mut call = Call::of(&ENDPOINTS[endpoint], Some(user), time_ms, rng);
        call.user.clone_from(&user.name);
        call.session = format!("{:016x}{:016x}", running.planned.key, user.key);
        let is_away = user.role != Role::Staff && running.planned.key.is_multiple_of(9);
        call.client_ip
            .clone_from(&user.addresses[usize::from(is_away)]);
        user.agent.clone_into(&mut call.user_agent);
        if user.agent.starts_with("Mozilla") {
            call.referer = "https://shop.example/";
        }
        if rng.below(1000) < u64::from(ENDPOINTS[endpoint].failures_permille) {
            call.fail(ENDPOINTS[endpoint].failure, rng);
        }
        let burst = self.incidents.len().checked_sub(1);
        if let Some(at) = burst
            && self.incidents[at].strikes(endpoint, &mut call, rng)
        {
            call.incident = Some(at);
        }
        running.endpoint = following(user.role, endpoint, rng);
        (call, think_ms(user, &mut running.thinking))
    }

    fn of_incident(&self, at: usize, running: &mut Running, time_ms: i64) -> (Call, i64) {
        let incident = &self.incidents[at];
        let mut call = incident.call(self.users, running.done, time_ms, &mut running.calls);
        call.incident = Some(at);
        (call, incident.gap_ms(&mut running.thinking))
    }
}

struct Hours([Alias; 3]);

impl Hours {
    fn new() -> Self {
        Self([OFFICE, LEISURE, ALWAYS].map(|weights| Alias::new(&weights)))
    }

    const fn of(&self, role: Role) -> &Alias {
        match role {
            Role::Staff => &self.0[0],
            Role::Customer | Role::Author => &self.0[1],
            Role::Partner => &self.0[2],
        }
    }
}

/// A session of at most `most` calls.
fn session(users: &Users, hours: &Hours, begin_ms: i64, most: u64, key: u64) -> Planned {
    let mut rng = Prng::new(key ^ 0x7365_7373);
    let at = users.draw(&mut rng);
    let user = &users.all[at];
    let median = u64::from(habit(user.role).0);
    let calls = spread(&mut rng, median).min(most).min(20 * median);
    let hour = (hours.of(user.role).draw(&mut rng) as u64 + 24 - user.zone) % 24;
    let start = i64::try_from(hour * 3_600_000 + rng.below(3_600_000)).unwrap_or_default();
    // What would run into the next day begins earlier.
    let mut thinking = Prng::new(key ^ THINK);
    let length: i64 = (1..calls).map(|_| think_ms(user, &mut thinking)).sum();
    let start = start.min(DAY_MS - 1 - length).max(0);
    Planned {
        start_ms: begin_ms + start,
        key,
        source: Source::Session(at),
        calls: if length < DAY_MS { calls } else { 1 },
    }
}

/// Calls of a session and milliseconds between two, medians.
fn habit(role: Role) -> (u32, u64) {
    let of_role = Role::ALL.into_iter().find(|(own, ..)| *own == role);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a table"
    )]
    of_role.map_or((1, 1000), |(_, _, calls, secs)| {
        (calls, (secs * 1000.0) as u64)
    })
}

/// Thinking takes at most twenty times as long as it does half of the time.
fn think_ms(user: &User, rng: &mut Prng) -> i64 {
    let median = habit(user.role).1;
    i64::try_from(spread(rng, median).min(20 * median)).unwrap_or_default()
}

fn following(role: Role, endpoint: usize, rng: &mut Prng) -> usize {
    let choices = role.after(endpoint);
    let total: u64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut drawn = rng.below(total);
    for (next, weight) in choices {
        if drawn < *weight {
            return *next;
        }
        drawn -= weight;
    }
    endpoint
}
