//! Which kinds of checks and receivers this binary knows.

use lifesign_config::Kinds;
use lifesign_config::config::Config;
use lifesign_config::load::Loaded;
use lifesign_notify::Receiver;
use lifesign_probe::Probe;

/// A checked configuration file.
pub(crate) type Checked = Loaded<Probe, Receiver>;
/// Its contents.
pub(crate) type Configuration = Config<Probe, Receiver>;

/// All kinds.
pub(crate) fn all() -> Kinds<Probe, Receiver> {
    Kinds { checks: lifesign_probe::kinds(), receivers: lifesign_notify::kinds() }
}

#[cfg(test)]
mod tests {
    /// Only here all kinds are known, so only here the guide's tables of checks and receivers can be checked.
    #[test]
    fn the_guides_tables_are_those_of_this_binary() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let written = std::fs::read_to_string(&path).unwrap();
        let fresh = lifesign_config::guide::refresh(&written, &super::all()).unwrap();
        if std::env::var_os("LIFESIGN_UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        assert!(
            fresh == written,
            "docs/configuration.md is out of date; renew it: LIFESIGN_UPDATE=1 cargo test -p lifesign --bins"
        );
    }
}
