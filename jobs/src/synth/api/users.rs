//! Who calls: the same for every day of a seed. Each user has addresses, an agent, a time zone and a habit of how often.

use super::super::prng::{Alias, Prng, mix2};
use super::services::Role;

const FIRST: [&str; 24] = [
    "ada", "ben", "carla", "dmitri", "elif", "farid", "grace", "hana", "ivan", "julia", "kofi",
    "lena", "mateo", "nora", "omar", "priya", "quentin", "rosa", "sven", "tariq", "uma", "vera",
    "wei", "yara",
];
const LAST: [&str; 24] = [
    "adler", "bakker", "costa", "diaz", "eriksen", "fischer", "garcia", "haddad", "ito", "jansen",
    "kowalski", "lopez", "moreau", "novak", "okafor", "patel", "quist", "rossi", "schmidt",
    "tanaka", "unger", "varga", "weiss", "zhou",
];
/// Browsers and apps, most used first.
const AGENTS: [&str; 7] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "ShopApp/7.4.1 (Android 15; Pixel 8)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "ShopApp/7.4.1 (iOS 18.1; iPhone15,2)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "ShopApp/7.3.0 (Android 13; SM-A546B)",
];
const PROGRAMS: [&str; 4] = [
    "python-requests/2.32.3",
    "okhttp/4.12.0",
    "Go-http-client/2.0",
    "stock-sync/3.1 (+https://partner.example)",
];

/// A caller.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) key: u64,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) agent: &'static str,
    /// At home and on the way.
    pub(super) addresses: [String; 2],
    /// Hours east of UTC.
    pub(super) zone: u64,
}

/// All users, and how often each of them comes.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) all: Vec<User>,
    popularity: Alias,
}

impl Users {
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let all: Vec<User> = (0..count).map(|i| user(i, seed)).collect();
        // Zipf's law, flattened; programs are few and call much.
        let mut rank = 1.0;
        let weights = all.iter().map(|user| {
            rank += 1.0;
            let often = if user.role == Role::Partner { 4.0 } else { 1.0 };
            often / (10.0 + rank)
        });
        let popularity = Alias::new(&weights.collect::<Vec<f64>>());
        Self { all, popularity }
    }

    pub(super) fn draw(&self, rng: &mut Prng) -> usize {
        self.popularity.draw(rng)
    }
}

fn user(place: usize, seed: u64) -> User {
    let key = mix2(seed ^ 0x7573_6572, place as u64);
    let mut rng = Prng::new(key);
    let mut share = rng.below(1000);
    let mut role = Role::Customer;
    for (candidate, permille, ..) in Role::ALL {
        role = candidate;
        if share < permille {
            break;
        }
        share -= permille;
    }
    // The first few of a small fleet are one of each.
    if let Some((own, ..)) = Role::ALL.get(place) {
        role = *own;
    }
    let name = if role == Role::Partner {
        format!("svc-partner-{place}")
    } else {
        let first = FIRST[rng.index(FIRST.len())];
        format!("{first}.{}{place}", LAST[rng.index(LAST.len())])
    };
    let agent = if role == Role::Partner {
        PROGRAMS[rng.index(PROGRAMS.len())]
    } else {
        AGENTS[rng.skewed(AGENTS.len())]
    };
    let home = address(&mut rng);
    let away = if role == Role::Partner {
        home.clone()
    } else {
        address(&mut rng)
    };
    User {
        key,
        name,
        role,
        agent,
        addresses: [home, away],
        zone: [0, 1, 5, 18][rng.skewed(4)],
    }
}

/// An address of 198.18.0.0/15, which RFC 2544 keeps for tests.
pub(super) fn address(rng: &mut Prng) -> String {
    format!(
        "198.{}.{}.{}",
        18 + rng.below(2),
        rng.below(256),
        1 + rng.below(254)
    )
}
