//! What standard output can show.

use super::args::Color;

/// Colour: the flag, then NO_COLOR, CLICOLOR_FORCE, a dumb terminal, and whether it is one.
pub(super) fn use_color(flag: Color, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match flag {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto if set("CLICOLOR_FORCE") && std::env::var("CLICOLOR_FORCE").as_deref() != Ok("0") => true,
        Color::Auto => terminal && std::env::var("TERM").as_deref() != Ok("dumb"),
    }
}

/// Box drawing, where the locale can show it.
pub(super) fn use_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_default()
        .to_lowercase();
    (locale.contains("utf-8") || locale.contains("utf8")) && std::env::var("TERM").as_deref() != Ok("dumb")
}

/// Columns to fill: what COLUMNS says, else the terminal's, else 100.
pub(super) fn width(terminal: bool) -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let own = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    said.or_else(|| terminal.then(own).flatten()).filter(|&n| n >= 40).unwrap_or(100)
}
