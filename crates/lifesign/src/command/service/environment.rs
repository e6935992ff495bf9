//! `${env:…}` in the configuration of a service: it does not have the environment of whoever installs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use lifesign_config::placeholder::Outside;
use lifesign_config::problem::Level;

use crate::failure::Failure;
use crate::up::kinds::{self, Checked};

/// Variables that a service manager gives every service.
const GIVEN: &[&str] = if cfg!(windows) {
    &["ALLUSERSPROFILE", "COMPUTERNAME", "ProgramData", "ProgramFiles", "PUBLIC", "SystemDrive", "SystemRoot"]
} else {
    &["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"]
};

const WAY_OUT: &str = if cfg!(windows) {
    "write them as `${file:PATH}`, with a file that only the service's account may read; or set a variable that is no secret \
     for the whole machine: setx /M NAME VALUE"
} else {
    "write them as `${file:PATH}`, with a file that only the service's user may read; or name a file of NAME=VALUE lines \
     that systemd reads for the service: --environment-file FILE"
};

/// Loads a configuration as the service will, and refuses one whose variables it will not have: it would end at its
/// start. `given`: the file of variables that its manager reads for it.
pub(super) fn load(file: &Path, env: Option<&str>, given: Option<&Path>) -> Result<Checked, Failure> {
    let given = given.map(read).transpose()?.unwrap_or_default();
    let load = |variable: &dyn Fn(&str) -> Option<String>| {
        lifesign_config::load::load_with(file, env, &kinds::all(), &Outside { variable })
    };
    let ours = |name: &str| std::env::var(name).ok();
    let is_its_own = |name: &str| GIVEN.contains(&name) || is_of_the_machine(name);
    let its =
        |name: &str| given.get(name).cloned().or_else(|| is_its_own(name).then(|| ours(name)).flatten());
    let report = match load(&its) {
        Ok(loaded) => return Ok(loaded),
        Err(report) => report,
    };
    // What is wrong with the variables of this terminal too is an error like any other.
    load(&|name| given.get(name).cloned().or_else(|| ours(name)))
        .map_err(|report| Failure::Configuration(report.to_string()))?;
    let mut text = String::from("error: the service will not have the variables of this terminal:\n");
    for problem in report.problems.iter().filter(|problem| problem.level == Level::Error) {
        // Writing to a String never fails.
        let _ = writeln!(text, "  {}: {}", report.place(problem), problem.message);
    }
    text.push_str(WAY_OUT);
    Err(Failure::Configuration(text))
}

/// The variables in a file as systemd reads it (`EnvironmentFile=` in systemd.exec(5)).
fn read(file: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let wrong = |why: String| Failure::Configuration(format!("error: --environment-file: {why}"));
    if cfg!(windows) {
        return Err(wrong(
            "the service control manager reads no such file; write secrets as `${file:PATH}`".to_owned(),
        ));
    }
    let text =
        std::fs::read_to_string(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let plain = |value: &str| {
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned()
    };
    Ok(pairs.map(|(name, value)| (name.trim().to_owned(), plain(value.trim()))).collect())
}

/// Whether every service of this machine has the variable.
#[cfg(windows)]
fn is_of_the_machine(name: &str) -> bool {
    const KEY: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment";
    let mut query = std::process::Command::new("reg");
    query
        .args(["query", KEY, "/v", name])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    query.status().is_ok_and(|status| status.success())
}

#[cfg(not(windows))]
const fn is_of_the_machine(_name: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_the_service_will_not_have_is_refused_with_its_place_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lifesign.yaml");
        let write = |variable: &str| {
            let text = format!(
                "receivers:\n  - name: hook\n    webhook: {{ url: \"http://127.0.0.1/${{env:{variable}}}\" }}\n"
            );
            std::fs::write(&file, text).unwrap();
        };
        let refusal = |file: &Path| match load(file, None, None) {
            Err(Failure::Configuration(said)) => said,
            _ => panic!("not refused"),
        };
        write("LIFESIGN_NO_SUCH_VARIABLE");
        let said = refusal(&file);
        assert!(said.contains("lifesign.yaml:3:") && said.contains("LIFESIGN_NO_SUCH_VARIABLE"), "{said}");
        // One that this process has, as the service will not.
        write("CARGO_PKG_NAME");
        let said = refusal(&file);
        assert!(said.contains("lifesign.yaml:3:") && said.contains("CARGO_PKG_NAME"), "{said}");
        assert!(said.contains("${file:PATH}"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn variables_of_the_file_that_systemd_reads_are_those_of_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("environment");
        std::fs::write(&file, "# secrets\nTOKEN=abc\n  QUOTED = \"a b\"\n;X=1\nnothing\n").unwrap();
        let read = read(&file).unwrap_or_default();
        let is = |name: &str| read.get(name).map(String::as_str);
        assert_eq!((is("TOKEN"), is("QUOTED"), read.len()), (Some("abc"), Some("a b"), 2));
    }
}
