//! Rules for persistence and privilege: tasks, services, autostart, accounts, set-user-id, escapes.
//!
//! Data only; [`super`] says how it is read. Keep a row small: what needs more than three groups is two rules.

use super::Level::{High, Low, Medium};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "wmi_subscription",
        level: High,
        technique: "T1546.003",
        description: "a permanent WMI subscription",
        all: &["__eventfilter;;eventconsumer;;filtertoconsumer;;activescriptevent"],
        none: "",
        example: "Set-WmiInstance -Class __EventFilter",
        near_miss: "Get-EventSubscriber",
    },
    Rule {
        name: "registry_autostart",
        level: Medium,
        technique: "T1547.001",
        description: "an autostart place in the registry is written",
        all: &[
            "\
                currentversion\\run;;runonce;;runservices;;\\winlogon;;userinit;;\
                image file execution options;;appinit_dlls;;silentprocessexit;;active setup;;\
                explorer\\run;;command processor;;shell folders;;appcertdlls;;\\bootexecute;;\
                installedsdb;;monitors\\;;print processors;;time providers;;security packages;;\
                authentication packages;;notification packages;;inprocserver32;;localserver32;;\
                \\shell\\open\\command;;screensave;;scrnsave;;userinitmprlogonscript;;\
                \\environment ;;\\services\\;;treatas;;cor_profiler;;amsi\\providers;;excelxll;;\
                office test;;\\addins;;control\\lsa;;netsh\\",
            "hklm;;hkcu;;hkey_;;hkcr;;hku;;registry::;;currentversion",
        ],
        none: "@az",
        example: "reg add HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Run /v x /d y",
        near_miss: "reg query HKCU\\Software\\Vendor",
    },
    Rule {
        name: "uac_bypass",
        level: High,
        technique: "T1548.002",
        description: "elevation without consent",
        all: &["\
            ms-settings\\;;mscfile\\shell;;exefile\\shell;;delegateexecute;;slui.exe\\;;\
            sdclt.exe /;;silentcleanup;;__compat_layer;;runasinvoker;;uacme;;akagi;;cmstplua;;\
            isolatedcommand;;bypassuac"],
        none: "",
        example: "reg add HKCU\\Software\\Classes\\ms-settings\\shell\\open\\command",
        near_miss: "start ms-settings:display",
    },
    Rule {
        name: "scheduled_task",
        level: Medium,
        technique: "T1053.005",
        description: "a scheduled task is made, changed or run",
        all: &[
            "\
                @schtasks;;register-scheduledtask;;new-scheduledtask;;set-scheduledtask;;\
                start-scheduledtask;;@at;;scheduled-task",
            "\
                /create;;/change;;/run;;register-;;new-scheduled;;set-scheduled;;start-scheduled;;\
                -create;;/end;;/delete;; /every;;interactive;;\\\\",
        ],
        none: "",
        example: "schtasks /create /tn x /tr y /sc onlogon",
        near_miss: "schtasks /query",
    },
    Rule {
        name: "task_or_service_tool",
        level: Low,
        technique: "T1053",
        description: "tasks or services are handled",
        all: &["\
            @schtasks;;unregister-scheduledtask;;@sc;;new-service;;remove-service;;set-service;;\
            restart-service;;start-service;;stop-service;;scheduledtask;;scheduledjob;;@instsrv;;\
            @srvany;;@nssm"],
        none: "",
        example: "sc query state= all",
        near_miss: "Get-Service",
    },
    Rule {
        name: "service_creation",
        level: Medium,
        technique: "T1543.003",
        description: "a service is made or its program changed",
        all: &[
            "@sc;;sc.exe;;new-service;;set-service;;@wmic;;@reg",
            " create ;;binpath;;new-service;;failurecommand;;imagepath;;sdset;;servicedll",
        ],
        none: "",
        example: "sc create x binPath= c:\\x.exe",
        near_miss: "sc query x",
    },
    Rule {
        name: "account_change",
        level: Medium,
        technique: "T1136",
        description: "an account or a group is changed",
        all: &[
            "\
                @net;;@net1;;new-localuser;;add-localgroupmember;;set-localuser;;\
                enable-localuser;;new-aduser;;add-adgroupmember;;set-adaccount;;remove-localuser;;\
                @dsadd;;@dsmod",
            "/add;;/delete;;/active;;/del;;new-;;add-;;set-;;remove-;;enable-;;group;;user",
        ],
        none: "net use ;;net view;;net start;;net stop",
        example: "net user bob P4ss /add",
        near_miss: "net statistics workstation",
    },
    Rule {
        name: "driver_or_device",
        level: Low,
        technique: "T1543",
        description: "a driver or a device is handled",
        all: &["\
            @pnputil;;@devcon;;@sigverif;;@verifier;;@drvload;;@driverquery;;@gflags;;.sys ;;\
            \\drivers\\"],
        none: "",
        example: "pnputil /add-driver x.inf",
        near_miss: "pnpm list",
    },
    Rule {
        name: "profile_or_startup",
        level: Medium,
        technique: "T1547.001",
        description: "a start-up folder or a shell profile is written",
        all: &["\
            start menu\\programs\\startup;;\\startup\\;;$profile;;\\start menu\\;;\
            microsoft.powershell_profile"],
        none: "",
        example: "copy x.bat \"%APPDATA%\\Microsoft\\Windows\\Start Menu\\Programs\\Startup\"",
        near_miss: "copy x.bat d:\\",
    },
    Rule {
        name: "setuid",
        level: Medium,
        technique: "T1548.001",
        description: "set-user-id bits or capabilities are sought or set",
        all: &["\
            u+s;;g+s;;+s ;;4755;;4777;;6755;;2755;;04755;;-perm;;setcap;;getcap;;cap_setuid;;\
            setuid;;setgid;;=s,;;ug+s;;4000;;a+s;;chmod 4;;chmod 6"],
        none: "",
        example: "find / -perm -4000 -type f",
        near_miss: "chmod 755 x",
    },
    Rule {
        name: "preload",
        level: High,
        technique: "T1574.006",
        description: "a library is put before all others",
        all: &["\
            ld.so.preload;;ld_preload;;ld_library_path;;dyld_insert_libraries;;ld_audit;;\
            dylib_hijack"],
        none: "",
        example: "LD_PRELOAD=/tmp/x.so id",
        near_miss: "ldconfig -p",
    },
    Rule {
        name: "kernel_module",
        level: Medium,
        technique: "T1547.006",
        description: "a kernel module or extension is loaded",
        all: &["\
            @insmod;;@modprobe;;@kextload;;@rmmod;;/dev/mem;;@kmod;;@bpftool;;@kexec;;@kmutil;;\
            core_pattern;;@dkms"],
        none: "",
        example: "insmod x.ko",
        near_miss: "lsmod",
    },
    Rule {
        name: "cron_persistence",
        level: Medium,
        technique: "T1053.003",
        description: "cron, at or a timer is written",
        all: &["\
            crontab;;/etc/cron;;cron.d;;/var/spool/cron;;@at;;@atq;;@batch;;/etc/anacron;;\
            systemd-run;;.timer;;cron.daily;;at now"],
        none: "",
        example: "crontab -l | { cat; echo x; } | crontab -",
        near_miss: "chronyc sources",
    },
    Rule {
        name: "service_persistence",
        level: Medium,
        technique: "T1543.002",
        description: "a service, agent or login item is written",
        all: &["\
            systemctl enable;;systemctl daemon;;/etc/systemd;;systemd/system;;.service;;\
            /etc/init;;rc.local;;rc.d;;launchctl;;launchagents;;launchdaemons;;loginhook;;\
            loginwindow;;startupitems;;emond;;update-rc.d;;chkconfig;;@osascript;;/etc/xdg;;\
            .desktop;;.plist;;login item;;rcscript;;@rc-update;;@service;;periodic/"],
        none: "",
        example: "systemctl enable evil",
        near_miss: "systemctl status nginx",
    },
    Rule {
        name: "shell_profile",
        level: Medium,
        technique: "T1546.004",
        description: "a shell profile is written",
        all: &["\
            .bashrc;;.bash_profile;;.profile;;.zshrc;;.zshenv;;/etc/profile;;.bash_logout;;\
            .zprofile;;bash_login;;trap ;;prompt_command;;.xinitrc;;.vimrc;;.inputrc;;.config/fish"],
        none: "",
        example: "echo x >> ~/.bashrc",
        near_miss: "bash --version",
    },
    Rule {
        name: "user_management",
        level: Low,
        technique: "T1136.001",
        description: "accounts or groups are changed",
        all: &["\
            @useradd;;@adduser;;@usermod;;@userdel;;@groupadd;;@groupmod;;@gpasswd;;@passwd;;\
            @chpasswd;;@chage;;@dscl;;@sysadminctl;;@dseditgroup;;@pwpolicy;;@pw;;@su;;@newgrp;;\
            @chsh;;@deluser;;@vipw;;@getent;;@lastb;;@lastlog;;@dscacheutil;;@dsconfigad;;\
            @pkexec;;@doas"],
        none: "",
        example: "useradd -m bob",
        near_miss: "users",
    },
    Rule {
        name: "privilege_probe",
        level: Low,
        technique: "T1548.003",
        description: "rights are probed",
        all: &["\
            sudo -l;;sudo -n;;sudo su;;sudo -i;;sudo -s;;sudo -u;;sudo --;;sudoedit;;sudo_;;@id;;\
            @whoami;;@groups;;=sudo -;;tty_tickets;;timestamp_timeout;;sudo bash;;sudo sh"],
        none: "",
        example: "sudo -l",
        near_miss: "sudo apt update",
    },
    Rule {
        name: "container_escape",
        level: Medium,
        technique: "T1611",
        description: "a container with the rights of its host",
        all: &["\
            --privileged;;-v /:/;;docker.sock;;release_agent;;--pid=host;;--net=host;;--ipc=host;;\
            --cap-add;;nsenter;;unshare;;hostpath;;hostpid;;cgroup;;@runc;;@ctr;;lxc.;;\
            security.privileged;;chroot;;--device /;;--device=/;;--volume /:;;-v /etc;;-v /root;;mount /dev;;\
            @debugfs;;@amicontained;;--security-opt;;--userns=host"],
        none: "",
        example: "docker run -v /:/host --privileged alpine",
        near_miss: "docker ps",
    },
];
