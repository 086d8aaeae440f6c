//! The pages of all rules as one Markdown document: docs/rules.md.

use super::RULES;

/// All pages, each under a heading of the rule's name, which is its anchor.
pub fn pages() -> String {
    let mut text = String::from(
        "# Rules\n\n<!-- Written by `scx-lint rules --markdown > docs/rules.md`; a test holds it against the code. -->\n\n\
         | rule | level | at | |\n|---|---|---|---|\n",
    );
    for rule in RULES {
        text.push_str(&format!(
            "| [`{0}`](#{0}) | {1} | {2} | {3} |\n",
            rule.name,
            rule.level.as_str(),
            rule.phase.as_str(),
            rule.summary().replace('|', "\\|")
        ));
    }
    let mut family = "";
    for rule in RULES {
        if rule.family.as_str() != family {
            family = rule.family.as_str();
            text.push_str(&format!("\n# Family: {family}\n"));
        }
        text.push_str(&format!(
            "\n## {}\n\n{} at {}, since {}.\n\n",
            rule.name,
            rule.level.as_str(),
            rule.phase.as_str(),
            rule.since
        ));
        // The sections of a page are one level below its name.
        for line in rule.page().trim_end().lines() {
            let deeper = if line.starts_with("## ") { "#" } else { "" };
            text.push_str(&format!("{deeper}{line}\n"));
        }
    }
    text
}
