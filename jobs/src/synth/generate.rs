//! One day of events, in the order of time.
//!
//! A row draws a moment from the day's curve, a role by the hour, a host, a short burst of events on it, and for each a
//! template by its weight and a variant. The text is a function of (template, variant) alone: a *fresh* variant has the
//! row's own key, a *pooled* one a small number, so that its line comes back, on other rows and other days. Rows are
//! never held: memory does not depend on their number.

use super::SynthParams;
use super::calendar::{Day, activity, drift};
use super::campaign::{Campaign, STAGES, Slot, slots};
use super::catalog::{Account, Catalog, Image, Template, is_tail};
use super::fleet::{Fleet, Host, Os, ROLES};
use super::image::{image_of, original_name};
use super::prng::{Alias, Prng, hash_bytes, mix2};
use super::render::{Scope, Scratch, Writer};

/// Variants in the pool of a template.
const POOL: usize = 6;
/// Percentage of events that do not know their parent's command line, as in real telemetry.
const PARENT_LINE_LOST_PERCENT: u64 = 2;
/// Microseconds in an hour.
const HOUR_US: u64 = 3_600_000_000;

/// One process start. Its texts are reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub(super) time_us: i64,
    pub(super) host: String,
    /// Login name without its domain, for schemas that part them.
    pub(super) login: String,
    /// Domain of the account; empty outside Windows.
    pub(super) domain: String,
    pub(super) os: &'static str,
    pub(super) image: String,
    pub(super) command_line: String,
    pub(super) parent_image: String,
    pub(super) parent_command_line: String,
    pub(super) parent_line_known: bool,
    pub(super) integrity_level: Option<&'static str>,
    pub(super) user_sid: String,
    pub(super) original_file_name: String,
    pub(super) signed: Option<bool>,
    pub(super) signer_trusted: Option<bool>,
    pub(super) pid: i64,
    pub(super) parent_pid: i64,
    /// Index in the catalog.
    pub(super) template: usize,
}

impl Event {
    /// `DOMAIN\login`, or the login.
    pub(super) fn write_user(&self, out: &mut String) {
        if !self.domain.is_empty() {
            out.push_str(&self.domain);
            out.push('\\');
        }
        out.push_str(&self.login);
    }
}

/// Rows that follow each other on one host.
struct Burst<'a> {
    left: u64,
    role: usize,
    host: &'a Host,
    time_us: u64,
}

