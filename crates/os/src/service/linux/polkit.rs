//! The rule that lets lifesign's user start and stop the units it may control, and no others.
//!
//! polkit's rules are JavaScript, and the first answer counts. The units stand one a line, so that the rule can be
//! read again when more are granted.

use super::MARK;

/// Verbs of the manager that restarting takes; `kill` for a unit that hangs.
const VERBS: &str = r#"["start", "stop", "restart", "reset-failed", "kill"]"#;

/// The rule for `units` and `user`, both checked names.
pub(super) fn rule(user: &str, units: &[String]) -> String {
    let mut text = format!("// {MARK} and `lifesign service grant`.\nvar lifesignUnits = [\n");
    for unit in units {
        text.push_str(&format!("    {},\n", string(unit)));
    }
    text.push_str(&format!(
        "];\npolkit.addRule(function (action, subject) {{
    if (action.id == \"org.freedesktop.systemd1.manage-units\" && subject.user == {}
        && lifesignUnits.indexOf(action.lookup(\"unit\")) >= 0
        && {VERBS}.indexOf(action.lookup(\"verb\")) >= 0) {{
        return polkit.Result.YES;
    }}
}});\n",
        string(user)
    ));
    text
}

/// The units that a rule of ours allows.
pub(super) fn units(rule: &str) -> Vec<String> {
    let list = rule.lines().skip_while(|line| *line != "var lifesignUnits = [").skip(1);
    list.take_while(|line| *line != "];").filter_map(unstring).collect()
}

/// A JavaScript string; unit names hold backslashes (`a\x2db`).
fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unstring(line: &str) -> Option<String> {
    let inside = line.trim().strip_prefix('"')?.strip_suffix("\",")?;
    let mut text = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_allows_can_be_read_from_it_again() {
        let names = ["orders.service", "dev-disk-by\\x2duuid.mount", "od\"d.service"].map(str::to_owned);
        let text = rule("lifesign", &names);
        assert_eq!(units(&text), names);
        assert!(text.contains("subject.user == \"lifesign\"") && text.contains("manage-units"), "{text}");
        assert_eq!(units("something else"), Vec::<String>::new());
    }
}
