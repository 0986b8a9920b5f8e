//! Memory and credential dumping (T1003) and its kin.

use super::Expr::{All, Any, Command, Is, Not, Switch, Text, Then, Word};
use super::{Behavior, Expr, Fact, Group, tag};

const LSASS: Expr = Word("lsass");
const SHADOW_COPY: Expr = Any(&[Text("harddiskvolumeshadowcopy"), Text("globalroot\\device")]);
const READERS: Expr = Any(&[
    Command("cat"),
    Command("head"),
    Command("tail"),
    Command("less"),
    Command("more"),
    Command("cp"),
    Command("grep"),
    Command("awk"),
    Command("sed"),
    Command("base64"),
    Command("xxd"),
    Command("strings"),
    Command("nano"),
    Command("vi"),
    Command("cut"),
]);

const fn cred(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::Credentials, name, technique, when)
}

// A row a behaviour reads better than ten lines each.
#[rustfmt::skip]
pub(super) const TABLE: &[Behavior] = &[
    cred("mimikatz_sekurlsa", "T1003.001", Text("sekurlsa::")),
    cred("mimikatz_dump", "T1003.002", Any(&[Text("lsadump::"), Text("vault::cred"), Text("crypto::cert"), Text("token::elevate"), Text("invoke-mimikatz")])),
    cred("mimikatz_kerberos", "T1558", Any(&[Text("kerberos::ptt"), Text("kerberos::list"), Text("kerberos::golden"), Text("kerberos::ptc")])),
    cred("KEYWORD_mimikatz", "T1003", Any(&[Text("mimikatz"), Text("mimipenguin"), Text("privilege::debug")])),
    cred("procdump_process", "T1003.001", All(&[Any(&[Command("procdump"), Command("procdump64")]), Any(&[Switch("ma"), Switch("mm"), Switch("mp"), Switch("r")])])),
    cred("KEYWORD_lsass", "T1003.001", LSASS),
    cred("KEYWORD_MiniDump", "T1003.001", Text("minidump")),
    cred("KEYWORD_sekurlsa", "T1003.001", Word("sekurlsa")),
    cred("COMMAND_COMSVCS", "T1003.001", All(&[Text("comsvcs"), Any(&[Text("minidump"), Text("#24"), Text("#+24"), Text("#-24")])])),
    cred("lsass_dumper", "T1003.001", All(&[LSASS, Any(&[Command("rdrleakdiag"), Command("createdump"), Command("sqldumper"), Command("nanodump"), Command("dumpert"), Command("processdump"), Text(".dmp"), Text("out-minidump"), Text("writedump")])])),
    cred("reg_save_hklm", "T1003.002", All(&[Command("reg"), Any(&[Word("save"), Word("export")]), Any(&[Word("hklm\\sam"), Word("hklm\\system"), Word("hklm\\security"), Word("hkey_local_machine\\sam"), Word("hkey_local_machine\\system"), Word("hkey_local_machine\\security")]), Not(&Any(&[Text("hklm\\system\\"), Text("local_machine\\system\\")]))])),
    cred("gsecdump", "T1003.002", Command("gsecdump")),
    cred("wce", "T1003.001", All(&[Any(&[Command("wce"), Command("wce64"), Command("wce32")]), Any(&[Text(" -o "), Text(" -w"), Text(" -s "), Text(" -l"), Text(" -c ")])])),
    cred("COMMAND_NTDSUTIL", "T1003.003", All(&[Command("ntdsutil"), Any(&[Word("ifm"), Word("snapshot"), Word("ntds")])])),
    cred("ntds_file", "T1003.003", Text("ntds.dit")),
    cred("vssadmin_list", "T1003.003", All(&[Command("vssadmin"), Word("list"), Word("shadows")])),
    cred("vssadmin_create", "T1003.003", All(&[Command("vssadmin"), Word("create"), Word("shadow")])),
    cred("wmic_shadowcopy", "T1003.003", All(&[Word("shadowcopy"), Any(&[Command("wmic"), Text("win32_shadowcopy")]), Any(&[Word("create"), Word("list")])])),
    cred("mklink_shadowcopy", "T1003.003", All(&[Word("mklink"), SHADOW_COPY])),
    cred("copy_shadowcopy", "T1003.003", All(&[SHADOW_COPY, Any(&[Command("copy"), Command("xcopy"), Command("esentutl"), Command("robocopy")])])),
    cred("NTLMHASH", "T1550.002", Any(&[Text("aad3b435b51404eeaad3b435b51404ee"), All(&[Any(&[Text("/ntlm:"), Text("/rc4:"), Text("-hashes"), Text("/hash:"), Text("--hash")]), Is(Fact::LongHex)])])),
    cred("kerberoasting", "T1558.003", Any(&[Text("invoke-kerberoast"), Word("kerberoast"), Text("kerberosrequestorsecuritytoken")])),
    cred("kerberos_golden", "T1558.001", Any(&[Text("kerberos::golden"), All(&[Text("/krbtgt:"), Text("/sid:")]), Word("ticketer.py")])),
    cred("rubeus_kerberoast", "T1558.003", All(&[Text("rubeus"), Any(&[Word("kerberoast"), Word("asreproast")])])),
    cred("rubeus_asktgt", "T1558", All(&[Text("rubeus"), Any(&[Word("asktgt"), Word("asktgs"), Word("ptt"), Word("dump"), Word("s4u")])])),
    cred("tgsrepcrack", "T1558.003", Text("tgsrepcrack")),
    cred("get_netuser_spn", "T1558.003", Any(&[All(&[Text("get-netuser"), Text("-spn")]), Text("getuserspns")])),
    cred("secretsdump", "T1003.006", Any(&[Text("secretsdump"), Text("dcsync"), Text("get-addbaccount")])),
    cred("lazagne", "T1555", All(&[Text("lazagne"), Any(&[Word("all"), Word("browsers"), Word("windows"), Word("memory"), Word("sysadmin")])])),
    cred("cmdkey_list", "T1555.004", All(&[Command("cmdkey"), Switch("list")])),
    cred("vaultcmd_list", "T1555.004", All(&[Command("vaultcmd"), Any(&[Text("/listcreds"), Switch("list")])])),
    cred("findstr_password", "T1552.001", All(&[Any(&[Command("findstr"), Command("select-string"), Command("grep")]), Any(&[Text("passw"), Text("pwd="), Text("cpassword"), Text("api_key")]), Any(&[Text("/s"), Text(" -r"), Text("/etc"), Text("-recurse"), Text("/home"), Text("sysvol")])])),
    cred("wifi_keys", "T1555", All(&[Command("netsh"), Word("wlan"), Any(&[Text("key=clear"), Text("export profile")])])),
    cred("cat_shadow", "T1003.008", All(&[Any(&[Text("/etc/shadow"), Text("/etc/gshadow"), Text("/etc/master.passwd"), Text("/etc/security/passwd")]), READERS])),
    cred("cat_passwd", "T1003.008", All(&[Text("/etc/passwd"), READERS])),
    cred("unshadow", "T1110.002", Any(&[All(&[Command("unshadow"), Text("/")]), All(&[Any(&[Command("john"), Command("hashcat")]), Any(&[Text("wordlist"), Text("rockyou"), Text("--format"), Text(" -m ")])])])),
    cred("gcore_dump", "T1003.007", All(&[Any(&[Command("gcore"), All(&[Command("gdb"), Text("generate-core-file")]), Text("dump memory")]), Any(&[Word("pid"), Text(" -p"), Text(" -o"), Text("pgrep"), Text("$")])])),
    cred("proc_memory", "T1003.007", All(&[Text("/proc/"), Any(&[Text("/mem"), Text("/maps"), Text("/environ")]), Any(&[Command("dd"), Command("grep"), Command("strings"), Command("cat"), Command("gdb")]), Not(&Text("/proc/meminfo"))])),
    cred("ssh_private_keys", "T1552.004", All(&[Any(&[Word("id_rsa"), Word("id_ed25519"), Word("id_dsa"), Word("id_ecdsa")]), Any(&[READERS, Command("find"), Command("scp"), Command("tar")]), Not(&Text("id_rsa.pub"))])),
    cred("cloud_metadata", "T1552.005", Any(&[Text("169.254.169.254"), Text("metadata.google.internal"), Text("/computemetadata/v1")])),
    cred("cloud_credential_file", "T1552.001", All(&[Any(&[Text(".aws/credentials"), Text(".azure/accesstokens"), Text("application_default_credentials"), Text(".docker/config.json"), Text(".kube/config"), Text("serviceaccount/token")]), Any(&[READERS, Command("find"), Command("tar"), Command("curl")])])),
    cred("keychain_dump", "T1555.001", All(&[Command("security"), Any(&[Word("dump-keychain"), Word("find-generic-password"), Word("find-internet-password"), Word("export")])])),
    cred("mac_password_hashes", "T1003", Any(&[Text("shadowhashdata"), Text("dslocal/nodes/default/users")])),
    cred("osascript_password_prompt", "T1056.002", All(&[Command("osascript"), Text("display dialog"), Any(&[Text("hidden answer"), Text("password")])])),
    cred("browser_credentials", "T1555.003", Any(&[Text("\\login data"), Text("/login data"), Text("logins.json"), Text("key4.db"), Text("cookies.sqlite"), Text("cookies.binarycookies")])),
    cred("keylogger", "T1056.001", Any(&[Text("getasynckeystate"), Text("get-keystrokes"), Text("setwindowshookex"), All(&[Command("logkeys"), Text("--start")]), Text("pam_tty_audit")])),
    cred("memory_imaging", "T1003", Then(&[Command("dd"), Any(&[Text("if=/dev/mem"), Text("if=/dev/kmem"), Text("if=/proc/kcore")])])),
];
