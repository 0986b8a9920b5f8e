//! Persistence, privilege, lateral movement and remote execution.

use super::Expr::{All, Any, Command, Is, Not, Piped, Switch, Text, Then, Word};
use super::{Behavior, Expr, Fact, Group, tag};

const ADD: Expr = Any(&[
    Word("add"),
    Word("set-itemproperty"),
    Word("new-itemproperty"),
    Word("reg add"),
    Word("sp"),
]);
const REMOTE: Expr = Any(&[Text(" \\\\"), Text("\"\\\\")]);
const WRITE: Expr = Any(&[
    Text(">>"),
    Text("> /"),
    Piped("tee"),
    Text("sed -i"),
    Command("cp"),
    Command("mv"),
    Command("install"),
    Command("ln"),
    Command("touch"),
]);

const fn keep(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::Persistence, name, technique, when)
}

const fn lateral(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::Lateral, name, technique, when)
}

// A row a behaviour reads better than ten lines each.
#[rustfmt::skip]
pub(super) const TABLE: &[Behavior] = &[
    keep("schtasks_create", "T1053.005", All(&[Command("schtasks"), Any(&[Switch("create"), Switch("change")])])),
    keep("powershell_scheduled_task", "T1053.005", Any(&[Text("register-scheduledtask"), Text("new-scheduledtask"), Text("schedule.service")])),
    keep("at_job", "T1053.002", Any(&[All(&[Command("at"), Any(&[Text("/every"), Text("/interactive")])]), Piped("at")])),
    keep("sc_create", "T1543.003", All(&[Command("sc"), Any(&[Word("create"), Word("config")]), Text("binpath")])),
    keep("powershell_new_service", "T1543.003", All(&[Word("new-service"), Text("-binarypathname")])),
    keep("registry_run_key", "T1547.001", All(&[Any(&[Text("currentversion\\run"), Text("currentversion\\policies\\explorer\\run")]), ADD])),
    keep("winlogon_key", "T1547.004", All(&[Text("windows nt\\currentversion\\winlogon"), ADD])),
    keep("ifeo_debugger", "T1546.012", All(&[Any(&[Text("image file execution options"), Text("silentprocessexit")]), ADD])),
    keep("appinit_or_lsa", "T1546.010", All(&[Any(&[Text("appinit_dlls"), Text("appcertdlls"), Text("security packages"), Text("notification packages"), Text("userinitmprlogonscript")]), ADD])),
    keep("com_hijack", "T1546.015", All(&[Any(&[Text("\\inprocserver32"), Text("\\treatas"), Text("\\localserver32")]), ADD])),
    keep("startup_folder", "T1547.001", All(&[Any(&[Text("\\start menu\\programs\\startup"), Text("shell:startup"), Text("\\startup\\")]), Any(&[Command("copy"), Command("xcopy"), Command("move"), Text(">"), Text("copy-item"), Text("out-file"), Text("createshortcut")])])),
    keep("wmi_subscription", "T1546.003", Any(&[Text("__eventfilter"), Text("commandlineeventconsumer"), Text("__filtertoconsumerbinding"), Text("activescripteventconsumer")])),
    keep("net_user_add", "T1136.001", All(&[Any(&[Command("net"), Command("net1")]), Any(&[Word("user"), Word("localgroup"), Word("group")]), Switch("add")])),
    keep("local_user_powershell", "T1136.001", Any(&[Word("new-localuser"), Word("add-localgroupmember"), Word("new-aduser")])),
    keep("useradd", "T1136.001", Any(&[All(&[Any(&[Command("useradd"), Command("adduser")]), Any(&[Text(" -o "), Text(" -u 0"), Text(" -p "), Text("-ou"), Text("sudo"), Text("wheel"), Text(" -g 0")])]), All(&[Command("usermod"), Any(&[Word("sudo"), Word("wheel"), Word("root")])]), All(&[Command("dscl"), Text("-create /users")]), All(&[Command("sysadminctl"), Text("-adduser")])])),
    keep("crontab_edit", "T1053.003", Any(&[All(&[Command("crontab"), Any(&[Piped("crontab"), Text("crontab -e"), Text("crontab /"), Text("crontab -u"), Text("crontab <")])]), All(&[Any(&[Text("/etc/cron"), Text("/var/spool/cron"), Text("@reboot")]), Any(&[WRITE, Text("> ")])])])),
    keep("systemd_unit", "T1543.002", Any(&[All(&[Command("systemctl"), Any(&[Word("enable"), Word("link"), Word("edit")])]), All(&[Any(&[Text("/etc/systemd/system"), Text("/lib/systemd/system"), Text(".config/systemd/user")]), WRITE])])),
    keep("rc_script", "T1037.004", All(&[Any(&[Text("/etc/rc.local"), Text("/etc/init.d/"), Text("/etc/rc.d"), Text("/etc/rc.common")]), Any(&[WRITE, Word("update-rc.d"), Word("chkconfig")])])),
    keep("shell_profile", "T1546.004", All(&[Any(&[Text(".bashrc"), Text(".bash_profile"), Text(".zshrc"), Text("/etc/profile"), Text(".zshenv"), Text("/.profile"), Text(".zprofile")]), Any(&[Text(">>"), Text("tee -a"), Text("sed -i")])])),
    keep("authorized_keys", "T1098.004", All(&[Text("authorized_keys"), Any(&[WRITE, Text("> ")])])),
    keep("ld_preload", "T1574.006", Any(&[Text("ld_preload="), Text("/etc/ld.so.preload"), Text("dyld_insert_libraries")])),
    keep("kernel_module", "T1547.006", All(&[Any(&[Command("insmod"), Command("kextload"), Command("modprobe")]), Any(&[Text(".ko"), Text(".kext"), Text("/tmp/")])])),
    keep("setuid", "T1548.001", Any(&[All(&[Command("chmod"), Any(&[Text("u+s"), Text("g+s"), Text("+s "), Text(" 4755"), Text(" 2755"), Text(" 4777"), Text(" 6755")])]), Word("cap_setuid")])),
    keep("sudoers", "T1548.003", All(&[Any(&[Text("/etc/sudoers"), Text("nopasswd")]), Any(&[WRITE, Text("> "), Command("echo"), Command("visudo")])])),
    keep("setuid_search", "T1083", All(&[Command("find"), Any(&[Text("-perm -4000"), Text("-perm -u=s"), Text("-perm /4000"), Text("-perm -04000"), Text("-perm -2000"), Text("-perm /6000")])])),
    keep("launch_agent", "T1543.001", Any(&[All(&[Command("launchctl"), Any(&[Word("load"), Word("bootstrap"), Word("submit"), Word("enable")])]), All(&[Any(&[Text("/launchagents/"), Text("/launchdaemons/")]), Any(&[WRITE, Command("plutil"), Command("defaults")])])])),
    keep("login_item", "T1547.015", Any(&[All(&[Text("login item"), Command("osascript")]), Text("loginhook")])),
    keep("uac_bypass", "T1548.002", All(&[Any(&[Text("ms-settings\\shell\\open"), Text("mscfile\\shell\\open"), Text("exefile\\shell\\runas"), Text("\\folder\\shell\\open"), Command("fodhelper"), Command("eventvwr"), Text("consentpromptbehavioradmin"), Word("enablelua")]), Any(&[ADD, Text("start-process"), Text("/c start"), Command("cmd")])])),
    keep("accessibility_backdoor", "T1546.008", All(&[Any(&[Text("sethc.exe"), Text("utilman.exe"), Text("osk.exe"), Text("narrator.exe"), Text("magnify.exe")]), Any(&[Command("copy"), Command("takeown"), Text("debugger"), Command("icacls"), Command("move")])])),
    keep("webshell_path", "T1505.003", All(&[Any(&[Text("\\inetpub\\wwwroot"), Text("/var/www/"), Text("/webapps/")]), Any(&[Text(".php"), Text(".aspx"), Text(".jsp")]), Any(&[Text(">"), Command("curl"), Command("wget"), Command("copy")])])),
    keep("dll_registration_user_path", "T1218.010", All(&[Command("regsvr32"), Any(&[Text("\\appdata\\"), Text("\\temp\\"), Text("\\programdata\\"), Text("\\public\\")])])),
    lateral("schtasks_s", "T1053.005", All(&[Command("schtasks"), Switch("s"), Any(&[Switch("create"), Switch("run"), Switch("u")])])),
    lateral("sc_remote", "T1021.002", Then(&[Command("sc"), REMOTE, Any(&[Word("create"), Word("start"), Word("config"), Word("stop"), Word("delete"), Word("query")])])),
    lateral("wmic_node", "T1047", All(&[Command("wmic"), Any(&[Text("/node:"), Text("-node:")])])),
    lateral("wmic_process", "T1047", Any(&[All(&[Command("wmic"), Word("process"), Word("call"), Word("create")]), All(&[Text("win32_process"), Text("create"), Any(&[Text("invoke-wmimethod"), Text("invoke-cimmethod"), Text("[wmiclass]")])])])),
    lateral("psexec_password", "T1569.002", All(&[Any(&[Command("psexec"), Command("psexec64"), Command("paexec")]), Any(&[Switch("p"), Switch("u"), REMOTE])])),
    lateral("impacket_exec", "T1021.002", Any(&[Word("wmiexec.py"), Word("psexec.py"), Word("smbexec.py"), Word("atexec.py"), Word("dcomexec.py"), Text("impacket-"), Word("crackmapexec"), Word("netexec")])),
    lateral("winrs_remote", "T1021.006", All(&[Command("winrs"), Any(&[Text("-r:"), Text("/r:"), Text("-remote:"), Text("/remote:")])])),
    lateral("powershell_remoting", "T1021.006", All(&[Any(&[Word("invoke-command"), Word("enter-pssession"), Word("new-pssession"), Word("icm")]), Any(&[Text("-computername"), Text("-cn "), Text("-connectionuri")])])),
    lateral("dcom_object", "T1021.003", Any(&[Text("gettypefromprogid"), Text("gettypefromclsid"), Text("mmc20.application"), Text("executeshellcommand")])),
    lateral("netsh_portproxy", "T1090.001", All(&[Command("netsh"), Word("portproxy"), Any(&[Word("add"), Word("set")])])),
    lateral("netsh_add_helper", "T1546.007", All(&[Command("netsh"), Word("add"), Word("helper")])),
    lateral("admin_share", "T1021.002", Any(&[Text("\\admin$"), Text("\\c$"), Text("\\d$")])),
    lateral("ipc_share", "T1021.002", Text("\\ipc$")),
    lateral("net_use_password", "T1021.002", All(&[Any(&[Command("net"), Command("net1")]), Word("use"), Text("\\\\"), Any(&[Text("/user:"), Text("/u:")])])),
    lateral("rdp_enable", "T1021.001", Any(&[All(&[Text("fdenytsconnections"), Any(&[Text("/d 0"), Text("-value 0"), ADD])]), All(&[Command("tscon"), Text("/dest:")]), All(&[Command("mstsc"), Switch("shadow")])])),
    lateral("runas_savecred", "T1134", All(&[Command("runas"), Any(&[Text("/savecred"), Text("/netonly")])])),
    lateral("domain_discovery", "T1482", Any(&[All(&[Command("nltest"), Any(&[Text("/domain_trusts"), Text("/dclist"), Text("/trusted_domains")])]), All(&[Command("net"), Any(&[Text("domain admins"), Text("enterprise admins")])]), Command("adfind"), Command("dsquery"), Text("sharphound"), Text("get-netdomain"), Text("bloodhound")])),
    lateral("ssh_remote_command", "T1021.004", All(&[Any(&[Command("sshpass"), All(&[Command("ssh"), Text("stricthostkeychecking=no")])]), Any(&[Text("@"), Is(Fact::Private), Is(Fact::Public)])])),
    lateral("port_scan", "T1046", Any(&[All(&[Any(&[Command("nmap"), Command("masscan"), Command("rustscan")]), Any(&[Text(" -s"), Text(" -p"), Text(" -A"), Text("/24"), Text("/16"), Is(Fact::Private), Is(Fact::Public)])]), All(&[Any(&[Command("nc"), Command("ncat")]), Any(&[Text(" -z"), Text(" -nz"), Text(" -vz"), Text(" -nvz"), Text(" -zv"), Text(" -vnz")]), Not(&Text(" -l"))])])),
];
