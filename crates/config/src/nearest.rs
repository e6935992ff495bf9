//! "Did you mean": the known word nearest to one that was written.

/// The nearest of `known`, when it is near enough that a slip of the fingers explains the difference.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let folded = fold(word);
    let allowed = (folded.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| {
            let known = fold(candidate);
            // `warning` for `warn`, `crit` for `critical`.
            let short = known.len().min(folded.len());
            let begins = short >= 3 && known[..short] == folded[..short];
            (if begins { 1 } else { distance(&folded, &known) }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice of `-` or `_` are no difference; words longer than any key are not compared further.
fn fold(word: &str) -> Vec<char> {
    word.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other: optimal string alignment.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["interval", "timeout", "retries", "send_retries", "url", "id"];
        assert_eq!(nearest("intervall", keys), Some("interval"));
        assert_eq!(nearest("tiemout", keys), Some("timeout"));
        assert_eq!(nearest("send-retries", keys), Some("send_retries"));
        assert_eq!(nearest("URL", keys), Some("url"));
        assert_eq!(nearest("warning", ["error", "warn"]), Some("warn"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("x", ["id"]), None);
    }
}
