//! Rules for impact: destroyed data, recovery switched off, miners.
//!
//! Data only; [`super`] says how it is read. Keep a row small: what needs more than three groups is two rules.

use super::Level::{High, Medium};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "shadow_copy_deletion",
        level: High,
        technique: "T1490",
        description: "backups or recovery are removed",
        all: &[
            "vssadmin;;win32_shadowcopy;;shadowcopy;;@wbadmin;;@diskshadow;;shadowstorage",
            "delete;;remove-;;resize;;.delete(",
        ],
        none: "",
        example: "vssadmin delete shadows /all /quiet",
        near_miss: "vssadmin list shadows",
    },
    Rule {
        name: "recovery_disabled",
        level: High,
        technique: "T1490",
        description: "recovery at boot is switched off",
        all: &[
            "@bcdedit;;reagentc",
            "recoveryenabled no;;ignoreallfailures;;/disable",
        ],
        none: "",
        example: "bcdedit /set {default} recoveryenabled no",
        near_miss: "bcdedit /enum",
    },
    Rule {
        name: "data_destruction",
        level: Medium,
        technique: "T1485",
        description: "data or traces are destroyed",
        all: &["\
            @sdelete;;@sdelete64;;cipher /w;;cipher.exe /w;;format c:;;clear-disk;;\
            remove-item -recurse -force c:\\;;del /s /q c:\\;;rd /s /q c:\\;;initialize-disk;;\
            deletejournal;;del /f /s /q;;\\prefetch;;consolehost_history;;\\recent\\;;\
            deletebackup;;remove-eventlog"],
        none: "",
        example: "sdelete -accepteula -z c:",
        near_miss: "del report.tmp",
    },
    Rule {
        name: "destruction_unix",
        level: Medium,
        technique: "T1485",
        description: "disks or data are overwritten",
        all: &["\
            rm -rf /;;rm -rf --no;;mkfs;;dd if=/dev;;of=/dev/;;@shred;;@wipe;;@srm;;> /dev/sd;;\
            --no-preserve-root;;:(){;;@scrub;;@wipefs;;@mkswap;;/dev/urandom;;cryptsetup;;\
            blkdiscard;;rm -rf ~;;rm -rf *;;@hdparm;;@killall;;@pkill"],
        none: "",
        example: "dd if=/dev/zero of=/dev/sda",
        near_miss: "rm -rf build",
    },
    Rule {
        name: "mining",
        level: High,
        technique: "T1496",
        description: "a coin miner",
        all: &["\
            xmrig;;stratum+tcp;;minerd;;cryptonight;;monero;;nicehash;;ethminer;;cpuminer;;\
            coinhive;;nanopool;;minergate;;donate-level"],
        none: "",
        example: "xmrig -o stratum+tcp://a.b:3333",
        near_miss: "perf stat x",
    },
];
