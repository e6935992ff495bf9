//! The last lines a unit has written to the journal, read before a restart puts others after them.
//!
//! The journal's own program reads it: its files have many forms, and the program knows them all. It is given a
//! moment and some kilobytes, and a unit's death is told without waiting for it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lifesign_core::evidence::MAX_OUTPUT;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Most lines that are kept.
const LINES: &str = "20";
/// How long reading may take.
const WITHIN: Duration = Duration::from_secs(3);
/// Most bytes that are read; more than twenty lines of any sane length.
const MOST: u64 = 64 * 1024;
/// Most readers at once: a hundred units that die together must not start a hundred programs at once.
static READERS: Semaphore = Semaphore::const_new(2);

/// The last lines of this start of the unit; `None`: there are none, or nobody can read them.
pub(crate) async fn last_lines(name: &str, invocation: &[u8; 16], folder: Option<&Path>) -> Option<String> {
    if *invocation == [0; 16] {
        return None;
    }
    let _place = READERS.acquire().await.ok()?;
    match timeout(WITHIN, read(invocation, folder)).await {
        Ok(Ok(text)) => Some(within_limit(text)).filter(|text| !text.trim().is_empty()),
        Ok(Err(error)) => {
            tracing::debug!(unit = name, %error, "Cannot read a unit's last lines (journalctl)");
            None
        }
        Err(_) => {
            tracing::debug!(unit = name, within = ?WITHIN, "The journal did not give a unit's last lines in time");
            None
        }
    }
}

async fn read(invocation: &[u8; 16], folder: Option<&Path>) -> std::io::Result<String> {
    let mut id = String::new();
    for byte in invocation {
        // Writing to a String never fails.
        let _ = write!(id, "{byte:02x}");
    }
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=cat", "--lines", LINES]);
    if let Some(folder) = folder {
        command.arg("--directory").arg(folder);
    }
    // What the unit wrote, and what systemd wrote about it; of the machine's own manager or of a user's.
    command.args([
        format!("_SYSTEMD_INVOCATION_ID={id}"),
        "+".to_owned(),
        format!("INVOCATION_ID={id}"),
        "+".to_owned(),
        format!("USER_INVOCATION_ID={id}"),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut bytes = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(MOST).read_to_end(&mut bytes).await?;
    }
    child.wait().await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of `text`, whole lines where there are any, within the limit of outputs.
pub(crate) fn within_limit(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    if text.len() > MAX_OUTPUT {
        let mut cut = text.ceil_char_boundary(text.len() - MAX_OUTPUT);
        if let Some(end) = text[cut..].find('\n') {
            cut += end + 1;
        }
        text.drain(..cut);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_keeps_its_last_whole_lines() {
        let bounded = |text: &str| within_limit(text.to_owned());
        assert_eq!(bounded(" \n"), "");
        assert_eq!(bounded("one\ntwo\n"), "one\ntwo");
        let long = bounded(&"a line of text\n".repeat(1000));
        assert!(long.len() <= MAX_OUTPUT && long.lines().all(|line| line == "a line of text"));
        assert!(bounded(&"ß".repeat(5000)).len() <= MAX_OUTPUT);
    }
}
