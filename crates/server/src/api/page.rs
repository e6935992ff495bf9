//! Lists come in pages.

use lifesign_store::Cursor;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::problem::Failure;
use super::shape::List;

/// Items of a page when nothing else is asked for.
pub(crate) const PAGE: usize = 100;
/// Most items of a page; whoever asks for more gets this many.
pub(crate) const LARGEST_PAGE: usize = lifesign_store::MAX_PAGE;

/// The part of a query that all lists have.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Items of a page: 100 unless told, at most 500.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<usize>,
}

impl Page {
    pub(crate) fn limit(&self) -> Result<usize, Failure> {
        limit(self.limit)
    }
}

pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Failure> {
    match asked {
        Some(0) => Err(Failure::bad_request("the query is wrong: limit must be at least 1")),
        Some(limit) => Ok(limit.min(LARGEST_PAGE)),
        None => Ok(PAGE),
    }
}

/// A page of a list that is in memory whole. `key` names an item for the cursor.
pub(crate) fn cut_from<V, T: ToSchema + From<V>>(
    items: Vec<V>,
    cursor: Option<&str>,
    limit: usize,
    key: impl Fn(&V) -> &str,
) -> Result<List<T>, Failure> {
    let start = match cursor {
        None => 0,
        Some(cursor) => {
            let last = items.iter().position(|item| key(item) == cursor);
            last.ok_or_else(stale_cursor)? + 1
        }
    };
    let next =
        items.get(start + limit).and_then(|_| items.get(start + limit - 1)).map(|item| key(item).to_owned());
    Ok(List { items: items.into_iter().skip(start).take(limit).map(Into::into).collect(), next })
}

/// A page of the store.
pub(crate) fn stored<V, T: ToSchema + From<V>>(page: lifesign_store::Page<V>) -> List<T> {
    List {
        items: page.items.into_iter().map(Into::into).collect(),
        next: page.next.map(|cursor| cursor.to_string()),
    }
}

/// The store's cursor in a query.
pub(crate) fn store_cursor(cursor: Option<&str>) -> Result<Option<Cursor>, Failure> {
    cursor.map(|cursor| cursor.parse().map_err(|_| stale_cursor())).transpose()
}

pub(crate) fn stale_cursor() -> Failure {
    Failure::bad_request("the query is wrong: no list goes on at this cursor (any more); begin without one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_double() {
        let all: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page: List<String> = cut_from(all.clone(), cursor.as_deref(), 3, |item| item).unwrap();
            seen.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
        assert_eq!(cut_from::<_, String>(all, None, 7, |item| item).unwrap().next, None);
    }
}
