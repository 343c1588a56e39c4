//! The report of requirements: a Markdown file that an agency reads, with every scenario's sentences and whether they hold.

use annals_contracts::scenario::Report;
use std::fmt::Write as _;

/// The report's text: a table of rows first, then each scenario with its steps.
pub(super) fn markdown(reports: &[Report]) -> String {
    let passed = reports.iter().filter(|report| report.passed()).count();
    let mut text = String::from("# 需求验证报告 Requirements, run\n\n");
    let _ = writeln!(text, "{passed} / {} 通过 pass. 每个场景在各自的账本上运行，并从头重放。", reports.len());
    text.push_str("Each scenario runs on a ledger of its own and is replayed from genesis.\n\n");
    text.push_str("| 需求 row | 场景 scenario | 步骤 steps | 结果 result |\n|---|---|---|---|\n");
    for report in reports {
        let (rows, title) = (plain(&report.rows.join(" ")), plain(&report.title.to_string()));
        let steps = format!("{}/{}", report.steps_passed, report.sentences.len());
        let _ = writeln!(text, "| {rows} | {title} | {steps} | {} |", result(report.passed()));
    }
    for report in reports {
        one(&mut text, report);
    }
    text
}

const fn result(passed: bool) -> &'static str {
    if passed { "通过 PASS" } else { "**未通过 FAIL**" }
}

fn one(text: &mut String, report: &Report) {
    let title = plain(&report.title.to_string());
    let _ = writeln!(text, "\n## {} {title}\n", plain(&report.rows.join(" ")));
    let _ = writeln!(text, "{}, {}\n", result(report.passed()), plain(&report.path.display().to_string()));
    for (number, sentence) in (1..).zip(&report.sentences) {
        let mark = match &report.failure {
            Some(failure) if failure.step == number => "✗",
            _ if number <= report.steps_passed => "✓",
            _ => "–",
        };
        let _ = writeln!(text, "{number}. {mark} {}", plain(&sentence.to_string()));
    }
    if let Some(failure) = &report.failure {
        let _ = writeln!(text, "\n```text\n{}\n```", failure.to_string().replace("```", "'''"));
    }
}

/// Text that Markdown takes as it is.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => plain.push(' '),
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' | '#' => plain.extend(['\\', letter]),
            _ => plain.push(letter),
        }
    }
    plain
}
