//! The data directory as the command line sees it: where it is, and the admin token in it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file with the admin token.
const TOKEN_FILE: &str = "admin.token";

/// A token kept in the data directory, readable by its owner only.
pub(crate) struct KeptToken {
    /// The token.
    pub(crate) token: String,
    /// Where it is kept.
    pub(crate) file: PathBuf,
    /// Whether it has just been made.
    pub(crate) is_new: bool,
}

/// The file with the token that supervised processes send their heartbeats with. It stays the same over
/// restarts, because a process may outlive the lifesign that started it.
const SUPERVISED_FILE: &str = "supervised.token";

/// Reads the admin token, or makes one.
pub(crate) fn admin_token(data_dir: &Path) -> anyhow::Result<KeptToken> {
    kept_token(data_dir.join(TOKEN_FILE))
}

/// Reads the token of supervised processes, or makes one.
pub(crate) fn supervised_token(data_dir: &Path) -> anyhow::Result<KeptToken> {
    kept_token(data_dir.join(SUPERVISED_FILE))
}

/// Reads a token, or makes one: 256 bits from the system's randomness.
fn kept_token(file: PathBuf) -> anyhow::Result<KeptToken> {
    match std::fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => {
            return Ok(KeptToken { token: text.trim().to_owned(), file, is_new: false });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("failed to read the token {}", file.display()));
        }
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gave no randomness for a token")?;
    let token: String =
        std::iter::once("ls_".to_owned()).chain(bytes.iter().map(|byte| format!("{byte:02x}"))).collect();
    lifesign_os::file::write_private(&file, format!("{token}\n").as_bytes())
        .with_context(|| format!("failed to write the token {}", file.display()))?;
    Ok(KeptToken { token, file, is_new: true })
}

/// Notes for this user where the server at `address` keeps its data, so that `lifesign status` finds the
/// token from any folder. Only the place is written, never the token.
pub(crate) fn remember_server(address: &str, data_dir: &Path) {
    let Some(note) = note_file(address) else { return };
    let result = note.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let place = std::path::absolute(data_dir)?;
        lifesign_os::file::write_private(&note, place.to_string_lossy().as_bytes())
    });
    if let Err(error) = result {
        tracing::debug!(%error, "Could not note where the data directory is");
    }
}

/// The token for the server at `address` on this machine, if this user may read it. `is_default`: nobody
/// named that address, so the data directory in this folder is meant, or that of the installed service; a token is never sent to an address
/// that it was not noted for.
pub(crate) fn find_token(address: &str, is_default: bool) -> Option<String> {
    let noted = note_file(address)
        .and_then(|note| std::fs::read_to_string(note).ok())
        .map(|place| PathBuf::from(place.trim()));
    noted
        .into_iter()
        .chain(is_default.then(|| PathBuf::from("data")))
        .chain(is_default.then(|| lifesign_os::service::default_data_dir("lifesign")))
        .find_map(|place| std::fs::read_to_string(place.join(TOKEN_FILE)).ok())
        .map(|token| token.trim().to_owned())
}

/// One small file per server address in the user's own state folder.
fn note_file(address: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("LOCALAPPDATA")
        .or_else(|| variable("XDG_STATE_HOME"))
        .or_else(|| variable("HOME").map(|home| home.join(".local").join("state")))?;
    let name: String =
        address.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    Some(base.join("lifesign").join("servers").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = admin_token(dir.path()).unwrap();
        let second = admin_token(dir.path()).unwrap();
        assert!(first.is_new && !second.is_new);
        assert_eq!(first.token, second.token);
        assert!(first.token.len() > 60);
    }
}
