//! The fleet: hosts with a system, a role and an owner, the same for every day of a seed.
//!
//! Names follow the habits of real fleets (site prefixes, cloud instance names, serial-like suffixes). Domains end in
//! `.internal`, which is reserved for private use.

use super::prng::{Prng, mix2};

/// Operating system of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Os {
    Windows,
    Linux,
    Macos,
}

impl Os {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Macos => "macos",
        }
    }
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    WindowsWorkstation,
    WindowsDeveloper,
    WindowsServer,
    WindowsBuild,
    DomainController,
    LinuxDeveloper,
    LinuxServer,
    LinuxBuild,
    KubeNode,
    MacOffice,
    MacDeveloper,
}

/// One list of roles: letter in the grammar files, system, hosts in a thousand, rows in a thousand of a full hour.
/// A server starts fewer processes than a workstation or a build agent.
pub(super) const ROLES: [(Role, char, Os, u64, f64); 11] = [
    (Role::WindowsWorkstation, 'w', Os::Windows, 430, 390.0),
    (Role::WindowsDeveloper, 'd', Os::Windows, 75, 105.0),
    (Role::WindowsServer, 's', Os::Windows, 100, 110.0),
    (Role::WindowsBuild, 'b', Os::Windows, 20, 50.0),
    (Role::DomainController, 'c', Os::Windows, 10, 14.0),
    (Role::LinuxDeveloper, 'D', Os::Linux, 45, 45.0),
    (Role::LinuxServer, 'S', Os::Linux, 130, 110.0),
    (Role::LinuxBuild, 'B', Os::Linux, 30, 60.0),
    (Role::KubeNode, 'K', Os::Linux, 60, 75.0),
    (Role::MacOffice, 'M', Os::Macos, 55, 45.0),
    (Role::MacDeveloper, 'N', Os::Macos, 45, 50.0),
];

/// A directory domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Domain {
    pub(super) netbios: &'static str,
    pub(super) dns: &'static str,
    authority: &'static str,
}

const DOMAINS: [Domain; 3] = [
    Domain {
        netbios: "NORDWIND",
        dns: "corp.nordwind.internal",
        authority: "S-1-5-21-2914073611-1450912237-3018846519",
    },
    Domain {
        netbios: "HALVOR",
        dns: "ad.halvor.internal",
        authority: "S-1-5-21-1187402263-904472115-2240817390",
    },
    Domain {
        netbios: "BRIGHTMOOR",
        dns: "brightmoor.internal",
        authority: "S-1-5-21-3655120984-2286017743-714409823",
    },
];

/// One machine and its owner.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) key: u64,
    pub(super) name: String,
    pub(super) os: Os,
    pub(super) domain: Domain,
    /// Login name of the owner, or of the administrator who looks after it.
    pub(super) user: String,
    /// Windows security identifier of that account.
    pub(super) sid: String,
}

/// All hosts, in the order of their roles.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) hosts: Vec<Host>,
    /// For each of `ROLES`, the range of its hosts.
    spans: Vec<std::ops::Range<usize>>,
}

const FIRST: &[&str] = &[
    "james", "maria", "wei", "anna", "rahul", "sofia", "david", "fatima", "lukas", "emily", "jose",
    "priya", "thomas", "yuki", "olga", "michael", "chen", "laura", "ahmed", "julia", "peter",
    "ingrid", "carlos", "nina", "samuel", "amara", "viktor", "helen", "diego", "katrin", "omar",
    "claire", "ravi", "elena", "mark", "aisha", "jan", "sarah", "pavel", "mei", "oliver", "leila",
    "tomas", "grace", "kenji", "irene", "marco", "zoe", "arjun", "freya", "hugo", "dana", "ivan",
    "lucy", "erik", "tara",
];
const LAST: &[&str] = &[
    "smith",
    "garcia",
    "mueller",
    "chen",
    "patel",
    "johnson",
    "kowalski",
    "rossi",
    "nguyen",
    "silva",
    "andersson",
    "kim",
    "brown",
    "ivanov",
    "hernandez",
    "dubois",
    "tanaka",
    "wilson",
    "okafor",
    "jansen",
    "schmidt",
    "lopez",
    "singh",
    "novak",
    "martin",
    "larsen",
    "costa",
    "walker",
    "haddad",
    "fischer",
    "moreau",
    "sharma",
    "clark",
    "petrov",
    "santos",
    "weber",
    "lindqvist",
    "baker",
    "yamamoto",
    "romano",
    "khan",
    "murphy",
    "horvat",
    "becker",
    "reyes",
    "dahl",
    "ortiz",
    "hughes",
    "keller",
    "popescu",
    "iyer",
    "gruber",
    "marsh",
    "vance",
    "eriksen",
    "farrell",
    "quint",
    "osei",
    "bauer",
    "lowe",
];
const SITES: &[&str] = &["NYC", "LON", "MUC", "BLR", "CHI", "AMS", "AUS", "WAW"];
const TIERS: &[&str] = &[
    "SQL", "APP", "WEB", "FS", "SCCM", "EXCH", "PRINT", "RDS", "BKP", "FIN", "MES", "CTX",
];
const SERVICES: &[&str] = &[
    "web", "api", "db", "kafka", "es", "redis", "batch", "etl", "mon", "mail", "ldap", "gitlab",
    "proxy",
];

