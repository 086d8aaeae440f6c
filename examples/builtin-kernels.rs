//! Writes the data files of the built-in releases, for `scripts/builtin-kernels`.
//!
//! Takes folders with kernel images or BTF files, and looks there for the kernels of `src/kernel/builtin/releases.tsv`, by
//! version and checksum; where that is `?`, tells what it is. With all of them at hand everything is written anew; with
//! some, those, with the strings as they are. Writes too what follows from the list of releases: NOTICE, the range
//! that README.md names, and the facts that the tests hold the releases against.

mod kernel_facts;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use scx_lint::btf::{Btf, TypeId};
use scx_lint::kernel::kfunc_flags::{KfuncFlags, KfuncSets};
use scx_lint::kernel::snapshot::{self, Meta, Pool, repair_implicit_arguments, sha256};
use scx_lint::kernel::{Kernel, Lookup, Source, Target, builtin, image, target};

/// From the project's folder, where this is run.
const FOLDER: &str = "src/kernel/builtin";

/// A line of releases.tsv.
struct Row<'t> {
    name: &'t str,
    release: &'t str,
    sha256: &'t str,
    date: &'t str,
    source: &'t str,
    partial: Option<&'t str>,
}

/// A kernel that was found: its types, repaired, the id sets of its kfuncs, and where they come from.
struct Found {
    btf: Vec<u8>,
    /// As in `.BTF_ids`.
    btf_ids: Vec<u32>,
    /// The sets are those of the committed snapshot: only the BTF was at hand.
    kept_sets: bool,
    meta: Meta,
    /// Lines for the tests, of the types as they were.
    facts: Vec<String>,
}

/// A line of kfunc-flags.tsv, and the releases that it is true of.
type Flags = BTreeMap<(String, String, KfuncFlags), Vec<String>>;

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = Path::new(FOLDER);
    let table_file = folder.join("releases.tsv");
    let table = std::fs::read_to_string(&table_file).map_err(|error| at(&table_file, &error))?;
    let rows: Vec<Row<'_>> =
        table.lines().filter(|line| !line.starts_with('#')).map(parse).collect::<Result<_, _>>()?;
    let found: Vec<Option<Found>> = rows.iter().map(|row| find(row, &folders)).collect::<Result<_, _>>()?;

    let pool_file = folder.join("strings.pool");
    let at_hand: Vec<&Found> = found.iter().flatten().collect();
    if at_hand.is_empty() {
        return Err("none of the kernels is at hand: nothing was written or compared".into());
    }
    if at_hand.len() == rows.len() {
        let btfs: Vec<&[u8]> = at_hand.iter().map(|found| found.btf.as_slice()).collect();
        std::fs::write(&pool_file, snapshot::write_pool(&btfs)?)?;
    }
    let pool_bytes = std::fs::read(&pool_file).map_err(|error| at(&pool_file, &error))?;
    let pool = Pool::read(&pool_bytes)?;
    let mut files = Vec::new();
    let mut flags = Flags::new();
    let mut counts = Vec::new();
    for (row, found) in rows.iter().zip(&found) {
        let path = folder.join(format!("{}.snapshot", row.name));
        match found {
            Some(found) => {
                let bytes = snapshot::write_pooled(&found.btf, Some(&found.btf_ids), &found.meta, &pool)?;
                std::fs::write(&path, bytes)?;
                std::fs::write(format!("tests/data/facts/{}.tsv", row.name), facts_file(row, &found.facts))?;
                let sets =
                    if found.kept_sets { ", its BTF alone: the sets of its kfuncs are kept" } else { "" };
                println!("{}: written from {}{sets}", row.name, row.release);
            }
            None => println!("{}: {} is not at hand, left as it is", row.name, row.release),
        }
        files.push(std::fs::read(&path).map_err(|error| at(&path, &error))?);
        let target = match found {
            // This program may not know the release yet.
            Some(found) => Target {
                name: row.name.to_owned(),
                source: Source::File,
                release: Some(row.release.to_owned()),
                btf: found.btf.clone(),
                btf_ids: Some(found.btf_ids.clone()),
                partial: row.partial.map(|reason| reason.to_owned().into()),
                ..Target::default()
            },
            None => target::load(row.name)?.remove(0),
        };
        counts.push(add_flags(&mut flags, row.name, &target)?);
    }
    std::fs::write(folder.join("table.rs"), rust_table(&rows, &files)?)?;
    std::fs::write("NOTICE", notice(&rows, &files, &counts, &pool_bytes)?)?;
    std::fs::write("README.md", with_range(&std::fs::read_to_string("README.md")?, &rows))?;
    std::fs::write(folder.join("kfunc-flags.tsv"), flags_table(&flags, &rows)?)?;
    let total = pool_bytes.len() + files.iter().map(Vec::len).sum::<usize>();
    println!("{total} bytes in all, {} of them shared strings", pool_bytes.len());
    Ok(())
}

