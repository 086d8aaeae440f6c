//! The configuration of the built-in releases as their distribution sets it, as far as it is asked for.

use std::sync::OnceLock;

/// A line of the table: an option that several releases set alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionRow {
    /// Its name, without `CONFIG_`.
    pub option: &'static str,
    /// `y`, `m`, a number; `n` where it is not set.
    pub value: &'static str,
    /// Names of the releases, oldest first.
    pub releases: &'static str,
}

/// All rows, by option. Where the file is not what `scripts/builtin-config` writes, there are fewer; a test sees to that.
pub fn rows() -> &'static [OptionRow] {
    static ROWS: OnceLock<Vec<OptionRow>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let lines = include_str!("config.tsv").lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(parse).collect()
    })
}

fn parse(line: &'static str) -> Option<OptionRow> {
    let mut fields = line.split('\t');
    Some(OptionRow { option: fields.next()?, value: fields.next()?, releases: fields.next()? })
}

impl OptionRow {
    fn is_of(&self, release: &str) -> bool {
        self.releases.split(' ').any(|name| name == release)
    }
}

/// All options of a release that the table has, with their values. A release that is too new for the table is taken to be
/// like the newest in it.
pub fn options_of(release: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let known = rows().iter().flat_map(|row| row.releases.split(' ')).find(|name| *name == release);
    let newest = || rows().iter().filter_map(|row| row.releases.rsplit(' ').next()).next();
    let column = known.or_else(newest).unwrap_or_default();
    rows().iter().filter(move |row| row.is_of(column)).map(|row| (row.option, row.value))
}

/// The value of an option (`CONFIG_HZ`) in a release; `None` where the table does not have it.
pub fn value_in(release: &str, option: &str) -> Option<&'static str> {
    let option = option.strip_prefix("CONFIG_")?;
    options_of(release).find(|(name, _)| *name == option).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::builtin::RELEASES;

    #[test]
    fn every_option_has_one_value_in_every_release() {
        let text = include_str!("config.tsv");
        assert_eq!(rows().len(), text.lines().filter(|line| !line.starts_with('#')).count());
        let options: BTreeSet<&str> = rows().iter().map(|row| row.option).collect();
        for option in options {
            let of = rows().iter().filter(|row| row.option == option);
            let mut named: Vec<&str> = of.flat_map(|row| row.releases.split(' ')).collect();
            named.sort_unstable();
            // The package of a new release may come later than its image.
            let mut all: Vec<&str> = RELEASES.iter().map(|release| release.name).collect();
            all.truncate(all.len().min(named.len()).max(all.len() - 1));
            all.sort_unstable();
            assert_eq!(named, all, "{option}");
        }
        assert_eq!(value_in("7.3", "CONFIG_PREEMPT_RT"), Some("n"));
        assert_eq!(value_in("7.3", "CONFIG_BPF_JIT"), Some("y"));
        assert_eq!(value_in("7.3", "CONFIG_NO_SUCH_OPTION"), None);
        assert_eq!(value_in("99.9", "CONFIG_BPF_JIT"), Some("y"));
    }
}
