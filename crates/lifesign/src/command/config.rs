//! `lifesign config`: check, show, schema.

use std::path::Path;

use lifesign_config::problem::Level;
use lifesign_lang::Lang;
use serde_json::json;

use crate::cli::{ConfigCommand, NamedFile};
use crate::failure::Failure;
use crate::print;
use crate::up::kinds::{self, Checked};

pub(super) fn run(command: &ConfigCommand, lang: Lang, json: bool) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(file) => check(file, lang, json),
        ConfigCommand::Show(file) => {
            print::line(load(&file.file, file.env.as_deref())?.show().trim_end());
            Ok(())
        }
        ConfigCommand::Schema => {
            print::json(&lifesign_config::schema::schema(&kinds::all()));
            Ok(())
        }
    }
}

/// Reads a configuration; all its errors are the failure.
pub(crate) fn load(path: &Path, env: Option<&str>) -> Result<Checked, Failure> {
    lifesign_config::load::load(path, env, &kinds::all())
        .map_err(|report| Failure::Configuration(report.to_string()))
}

/// The problems of one level as single lines: `lifesign.yaml:3:5: unknown key (did you mean …)`.
pub(crate) fn lines(report: &lifesign_config::Report, level: Level) -> Vec<String> {
    report
        .problems
        .iter()
        .filter(|problem| problem.level == level)
        .map(|problem| match &problem.hint {
            Some(hint) => format!("{}: {} ({hint})", report.place(problem), problem.message),
            None => format!("{}: {}", report.place(problem), problem.message),
        })
        .collect()
}

fn check(file: &NamedFile, lang: Lang, json: bool) -> Result<(), Failure> {
    if json {
        return check_json(file);
    }
    let loaded =
        lifesign_config::load::load(&file.file, file.env.as_deref(), &kinds::all()).map_err(|report| {
            let errors = report.count(Level::Error);
            let name = file.file.display().to_string();
            let summary = lang.text("cli-config-bad", &[("file", name.into()), ("errors", errors.into())]);
            Failure::Configuration(format!("{}\n{summary}", report.to_string().trim_end()))
        })?;
    if loaded.warnings.count(Level::Warning) > 0 {
        print::hint(loaded.warnings.to_string().trim_end());
    }
    print::line(lang.text(
        "cli-config-ok",
        &[
            ("file", file.file.display().to_string().into()),
            ("services", loaded.config.services.len().into()),
            ("rules", loaded.config.rules.len().into()),
        ],
    ));
    Ok(())
}

fn check_json(file: &NamedFile) -> Result<(), Failure> {
    let problems = |report: &lifesign_config::Report| -> Vec<serde_json::Value> {
        report
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "place": report.place(problem),
                    "level": if problem.level == Level::Error { "error" } else { "warning" },
                    "message": problem.message,
                    "hint": problem.hint,
                })
            })
            .collect()
    };
    match lifesign_config::load::load(&file.file, file.env.as_deref(), &kinds::all()) {
        Ok(loaded) => {
            print::json(&json!({ "valid": true, "problems": problems(&loaded.warnings) }));
            Ok(())
        }
        Err(report) => {
            print::json(&json!({ "valid": false, "problems": problems(&report) }));
            Err(Failure::Configuration(String::new()))
        }
    }
}
