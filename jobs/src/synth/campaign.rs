//! Attacks: where in a day they fall, and what the steps of one have in common.
//!
//! An attack is not a line but a campaign: some ten steps on one host within an hour or so, from the first foothold to
//! what it was for, with one server to call home to, one tool and one folder for its files. The share asked for is met
//! exactly, in rows.
//!
//! Addresses are of the benchmarking network 198.18.0.0/15 (RFC 2544) and domains end in `.example` (RFC 2606). The
//! benign templates use the same for what lies outside the company, so that neither gives a label away.

use super::fleet::{Fleet, Host, Os};
use super::prng::{Prng, mix2};
use super::render::decimal;

/// Stages of a campaign: foothold, discovery, credentials, persistence and evasion, movement, purpose.
pub(super) const STAGES: u64 = 6;

/// What the steps of one campaign share.
#[derive(Debug, Clone)]
pub(super) struct Campaign {
    pub(super) ip: String,
    pub(super) domain: String,
    pub(super) port: String,
    pub(super) tool: String,
    pub(super) stage: String,
    pub(super) victim: String,
    pub(super) victim_user: String,
}

/// A row of the day that belongs to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) row: u64,
    pub(super) campaign: u64,
    pub(super) step: u64,
    pub(super) steps: u64,
}

const WORDS: &[&str] = &[
    "cdn",
    "static",
    "update",
    "sync",
    "telemetry",
    "api",
    "assets",
    "mail",
    "cloud",
    "edge",
    "metrics",
    "img",
    "portal",
    "node",
    "files",
    "status",
    "relay",
    "cache",
    "login",
    "docs",
];
const WINDOWS_TOOLS: &[&str] = &[
    "update.exe",
    "svchosts.exe",
    "m64.exe",
    "RuntimeBrokers.exe",
    "onedrv.exe",
    "ch.exe",
    "beacon.exe",
    "gt.exe",
    "winlogson.exe",
    "intelaudio.exe",
    "a.exe",
    "Teams_x64.exe",
    "vmtoolsd32.exe",
    "dllhst3g.exe",
];
const WINDOWS_STAGES: &[&str] = &[
    r"C:\Users\Public",
    r"C:\ProgramData",
    r"C:\Windows\Temp",
    r"C:\PerfLogs",
    r"C:\Users\Public\Music",
    r"C:\ProgramData\Intel",
    r"C:\Windows\Tasks",
    r"C:\Users\Public\Libraries",
    r"C:\Intel\Logs",
];
const UNIX_TOOLS: &[&str] = &[
    "kworkerds",
    ".sshd",
    "xrun",
    "dbused",
    "ld-musl",
    "update",
    ".cache-d",
    "netns",
    "systemd-helperd",
    "p2",
    "linux64",
    "chisel",
];
const UNIX_STAGES: &[&str] = &[
    "/tmp",
    "/dev/shm",
    "/var/tmp",
    "/tmp/.X11-unix",
    "/var/tmp/.cache",
    "/tmp/.ICE-unix",
    "/dev/shm/.x",
];

impl Campaign {
    pub(super) fn new(key: u64, host: &Host, fleet: &Fleet) -> Self {
        let mut rng = Prng::new(key);
        let pick = |list: &'static [&'static str], rng: &mut Prng| list[rng.index(list.len())];
        let r = rng.next();
        let mut ip = String::from(if r.is_multiple_of(2) {
            "198.18."
        } else {
            "198.19."
        });
        decimal((r >> 8) % 255, &mut ip);
        ip.push('.');
        decimal(1 + (r >> 24) % 253, &mut ip);
        let mut domain = String::from(pick(WORDS, &mut rng));
        domain.push('-');
        domain.push_str(pick(WORDS, &mut rng));
        if rng.chance(40) {
            decimal(rng.below(99), &mut domain);
        }
        domain.push_str(".example");
        let port = [
            "443", "4444", "8443", "8080", "53", "9001", "1337", "4443", "8888", "80",
        ][rng.skewed(10)]
        .to_owned();
        let (tools, stages) = match host.os {
            Os::Windows => (WINDOWS_TOOLS, WINDOWS_STAGES),
            Os::Linux | Os::Macos => (UNIX_TOOLS, UNIX_STAGES),
        };
        let mut tool = pick(tools, &mut rng).to_owned();
        if rng.chance(30) {
            // A random name, as packers and droppers give.
            let word = rng.next();
            tool = (0..6)
                .map(|k| char::from(b'a' + u8::try_from((word >> (8 * k)) % 26).unwrap_or(0)))
                .collect();
            if host.os == Os::Windows {
                tool.push_str(".exe");
            }
        }
        let victim = fleet.server(host, rng.next());
        Self {
            ip,
            domain,
            port,
            tool,
            stage: pick(stages, &mut rng).to_owned(),
            victim: victim.name.clone(),
            victim_user: victim.user.clone(),
        }
    }
}

/// The rows of a day that attacks take: `attacks` of `lines`, rounded, each row once and in order.
pub(super) fn slots(lines: u64, attacks: u64, seed: u64) -> Vec<Slot> {
    let wanted = attacks.min(lines);
    let mut slots = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
    let mut rng = Prng::new(mix2(seed, 0xA77A));
    let minute = (lines / 1_440).max(1);
    let (mut left, mut campaign) = (wanted, 0);
    while left > 0 {
        let steps = (5 + rng.below(14)).min(left);
        let mut row = rng.below(lines);
        for step in 0..steps {
            slots.push(Slot {
                row,
                campaign,
                step,
                steps,
            });
            row = row.saturating_add(1 + rng.below(minute * 8)).min(lines - 1);
        }
        left -= steps;
        campaign += 1;
    }
    slots.sort_by_key(|s| (s.row, s.campaign, s.step));
    // Two steps may want one row: the later one moves on, and the last ones back where the day ends.
    let mut free = 0;
    for slot in &mut slots {
        slot.row = slot.row.max(free);
        free = slot.row + 1;
    }
    let mut limit = lines;
    for slot in slots.iter_mut().rev() {
        slot.row = slot.row.min(limit - 1);
        limit = slot.row;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attack_row_is_taken_once_and_lies_within_the_day() {
        for (lines, attacks) in [(10, 10), (1_000, 300), (100_000, 100), (5, 0)] {
            let slots = slots(lines, attacks, 9);
            assert_eq!(slots.len() as u64, attacks);
            assert!(slots.windows(2).all(|w| w[0].row < w[1].row));
            assert!(slots.iter().all(|s| s.row < lines));
        }
    }

    #[test]
    fn the_steps_of_a_campaign_come_in_order() {
        let slots = slots(1_000_000, 1_000, 4);
        let mut last = std::collections::HashMap::new();
        for s in slots {
            assert!(
                last.insert(s.campaign, s.step)
                    .is_none_or(|before| before < s.step)
            );
        }
    }
}
