//! The Windows half: built with mingw, run under Wine with its real service control manager.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::shell;

/// The target of the Windows build.
pub(crate) const TARGET: &str = "x86_64-pc-windows-gnu";

/// Installs compiler, Wine, target and prefix.
pub(crate) fn set_up() -> anyhow::Result<()> {
    shell::step("set up Windows build and Wine", shell::command("sh", &["scripts/windows-setup.sh"]))
}

fn prefix() -> PathBuf {
    std::env::var_os("WINEPREFIX").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        home.join(".cache").join("lifesign-wine")
    })
}

/// What a command needs to build for Windows and to run under Wine.
pub(crate) fn environment(command: &mut Command) {
    command
        .env("WINEPREFIX", prefix())
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine")
        .env_remove("DISPLAY");
}

/// Keeps one Wine server, and with it the service manager, alive while it exists.
pub(crate) struct Server(());

impl Server {
    /// Starts it. Its output goes nowhere: a pipe it inherits would never close.
    pub(crate) fn start() -> anyhow::Result<Self> {
        for (program, arguments) in [("wineserver", vec!["-p"]), ("wine", vec!["cmd", "/c", "exit"])] {
            let mut command = shell::command(program, &arguments);
            environment(&mut command);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().with_context(|| format!("failed to start {program}"))?;
        }
        Ok(Self(()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut command = shell::command("wineserver", &["-k"]);
        environment(&mut command);
        if let Err(error) = command.status() {
            eprintln!("failed to stop the Wine server: {error}");
        }
    }
}
