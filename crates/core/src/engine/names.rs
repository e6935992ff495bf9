//! One copy of each metric's name, however many services have it.
//!
//! Each heartbeat brings names of its own. Kept as they come, a hundred thousand services would keep a hundred thousand
//! copies of `cpu`, each in another corner of the memory, and every heartbeat would have to fetch its own to compare.

use std::collections::HashSet;
use std::sync::Arc;

/// Most names kept once. Further ones are kept as they come.
const MAX_NAMES: usize = 4096;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// The one copy of `name`.
    pub(super) fn share(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() < MAX_NAMES {
            self.0.insert(Arc::clone(name));
        }
        Arc::clone(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_as_long_as_there_is_room() {
        let mut names = Names::default();
        let first = names.share(&"cpu".into());
        assert!(Arc::ptr_eq(&first, &names.share(&"cpu".into())));
        for index in 1..MAX_NAMES {
            names.share(&format!("metric_{index}").into());
        }
        let beyond: Arc<str> = "beyond".into();
        assert!(Arc::ptr_eq(&beyond, &names.share(&beyond)));
        assert!(!Arc::ptr_eq(&beyond, &names.share(&"beyond".into())), "there is no room for it");
        assert!(Arc::ptr_eq(&first, &names.share(&"cpu".into())));
    }
}
