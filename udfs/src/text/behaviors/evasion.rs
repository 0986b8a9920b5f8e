//! Defence evasion and destruction.

use super::Expr::{All, Any, Command, Exact, Not, Switch, Text, Then, Word};
use super::{Behavior, Expr, Group, tag};

const fn evade(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::Evasion, name, technique, when)
}

// A row a behaviour reads better than ten lines each.
#[rustfmt::skip]
pub(super) const TABLE: &[Behavior] = &[
    evade("wevutil_clear", "T1070.001", Any(&[All(&[Command("wevtutil"), Any(&[Word("cl"), Word("clear-log"), Text("sl "), Word("/e:false")])]), Word("clear-eventlog"), Word("remove-eventlog"), Text("clearlog(")])),
    evade("sdelete", "T1070.004", Any(&[Command("sdelete"), Command("sdelete64")])),
    evade("cipher_wipe", "T1485", All(&[Command("cipher"), Any(&[Text("/w:"), Text("/w ")])])),
    evade("history_c", "T1070.003", Any(&[Text("history -c"), Text("histfile=/dev/null"), Text("unset histfile"), Text("histsize=0"), Text("set +o history"), Text("histfilesize=0"), All(&[Text("_history"), Any(&[Command("rm"), Command("shred"), Text("/dev/null"), Command("truncate"), Text("cat /dev/null")])]), Word("clear-history"), Text("-historysavestyle savenothing")])),
    evade("log_wipe", "T1070.002", All(&[Any(&[Text("/var/log/"), Text("/var/run/utmp"), Text("/var/adm/")]), Any(&[Command("rm"), Command("shred"), Command("truncate"), Text("echo \"\" >"), Text("> /var/log"), Text(">/var/log"), Text("cat /dev/null"), Command("unlink")])])),
    evade("MavInject_INJECTRUNNING", "T1218.013", All(&[Command("mavinject"), Switch("injectrunning")])),
    evade("defender_exclusion", "T1562.001", All(&[Any(&[Word("add-mppreference"), Word("set-mppreference")]), Any(&[Text("-exclusion"), Text("-disable"), Text("submitsamplesconsent")])])),
    evade("defender_disable", "T1562.001", Any(&[All(&[Any(&[Text("disableantispyware"), Text("disablerealtimemonitoring"), Text("disableantivirus"), Text("disablebehaviormonitoring"), Text("tamperprotection")]), Any(&[Word("add"), Text("set-"), Text("new-")])]), All(&[Any(&[Word("windefend"), Word("wdnissvc"), Word("sense")]), Any(&[Word("stop"), Word("delete"), Word("disabled")])]), All(&[Command("mpcmdrun"), Switch("removedefinitions")])])),
    evade("firewall_off", "T1562.004", Any(&[All(&[Command("netsh"), Text("firewall"), Any(&[Text("state off"), Text("opmode disable"), Text("mode=disable"), Text("opmode mode=disable")])]), All(&[Text("set-netfirewallprofile"), Text("-enabled false")]), All(&[Command("iptables"), Any(&[Exact(" -F"), Text("-P INPUT ACCEPT")])]), Text("ufw disable"), All(&[Word("firewalld"), Any(&[Word("stop"), Word("disable"), Word("mask")])]), Text("pfctl -d")])),
    evade("firewall_allow", "T1562.004", All(&[Command("netsh"), Text("firewall"), Word("add"), Any(&[Text("action=allow"), Text("allowedprogram"), Text("portopening")])])),
    evade("security_service_stop", "T1489", All(&[Any(&[All(&[Any(&[Command("net"), Command("sc"), Command("net1")]), Word("stop")]), Word("stop-service"), All(&[Command("taskkill"), Switch("im")])]), Any(&[Text("defend"), Text("antivirus"), Text("sophos"), Text("mcafee"), Text("symantec"), Text("vss"), Text("backup"), Text("veeam"), Text("mssql"), Text("sysmon"), Text("eventlog")])])),
    evade("selinux_off", "T1562.001", Any(&[Text("setenforce 0"), Text("selinux=disabled"), All(&[Word("apparmor"), Any(&[Word("stop"), Word("teardown"), Word("disable")])]), Text("csrutil disable"), Text("spctl --master-disable"), Text("--global-disable")])),
    evade("audit_off", "T1562.012", Any(&[Text("auditctl -e 0"), Text("auditctl -e0"), Exact("auditctl -D"), All(&[Any(&[Word("auditd"), Word("rsyslog"), Word("syslog"), Word("syslog-ng")]), Any(&[Word("stop"), Word("disable"), Command("kill"), Command("pkill"), Word("mask")])]), All(&[Command("auditpol"), Any(&[Text(":disable"), Word("/clear"), Word("/remove")])])])),
    evade("amsi_bypass", "T1562.001", Any(&[Text("amsiinitfailed"), Text("amsiutils"), Text("amsiscanbuffer"), Text("amsi.dll")])),
    evade("script_logging_off", "T1562.002", All(&[Any(&[Text("scriptblocklogging"), Text("modulelogging"), Text("enabletranscripting")]), Any(&[Word("0"), Text("false"), Word("$null")])])),
    evade("downgrade_powershell", "T1562.010", All(&[Any(&[Command("powershell"), Command("pwsh")]), Any(&[Text("-version 2"), Text("-v 2 "), Text("-ver 2")])])),
    evade("shadow_delete", "T1490", Any(&[All(&[Command("vssadmin"), Any(&[Word("delete"), Word("resize")]), Any(&[Word("shadows"), Word("shadowstorage")])]), All(&[Word("shadowcopy"), Word("delete")]), All(&[Command("wbadmin"), Word("delete")]), All(&[Text("win32_shadowcopy"), Any(&[Text("delete()"), Text("remove-")])]), All(&[Command("tmutil"), Any(&[Word("disable"), Text("deletelocalsnapshots")])])])),
    evade("recovery_off", "T1490", Any(&[All(&[Command("bcdedit"), Any(&[Text("recoveryenabled"), Text("ignoreallfailures"), Text("safeboot"), Text("nointegritychecks"), Text("testsigning")])]), All(&[Command("reagentc"), Switch("disable")])])),
    evade("disk_wipe", "T1561", Any(&[All(&[Command("dd"), Any(&[Text("of=/dev/sd"), Text("of=/dev/nvme"), Text("of=/dev/disk"), Text("of=/dev/hd")]), Any(&[Text("if=/dev/zero"), Text("if=/dev/urandom"), Text("if=/dev/random")])]), Text("rm -rf /*"), Text("--no-preserve-root"), All(&[Command("format"), Text("/p:")]), Text(":(){ :|:& };:")])),
    evade("shred", "T1485", All(&[Command("shred"), Any(&[Text(" -u"), Text(" -n"), Text(" -z"), Text("--remove"), Text(" -f")])])),
    evade("chattr", "T1222.002", Then(&[Command("chattr"), Any(&[Text("+i"), Text("-i"), Text("+a"), Text("-a"), Text("+ia"), Text("-ia")])])),
    evade("timestomp", "T1070.006", Any(&[All(&[Command("touch"), Any(&[Text(" -r "), Text(" -t "), Text(" -d "), Text("-acmr"), Text("--reference"), Text(" -a -t"), Text(" -m -t")])]), Text(".creationtime"), Text(".lastwritetime ="), Text(".lastwritetime=")])),
    evade("quarantine_removal", "T1553.001", Any(&[All(&[Command("xattr"), Any(&[Text("com.apple.quarantine"), Text(" -c ")])]), Text("lsfilequarantineenabled"), Word("unblock-file")])),
    evade("root_certificate", "T1553.004", Any(&[All(&[Command("certutil"), Switch("addstore"), Any(&[Word("root"), Word("authroot")])]), All(&[Text("import-certificate"), Text("\\root")]), Text("update-ca-certificates"), Text("update-ca-trust"), All(&[Command("security"), Word("add-trusted-cert")])])),
    evade("takeown_icacls", "T1222.001", Any(&[All(&[Command("takeown"), Switch("f")]), All(&[Command("icacls"), Any(&[Switch("grant"), Switch("setowner"), Switch("reset")])]), All(&[Command("cacls"), Any(&[Switch("g"), Switch("e")])])])),
    evade("wdigest_downgrade", "T1112", All(&[Any(&[Text("uselogoncredential"), Text("runasppl"), Text("lmcompatibilitylevel"), Text("disablerestrictedadmin")]), Any(&[Word("add"), Text("set-"), Text("new-"), Text("/d ")])])),
    evade("self_delete", "T1070.004", Any(&[All(&[Any(&[Command("ping"), Command("timeout"), Command("choice")]), Text(" del "), Text("&")]), All(&[Command("fsutil"), Word("usn"), Word("deletejournal")]), Text("rm -- \"$0\""), Text("rm -f $0"), Text("rm $0")])),
    evade("sandbox_check", "T1497", Any(&[Text("/sys/class/dmi/id"), All(&[Command("dmidecode"), Text("vm")]), All(&[Any(&[Command("wmic"), Text("get-wmiobject"), Text("get-ciminstance")]), Any(&[Text("msacpi_thermalzone"), Text("win32_fan")])]), Text("hw.model"), All(&[Command("grep"), Text("hypervisor"), Text("cpuinfo")])])),
    evade("kill_all", "T1489", All(&[Any(&[Command("killall"), Command("pkill")]), Text(" -9"), Not(&Word("node"))])),
];
