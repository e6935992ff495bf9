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