/// Writes the events of a day one by one.
pub(super) struct Generator<'a> {
    catalog: &'a Catalog,
    fleet: &'a Fleet,
    day: &'a Day,
    lines: u64,
    row: u64,
    /// Key of the fresh variants of this day.
    day_key: u64,
    pool_key: u64,
    rng: Prng,
    roles_by_hour: Vec<Alias>,
    /// Share of the day's rows before each hour; 25 values from 0 to 1.
    curve: Vec<f64>,
    tables: Vec<Alias>,
    attacks: std::iter::Peekable<std::vec::IntoIter<Slot>>,
    campaign: Option<(u64, usize, &'a Host, Campaign)>,
    burst: Option<Burst<'a>>,
    scratch: Scratch,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        params: &SynthParams,
        catalog: &'a Catalog,
        fleet: &'a Fleet,
        day: &'a Day,
    ) -> Self {
        let tables = catalog.benign.iter().map(|ranked| {
            let weights: Vec<f64> = ranked
                .iter()
                .enumerate()
                .map(|(rank, &(t, weight))| {
                    let key = catalog.templates[t].key;
                    // One in six of the tail comes and goes.
                    weight
                        * drift(
                            mix2(key, params.seed),
                            day.number,
                            is_tail(rank) && key.is_multiple_of(6),
                        )
                })
                .collect();
            Alias::new(&weights)
        });
        let share =
            |role: usize, hour: u32| ROLES[role].4 * activity(ROLES[role].0, hour, day.weekend);
        let by_hour: Vec<Vec<f64>> = (0..24)
            .map(|h| (0..ROLES.len()).map(|r| share(r, h)).collect())
            .collect();
        let total: f64 = by_hour.iter().flatten().sum();
        let mut curve = vec![0.0];
        let mut sum = 0.0;
        for hour in &by_hour {
            sum += hour.iter().sum::<f64>() / total;
            curve.push(sum);
        }
        let day_key = mix2(mix2(params.seed, 0xDA1), day.number.cast_unsigned());
        let attacks = slots(params.lines, params.attack_rows(), day_key);
        Self {
            catalog,
            fleet,
            day,
            lines: params.lines,
            row: 0,
            day_key,
            pool_key: mix2(params.seed, 0xB001),
            rng: Prng::new(day_key),
            roles_by_hour: by_hour.iter().map(|weights| Alias::new(weights)).collect(),
            curve,
            tables: tables.collect(),
            attacks: attacks.into_iter().peekable(),
            campaign: None,
            burst: None,
            scratch: Scratch::default(),
        }
    }

    /// Writes the next row into `event`; false when the day is full.
    pub(super) fn next(&mut self, event: &mut Event) -> bool {
        if self.row >= self.lines {
            return false;
        }
        let row = self.row;
        self.row += 1;
        if self.attacks.peek().is_some_and(|slot| slot.row == row)
            && let Some(slot) = self.attacks.next()
        {
            let time = self.moment(row);
            self.attack(slot, time, event);
        } else {
            self.benign(row, event);
        }
        true
    }

    fn benign(&mut self, row: u64, event: &mut Event) {
        let mut burst = match self.burst.take() {
            Some(burst) if burst.left > 0 => burst,
            _ => self.open(row),
        };
        burst.left -= 1;
        let Some(ranked) = self.catalog.benign.get(burst.role) else {
            return;
        };
        let rank = self.tables[burst.role].draw(&mut self.rng);
        let Some(&(at, _)) = ranked.get(rank) else {
            return;
        };
        let template = &self.catalog.templates[at];
        let host = if is_tail(rank) {
            self.home_host(template, burst.role)
        } else {
            burst.host
        };
        let fresh = self.rng.chance(template.churn_percent);
        let key = if fresh {
            mix2(self.day_key, row)
        } else {
            mix2(template.key ^ self.pool_key, self.rng.skewed(POOL) as u64)
        };
        let time = burst.time_us;
        burst.time_us = (time + 2_000 + self.rng.below(900_000)).min(24 * HOUR_US - 1);
        self.burst = Some(burst);
        event.template = at;
        self.write(template, host, key, fresh, time, None, event);
    }

    /// A burst of rows on a host that is awake at this hour.
    fn open(&mut self, row: u64) -> Burst<'a> {
        let time_us = self.moment(row);
        let hour = usize::try_from(time_us / HOUR_US).unwrap_or(0).min(23);
        let role = self.roles_by_hour[hour].draw(&mut self.rng);
        let hosts = self.fleet.of_role(role);
        // Geometric, six rows in the mean: few long bursts, many single rows.
        let mut left = 1;
        while left < 40 && self.rng.chance(83) {
            left += 1;
        }
        Burst {
            left,
            role,
            host: &hosts[self.rng.index(hosts.len())],
            time_us,
        }
    }

    /// One of the few hosts that a template of the tail lives on.
    fn home_host(&mut self, template: &Template, role: usize) -> &'a Host {
        let hosts = self.fleet.of_role(role);
        let homes = 1 + template.key % (hosts.len() as u64 / 3).clamp(1, 40);
        let pick = mix2(template.key, self.rng.below(homes)) % hosts.len().max(1) as u64;
        &hosts[usize::try_from(pick).unwrap_or(0)]
    }

    /// The microsecond of the day that a row falls on.
    fn moment(&mut self, row: u64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "a day has fewer than 2^52 rows")]
        let at = (row as f64 + self.rng.unit()) / self.lines as f64;
        let hour = self
            .curve
            .partition_point(|&share| share <= at)
            .clamp(1, 24);
        let (from, to) = (self.curve[hour - 1], self.curve[hour]);
        let within = if to > from {
            ((at - from) / (to - from)).clamp(0.0, 0.999_999)
        } else {
            0.0
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 3.6e9"
        )]
        let us = (within * 3.6e9) as u64;
        (hour as u64 - 1) * HOUR_US + us
    }

    fn attack(&mut self, slot: Slot, time: u64, event: &mut Event) {
        let key = mix2(self.day_key ^ 0xBAD, slot.campaign);
        let open = match self.campaign.take() {
            Some(open) if open.0 == slot.campaign => open,
            _ => {
                let mut rng = Prng::new(key);
                let hour = usize::try_from(time / HOUR_US).unwrap_or(0).min(23);
                // By the campaign's key, not by the hour of this step: campaigns interleave.
                let role = if rng.chance(60) {
                    rng.skewed(3)
                } else {
                    3 + rng.index(ROLES.len() - 3)
                };
                let role = if self.catalog.attacks[role].is_empty() {
                    hour % 2
                } else {
                    role
                };
                let hosts = self.fleet.of_role(role);
                let host = &hosts[rng.index(hosts.len())];
                (
                    slot.campaign,
                    role,
                    host,
                    Campaign::new(mix2(key, 1), host, self.fleet),
                )
            }
        };
        let mut rng = Prng::new(mix2(key, 2 + slot.step));
        let stage = 1 + slot.step * STAGES / slot.steps.max(1);
        let of_role = &self.catalog.attacks[open.1];
        let in_stage = || {
            of_role
                .iter()
                .copied()
                .filter(|&t| self.catalog.templates[t].stage == stage)
        };
        let count = in_stage().count();
        let at = in_stage()
            .nth(rng.index(count))
            .or_else(|| of_role.first().copied());
        if let Some(at) = at {
            event.template = at;
            let template = &self.catalog.templates[at];
            self.write(
                template,
                open.2,
                rng.next(),
                true,
                time,
                Some(&open.3),
                event,
            );
        }
        self.campaign = Some(open);
    }

    #[expect(clippy::too_many_arguments, reason = "what decides a row, said once")]
    fn write(
        &mut self,
        template: &Template,
        host: &Host,
        key: u64,
        fresh: bool,
        time_us: u64,
        campaign: Option<&Campaign>,
        event: &mut Event,
    ) {
        account(template, host, event);
        // `root` and `SYSTEM` act for the host's owner: their texts name that one.
        let named = matches!(&template.account, Account::Named(name) if name != "root");
        let login = std::mem::take(&mut event.login);
        let scope = Scope {
            day: self.day,
            fleet: self.fleet,
            host,
            user: if named { &login } else { &host.user },
            second: fresh.then_some(time_us / 1_000_000),
            campaign,
        };
        let rules = &self.catalog.rules;
        let mut writer = Writer::new(scope, rules, key, &mut self.scratch);
        event.image.clear();
        event.command_line.clear();
        if let Image::Pattern(image) = &template.image {
            writer.seq(image, &mut event.image);
            writer.scratch.image.clear();
            writer.scratch.image.push_str(&event.image);
        }
        writer.one(&template.lines, &mut event.command_line);
        if let Image::Auto(folder) = &template.image {
            image_of(&event.command_line, host.os, folder, &mut event.image);
        }

        let which = self.rng.skewed(template.parents.len());
        let parent = template.parents.get(which).copied().unwrap_or(0);
        // A parent lives for a few hours: its text and pid are the same for all it starts in that time.
        let session = mix2(
            mix2(host.key, parent as u64),
            mix2(self.day_key, time_us / (3 * HOUR_US)),
        );
        let scope = Scope {
            second: None,
            ..scope
        };
        let mut writer = Writer::new(scope, rules, session, &mut self.scratch);
        event.parent_image.clear();
        event.parent_command_line.clear();
        if let Some(parent) = self.catalog.parents.get(parent) {
            writer.seq(&parent.image, &mut event.parent_image);
            writer.scratch.image.clear();
            writer.scratch.image.push_str(&event.parent_image);
            writer.seq(&parent.line, &mut event.parent_command_line);
        }
        event.login = login;
        event.parent_line_known = !self.rng.chance(PARENT_LINE_LOST_PERCENT);
        event.parent_pid = pid(host.os, mix2(session, 3));
        event.pid = pid(host.os, self.rng.next());
        event.time_us = i64::try_from(self.day.epoch_secs * 1_000_000 + time_us).unwrap_or(0);
        event.host.clear();
        event.host.push_str(&host.name);
        event.os = host.os.name();
        event.original_file_name.clear();
        let auto = matches!(template.image, Image::Auto(_)) && host.os == Os::Windows;
        let from_image = if auto {
            original_name(&event.image, template.signed)
        } else {
            None
        };
        event.original_file_name.push_str(
            template
                .original_file_name
                .as_deref()
                .or(from_image)
                .unwrap_or(""),
        );
        event.signed = template.signed;
        event.signer_trusted = template.signer_trusted;
    }
}

