//! From a path to a checked configuration.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::fields::Cx;
use crate::kind::Kinds;
use crate::node::Node;
use crate::overlay::{is_overlay_name, merge, overlay_path};
use crate::parse::{MAX_FILE, Syntax, parse};
use crate::placeholder::{Outside, fill, why};
use crate::problem::{Masks, Report};
use crate::show;
use crate::source::{Sources, Span};

/// A configuration that can be used.
#[derive(Clone)]
pub struct Loaded<C, R> {
    /// The configuration.
    pub config: Config<C, R>,
    /// What works and is not as it should be. `Display` shows it.
    pub warnings: Report,
    /// The files it was read from, the overlay last.
    pub files: Vec<PathBuf>,
    tree: Node,
    sources: Sources,
    masks: Masks,
}

/// Without the tree, which holds secrets as they were written.
impl<C: fmt::Debug, R: fmt::Debug> fmt::Debug for Loaded<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("config", &self.config)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<C, R> Loaded<C, R> {
    pub(crate) fn tree(&self) -> &Node {
        &self.tree
    }

    /// The merged configuration as YAML: secrets blanked out, each value with its file and line behind it.
    pub fn show(&self) -> String {
        show::show(&self.tree, &self.sources, &self.masks)
    }
}

/// Reads the configuration at `path`, laid over by its overlay `env` when there is one.
///
/// # Errors
/// Everything that is wrong with it, in one go.
pub fn load<C, R>(path: &Path, env: Option<&str>, kinds: &Kinds<C, R>) -> Result<Loaded<C, R>, Report> {
    let outside = Outside { variable: &|name| std::env::var(name).ok() };
    load_with(path, env, kinds, &outside)
}

/// [`load`] with another source of environment variables.
///
/// # Errors
/// As [`load`].
pub fn load_with<C, R>(
    path: &Path,
    env: Option<&str>,
    kinds: &Kinds<C, R>,
    outside: &Outside<'_>,
) -> Result<Loaded<C, R>, Report> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut cx = Cx::new(absolute.parent().unwrap_or(Path::new("")));
    let mut files = vec![path.to_owned()];
    let mut tree = read_file(path, &mut cx);
    // An empty LIFESIGN_ENV is as good as none.
    if let Some(name) = env.filter(|name| !name.is_empty()) {
        let over = if is_overlay_name(name) {
            let path = overlay_path(path, name);
            let over = read_file(&path, &mut cx);
            files.push(path);
            over
        } else {
            cx.error(Span::NONE, format!("{name:?} cannot be the name of an overlay"))
                .hint("letters, digits, `-` and `_`, at most 64");
            None
        };
        tree = tree.zip(over).map(|(tree, over)| merge(tree, over));
    }
    finish(tree, files, kinds, outside, cx)
}

/// Reads a configuration from text, as if it stood in a file called `name`. Relative paths start at `folder`.
///
/// # Errors
/// As [`load`].
pub fn load_text<C, R>(
    name: &str,
    folder: &Path,
    text: &[u8],
    kinds: &Kinds<C, R>,
    outside: &Outside<'_>,
) -> Result<Loaded<C, R>, Report> {
    let mut cx = Cx::new(folder);
    let path = Path::new(name);
    let tree = parse(name, path, text, Syntax::of(path).unwrap_or(Syntax::Yaml), &mut cx);
    finish(tree, vec![path.to_owned()], kinds, outside, cx)
}

fn finish<C, R>(
    tree: Option<Node>,
    files: Vec<PathBuf>,
    kinds: &Kinds<C, R>,
    outside: &Outside<'_>,
    mut cx: Cx,
) -> Result<Loaded<C, R>, Report> {
    let decoded = tree.and_then(|mut tree| {
        fill(&mut tree, outside, &mut cx);
        let config = Config::decode(&tree, kinds, &mut cx)?;
        Some((tree, config))
    });
    match decoded {
        Some((tree, config)) if cx.errors() == 0 => {
            let (sources, masks) = (cx.sources.clone(), cx.masks().clone());
            Ok(Loaded { config, warnings: cx.into_report(), files, tree, sources, masks })
        }
        _ => Err(cx.into_report()),
    }
}

fn read_file(path: &Path, cx: &mut Cx) -> Option<Node> {
    let name = path.display().to_string();
    let Some(syntax) = Syntax::of(path) else {
        cx.error(Span::NONE, format!("{name}: the ending says neither YAML nor JSON"))
            .hint("call it `.yaml`, `.yml` or `.json`");
        return None;
    };
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file at the limit is told from one above it.
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        cx.error(Span::NONE, format!("{name} cannot be read: {}", why(&error)));
        return None;
    }
    parse(&name, path, &bytes, syntax, cx)
}
