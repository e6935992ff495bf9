//! What the command line writes: tables, colours, errors. The only place that prints.
use std::io::{IsTerminal, Write};

use lifesign_core::model::State;
use lifesign_lang::Lang;
use serde_json::Value;

use crate::failure::Failure;

/// One line to standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    // A reader that has seen enough (`| head`) is no reason to end, least of all for `up`.
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// One line to standard error, where it is in nobody's way.
pub(crate) fn hint(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// JSON, indented for a terminal and compact for a pipe.
pub(crate) fn json(value: &Value) {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    line(text.unwrap_or_default());
}

/// Why a command failed.
pub(crate) fn error(lang: Lang, failure: &Failure) {
    let text = failure.to_string();
    match failure {
        // These come with their own heading, one for each error.
        Failure::Configuration(_) => hint(text.trim_end()),
        _ => {
            let head = format!("{}:", lang.word("cli-error"));
            hint(format!("{} {text}", paint(&head, Colour::Red, std::io::stderr().is_terminal())));
        }
    }
}

/// The few colours used; none of them carries a meaning alone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Dim,
    Bold,
}

/// `text` in `colour`, where `wanted` and nobody has asked for none (<https://no-color.org>).
fn paint(text: &str, colour: Colour, wanted: bool) -> String {
    if !wanted || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Dim => 2,
        Colour::Bold => 1,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// `text` in `colour` when standard output is a terminal.
pub(crate) fn coloured(text: &str, colour: Colour) -> String {
    paint(text, colour, std::io::stdout().is_terminal())
}

/// A state with its sign, so that it can be told without colour.
pub(crate) fn state(lang: Lang, state: State, width: usize) -> String {
    let (sign, colour) = match state {
        State::Up => ("●", Colour::Green),
        State::Degraded => ("◐", Colour::Yellow),
        State::Suspect => ("?", Colour::Yellow),
        State::Down => ("✖", Colour::Red),
        State::Pending => ("○", Colour::Dim),
        State::Unknown => ("–", Colour::Dim),
    };
    let text = format!("{sign} {}", lang.state(state));
    let pad = width.saturating_sub(columns(&text));
    format!("{}{}", coloured(&text, colour), " ".repeat(pad))
}

/// How many columns of a terminal `text` takes: Chinese characters take two.
pub(crate) fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// A table: columns as wide as their widest cell, no lines. Escape sequences take no room.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) {
    let width_of = |text: &str| columns(&plain(text));
    let mut widths: Vec<usize> = head.iter().map(|cell| columns(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(width_of(cell));
        }
    }
    let print_row = |cells: &[String], bold: bool| {
        let mut text = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let last = index + 1 == cells.len();
            let pad = if last { 0 } else { width.saturating_sub(width_of(cell)) + 2 };
            text.push_str(&if bold { coloured(cell, Colour::Dim) } else { cell.clone() });
            text.push_str(&" ".repeat(pad));
        }
        line(text.trim_end());
    };
    print_row(head, true);
    for row in rows {
        print_row(row, false);
    }
}

/// `text` without escape sequences.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for c in chars.by_ref() {
                if c == 'm' {
                    break;
                }
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Text from outside on one line of a terminal: no control characters, not longer than `most`.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if clean.chars().count() <= most {
        return clean;
    }
    let mut short: String = clean.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_takes_two_columns_and_escapes_none() {
        assert_eq!(columns("ab"), 2);
        assert_eq!(columns("正常"), 4);
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m"), "red");
    }

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc", 20), "a [2Jb c");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
