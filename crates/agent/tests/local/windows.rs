//! The ways that Windows has. Under Wine access lists of pipes are stored and not enforced.

use std::os::windows::process::CommandExt as _;
use std::path::Path;

use lifesign_agent::{Access, Tally, Way};
use lifesign_core::evidence::BeatStatus;
use lifesign_core::input::Input;
use tokio::net::windows::named_pipe::ServerOptions;

use super::house::{Plan, id, run, start};

const WAYS: [(&str, Way); 4] =
    [("memory", Way::Memory), ("pipe", Way::Pipe), ("file", Way::File), ("udp", Way::Udp)];

#[tokio::test(flavor = "multi_thread")]
async fn every_way_brings_what_another_process_says() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    for (name, way) in WAYS {
        // Alive until it was heard: a thread of the sender writes to the pipe, and ends with it.
        let sender = start(plan.sender(name, "orders", 1, 600_000));
        house.scene = name;
        // Writing and renaming a file may be seen as two.
        let beat = house.beat().await;
        drop(sender);
        assert_eq!((beat.service.as_str(), beat.status), ("orders", BeatStatus::Alive), "{name}");
        assert_eq!(beat.progress, Some(1), "{name}");
        assert_eq!(beat.metrics, [("queue".into(), 12.5)], "{name}");
        assert!(house.tally.of(way).heard >= 1, "{name}");
    }
    // Its folder can go only when nobody watches it any more.
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_value_that_changes_is_a_heartbeat() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    let key = plan.setup.registry.clone().unwrap();
    for (kind, data, progress) in
        [("REG_SZ", "fail progress=3 queue=2", Some(3)), ("REG_DWORD", "77", Some(77))]
    {
        let mut reg = std::process::Command::new("reg");
        reg.args(["add", &key, "/v", "orders", "/t", kind, "/d", data, "/f"]);
        let done = run(reg).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let beat = house.beat().await;
        assert_eq!((beat.service.as_str(), beat.progress), ("orders", progress));
    }
    let mut reg = std::process::Command::new("reg");
    reg.args(["add", &key, "/v", "orders", "/t", "REG_SZ", "/d", "no word of ours", "/f"]);
    assert!(run(reg).await.status.success());
    house.figures(|tally| tally.of(Way::Registry).malformed == 1).await;
    let mut reg = std::process::Command::new("reg");
    reg.args(["delete", &key, "/f"]);
    run(reg).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_on_the_pipe_costs_nobody_else_a_beat() {
    const BEATS: u64 = 30;
    let plan = Plan::new();
    let mut house = plan.build().await;
    let _junk = start(plan.sender("junk-pipe", "orders", 300, 0));
    let _victim = start(plan.sender("pipe-by-hand", "victim", BEATS, 20));
    let mut next = 1;
    house
        .until(|input| {
            if let Input::Beat(beat) = input
                && beat.service == id("victim")
            {
                assert_eq!(beat.progress, Some(next), "a beat of the victim was lost");
                next += 1;
            }
            (next > BEATS).then_some(())
        })
        .await;
    house.figures(|tally| tally.of(Way::Pipe).malformed > 0).await;
    house.stop().await;
}

