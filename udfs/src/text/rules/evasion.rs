//! Rules for evasion: signed proxies, injection, obfuscation, tampering with logs, registry and defences.
//!
//! Data only; [`super`] says how it is read. Keep a row small: what needs more than three groups is two rules.

use super::Level::{High, Low, Medium};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "boot_configuration",
        level: Low,
        technique: "T1562.009",
        description: "the boot configuration is read or changed",
        all: &["@bcdedit;;safeboot;;testsigning"],
        none: "",
        example: "bcdedit /set testsigning on",
        near_miss: "bootrec /scanos",
    },
    Rule {
        name: "encoded_powershell",
        level: Medium,
        technique: "T1027.010",
        description: "PowerShell runs an encoded command",
        all: &["powershell;;pwsh", " -enc;; -en ;; -ec ;; -e ;;/enc;;/e "],
        none: " -encoding",
        example: "powershell -nop -enc SQBFAFgA",
        near_miss: "powershell -nop -ep bypass -file a.ps1",
    },
    Rule {
        name: "hidden_powershell",
        level: Medium,
        technique: "T1564.003",
        description: "PowerShell runs without a window",
        all: &[
            "powershell;;pwsh;;start-process",
            "hidden;;-w 1 ;;-w h;;-win h;;-wi h",
        ],
        none: "",
        example: "powershell -w hidden -c x",
        near_miss: "powershell -version 5",
    },
    Rule {
        name: "amsi_bypass",
        level: High,
        technique: "T1562.001",
        description: "script scanning or tracing is patched out",
        all: &["\
            amsiutils;;amsiinitfailed;;amsiscanbuffer;;amsicontext;;amsi.dll;;etweventwrite;;\
            amsienable;;cachedgrouppolicysettings;;scriptblocklogging"],
        none: "",
        example: "[Ref].Assembly.GetType(\"System.Management.Automation.AmsiUtils\")",
        near_miss: "Get-Help about_Logging",
    },
    Rule {
        name: "code_injection",
        level: High,
        technique: "T1055",
        description: "code is put into a process",
        all: &["\
            virtualalloc;;createremotethread;;writeprocessmemory;;createthread;;\
            reflectivepeinjection;;getdelegateforfunctionpointer;;queueuserapc;;\
            ntmapviewofsection;;injectrunning;;invoke-shellcode;;/updatedeploymentprovider c:;;\
            /updatedeploymentprovider \\;;/updatedeploymentprovider %;;\
            /updatedeploymentprovider ..;;invoke-dllinjection;;shellcode"],
        none: "",
        example: "[Win32]::VirtualAlloc(0, 10, 0x3000, 0x40)",
        near_miss: "Get-Process",
    },
    Rule {
        name: "reflective_load",
        level: Medium,
        technique: "T1620",
        description: "an assembly is loaded from memory or compiled on the spot",
        all: &["\
            assembly]::load;;reflection.assembly;;loadwithpartialname;;add-type;;reflection.emit;;\
            [appdomain];;dllimport;;-assemblyname"],
        none: "",
        example: "[Reflection.Assembly]::Load($b)",
        near_miss: "Import-Module x",
    },
    Rule {
        name: "certutil_other",
        level: Low,
        technique: "T1140",
        description: "certutil, which also decodes and installs",
        all: &["@certutil"],
        none: "",
        example: "certutil -decode a b",
        near_miss: "certmgr.msc",
    },
    Rule {
        name: "mshta_inline",
        level: High,
        technique: "T1218.005",
        description: "mshta runs a script from the line or the network",
        all: &[
            "@mshta",
            "http;;javascript:;;vbscript:;;about:;;script:;;.sct",
        ],
        none: "",
        example: "mshta vbscript:Execute(\"x\")",
        near_miss: "mshta.exe",
    },
    Rule {
        name: "mshta",
        level: Medium,
        technique: "T1218.005",
        description: "the HTML application host runs",
        all: &["@mshta;;.hta "],
        none: "",
        example: "mshta.exe c:\\x\\y.hta",
        near_miss: "notepad y.html",
    },
    Rule {
        name: "regsvr32_scriptlet",
        level: High,
        technique: "T1218.010",
        description: "regsvr32 loads a scriptlet",
        all: &["@regsvr32", "scrobj;;/i:;;-i:;;http"],
        none: "",
        example: "regsvr32 /s /n /u /i:http://a.b/c.sct scrobj.dll",
        near_miss: "regsvr32 /s vendor.dll",
    },
    Rule {
        name: "regsvr32",
        level: Low,
        technique: "T1218.010",
        description: "regsvr32 loads a library",
        all: &["@regsvr32"],
        none: "",
        example: "regsvr32 /s vendor.dll",
        near_miss: "reg query HKCU",
    },
    Rule {
        name: "rundll32_script",
        level: High,
        technique: "T1218.011",
        description: "rundll32 runs a script or a launcher export",
        all: &[
            "@rundll32",
            "\
                javascript:;;vbscript:;;shellexec_rundll;;url.dll;;ieadvpack;;advpack;;\
                launchinfsection;;installhinf;;routethecall;;pcwutl;;printhtml;;\
                fileprotocolhandler;;openurl;;setupinfobjectinstallaction;;davclnt;;http;;dfshim;;\
                installscreensaver;;registerocx;;syssetup;;#1 ;;zipfldr;;shdocvw;;mshtml",
        ],
        none: "",
        example: "rundll32 javascript:\"\\..\\mshtml,RunHTMLApplication \"",
        near_miss: "rundll32 printui.dll,PrintUIEntry /?",
    },
    Rule {
        name: "rundll32",
        level: Low,
        technique: "T1218.011",
        description: "rundll32 runs an export of a library",
        all: &["@rundll32"],
        none: "",
        example: "rundll32 shell32.dll,Control_RunDLL",
        near_miss: "runas /?",
    },
    Rule {
        name: "signed_proxy",
        level: Medium,
        technique: "T1218",
        description: "a signed program that runs what its arguments say",
        all: &["\
            @cmstp;;@odbcconf;;@installutil;;@regasm;;@regsvcs;;@mavinject;;@pcalua;;@ieexec;;\
            @xwizard;;@presentationhost;;syncappvpublishingserver;;@infdefaultinstall;;@msdt;;\
            @scriptrunner;;@dnscmd;;@desktopimgdownldr;;@certreq;;configsecuritypolicy;;@pubprn;;\
            @rasautou;;@register-cimprovider;;@wsreset;;@bginfo;;@te;;@tracker;;@dnx;;@rcsi;;\
            @winrm;;@microsoft.workflow.compiler;;@msxsl;;@appvlp;;@devinit;;@diskshadow;;@dxcap;;\
            @fltmc;;@gpscript;;@hh;;@ie4uinit;;@jsc;;@csc;;@vbc;;@ilasm;;@aspnet_compiler;;\
            @mftrace;;@netsh.exe add helper;;@print;;@psr;;@runonce;;@runscripthelper;;\
            @runexehelper;;@settingsynchost;;@stordiag;;@ttdinject;;@unregmp2;;@verclsid;;@wab;;\
            @workfolders;;@wuauclt;;@fsi;;@msbuild;;@control;;@extrac32;;@finger;;@esentutl;;\
            @atbroker;;@eventvwr;;@fodhelper;;@sdclt;;@computerdefaults;;@setupugc;;@provlaunch;;\
            @pktmon;;@squirrel;;@update.exe;;@conhost.exe cmd;;@werfault;;@offlinescannershell;;\
            @protocolhandler;;@appcert;;@vsjitdebugger;;@openconsole;;@customshellhost;;\
            @colorcpl;;@cmdl32;;@certoc;;@dfsvc;;@diantz;;@makecab;;@forfiles;;\
            @gfxdownloadwrapper;;@imewdbld;;@ldifde;;@mmc;;@mspub;;@replace;;@rpcping;;\
            @scriptlet;;@ssh-agent;;@tar.exe -xf \\\\;;@teams;;@wlrmdr;;@xbootmgr;;@winget;;@wt;;\
            @vbscript;;@cdb;;@ntsd;;@windbg;;@kd"],
        none: "",
        example: "cmstp /s c:\\x\\y.inf",
        near_miss: "cmdkey /?",
    },
    Rule {
        name: "log_clearing",
        level: High,
        technique: "T1070.001",
        description: "event logs are cleared or switched off",
        all: &[
            "\
                @wevtutil;;wevtutil.exe;;clear-eventlog;;remove-eventlog;;clearlog;;\
                limit-eventlog;;eventlogsession;;@fsutil",
            "\
                 cl ;;clear-log;;clear-eventlog;;remove-eventlog;;clearlog;; sl ;;set-log;;\
                limit-eventlog;;deletejournal;;/e:false",
        ],
        none: "",
        example: "wevtutil cl Security",
        near_miss: "wevtutil el",
    },
    Rule {
        name: "event_log_tool",
        level: Low,
        technique: "T1070.001",
        description: "event logs are read with a tool that also clears them",
        all: &["@wevtutil;;clear-history;;clear-recyclebin;;get-winevent;;get-eventlog"],
        none: "",
        example: "wevtutil qe System",
        near_miss: "eventcreate /?",
    },
    Rule {
        name: "defender_tampering",
        level: High,
        technique: "T1562.001",
        description: "the antivirus is weakened",
        all: &["\
            set-mppreference;;add-mppreference;;remove-mppreference;;disableantispyware;;\
            disablerealtime;;disableantivirus;;disablebehavior;;tamperprotection;;\
            removedefinitions;;-disableioav;;windows defender\\exclusions;;\
            windows defender security center;;smartscreenenabled;;uninstall-windowsfeature;;\
            windows-defender;;mpenablepus;;spynetreporting"],
        none: "",
        example: "Set-MpPreference -DisableRealtimeMonitoring $true",
        near_miss: "Get-MpComputerStatus",
    },
    Rule {
        name: "security_service_stop",
        level: High,
        technique: "T1562.001",
        description: "a security service or sensor is stopped or removed",
        all: &[
            "\
                @sc;;@net;;@net1;;stop-service;;set-service;;@taskkill;;stop-process;;\
                remove-service;;@fltmc;;uninstall;;@wmic;;-u ;;-z ;;disable",
            "\
                windefend;;=sense;;wscsvc;;sysmon;;mssense;;carbonblack;;csfalcon;;falcon-sensor;;\
                sophos;;=mpssvc;;securityhealthservice;;=eventlog;;cylance;;sentinelagent;;\
                mcafee;;wdfilter;;wdboot;;msmpeng;;endpoint security;;=wuauserv;;antivirus",
        ],
        none: "query",
        example: "sc stop WinDefend",
        near_miss: "sc query WinDefend",
    },
    Rule {
        name: "firewall_change",
        level: Medium,
        technique: "T1562.004",
        description: "the firewall is changed",
        all: &[
            "\
                advfirewall;;netsh firewall;;set-netfirewall;;new-netfirewall;;\
                disable-netfirewall;;remove-netfirewall;;firewallpolicy;;enablefirewall",
            "\
                off;;disable;;add rule;;delete rule;;set ;;new-;;remove-;;false;;enablefirewall;;\
                add ;;disabled",
        ],
        none: "",
        example: "netsh advfirewall set allprofiles state off",
        near_miss: "netsh advfirewall show allprofiles",
    },
    Rule {
        name: "registry_write",
        level: Low,
        technique: "T1112",
        description: "the registry is written or read",
        all: &["\
            reg add;;reg.exe add;;reg delete;;reg.exe delete;;reg import;;reg.exe import;;\
            @regini;;@regedit;;reg load;;reg restore;;reg copy;;set-itemproperty;;\
            new-itemproperty;;remove-itemproperty;;hklm;;hkcu;;hkey_;;hkcr;;hku:;;hku\\;;\
            registry::;;reg query;;reg.exe query;;reg save;;reg export;;get-itemproperty;;gp hk;;\
            @reg"],
        none: "",
        example: "reg add HKCU\\Software\\Vendor /v x",
        near_miss: "regsvr32 /?",
    },
    Rule {
        name: "security_policy_write",
        level: Medium,
        technique: "T1112",
        description: "a security setting in the registry is changed",
        all: &["\
            uselogoncredential;;runasppl;;disablerestrictedadmin;;localaccounttokenfilterpolicy;;\
            enablelua;;consentpromptbehavior;;disableregistrytools;;disabletaskmgr;;disablecmd;;\
            fdenytsconnections;;nolmhash;;lmcompatibilitylevel;;restrictanonymous;;\
            everyoneincludesanonymous;;hidefileext;;showsuperhidden;;legalnotice;;proxyenable;;\
            vulnerabledriverblocklist;;hvcismode;;enablevirtualizationbasedsecurity;;\
            disablenotificationcenter;;nodrives;;accessvbom;;vbawarnings;;disableantivirus;;\
            auditbaseobjects;;processcreationincludecmdline;;eventlog\\"],
        none: "",
        example: "reg add \"HKLM\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\" /v fDenyTSConnections /d 0",
        near_miss: "reg add HKCU\\Software\\Vendor /v Theme",
    },
    Rule {
        name: "file_permission",
        level: Low,
        technique: "T1222.001",
        description: "permissions or attributes of files are changed",
        all: &["@icacls;;@cacls;;@takeown;;@attrib;;set-acl;;@cipher;;@subinacl;;@xcacls"],
        none: "",
        example: "icacls x /grant Everyone:F",
        near_miss: "dir /q",
    },
    Rule {
        name: "alternate_stream",
        level: Medium,
        technique: "T1564.004",
        description: "a hidden stream of a file is used",
        all: &["\
            .txt:;;.log:;;.dll:;;.exe:;;.ext:;;.hta:;;-stream ;;::$data;;$index_allocation;;\
            .cfg:;;.doc:;;.zip:;;.pdf:;;.jpg:;;.png:;;.bin:"],
        none: "http",
        example: "type a.exe > b.txt:a.exe",
        near_miss: "type a.exe > b.txt",
    },
    Rule {
        name: "environment_built_command",
        level: Medium,
        technique: "T1027",
        description: "a command is cut out of variables",
        all: &["\
            :~0;;:~1;;:~2;;:~3;;:~4;;:~5;;:~6;;:~7;;:~8;;:~9;;:~-;;%comspec;;%pathext;;!%;;\
            call %;;set x=;;cmd /v;;cmd.exe /v;;cmd /v:on"],
        none: "",
        example: "cmd /c %x:~0,1%md",
        near_miss: "cmd /c echo %path%",
    },
    Rule {
        name: "installer",
        level: Low,
        technique: "T1218.007",
        description: "an installer runs",
        all: &["\
            @msiexec;;.msi;;.msp;;.msix;;install-package;;install-module;;@wusa;;@dism;;add-appx;;\
            remove-appx;;get-appx;;install-windowsfeature;;enable-windowsoptionalfeature"],
        none: "",
        example: "msiexec /q /i x.msi",
        near_miss: "msinfo32",
    },
    Rule {
        name: "remote_installer",
        level: Medium,
        technique: "T1218.007",
        description: "an installer from the network or without a window",
        all: &["@msiexec", "http;;/q;;/y ;;/z ;;-q;;\\\\"],
        none: "",
        example: "msiexec /q /i http://a.b/c.msi",
        near_miss: "msiexec /?",
    },
    Rule {
        name: "security_policy_tool",
        level: Low,
        technique: "T1484",
        description: "domain or audit policy is changed",
        all: &["\
            @auditpol;;@secedit;;@lgpo;;@gpupdate /force;;new-gpo;;set-gp;;@netdom;;@dcpromo;;\
            @djoin"],
        none: "",
        example: "auditpol /set /category:x /success:disable",
        near_miss: "gpresult /r",
    },
    Rule {
        name: "history_tampering",
        level: Medium,
        technique: "T1070.003",
        description: "the history of the shell is removed or read",
        all: &["\
            history -c;;histfile;;histsize;;histcontrol;;.bash_history;;.zsh_history;;history -w;;\
            _history;;unset hist;;histignore;;.mysql_history;;set +o history;;clear-history"],
        none: "",
        example: "unset HISTFILE",
        near_miss: "history 20",
    },
    Rule {
        name: "log_tampering",
        level: Medium,
        technique: "T1070.002",
        description: "logs are removed or emptied",
        all: &[
            "\
                /var/log;;/var/audit;;journalctl --vacuum;;/wtmp;;/utmp;;/btmp;;lastlog;;\
                utmpdump;;auth.log;;syslog;;mail/",
            "\
                rm ;;> ;;>/;;truncate;;shred;;unlink;;cat /dev/null;;echo;;cp /dev/null;;vacuum;;\
                dd ;;sed -i;;ln -s;;--rotate;;utmpdump;;chmod;;-delete",
        ],
        none: "",
        example: "rm -rf /var/log/auth.log",
        near_miss: "tail -f app.log",
    },
    Rule {
        name: "defence_stop",
        level: High,
        technique: "T1562",
        description: "a sensor, firewall or policy is switched off",
        all: &[
            "\
                systemctl;;service;;launchctl;;kill;;setenforce;;ufw;;iptables;;csrutil;;spctl;;\
                sysctl;;auditctl;;esxcli;;apt;;yum;;rpm;;dpkg;;nft;;chkconfig;;pfctl;;\
                update-rc.d;;rc-service",
            "\
                stop rsyslog;;stop syslog;;stop ufw;;disable ufw;;stop firewalld;;\
                disable firewalld;;stop auditd;;disable auditd;;stop iptables;;stop falcon;;\
                stop cbdaemon;;stop apparmor;;disable apparmor;;setenforce 0;;ufw disable;;\
                iptables -f;;iptables --flush;;csrutil disable;;spctl --master-disable;;\
                --global-disable;;auditctl -e 0;;auditctl -d;;rsyslog stop;;auditd stop;;\
                stop osquery;;kill osquery;;unload;;flush ruleset;;randomize_va_space=0;;\
                pfctl -d;;stop sysmon;;syslog stop;;stop crowdstrike;;stop mde;;disable rsyslog;;\
                disable systemd-resolved;;stop wazuh;;/etc/audit;;enabled false",
        ],
        none: "",
        example: "systemctl stop rsyslog",
        near_miss: "systemctl stop nginx",
    },
    Rule {
        name: "firewall_unix",
        level: Low,
        technique: "T1562.004",
        description: "the firewall is read or changed",
        all: &[
            "@iptables;;@ip6tables;;@ufw;;@firewall-cmd;;@nft;;@pfctl;;@ipfw;;@nftables;;@ebtables",
        ],
        none: "",
        example: "iptables -L",
        near_miss: "ip link",
    },
    Rule {
        name: "hidden_place",
        level: Medium,
        technique: "T1564.001",
        description: "a hidden or memory-backed place is used",
        all: &["/tmp/.;;/dev/shm;;/var/tmp/.;;/tmp/...;;/. /;;/var/tmp;;/run/shm;;/.cache/."],
        none: "",
        example: "/dev/shm/x",
        near_miss: "ls -a",
    },
    Rule {
        name: "timestamps",
        level: Low,
        technique: "T1070.006",
        description: "time stamps or attributes of files are changed",
        all: &["\
            touch -;;lastwritetime;;creationtime;;lastaccesstime;;@chattr;;@setfattr;;@lsattr;;\
            @setfacl;;date -s;;date --set;;@hwclock;;set-date;;w32tm"],
        none: "",
        example: "touch -r a b",
        near_miss: "touch a",
    },
    Rule {
        name: "payload_extension",
        level: Low,
        technique: "T1027",
        description: "a file that is usually a payload",
        all: &["\
            .hta;;.scr ;;.pif ;;.lnk;;.iso;;.vhd;;.jar;;.xll;;.chm;;.inf;;.cpl;;.ocx;;.bgi;;.sct;;\
            .elf;;.ps1;;.bat;;.cmd;;.js ;;.dll;;.so ;;.dylib;;.wll;;.xla;;.ppam;;.py;;.rb;;.pl;;\
            .sh"],
        none: "\
            pip;;pytest;;black ;;mypy;;ruff;;flake8;;pylint;;isort;;coverage;;manage.py;;vite;;\
            eslint;;prettier;;webpack;;cargo;;gradle;;shellcheck",
        example: "start x.lnk",
        near_miss: "type x.txt",
    },
    Rule {
        name: "encoding_tool",
        level: Medium,
        technique: "T1140",
        description: "text or data is decoded",
        all: &["\
            base64 -d;;base64 --d;;base64d;;base32 -d;;-base64;;frombase64;;b64decode;;\
            base64_decode;;xxd -r;;uudecode;;-decode;;openssl enc;;@base64;;@base32;;@xxd;;\
            [convert];;tobase64;;b64encode;;@uuencode;;gzip -d |;;unhexlify;;fromhex;;[char];;\
            chr(;;-bxor;;-join;;\\x"],
        none: "",
        example: "echo aWQ= | base64 -d",
        near_miss: "echo id",
    },
    Rule {
        name: "obfuscation_signs",
        level: Low,
        technique: "T1027",
        description: "the text is broken up or built",
        all: &["\
            +$;;${;;$(;;-f[;;$env:;;%%;;[char;;-replace;;.replace(;;-split;;::;;.invoke;;eval ;;\
            $ifs;;$@;;<<<;;\\u00;;&#x;;%2e;;%3c;;%27;;../../;;..\\..\\;;{0};;{1}"],
        none: "",
        example: "x=${IFS}; eval $x",
        near_miss: "echo hello",
    },
];