/// An error with the file that it is about.
fn at(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

fn parse(line: &str) -> Result<Row<'_>, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    match fields[..] {
        [name, release, sha256, date, source] => {
            Ok(Row { name, release, sha256, date, source, partial: None })
        }
        [name, release, sha256, date, source, partial] => {
            Ok(Row { name, release, sha256, date, source, partial: Some(partial) })
        }
        _ => Err(format!("releases.tsv: expected 5 or 6 fields: {line}")),
    }
}

/// Looks for the very kernel of a row: by its version in the file name, and by the checksum of its BTF.
fn find(row: &Row<'_>, folders: &[PathBuf]) -> Result<Option<Found>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| [folder.join("btf"), folder.clone()])
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()))
        .filter(|path| path.is_file() && is_version(path, row.release))
        .collect();
    // The image has the sets of the kfuncs, a BTF has not.
    paths.sort_by_key(|path| (!path.to_string_lossy().contains("vmlinuz"), path.clone()));
    for path in paths {
        let bytes = std::fs::read(&path)?;
        let extracted = image::extract(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let meta = Meta {
            name: row.name.to_owned(),
            release: Some(row.release.to_owned()),
            source: row.source.to_owned(),
            date: row.date.to_owned(),
            partial: row.partial.map(str::to_owned),
            ..Meta::default()
        }
        .describing(&extracted.btf)?;
        if row.sha256 == "?" {
            let path = path.display();
            return Err(
                format!("releases.tsv: {}: the BTF of {path} has SHA-256 {}", row.name, meta.sha256).into()
            );
        }
        if meta.sha256 != row.sha256 {
            continue;
        }
        let facts = kernel_facts::lines(&Btf::parse(&extracted.btf)?, &[]);
        let (btf, repaired) = repair_implicit_arguments(&extracted.btf)?;
        let derived = match &repaired[..] {
            [] => Vec::new(),
            names => vec![format!(
                "the BTF of the kernel is defective: {} kfuncs show the argument that the verifier supplies (struct bpf_prog_aux *), and lack the NAME_impl function and the bpf_kfunc tag; here they are as in 7.2: {}",
                names.len(),
                names.join(" ")
            )],
        };
        // What is repaired keeps its id.
        let (btf_ids, kept_sets) = match extracted.btf_ids {
            Some(words) => (KfuncSets::read(&words, &Btf::parse(&btf)?).words(Some), false),
            None => (committed_sets(row.name)?, true),
        };
        if btf_ids.is_empty() {
            return Err(format!("{}: no id sets of kfuncs in it", path.display()).into());
        }
        return Ok(Some(Found { btf, btf_ids, kept_sets, meta: Meta { derived, ..meta }, facts }));
    }
    Ok(None)
}

/// The sets of the snapshot that this program was built with, by the ids of the kernel.
fn committed_sets(name: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    let snapshot = builtin::find(name).ok_or_else(|| format!("{name} is new: give its image"))?.load()?;
    let words = snapshot.cut.btf_ids().unwrap_or_default();
    let sets = KfuncSets::read(&words, &Btf::parse(&snapshot.btf)?);
    Ok(sets.words(|id: TypeId| snapshot.cut.original_id(id)))
}

/// Adds the kfuncs of a kernel to the table; gives the number of kfuncs and of sets.
fn add_flags(table: &mut Flags, name: &str, target: &Target) -> Result<(usize, usize), Box<dyn Error>> {
    let kernel = Kernel::new(target)?;
    let Some(sets) = kernel.kfunc_sets() else { return Ok((0, 0)) };
    for (id, flags) in sets.kfuncs() {
        let kfunc = kernel.btf().get(*id).map_or("", |ty| kernel.btf().name(&ty));
        let Lookup::Found(found) = kernel.kfunc(kfunc) else { continue };
        if kernel.kfunc_flags(kfunc) != Lookup::Found(*flags) {
            return Err(
                format!("{name}: '{kfunc}': {:?}, and {flags} in a set", kernel.kfunc_flags(kfunc)).into()
            );
        }
        let row = (kfunc.to_owned(), kernel.signature(kfunc, found), *flags);
        table.entry(row).or_default().push(name.to_owned());
    }
    Ok((sets.kfuncs().len(), sets.sets().len()))
}

