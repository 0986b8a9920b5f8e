//! Addresses and protocols; download and upload.

use super::Expr::{All, Any, Command, Exact, Is, Not, Piped, Switch, Text, Then, Word};
use super::{Behavior, Expr, Fact, Group, tag};

const URL: Expr = Any(&[Text("http:"), Text("https:"), Text("ftp:"), Text("\\\\")]);
const WEB: Expr = Any(&[Text("http:"), Text("https:")]);
const POWERSHELL_WEB: Expr = Any(&[
    Word("invoke-webrequest"),
    Word("iwr"),
    Word("invoke-restmethod"),
    Word("irm"),
]);
const SHELL: Expr = Any(&[
    Piped("sh"),
    Piped("bash"),
    Piped("zsh"),
    Piped("dash"),
    Piped("python"),
    Piped("perl"),
    Piped("ruby"),
    Piped("php"),
    Piped("node"),
]);
const CURL: Expr = Any(&[Command("curl"), Command("wget")]);

const fn net(name: &'static str, when: Expr) -> Behavior {
    tag(Group::Network, name, "T1071", when)
}

const fn copy(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::DataTransfer, name, technique, when)
}

// A row a behaviour reads better than ten lines each.
#[rustfmt::skip]
pub(super) const TABLE: &[Behavior] = &[
    net("IP_PRIVATE", Is(Fact::Private)),
    net("IP_PUBLIC", Is(Fact::Public)),
    net("IP_LOOPBACK", Is(Fact::Loopback)),
    net("IP_LINK_LOCAL", Is(Fact::LinkLocal)),
    net("IP_MULTICAST", Is(Fact::Multicast)),
    net("IP_RESERVED", Is(Fact::Reserved)),
    net("IP_UNSPECIFIED", Is(Fact::Unspecified)),
    net("http_con", Text("http://")),
    net("https_con", Text("https://")),
    net("KEYWORD_http", Word("http")),
    net("ftp_con", Any(&[Text("ftp://"), Text("sftp://"), Text("tftp://")])),
    net("onion_con", Text(".onion")),
    net("unc_webdav", Any(&[Text("\\davwwwroot"), Text("@ssl\\"), Text("@80\\"), Text("@8080\\")])),
    copy("certutil_downloader", "T1105", All(&[Command("certutil"), Any(&[Switch("urlcache"), Switch("verifyctl"), Switch("url")]), URL])),
    copy("certutil_download_decode", "T1105", All(&[Command("certutil"), Switch("urlcache"), Any(&[Switch("decode"), Switch("decodehex")])])),
    copy("bitsadmin_create", "T1197", All(&[Command("bitsadmin"), Switch("create")])),
    copy("bitsadmin_addfile", "T1197", All(&[Command("bitsadmin"), Switch("addfile")])),
    copy("bitsadmin_transfer_ttp", "T1197", All(&[Command("bitsadmin"), Switch("transfer"), URL])),
    copy("bitsadmin_download_ttp", "T1197", All(&[Command("bitsadmin"), Switch("transfer"), Switch("download")])),
    copy("bitsadmin_notify", "T1197", All(&[Command("bitsadmin"), Switch("setnotifycmdline")])),
    copy("powershell_bits_transfer", "T1197", All(&[Word("start-bitstransfer"), Text("-source")])),
    copy("powershell_web_client_download", "T1105", All(&[Text("webclient"), Any(&[Text("downloadfile"), Text("downloadstring"), Text("downloaddata"), Text("openread")])])),
    copy("powershell_invoke_web_request", "T1105", All(&[POWERSHELL_WEB, WEB])),
    copy("powershell_upload", "T1048", All(&[Any(&[Text("uploadfile"), Text("uploadstring"), Text("uploaddata"), POWERSHELL_WEB]), Any(&[Text("webclient"), Text("-method post"), Text("-method put"), Text("-infile")]), Not(&Text("downloadstring"))])),
    copy("MpCmdRun_DownloadFile", "T1105", All(&[Command("mpcmdrun"), Switch("downloadfile")])),
    copy("desktopimgdownldr_conn", "T1105", All(&[Command("desktopimgdownldr"), Text("lockscreenurl:")])),
    copy("ConfigSecurityPolicy_http", "T1105", All(&[Command("configsecuritypolicy"), WEB])),
    copy("DataSvcUtil_http", "T1048", All(&[Command("datasvcutil"), WEB])),
    copy("CertReq_config_post", "T1048", All(&[Command("certreq"), Switch("post"), WEB])),
    copy("mshta_http", "T1218.005", All(&[Command("mshta"), Any(&[WEB, Text("javascript:"), Text("vbscript:")])])),
    copy("hh_http", "T1218.001", All(&[Command("hh"), WEB])),
    copy("regsvr32_dowload", "T1218.010", All(&[Command("regsvr32"), Any(&[Text("/i:http"), Text("-i:http"), Text("/i:\\\\"), Text("scrobj")])])),
    copy("rundll32_js_http_exec", "T1218.011", All(&[Command("rundll32"), Any(&[Text("javascript:"), Text("vbscript:"), Text("mshtml,")])])),
    copy("winhhtpjs_http", "T1105", All(&[Any(&[Text("winhttp.winhttprequest"), Text("msxml2.xmlhttp"), Text("microsoft.xmlhttp"), Text("winhttpjs.bat")]), WEB])),
    copy("msiexec_http", "T1218.007", All(&[Command("msiexec"), WEB])),
    copy("installutil_http", "T1218.004", All(&[Command("installutil"), WEB])),
    copy("ftp_put", "T1048", All(&[Any(&[Command("ftp"), Command("tftp"), Command("sftp"), Command("lftp")]), Any(&[Word("put"), Word("mput")])])),
    copy("ftp_get", "T1105", All(&[Any(&[Command("ftp"), Command("tftp"), Command("sftp"), Command("lftp")]), Any(&[Word("get"), Word("mget")])])),
    copy("ftp_script", "T1105", All(&[Command("ftp"), Any(&[Text("-s:"), Text("/s:")])])),
    copy("tftp", "T1105", All(&[Command("tftp"), Any(&[Is(Fact::Private), Is(Fact::Public), Text(" -i "), Text(" -c ")])])),
    copy("esentutl_y", "T1105", All(&[Command("esentutl"), Switch("y")])),
    copy("diantz_remote", "T1560.001", All(&[Command("diantz"), Text("\\\\")])),
    copy("makecab_remote", "T1560.001", All(&[Command("makecab"), Text("\\\\")])),
    copy("curl_pipe_shell", "T1059.004", Then(&[CURL, SHELL])),
    copy("curl_subshell", "T1059.004", Any(&[Text("<(curl"), Text("<(wget"), Text("c \"$(curl"), Text("c \"$(wget"), Text("eval $(curl"), Text("eval \"$(curl"), Text("eval \"$(wget"), Text("c \"`curl"), Text("c \"`wget")])),
    copy("curl_upload", "T1048", All(&[Command("curl"), Any(&[Exact(" -T "), Text("--upload-file"), Exact(" -F "), Text("--data-binary @"), Text(" -d @"), Text("--form ")]), Any(&[WEB, Text("ftp:"), Is(Fact::Public), Is(Fact::Private)])])),
    copy("wget_post_file", "T1048", All(&[Command("wget"), Any(&[Text("--post-file"), Text("--body-file")])])),
    copy("download_and_chmod", "T1105", Then(&[CURL, Text("chmod"), Any(&[Text("+x"), Text("777"), Text("755"), Text("a+rx")])])),
    copy("scp_remote", "T1048", All(&[Any(&[Command("scp"), Command("rsync"), Command("pscp")]), Text("@"), Text(":"), Not(&Text("github.com"))])),
    copy("ssh_stdin_exfil", "T1048", Then(&[Any(&[Command("tar"), Command("cat"), Command("dd")]), Piped("ssh")])),
    copy("nc_file_transfer", "T1048", All(&[Any(&[Command("nc"), Command("ncat"), Command("netcat")]), Any(&[Text(" < /"), Text(" < ~"), Text(" > /"), Text("| tar"), Text("| gzip")])])),
    copy("dns_exfil", "T1048.003", Then(&[Any(&[Command("xxd"), Command("base64"), Command("base32"), Command("od")]), Any(&[Command("dig"), Command("nslookup"), Command("host")])])),
    copy("cloud_copy", "T1567.002", All(&[Any(&[Command("rclone"), Text("aws s3 cp"), Text("aws s3 sync"), Command("gsutil"), Command("azcopy"), Command("megacmd"), Command("mega-put")]), Any(&[Word("copy"), Word("cp"), Word("sync"), Word("move"), Word("mega-put")])])),
    copy("paste_site", "T1102", Any(&[Text("pastebin.com"), Text("transfer.sh"), Text("file.io/"), Text("anonfiles"), Text("ngrok"), Text("raw.githubusercontent"), Text("discordapp.com"), Text("discord.com/api/webhooks"), Text("api.telegram.org")])),
];
