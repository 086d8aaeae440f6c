//! Writes the data files of the built-in releases, for `scripts/builtin-kernels`.
//!
//! Takes folders with kernel images or BTF files, and looks there for the kernels of
//! `src/kernel/builtin/releases.tsv`, by version and checksum; where that is `?`, tells what it is. With all of them at hand everything is written
//! anew; with some, those, with the strings as they are. Writes too what follows from the list of releases: NOTICE, the range
//! that README.md names, and the facts that the tests hold the releases against.

mod kernel_facts;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use scx_lint::btf::Btf;
use scx_lint::kernel::image;
use scx_lint::kernel::snapshot::{self, Meta, Pool, repair_implicit_arguments, sha256};

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

/// A kernel that was found: its types, repaired, and where they come from.
struct Found {
    btf: Vec<u8>,
    meta: Meta,
    /// Lines for the tests, of the types as they were.
    facts: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = Path::new(FOLDER);
    let table = std::fs::read_to_string(folder.join("releases.tsv"))?;
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
    let pool_bytes = std::fs::read(&pool_file)?;
    let pool = Pool::read(&pool_bytes)?;
    let mut files = Vec::new();
    for (row, found) in rows.iter().zip(&found) {
        let path = folder.join(format!("{}.snapshot", row.name));
        match found {
            Some(found) => {
                std::fs::write(&path, snapshot::write_pooled(&found.btf, &found.meta, &pool)?)?;
                std::fs::write(format!("tests/data/facts/{}.tsv", row.name), facts_file(row, &found.facts))?;
                println!("{}: written from {}", row.name, found.meta.release.as_deref().unwrap_or_default());
            }
            None => println!("{}: {} is not at hand, left as it is", row.name, row.release),
        }
        files.push(std::fs::read(&path)?);
    }
    std::fs::write(folder.join("table.rs"), rust_table(&rows, &files)?)?;
    std::fs::write("NOTICE", notice(&rows, &files, &pool_bytes)?)?;
    std::fs::write("README.md", with_range(&std::fs::read_to_string("README.md")?, &rows))?;
    let total = pool_bytes.len() + files.iter().map(Vec::len).sum::<usize>();
    println!("{total} bytes in all, {} of them shared strings", pool_bytes.len());
    Ok(())
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
    // A BTF on its own is quicker to read than an image.
    paths.sort_by_key(|path| (path.to_string_lossy().contains("vmlinuz"), path.clone()));
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
        return Ok(Some(Found { btf, meta: Meta { derived, ..meta }, facts }));
    }
    Ok(None)
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

fn notice(rows: &[Row<'_>], files: &[Vec<u8>], pool: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut out = String::from(
        "scx-lint
Licensed under MIT or Apache-2.0; see LICENSE-MIT and LICENSE-APACHE.

Kernel snapshots
----------------
The files src/kernel/builtin/*.snapshot and src/kernel/builtin/strings.pool hold facts about the types of Linux
kernels: names, sizes, offsets, values and prototypes. They were extracted from the BTF of the kernels named below.
Linux is Copyright (C) its authors and licensed under GPL-2.0 with the Linux-syscall-note; the sources of each kernel
are those of the Debian source package named. Nothing executable was taken from them.

Written by: scripts/builtin-kernels (cargo run --release --example builtin-kernels -- FOLDER), from the BTF files or
the images of these kernels. Those that Debian's archive still has are fetched by scripts/fetch-kernel.
The prototypes of functions that can only be traced were cut; their names are kept.
",
    );
    for (row, file) in rows.iter().zip(files) {
        let meta = snapshot::read_meta(file)?;
        writeln!(out, "\n{} ({})", row.name, row.release)?;
        writeln!(out, "  source:             {}", row.source)?;
        writeln!(out, "  date:               {}", row.date)?;
        writeln!(
            out,
            "  BTF:                {} bytes, {} types, sha256 {}",
            meta.bytes, meta.types, meta.sha256
        )?;
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