impl Fleet {
    /// At least one host of each role, the rest by their share.
    pub(super) fn new(hosts: usize, seed: u64) -> Self {
        let mut fleet = Self {
            hosts: Vec::with_capacity(hosts + ROLES.len()),
            spans: Vec::with_capacity(ROLES.len()),
        };
        for (role, _, os, per_thousand, _) in ROLES {
            let share = hosts as u64 * per_thousand / 1_000;
            let from = fleet.hosts.len();
            for i in 0..share.max(1) {
                fleet
                    .hosts
                    .push(host(role, os, i, mix2(mix2(seed, role as u64), i)));
            }
            fleet.spans.push(from..fleet.hosts.len());
        }
        fleet
    }

    /// The hosts of the role at `role` in `ROLES`.
    pub(super) fn of_role(&self, role: usize) -> &[Host] {
        self.spans
            .get(role)
            .and_then(|span| self.hosts.get(span.clone()))
            .unwrap_or(&[])
    }

    /// A server that has to do with `host`: Windows talks to Windows, the others to Linux.
    pub(super) fn server(&self, host: &Host, word: u64) -> &Host {
        let role = match (host.os, word % 16) {
            (Os::Windows, 0) => 4,
            (Os::Windows, 1) => 0,
            (Os::Windows, _) => 2,
            (_, 0) => 5,
            _ => 6,
        };
        let servers = self.of_role(role);
        let at = mix2(host.key ^ 0x5E, word % 16) % servers.len().max(1) as u64;
        usize::try_from(at)
            .ok()
            .and_then(|at| servers.get(at))
            .unwrap_or(&self.hosts[0])
    }

    /// Another host that has to do with `host`: each has a circle of some eight.
    pub(super) fn near(&self, host: &Host, word: u64) -> &Host {
        let at = mix2(host.key, word % 8) % (self.hosts.len().max(1) as u64);
        usize::try_from(at)
            .ok()
            .and_then(|at| self.hosts.get(at))
            .unwrap_or(&self.hosts[0])
    }
}

fn host(role: Role, os: Os, i: u64, key: u64) -> Host {
    let mut rng = Prng::new(key);
    let pick = |list: &'static [&'static str], rng: &mut Prng| list[rng.index(list.len())];
    let (first, last) = (pick(FIRST, &mut rng), pick(LAST, &mut rng));
    let user = match rng.below(10) {
        0..6 => format!("{first}.{last}"),
        6..9 => format!("{}{last}", &first[..1]),
        _ => format!("{first}{}", &last[..1]),
    };
    let domain = DOMAINS[rng.skewed(DOMAINS.len())];
    let site = pick(SITES, &mut rng);
    let word = rng.next();
    let serial = |n: usize| -> String {
        let set = b"ABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
        (0..n)
            .map(|k| char::from(set[usize::try_from((word >> (6 * k)) % 34).unwrap_or(0)]))
            .collect()
    };
    let (a, b, c) = (10 + word % 40, (word >> 8) % 250, 2 + (word >> 16) % 250);
    let name = match role {
        Role::WindowsWorkstation if word % 5 < 2 => format!("DESKTOP-{}", serial(7)),
        Role::WindowsWorkstation => format!("{site}-LT-{}", serial(6)),
        Role::WindowsDeveloper => format!("{site}-DEV{i:03}"),
        Role::WindowsServer => format!("{site}-{}{:02}", pick(TIERS, &mut rng), i + 1),
        Role::WindowsBuild => format!("BLD-WIN-{:03}", i + 1),
        Role::DomainController => format!("{site}-DC{:02}", i + 1),
        Role::LinuxDeveloper => format!("{}-ws{i:02}", user.replace('.', "-")),
        Role::LinuxServer if word.is_multiple_of(3) => format!("ip-10-{a}-{b}-{c}"),
        Role::LinuxServer => format!("{}-prod-{:02}", pick(SERVICES, &mut rng), i + 1),
        Role::LinuxBuild => format!("runner-{}-{i}", serial(8).to_lowercase()),
        Role::KubeNode if word.is_multiple_of(2) => format!(
            "aks-nodepool1-{:08}-vmss{i:06}",
            10_000_000 + word % 80_000_000
        ),
        Role::KubeNode => format!("ip-10-{a}-{b}-{c}.ec2.internal"),
        Role::MacOffice => format!("{}s-MacBook-Air-{i}", capital(first)),
        Role::MacDeveloper => format!("MBP-{}", serial(6)),
    };
    let sid = format!("{}-{}", domain.authority, 1_104 + (word >> 20) % 30_000);
    Host {
        key,
        name,
        os,
        domain,
        user,
        sid,
    }
}

fn capital(word: &str) -> String {
    word.char_indices()
        .map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_has_every_role_and_about_the_size_asked_for() {
        for n in [1, 50, 3_000] {
            let fleet = Fleet::new(n, 7);
            assert!((0..ROLES.len()).all(|r| !fleet.of_role(r).is_empty()));
            assert!(fleet.hosts.len() <= n + ROLES.len());
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_hosts() {
        let names = |seed| {
            Fleet::new(100, seed)
                .hosts
                .into_iter()
                .map(|h| h.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(1), names(1));
        assert_ne!(names(1), names(2));
    }
}
