//! The releases that scx-lint knows without being given a file.
//!
//! Each is a snapshot of the BTF of one kernel of that release; they share one pool of strings. The data files are
//! written by `scripts/builtin-kernels`, and NOTICE says where they come from.

pub mod config;
pub mod flags;
mod release;
mod table;

pub use self::release::Release;
pub use self::table::RELEASES;

/// The name of the oldest built-in release.
pub const FIRST: &str = RELEASES[0].name;
/// The name of the newest.
pub const LATEST: &str = RELEASES[RELEASES.len() - 1].name;

/// The release of that name. A full version such as `7.3.4` is found where it is the very point
/// release whose BTF stands for the series.
pub fn find(name: &str) -> Option<&'static Release> {
    let name = name.strip_prefix('v').unwrap_or(name);
    RELEASES.iter().find(|release| release.name == name || release.release == name)
}

/// The range of the built-in releases, in words: `6.12 to 7.3`. Whatever a sentence says of all of them is said with this.
pub fn range() -> String {
    format!("{FIRST} to {LATEST}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::release::STRINGS;
    use super::*;
    use crate::btf::{Btf, Kind, TypeId};
    use crate::kernel::kfunc_flags::{KfuncFlags, KfuncSets};
    use crate::kernel::snapshot;
    use crate::kernel::{Kernel, Lookup, target};

    #[test]
    fn the_data_files_are_those_of_the_table() {
        let numbers = |name: &str| name.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u32>>();
        assert!(RELEASES.is_sorted_by_key(|release| numbers(release.name)), "oldest first");
        assert_eq!((RELEASES[0].name, RELEASES.last().unwrap().name), (FIRST, LATEST));
        let notice = include_str!("../../NOTICE");
        let table = include_str!("builtin/releases.tsv");
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        assert!(
            rows.filter_map(|row| row.split('\t').next())
                .eq(RELEASES.iter().rev().map(|release| release.name))
        );
        for release in RELEASES {
            assert_eq!(snapshot::sha256(release.bytes), release.sha256, "{}", release.name);
            for text in [release.sha256, release.btf_sha256, release.source, release.release] {
                assert!(notice.contains(text), "NOTICE: {text}");
            }
            let row = format!("{}\t{}\t{}", release.name, release.release, release.btf_sha256);
            assert!(table.contains(&row), "releases.tsv: {row}");
        }
        assert!(notice.contains(&snapshot::sha256(STRINGS)));
        let size: usize = STRINGS.len() + RELEASES.iter().map(|release| release.bytes.len()).sum::<usize>();
        assert!(size < 6_000_000, "{size} bytes in all");
    }

    #[test]
    fn every_release_unpacks_and_says_where_it_is_from() {
        for release in RELEASES {
            let snapshot = release.load().unwrap();
            let btf = Btf::parse(&snapshot.btf).unwrap();
            let meta = &snapshot.cut.meta;
            assert_eq!((meta.name.as_str(), meta.release.as_deref()), (release.name, Some(release.release)));
            assert_eq!((meta.sha256.as_str(), meta.source.as_str()), (release.btf_sha256, release.source));
            assert_eq!(meta.partial.is_some(), release.name == "6.12");
            assert_eq!(meta.derived.is_empty(), release.name != "7.1");
            assert!(btf.find("sched_ext_ops", Kind::Struct).is_some(), "{}", release.name);
            assert!(btf.find("scx_bpf_kick_cpu", Kind::Func).is_some(), "{}", release.name);
            assert!(btf.find("schedule", Kind::Func).is_none(), "{}", release.name);
            assert!(snapshot.cut.has_function("schedule").unwrap(), "{}", release.name);
        }
    }

    #[test]
    fn the_release_7_1_is_whole() {
        let load = |name| find(name).unwrap().load().unwrap();
        let (old, new) = (load("7.1"), load("7.2"));
        let (old, new) = (Btf::parse(&old.btf).unwrap(), Btf::parse(&new.btf).unwrap());
        let params = |btf: &Btf<'_>, name: &str| {
            let proto = btf.get(btf.get(btf.find(name, Kind::Func)?)?.target())?.func_proto()?;
            Some(proto.params().map(|param| btf.str(param.name).to_owned()).collect::<Vec<_>>())
        };
        let is_tagged = |btf: &Btf<'_>, name: &str| {
            let id = btf.find(name, Kind::Func);
            btf.decl_tags().any(|(target, _, text)| Some(target) == id && text == "bpf_kfunc")
        };
        // Every sched_ext kfunc of 7.1 that is there in 7.2 with a twin has one here, and is tagged in both.
        let twins: Vec<&str> = new
            .types()
            .filter(|(_, ty)| ty.kind() == Kind::Func)
            .filter_map(|(_, ty)| new.name(&ty).strip_suffix("_impl"))
            .filter(|name| name.contains("scx_") && is_tagged(&new, name) && params(&old, name).is_some())
            .collect();
        assert!(twins.len() > 30, "{}", twins.len());
        for name in twins {
            let full = params(&old, &format!("{name}_impl")).unwrap_or_else(|| panic!("{name}_impl"));
            let shown = params(&old, name).unwrap();
            assert_eq!(full.split_last(), Some((&"aux".to_owned(), shown.as_slice())), "{name}");
            assert!(is_tagged(&old, name), "{name}");
        }
    }

    /// Lines of the table, `kfunc flags prototype` of one release.
    fn lines_of(release: &str) -> BTreeSet<String> {
        flags::rows()
            .iter()
            .filter(|row| row.releases.split(' ').any(|name| name == release))
            .map(|row| format!("{} {} {}", row.kfunc, row.flags, row.prototype))
            .collect()
    }

    #[test]
    fn the_flags_in_the_table_are_those_of_the_snapshots() {
        let text = include_str!("builtin/kfunc-flags.tsv");
        assert_eq!(flags::rows().len(), text.lines().filter(|line| !line.starts_with('#')).count());
        assert!(flags::rows().is_sorted_by_key(|row| row.kfunc));
        for release in RELEASES {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            let sets = kernel.kfunc_sets().unwrap();
            let line = |(id, flags): &(TypeId, KfuncFlags)| {
                let name = kernel.btf().name(&kernel.btf().get(*id).unwrap());
                assert_eq!(kernel.kfunc_flags(name), Lookup::Found(*flags), "{}: {name}", release.name);
                let kfunc = kernel.kfunc(name).found().unwrap();
                format!("{name} {flags} {}", kernel.signature(name, kfunc))
            };
            let lines: BTreeSet<String> = sets.kfuncs().iter().map(line).collect();
            assert_eq!(lines, lines_of(release.name), "{}", release.name);
            // No kernel known gives a kfunc other flags in another set.
            for (id, flags) in sets.sets().iter().flat_map(|set| &set.kfuncs) {
                assert_eq!(sets.flags(*id), Some(*flags), "{}: [{}]", release.name, id.0);
            }
        }
    }

    /// What pahole tags as kfuncs it has from the same sets: none is missing, and none too many.
    #[test]
    fn the_kfuncs_in_the_sets_are_those_that_are_tagged() {
        for release in RELEASES {
            let snapshot = release.load().unwrap();
            let btf = Btf::parse(&snapshot.btf).unwrap();
            let sets = KfuncSets::read(&snapshot.cut.btf_ids().unwrap(), &btf);
            let members: BTreeSet<TypeId> = sets.kfuncs().iter().map(|(id, _)| *id).collect();
            let tags = btf.decl_tags().filter(|(_, _, text)| *text == "bpf_kfunc");
            let tagged: BTreeSet<TypeId> = tags.map(|(id, ..)| id).collect();
            let untagged: Vec<&str> =
                members.difference(&tagged).map(|id| btf.name(&btf.get(*id).unwrap())).collect();
            assert!(tagged.is_subset(&members), "{}", release.name);
            // What the builds of these kernels left out.
            let expected: &[&str] = match release.name {
                "6.16" => {
                    &["scx_bpf_consume", "scx_bpf_dispatch_from_dsq", "scx_bpf_dispatch_from_dsq_set_slice"]
                }
                _ => &[],
            };
            assert_eq!(untagged, expected, "{}", release.name);
        }
    }

    #[test]
    fn a_release_is_found_by_either_name() {
        assert_eq!(find("7.3").unwrap().release, "7.3.4");
        assert_eq!(find("7.3.4").unwrap().name, "7.3");
        assert_eq!(find("v6.12").unwrap().name, "6.12");
        for unknown in ["7.3.5", "7", "", "v", "7.30", "host", "5.15"] {
            assert!(find(unknown).is_none(), "{unknown}");
        }
    }
}