/// Process ids as the system hands them out: multiples of four on Windows.
fn pid(os: Os, word: u64) -> i64 {
    let n = match os {
        Os::Windows => 4 * (130 + word % 7_500),
        Os::Linux => 300 + word % 4_000_000,
        Os::Macos => 300 + word % 98_000,
    };
    i64::try_from(n).unwrap_or(0)
}

/// Fills the columns that follow from the account.
fn account(template: &Template, host: &Host, event: &mut Event) {
    let windows = host.os == Os::Windows;
    let (domain, login, integrity, sid) = match &template.account {
        Account::User(level) => (
            host.domain.netbios,
            host.user.as_str(),
            *level,
            host.sid.as_str(),
        ),
        Account::System => ("NT AUTHORITY", "SYSTEM", "System", "S-1-5-18"),
        Account::LocalService => ("NT AUTHORITY", "LOCAL SERVICE", "System", "S-1-5-19"),
        Account::NetworkService => ("NT AUTHORITY", "NETWORK SERVICE", "System", "S-1-5-20"),
        Account::Named(name) => (host.domain.netbios, name.as_str(), "High", ""),
    };
    event.login.clear();
    event.login.push_str(login);
    event.domain.clear();
    event.user_sid.clear();
    event.integrity_level = None;
    if windows {
        event.domain.push_str(domain);
        event.integrity_level = Some(integrity);
        if sid.is_empty() {
            let own = host
                .sid
                .rsplit_once('-')
                .map_or(host.sid.as_str(), |(authority, _)| authority);
            event.user_sid.push_str(own);
            event.user_sid.push('-');
            super::render::decimal(
                1_200 + hash_bytes(login.as_bytes()) % 6_000,
                &mut event.user_sid,
            );
        } else {
            event.user_sid.push_str(sid);
        }
    }
}