fn flags_table(flags: &Flags, releases: &[Row<'_>]) -> Result<String, std::fmt::Error> {
    let mut out = String::from(
        "# Written by scripts/builtin-kernels from the images of the built-in releases (NOTICE names them): the flags that each\n\
         # gives its kfuncs in the id sets of .BTF_ids, the releases where they are so, and the prototype there. Linux is\n\
         # licensed under GPL-2.0; these are facts about it.\n\
         # kfunc\tflags\treleases\tprototype\n",
    );
    // The order of releases.tsv is newest first.
    let mut rows: Vec<_> = flags
        .iter()
        .map(|((kfunc, prototype, flags), releases)| {
            let releases: Vec<&str> = releases.iter().rev().map(String::as_str).collect();
            (kfunc, releases, flags, prototype)
        })
        .collect();
    let age = |name: &str| releases.iter().rev().position(|release| release.name == name);
    rows.sort_by_key(|(kfunc, releases, flags, prototype)| (*kfunc, age(releases[0]), **flags, *prototype));
    for (kfunc, releases, flags, prototype) in rows {
        writeln!(out, "{kfunc}\t{flags}\t{}\t{prototype}", releases.join(" "))?;
    }
    Ok(out)
}

/// `7.3.4.btf.xz`, `vmlinuz-7.3.4+deb13-cloud-amd64`, but not `7.3.40`.
fn is_version(path: &Path, release: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version = name.strip_prefix("vmlinuz-").unwrap_or(&name);
    version.strip_prefix(release).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn facts_file(row: &Row<'_>, facts: &[String]) -> String {
    let Row { name, release, sha256, source, .. } = row;
    format!(
        "# {name}: written by scripts/builtin-kernels from the whole BTF of {release}, SHA-256 {sha256}\n\
         # ({source}). README.md here says what the lines mean.\n{}\n",
        facts.join("\n")
    )
}

/// The README, with the range of the releases wherever it says `kernels FIRST to ...`.
fn with_range(readme: &str, rows: &[Row<'_>]) -> String {
    let (Some(newest), Some(oldest)) = (rows.first(), rows.last()) else { return readme.to_owned() };
    let start = format!("kernels {} to ", oldest.name);
    let mut parts = readme.split(start.as_str());
    let before = parts.next().unwrap_or_default().to_owned();
    parts.fold(before, |text, part| {
        text + &start + newest.name + part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
    })
}

fn rust_table(rows: &[Row<'_>], files: &[Vec<u8>]) -> Result<String, std::fmt::Error> {
    let mut out = String::from(
        "//! Written by scripts/builtin-kernels.\n\nuse super::release::Release;\n\n\
         /// The built-in releases, oldest first.\npub static RELEASES: &[Release] = &[\n",
    );
    for (row, file) in rows.iter().zip(files).rev() {
        let Row { name, release, sha256: btf_sha256, date, source, .. } = row;
        writeln!(out, "    Release {{")?;
        writeln!(out, "        name: {name:?},\n        release: {release:?},\n        source: {source:?},")?;
        writeln!(out, "        date: {date:?},\n        btf_sha256: {btf_sha256:?},")?;
        writeln!(
            out,
            "        sha256: {:?},\n        bytes: include_bytes!(\"{name}.snapshot\"),",
            sha256(file)
        )?;
        writeln!(out, "    }},")?;
    }
    out.push_str("];\n");
    Ok(out)
}

fn notice(
    rows: &[Row<'_>],
    files: &[Vec<u8>],
    counts: &[(usize, usize)],
    pool: &[u8],
) -> Result<String, Box<dyn Error>> {
    let mut out = String::from(
        "scx-lint
Licensed under MIT or Apache-2.0; see LICENSE-MIT and LICENSE-APACHE.

Kernel snapshots
----------------
The files src/kernel/builtin/*.snapshot, src/kernel/builtin/strings.pool and src/kernel/builtin/kfunc-flags.tsv hold
facts about Linux kernels: names, sizes, offsets, values and prototypes of their types, extracted from the BTF of the
kernels named below, and the flags of their kfuncs (KF_*), extracted from the id sets in .BTF_ids of the same images.
Linux is Copyright (C) its authors and licensed under GPL-2.0 with the Linux-syscall-note; the sources of each kernel
are those of the Debian source package named. Nothing executable was taken from them.

Written by: scripts/builtin-kernels (cargo run --release --example builtin-kernels -- FOLDER), from the images of these
kernels. Those that Debian's archive still has are fetched by scripts/fetch-kernel --built-in. Where only the BTF of one
is at hand, its types are written anew and the flags stay as they are.
The prototypes of functions that can only be traced were cut; their names are kept.
",
    );
    for ((row, file), (kfuncs, sets)) in rows.iter().zip(files).zip(counts) {
        let meta = snapshot::read_meta(file)?;
        writeln!(out, "\n{} ({})", row.name, row.release)?;
        writeln!(out, "  source:             {}", row.source)?;
        writeln!(out, "  date:               {}", row.date)?;
        writeln!(
            out,
            "  BTF:                {} bytes, {} types, sha256 {}",
            meta.bytes, meta.types, meta.sha256
        )?;
        writeln!(out, "  kfunc flags:        {kfuncs} kfuncs in {sets} id sets")?;
        writeln!(
            out,
            "  {:<19} {} bytes, sha256 {}",
            format!("{}.snapshot:", row.name),
            file.len(),
            sha256(file)
        )?;
        for derived in meta.derived {
            writeln!(out, "  derived:            {derived}")?;
        }
        if let Some(partial) = meta.partial {
            writeln!(out, "  partial:            {partial}")?;
        }
    }
    writeln!(out, "\nstrings.pool: {} bytes, sha256 {}", pool.len(), sha256(pool))?;
    Ok(out)
}
