//! What must not leave the house in somebody else's words: lines of output that a notification carries may hold passwords.
//!
//! Nobody can know every secret by its looks. What is found here is what programs usually print: a value behind a name
//! that sounds like one (`password=…`, `"api_key": "…"`, `--token …`), credentials of HTTP, a user with password in an
//! address, private keys. Too much is hidden rather than too little; the whole text stays with the incident.

use std::ops::Range;

/// Words in a key that make its value a secret whatever the key is for.
const SECRET_WORDS: [&str; 8] =
    ["token", "password", "passwd", "passphrase", "secret", "credential", "authorization", "api_key"];

/// Words after which the credentials of HTTP follow.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Stands for what is hidden.
const HIDDEN: &str = "***";

/// Whether a key sounds as if its value must not be shown.
pub fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The lines of `text` with `***` for what looks like a secret.
pub fn masked(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut in_key = false;
    for line in text.lines() {
        if line.contains("PRIVATE KEY-----") {
            if line.contains("-----END") && !in_key {
                // Its beginning lies before the text.
                lines.iter_mut().for_each(|line| HIDDEN.clone_into(line));
            }
            in_key = line.contains("-----BEGIN") && !line.contains("-----END");
            lines.push(HIDDEN.to_owned());
        } else if in_key {
            lines.push(HIDDEN.to_owned());
        } else {
            lines.push(masked_line(line));
        }
    }
    lines
}

fn masked_line(line: &str) -> String {
    let mut hidden = Vec::new();
    hidden.extend(line.match_indices(['=', ':']).filter_map(|(at, _)| assigned(line, at)));
    hidden.extend(line.match_indices("://").filter_map(|(at, _)| user(line, at + 3)));
    let words = words(line);
    for ((_, word), (next, _)) in words.iter().zip(words.iter().skip(1)) {
        let is_option = word.starts_with('-') && !word.contains('=') && sounds_secret(word);
        if is_option || SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
            hidden.push(next.clone());
        }
    }
    hidden.sort_by_key(|range| (range.start, range.end));
    let (mut masked, mut from) = (String::with_capacity(line.len()), 0);
    for range in hidden {
        if range.start >= from {
            masked.push_str(&line[from..range.start]);
            masked.push_str(HIDDEN);
        }
        from = from.max(range.end);
    }
    masked.push_str(&line[from..]);
    masked
}

/// The words of a line, without what stands around them, and where they are.
fn words(line: &str) -> Vec<(Range<usize>, &str)> {
    let around = |c: char| matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | ':');
    let mut at = 0;
    line.split(char::is_whitespace)
        .map(|raw| {
            let start = at + raw.len() - raw.trim_start_matches(around).len();
            at += raw.len() + line[at + raw.len()..].chars().next().map_or(0, char::len_utf8);
            let word = raw.trim_matches(around);
            (start..start + word.len(), word)
        })
        .filter(|(_, word)| !word.is_empty())
        .collect()
}

/// The value that the sign at `at` assigns, if the name before it sounds secret.
fn assigned(line: &str, at: usize) -> Option<Range<usize>> {
    let before = line[..at].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = &before[before.trim_end_matches(is_name).len()..];
    if !sounds_secret(name) {
        return None;
    }
    let after = &line[at + 1..];
    let value = after.trim_start();
    let start = line.len() - value.len();
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inside = &value[1..];
        return Some(start + 1..start + 1 + inside.find(quote).unwrap_or(inside.len()));
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | ')' | '}' | ']' | '"' | '\'');
    let end = |from: usize| line[from..].find(ends).map_or(line.len(), |length| from + length);
    let mut stop = end(start);
    if SCHEMES.iter().any(|scheme| line[start..stop].eq_ignore_ascii_case(scheme)) {
        let next = line.len() - line[stop..].trim_start().len();
        stop = end(next);
    }
    (stop > start).then_some(start..stop)
}

/// The user and password in an address whose host part begins at `from`.
fn user(line: &str, from: usize) -> Option<Range<usize>> {
    let rest = &line[from..];
    let authority = &rest[..rest
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"'))
        .unwrap_or(rest.len())];
    let end = authority.rfind('@')?;
    authority[..end].contains(':').then_some(from..from + end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_rest_stays() {
        for (line, expected) in [
            ("listening on 127.0.0.1:8080, pid=12", "listening on 127.0.0.1:8080, pid=12"),
            ("DB_PASSWORD=hunter2 user=shop", "DB_PASSWORD=*** user=shop"),
            (r#"{"api_key": "abc\d", "user": "shop"}"#, r#"{"api_key": "***", "user": "shop"}"#),
            ("password = 'a b c', next", "password = '***', next"),
            ("Authorization: Bearer abc.def", "Authorization: ***"),
            ("sent (bearer abc.def) twice", "sent (bearer ***) twice"),
            ("run: backup --token abc --keep 3", "run: backup --token *** --keep 3"),
            ("run: backup --token=abc --keep 3", "run: backup --token=*** --keep 3"),
            ("cannot reach postgres://shop:p4ss@db:5432/x", "cannot reach postgres://***@db:5432/x"),
            ("from http://a:b@h to \"http://c:d@h\"", "from http://***@h to \"http://***@h\""),
            ("mail to ssh://git@host/x", "mail to ssh://git@host/x"),
            ("https://h/cb?access_token=abc&x=1", "https://h/cb?access_token=***&x=1"),
            ("口令 password：", "口令 password："),
            ("secret=", "secret="),
        ] {
            assert_eq!(masked(line), [expected]);
        }
    }

    #[test]
    fn a_private_key_is_hidden_although_its_beginning_is_cut_off() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nabcd\n-----END RSA PRIVATE KEY-----\nafter";
        assert_eq!(masked(key), ["***", "***", "***", "***", "after"]);
        assert_eq!(masked("MIIB\n-----END PRIVATE KEY-----\nafter"), ["***", "***", "after"]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*", name in "[a-z ]*(token|password)", value in "[a-zA-Z0-9]{8,20}") {
            masked(&text);
            let line = format!("{text} {name}={value} {text}");
            let readable = masked(&line).join("\n").contains(&format!("{name}={value}"));
            prop_assert!(!readable);
        }
    }
}
