//! The flags of kfuncs in the built-in releases, in one table, for kernels that do not tell.
//!
//! The snapshots of the releases have the same flags; this table spares unpacking them all.

use std::sync::OnceLock;

use super::super::kfunc_flags::KfuncFlags;

/// A line of the table: a kfunc that several releases declare the same and give the same flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagsRow {
    /// Its name.
    pub kfunc: &'static str,
    /// As [`super::super::Kernel::signature`] writes it.
    pub prototype: &'static str,
    /// What they have in common.
    pub flags: KfuncFlags,
    /// Names of the releases, oldest first.
    pub releases: &'static str,
}

/// All rows, by the names of the kfuncs. Where the file is not what `scripts/builtin-kernels` writes, there are fewer; a test
/// sees to that.
pub fn rows() -> &'static [FlagsRow] {
    static ROWS: OnceLock<Vec<FlagsRow>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let lines = include_str!("kfunc-flags.tsv").lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(parse).collect()
    })
}

fn parse(line: &'static str) -> Option<FlagsRow> {
    let mut fields = line.split('\t');
    let [kfunc, flags, releases, prototype] =
        [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    Some(FlagsRow { kfunc, prototype, flags: KfuncFlags::parse(flags)?, releases })
}

/// The rows of a kfunc.
pub fn rows_of(kfunc: &str) -> &'static [FlagsRow] {
    let rows = rows();
    let start = rows.partition_point(|row| row.kfunc < kfunc);
    let len = rows[start..].partition_point(|row| row.kfunc == kfunc);
    &rows[start..start + len]
}