/// An agent that heard twenty beats of the victim by `way` while another program wrote junk by it, and counted as
/// wanted. What the victim says is not all heard: of files and pages the newest, of datagrams what has room.
async fn heard_through(way: &'static str, junk: &str, counted: impl Fn(&Tally) -> bool) {
    let plan = Plan::new();
    let mut house = plan.build().await;
    house.scene = way;
    let junk = start(plan.sender(junk, "orders", 100_000, 0));
    let victim = start(plan.sender(way, "victim", 10_000, 20));
    house
        .until(|input| {
            matches!(input, Input::Beat(beat) if beat.service == id("victim") && beat.progress >= Some(20))
                .then_some(())
        })
        .await;
    house.figures(counted).await;
    drop((junk, victim));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_and_floods_by_udp_do_not_silence_the_others() {
    heard_through("udp", "junk-udp", |tally| {
        let sums = tally.of(Way::Udp);
        sums.refused > 0 && sums.malformed > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_and_floods_in_files_do_not_silence_the_others() {
    heard_through("file", "junk-file", |tally| tally.of(Way::File).malformed > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_in_shared_memory_does_not_silence_the_others() {
    // A page that is only written fast holds nothing wrong.
    heard_through("memory", "memory", |tally| tally.of(Way::Memory).heard > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_and_floods_in_the_registry_are_counted_and_do_not_silence_the_others() {
    let mut plan = Plan::new();
    plan.setup.rate = 5;
    let mut house = plan.build().await;
    let key = plan.setup.registry.clone().unwrap();
    // Cmd alone, since every `reg` is a process of its own.
    let loop_of = |value: &str, data: &str, times: u32| {
        let mut cmd = std::process::Command::new("cmd");
        let line =
            format!("for /l %i in (1,1,{times}) do reg add {key} /v {value} /t REG_SZ /d \"{data}\" /f");
        // As it stands: what `args` puts into quotes, cmd does not read.
        cmd.raw_arg("/c ")
            .raw_arg(line)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        cmd
    };
    let junk = start(loop_of("orders", "no word of ours %i", 1000));
    let victim = start(loop_of("victim", "alive progress=%i", 1000));
    let mut heard = 0;
    house
        .until(|input| {
            if let Input::Beat(beat) = input
                && beat.service == id("victim")
            {
                heard += 1;
            }
            (heard >= 10).then_some(())
        })
        .await;
    house.figures(|tally| tally.of(Way::Registry).malformed > 0).await;
    drop((junk, victim));
    let mut reg = std::process::Command::new("reg");
    reg.args(["delete", &key, "/f"]);
    run(reg).await;
    house.stop().await;
}

/// What Windows PowerShell says of `script`, which must end well.
async fn powershell(script: &str) -> String {
    let mut powershell = std::process::Command::new("powershell");
    powershell.args(["-NoProfile", "-Command", script]);
    let ran = run(powershell).await;
    assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The exit code of a line for `cmd` that an account of the test's own runs, which is taken away again whatever
/// happens.
async fn as_another_user(line: &str) -> Option<i32> {
    // So that a script that comes to nothing, with 1, is told from the line's own 1.
    const RAN: i32 = 100;
    let line = line.replace('\'', "''");
    let script = format!(
        "$ErrorActionPreference = 'Stop'; $name = 'lifesign-test'; $word = 'Aa1!' + [guid]::NewGuid();
         $secret = ConvertTo-SecureString $word -AsPlainText -Force;
         New-LocalUser $name -Password $secret | Out-Null;
         try {{
             $who = New-Object System.Management.Automation.PSCredential($name, $secret);
             $ran = Start-Process cmd.exe -ArgumentList '/c {line}' -Credential $who -WorkingDirectory C:\\ -Wait -PassThru;
             exit ({RAN} + $ran.ExitCode)
         }} finally {{ Remove-LocalUser $name }}"
    );
    let mut powershell = std::process::Command::new("powershell");
    powershell.args(["-NoProfile", "-Command", &script]);
    let ran = run(powershell).await;
    eprintln!("{line}: {}", String::from_utf8_lossy(&ran.stderr));
    ran.status.code().map(|code| code - RAN)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real_windows: neither PowerShell nor .NET runs under Wine"]
async fn on_real_windows_the_examples_in_powershell_and_c_sharp_are_heard_by_the_pipe() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/heartbeat");
    let mut by_script = std::process::Command::new("powershell");
    by_script.args(["-NoProfile", "-ExecutionPolicy", "Bypass", "-File"]).arg(examples.join("Beat.ps1"));

    // A project as .NET makes it, of whatever version is there, with the example as its program.
    let project = plan.dir.path().join("beat");
    let mut new = std::process::Command::new("dotnet");
    new.args(["new", "console", "--output"]).arg(&project);
    let made = run(new).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::copy(examples.join("Beat.cs"), project.join("Program.cs")).unwrap();
    let mut by_dotnet = std::process::Command::new("dotnet");
    by_dotnet.args(["run", "--project"]).arg(&project).arg("--");

    for (mut program, message) in [(by_script, "hello from PowerShell"), (by_dotnet, "hello from C#")] {
        house.scene = message;
        program.arg("orders").env("LIFESIGN_LOCAL", plan.setup.place.address());
        let ran = run(program).await;
        assert!(ran.status.success(), "{message}: {}", String::from_utf8_lossy(&ran.stderr));
        let last = house
            .until(|input| match input {
                Input::Beat(beat) if beat.progress == Some(10) => Some(beat),
                _ => None,
            })
            .await;
        assert_eq!(last.message.as_deref(), Some(message));
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real_windows: Wine lets everybody make another instance of a pipe"]
async fn on_real_windows_nobody_poses_as_lifesign_with_a_second_pipe_of_its_name() {
    const ACCESS_DENIED: i32 = 5;
    let mut plan = Plan::new();
    plan.setup.place.access = Access::Everyone;
    let house = plan.build().await;
    let name = plan.place("pipe-by-hand", "orders");
    let second = ServerOptions::new().first_pipe_instance(true).create(&name).unwrap_err();
    assert_eq!(second.raw_os_error(), Some(ACCESS_DENIED));
    // Who may write may still not make an instance.
    let name = plan.setup.place.address();
    let pose = format!(
        "powershell -NoProfile -Command \"try {{ $null = New-Object System.IO.Pipes.NamedPipeServerStream('{name}', 'In', 64) }} \
         catch {{ exit [int]($_.Exception.GetBaseException() -is [System.UnauthorizedAccessException]) }} exit 2\""
    );
    assert_eq!(as_another_user(&pose).await, Some(1), "access is denied");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real_windows: Wine keeps no access lists of registry keys"]
async fn on_real_windows_the_registry_key_is_for_lifesign_system_and_administrators_alone() {
    let plan = Plan::new();
    let house = plan.build().await;
    let key = plan.setup.registry.clone().unwrap();
    let sddl = powershell(&format!("(Get-Acl 'Registry::{key}').Sddl")).await;
    let list = sddl.split_once("D:").unwrap().1;
    assert!(list.starts_with('P'), "it inherits nothing: {sddl}");
    for somebody in [";;;SY)", ";;;BA)"] {
        assert!(list.contains(somebody), "{somebody}: {sddl}");
    }
    for somebody in [";;;WD)", ";;;AU)", ";;;BU)", ";;;IU)", ";;;RC)", ";;;AC)"] {
        assert!(!list.contains(somebody), "{somebody}: {sddl}");
    }
    house.stop().await;
    let mut reg = std::process::Command::new("reg");
    reg.args(["delete", &key, "/f"]);
    run(reg).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real_windows: under Wine everybody is an administrator, and access lists of pipes are not enforced"]
async fn on_real_windows_another_user_is_refused_by_the_system_on_pipe_and_section() {
    let plan = Plan::new();
    let house = plan.build().await;
    for way in ["pipe", "memory"] {
        let (name, program) = (plan.setup.place.address(), super::house::program());
        let line = format!("set LIFESIGN_LOCAL={name}&& \"{}\" {way} orders 1 0", program.display());
        assert_eq!(as_another_user(&line).await, Some(1), "{way}");
    }
    assert_eq!(house.tally.all().heard, 0);
    house.stop().await;
}
