//! The dashboard in a real browser, against a real lifesign that watches real processes.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::shell;

/// Installs Chromium, a font with Chinese characters, and the test's own packages.
pub(crate) fn set_up() -> anyhow::Result<()> {
    shell::step("set up the browser", shell::command("sh", &["scripts/browser-setup.sh"]))
}

/// A lifesign for the test. Stopped when dropped.
struct Lifesign {
    child: Child,
    data: PathBuf,
}

impl Drop for Lifesign {
    fn drop(&mut self) {
        // Asked to stop, so that it stops what it supervises; the children must not outlive the test.
        let pid = self.child.id().to_string();
        let asked = shell::command("kill", &["-TERM", &pid]).status().is_ok_and(|status| status.success());
        if !asked {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Runs the browser tests and returns their closing line.
pub(crate) fn run(screenshots: bool) -> anyhow::Result<String> {
    set_up()?;
    shell::step("build lifesign", shell::cargo(&["build", "-p", "lifesign"]))?;
    let binary = shell::root()
        .join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
        .join("debug/lifesign");
    let data = std::env::temp_dir().join(format!("lifesign-browser-{}", std::process::id()));
    let folder = data.join("examples");
    std::fs::create_dir_all(&folder)?;
    let quickstart =
        std::fs::read_to_string("examples/quickstart.yaml").context("examples/quickstart.yaml is missing")?;
    let configuration = folder.join("quickstart.yaml");
    std::fs::write(&configuration, quickstart)?;

    let mut child = shell::command(
        &binary.to_string_lossy(),
        &["--lang", "en", "up", "-c", &configuration.to_string_lossy()],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .with_context(|| format!("failed to start {}", binary.display()))?;
    let stdout = child.stdout.take().context("lifesign has no standard output")?;
    let lifesign = Lifesign { child, data };
    let token = wait_for_token(stdout, &lifesign)?;

    let mut test = shell::command("node", &["tests/browser/run.mjs", "--base", "http://127.0.0.1:7700"]);
    // By the environment: a token has no place in a list of processes.
    test.env("LIFESIGN_TOKEN", token);
    if screenshots {
        test.args(["--screenshots", "docs/images"]);
    }
    let output = shell::step_with_output("dashboard in the browser", test)?;
    let summary = output.lines().rfind(|line| line.contains(" passed")).unwrap_or_default().to_owned();
    if summary.is_empty() {
        bail!("the browser tests closed without saying how many passed");
    }
    Ok(summary)
}

/// Waits until lifesign answers, and reads the token it keeps.
fn wait_for_token(
    stdout: impl std::io::Read + Send + 'static,
    lifesign: &Lifesign,
) -> anyhow::Result<String> {
    // The lines are read to the end, or lifesign would block on a full pipe.
    std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(drop));
    let file = lifesign.data.join("data").join("admin.token");
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let ready = std::net::TcpStream::connect(("127.0.0.1", 7700)).is_ok();
        match std::fs::read_to_string(&file) {
            Ok(token) if ready => return Ok(token.trim().to_owned()),
            _ if Instant::now() > end => bail!("lifesign did not start within 30 s on 127.0.0.1:7700"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
