//! Running other programs: loud when they fail, and never with a shell in between.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A command with its arguments, in the project's root.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Cargo, as the one that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), arguments);
    // What cargo tells its own children is not meant for another cargo.
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
    {
        cargo.env_remove(name);
    }
    cargo
}

/// Runs a step under a heading and says how long it took.
pub(crate) fn step(name: &str, mut command: Command) -> anyhow::Result<()> {
    println!("\n==> {name}");
    let begin = Instant::now();
    let status = command.status().with_context(|| format!("failed to start {:?}", command.get_program()))?;
    ensure!(status.success(), "{name} failed ({status}): {command:?}");
    println!("    {name}: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a step, shows its output as it comes, and returns it.
pub(crate) fn step_with_output(name: &str, mut command: Command) -> anyhow::Result<String> {
    use std::io::{BufRead, BufReader};
    println!("\n==> {name}");
    let begin = Instant::now();
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child =
        command.spawn().with_context(|| format!("failed to start {:?}", command.get_program()))?;
    // The command holds the pipe's other end; it must go, or the reading below never ends.
    let described = format!("{command:?}");
    drop(command);
    let mut all = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        all.push_str(&line);
        all.push('\n');
    }
    let status = child.wait()?;
    ensure!(status.success(), "{name} failed ({status}): {described}");
    println!("    {name}: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(all)
}

/// The output of a command that is expected to succeed.
pub(crate) fn output(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("failed to start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Installs Debian packages that are missing.
pub(crate) fn need_packages(packages: &[&str]) -> anyhow::Result<()> {
    let installed = |package: &&&str| {
        command("dpkg-query", &["-W", "-f", "${Status}", package])
            .output()
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("ok installed"))
    };
    let missing: Vec<&str> = packages.iter().filter(|package| !installed(package)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get", &["-o", "DPkg::Lock::Timeout=600", "-qq"]);
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        apt
    };
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&missing);
    // The package lists may be fresh already, so they are fetched only when the first try fails.
    if apt(&install).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    step("fetch the package lists", apt(&["update"]))?;
    step(&format!("install {}", missing.join(" ")), apt(&install))
        .with_context(|| format!("these packages are needed; as root: apt-get install {}", missing.join(" ")))
}
