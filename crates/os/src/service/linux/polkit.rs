//! The rule that lets lifesign's user start and stop the units it may control, and no others.
//!
//! polkit's rules are JavaScript, and the first answer counts. The units stand one a line, so that the rule can be
//! read again when more are granted. All rules of a machine share their global names, so this one makes none.

use super::MARK;

/// Verbs of the manager that restarting takes; `kill` for a unit that hangs.
const VERBS: &str = r#"["start", "stop", "restart", "reset-failed", "kill"]"#;

/// A name is itself. A pattern (`*`: any letters, capitals and small ones alike) stands for services alone, and not for
/// systemd's own, its shells among them: whoever may start all targets or `systemd-poweroff.service` may end the machine.
const ALLOWS: &str = r#"    var fits = function (pattern, unit) {
        var text = pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*");
        return new RegExp("^" + text + "(\\.service)?$", "i").test(unit);
    };
    var allows = function (unit) {
        if (units.indexOf(unit) >= 0) {
            return true;
        }
        var isService = unit.slice(-8) == ".service" && !/^(systemd-|(debug-shell|emergency|rescue)\.)/.test(unit);
        var isSpared = units.some(function (line) { return line[0] == "!" && fits(line.slice(1), unit); });
        return isService && !isSpared && units.some(function (line) {
            return line[0] != "!" && line.indexOf("*") >= 0 && fits(line, unit);
        });
    };
"#;

/// The rule for `units` and `user`, both checked names.
pub(super) fn rule(user: &str, units: &[String]) -> String {
    let mut text = format!(
        "// {MARK} and `lifesign service grant`.\npolkit.addRule(function (action, subject) {{\n    var units = [\n"
    );
    for unit in units {
        text.push_str(&format!("        {},\n", string(unit)));
    }
    text.push_str(&format!(
        "    ];\n{ALLOWS}    if (action.id == \"org.freedesktop.systemd1.manage-units\" && subject.user == {}
        && {VERBS}.indexOf(action.lookup(\"verb\")) >= 0 && allows(action.lookup(\"unit\"))) {{
        return polkit.Result.YES;
    }}
}});\n",
        string(user)
    ));
    text
}

/// The units and patterns that a rule of ours allows.
pub(super) fn units(rule: &str) -> Vec<String> {
    let lines = rule.lines().map(str::trim);
    // The second: as it was written before there were patterns.
    let list = lines.skip_while(|line| !["var units = [", "var lifesignUnits = ["].contains(line)).skip(1);
    list.take_while(|line| *line != "];").filter_map(unstring).collect()
}

/// `orders` is `orders.service` to systemd; what is a pattern stays as it is.
pub(super) fn written(unit: &str) -> String {
    if unit.contains('*') || unit.starts_with('!') {
        return unit.to_owned();
    }
    crate::unit::full_name(unit).into_owned()
}

/// A JavaScript string; unit names hold backslashes (`a\x2db`).
fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unstring(line: &str) -> Option<String> {
    let inside = line.strip_prefix('"')?.strip_suffix("\",")?;
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
        let names = ["orders.service", "web*", "!web-admin", "dev-disk-by\\x2duuid.mount", "od\"d.service"]
            .map(str::to_owned);
        let text = rule("lifesign", &names);
        assert_eq!(units(&text), names);
        assert!(text.contains("subject.user == \"lifesign\"") && text.contains("manage-units"), "{text}");
        assert_eq!(units("something else"), Vec::<String>::new());
        assert_eq!(units("var lifesignUnits = [\n    \"a.service\",\n];\n"), ["a.service"]);
    }

    #[test]
    fn a_name_without_a_suffix_is_a_service_and_a_pattern_stays_a_pattern() {
        for (unit, is) in [
            ("orders", "orders.service"),
            ("orders.v2", "orders.v2.service"),
            ("backup.timer", "backup.timer"),
            ("web*", "web*"),
            ("!web-admin", "!web-admin"),
        ] {
            assert_eq!(written(unit), is);
        }
    }
}
