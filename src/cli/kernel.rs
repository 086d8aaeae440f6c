//! `scx-lint kernel`: what a target offers, and snapshots of targets.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::failure::Failure;
use super::stdout::written;
use crate::btf::{Btf, Kind, TypeId};
use crate::input;
use crate::kernel::builtin;
use crate::kernel::exceptions::Fact;
use crate::kernel::kfunc_flags::KfuncFlags;
use crate::kernel::trust::TrustedField;
use crate::kernel::{Home, Kernel, KernelArenaRule, Kfunc, KfuncGate, snapshot, target};
use crate::replace::replace;
use crate::report;

#[derive(Debug, Subcommand)]
pub(super) enum KernelCommand {
    /// Show what a kernel offers to schedulers, and what is wrong with its BTF
    Info {
        /// Built-in release, 'host', or a file with BTF, vmlinux, vmlinuz or a snapshot
        kernel: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t = InfoFormat::Full)]
        format: InfoFormat,
        /// List the kernel's kfuncs with their flags
        #[arg(short, long)]
        verbose: bool,
    },
    /// Write a small snapshot of a kernel that lints as the kernel does
    Snapshot {
        /// 'host', or a file with BTF, vmlinux or vmlinuz
        kernel: String,
        /// Where to write it
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InfoFormat {
    /// For people
    Full,
    /// As JSON
    Json,
}

/// What `kernel info` shows.
#[derive(Debug, Serialize)]
struct Info {
    name: String,
    source: &'static str,
    release: Option<String>,
    /// `x86_64`, `arm64` and so on; null where nothing tells.
    arch: Option<String>,
    page_size: Option<u64>,
    types: usize,
    snapshot: Option<snapshot::Meta>,
    kconfig: bool,
    /// How the configuration is known.
    config_origin: &'static str,
    #[serde(skip)]
    config_words: &'static str,
    /// Options that are taken to be as the distribution sets them, without `CONFIG_`.
    assumed_config: BTreeMap<&'static str, &'static str>,
    sched_ext: bool,
    cid_form: bool,
    sub_schedulers: bool,
    arena_rule: &'static str,
    /// `run time` (the scheduler is ejected) or `verifier` (the program does not load).
    kfunc_gate: Option<&'static str>,
    ops_flags: Option<u64>,
    map_types: Option<u64>,
    call_frames: Option<u32>,
    max_dispatch_batch: Option<u64>,
    scx_kfuncs: Vec<String>,
    /// The id sets of its kfuncs; null where the kernel came without them.
    kfunc_sets: Option<Vec<KfuncSet>>,
    trusted_fields: Vec<Field>,
    defects: Vec<Defect>,
}

/// A field whose pointer a program may hand on, and what it is then.
#[derive(Debug, Serialize)]
struct Field {
    name: String,
    trust: &'static str,
}

impl From<TrustedField<'_>> for Field {
    fn from(found: TrustedField<'_>) -> Self {
        Self { name: format!("{}.{}", found.of, found.field), trust: found.trust.as_str() }
    }
}

/// An id set of kfuncs.
#[derive(Debug, Serialize)]
struct KfuncSet {
    /// Which set of sched_ext it is (`scx_kfunc_ids_*`); null for another.
    scx_name: Option<&'static str>,
    kfuncs: Vec<Flags>,
}

/// A kfunc in a set.
#[derive(Debug, Serialize)]
struct Flags {
    name: String,
    /// As the kernel calls them.
    flags: Vec<String>,
    #[serde(skip)]
    bits: KfuncFlags,
}

/// Something wrong with the BTF itself, by the name of the rule that speaks of it.
#[derive(Debug, Serialize)]
struct Defect {
    rule: &'static str,
    names: Vec<String>,
}

pub(super) fn run(command: &KernelCommand) -> Result<u8, Failure> {
    match command {
        KernelCommand::Info { kernel, format, verbose } => info(kernel, *format, *verbose),
        KernelCommand::Snapshot { kernel, output } => write_snapshot(kernel, output),
    }
}

fn info(name: &str, format: InfoFormat, verbose: bool) -> Result<u8, Failure> {
    let mut out = Vec::new();
    for target in target::load(name)? {
        let kernel = Kernel::new(&target).map_err(|error| Failure::Kernel(target.name.clone(), error))?;
        let found = describe(&kernel, target.cut.as_ref());
        match format {
            InfoFormat::Json => {
                serde_json::to_writer_pretty(&mut out, &found).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            InfoFormat::Full => print(&found, verbose, &mut out)?,
        }
    }
    // A file that is named as a kernel may hold any names.
    let mut text = String::from_utf8_lossy(&out).into_owned();
    let spelling = match format {
        InfoFormat::Json => report::Spelling::Json,
        InfoFormat::Full => {
            report::escape(&mut text, &['\n', '\t']);
            report::Spelling::Text
        }
    };
    let text = report::without_commands(&text, spelling);
    written(|stdout| stdout.write_all(text.as_bytes()))
}

fn describe(kernel: &Kernel<'_>, cut: Option<&snapshot::Cut>) -> Info {
    let btf = kernel.btf();
    let kfuncs = scx_kfuncs(btf);
    let mut defects = Vec::new();
    let truncated = kernel.truncated_enums();
    if !truncated.is_empty() {
        let names = truncated.into_iter().map(str::to_owned).collect();
        defects.push(Defect { rule: "truncated-enum64", names });
    }
    let leaked = kfuncs.iter().filter(|(name, kfunc)| kernel.has_leaked_aux(name, *kfunc));
    let names: Vec<String> = leaked.map(|(name, _)| (*name).to_owned()).collect();
    if !names.is_empty() {
        defects.push(Defect { rule: "implicit-kfunc-arguments", names });
    }
    if !kernel.has_sched_ext() {
        defects.push(Defect { rule: "no-sched-ext", names: Vec::new() });
    }
    Info {
        name: kernel.name.to_owned(),
        source: kernel.source.as_str(),
        release: kernel.release.map(str::to_owned),
        arch: kernel.arch().found().map(|arch| kernel.arch_name(arch)),
        page_size: kernel.page_size().found(),
        types: btf.len(),
        snapshot: cut.map(|cut| cut.meta.clone()),
        kconfig: kernel.config.text().is_some(),
        config_origin: kernel.config.origin().as_str(),
        config_words: kernel.config.origin().words(),
        assumed_config: kernel
            .config
            .assumed()
            .map_or_else(BTreeMap::new, |release| builtin::config::options_of(release).collect()),
        sched_ext: kernel.has_sched_ext(),
        cid_form: kernel.arena_rule() != KernelArenaRule::None,
        sub_schedulers: kernel.is(Fact::SubSchedulers),
        arena_rule: kernel.arena_rule().as_str(),
        kfunc_gate: kernel.kfunc_gate().found().map(|gate| match gate {
            KfuncGate::RunTime => "run time",
            KfuncGate::Verifier => "verifier",
        }),
        ops_flags: kernel.ops_flags().found(),
        map_types: kernel.map_types().found(),
        call_frames: kernel.max_call_frames().found(),
        max_dispatch_batch: kernel.max_dispatch_batch().found(),
        trusted_fields: kernel.trusted_fields().into_iter().map(Field::from).collect(),
        scx_kfuncs: kfuncs.into_iter().map(|(name, _)| name.to_owned()).collect(),
        kfunc_sets: kfunc_sets(kernel),
        defects,
    }
}

/// Functions that are kfuncs of sched_ext by their names, each once, in name order.
fn scx_kfuncs<'d>(btf: &Btf<'d>) -> Vec<(&'d str, Kfunc)> {
    let functions = btf.types().filter(|(_, ty)| ty.kind() == Kind::Func);
    let mut found: Vec<_> = functions
        .map(|(func, ty)| (btf.name(&ty), Kfunc { func, proto: ty.target(), home: Home::Vmlinux }))
        .filter(|(name, _)| {
            name.trim_start_matches('_').starts_with("scx_bpf_") || name.starts_with("bpf_iter_scx_")
        })
        .filter(|(name, _)| !name.ends_with("_impl"))
        .collect();
    found.sort_unstable_by_key(|(name, _)| *name);
    found.dedup_by_key(|(name, _)| *name);
    found
}

fn kfunc_sets(kernel: &Kernel<'_>) -> Option<Vec<KfuncSet>> {
    let btf = kernel.btf();
    let flags = |(id, flags): &(TypeId, KfuncFlags)| Flags {
        name: btf.get(*id).map_or("", |ty| btf.name(&ty)).to_owned(),
        flags: flags.names().map(|(_, name)| name).collect(),
        bits: *flags,
    };
    let sets = kernel.kfunc_sets()?.sets().iter();
    Some(
        sets.map(|set| KfuncSet {
            scx_name: set.scx_name(btf),
            kfuncs: set.kfuncs.iter().map(flags).collect(),
        })
        .collect(),
    )
}

/// How many kfuncs have which flag, and with `verbose` which have which.
fn print_kfuncs(sets: Option<&[KfuncSet]>, verbose: bool, out: &mut impl Write) -> io::Result<()> {
    let Some(sets) = sets else {
        return writeln!(out, "  kfunc flags       not known: only an image or a snapshot of one has them");
    };
    let mut kfuncs: BTreeMap<&str, (KfuncFlags, Vec<&str>)> = BTreeMap::new();
    for set in sets {
        for kfunc in &set.kfuncs {
            let (flags, names) = kfuncs.entry(&kfunc.name).or_default();
            *flags = flags.union(kfunc.bits);
            names.extend(set.scx_name);
        }
    }
    let mut counts: BTreeMap<KfuncFlags, (String, usize)> = BTreeMap::new();
    for (flag, name) in kfuncs.values().flat_map(|(flags, _)| flags.names()) {
        counts.entry(flag).or_insert((name, 0)).1 += 1;
    }
    writeln!(out, "  kfunc flags       of {} kfuncs in {} id sets", kfuncs.len(), sets.len())?;
    for (name, count) in counts.values() {
        writeln!(out, "    {name:<17} {count}")?;
    }
    if verbose {
        let width = kfuncs.keys().map(|name| name.len()).max().unwrap_or(0);
        for (name, (flags, sets)) in kfuncs {
            let sets = if sets.is_empty() { String::new() } else { format!(" ({})", sets.join(", ")) };
            writeln!(out, "  {name:<width$}  {flags}{sets}")?;
        }
    }
    Ok(())
}

fn print(info: &Info, verbose: bool, out: &mut impl Write) -> io::Result<()> {
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "not known".to_owned());
    let yes = |value: bool| if value { "yes" } else { "no" };
    writeln!(out, "{} ({}): release {}", info.name, info.source, or_unknown(info.release.clone()))?;
    let pages = info.page_size.map_or("unknown size".to_owned(), |size| format!("{size} bytes"));
    writeln!(out, "  machine           {}, pages of {pages}", or_unknown(info.arch.clone()))?;
    writeln!(out, "  types             {}", info.types)?;
    if let Some(meta) = &info.snapshot {
        let date = if meta.date.is_empty() { String::new() } else { format!(", {}", meta.date) };
        writeln!(
            out,
            "  snapshot of       {}{date}: {} types, {} bytes",
            meta.source, meta.types, meta.bytes
        )?;
        writeln!(out, "  sha256            {}", meta.sha256)?;
        for note in &meta.derived {
            writeln!(out, "  derived           {note}")?;
        }
        if let Some(reason) = &meta.partial {
            writeln!(out, "  partial           {reason}")?;
        }
    }
    if info.assumed_config.is_empty() {
        writeln!(out, "  configuration     {}", info.config_words)?;
    } else {
        writeln!(out, "  configuration     {}; assumed as Debian sets it:", info.config_words)?;
        let options: Vec<String> =
            info.assumed_config.iter().map(|(option, value)| format!("{option}={value}")).collect();
        for line in options.chunks(4) {
            writeln!(out, "    {}", line.join(" "))?;
        }
    }
    writeln!(out, "  sched_ext         {}", yes(info.sched_ext))?;
    if !info.sched_ext {
        return print_kfuncs(info.kfunc_sets.as_deref(), verbose, out);
    }
    let arena = match info.arena_rule {
        "none" => "",
        "one" => ", exactly one arena",
        _ => ", exactly one arena, created with BPF_F_ARENA_MAP_ALWAYS",
    };
    writeln!(out, "  cid-form          {}{arena}", yes(info.cid_form))?;
    writeln!(out, "  sub-schedulers    {}", yes(info.sub_schedulers))?;
    writeln!(
        out,
        "  kfuncs kept apart {}",
        info.kfunc_gate.map_or("not known".to_owned(), |gate| match gate {
            "run time" => "at run time: a wrong call ejects the scheduler".to_owned(),
            _ => "by the verifier: a wrong call does not load".to_owned(),
        })
    )?;
    writeln!(out, "  ops flags         {}", or_unknown(info.ops_flags.map(|flags| format!("{flags:#x}"))))?;
    writeln!(
        out,
        "  map types         {}",
        or_unknown(info.map_types.map(|types| format!("below {types}")))
    )?;
    writeln!(out, "  call frames       {}", or_unknown(info.call_frames.map(|frames| frames.to_string())))?;
    writeln!(
        out,
        "  dispatch batch    {}",
        or_unknown(info.max_dispatch_batch.map(|most| format!("at most {most}")))
    )?;
    writeln!(out, "  scx kfuncs        {}", info.scx_kfuncs.len())?;
    for defect in &info.defects {
        writeln!(out, "  defect            {}: {}", defect.rule, defect.names.join(" "))?;
    }
    print_kfuncs(info.kfunc_sets.as_deref(), verbose, out)
}

fn write_snapshot(name: &str, output: &PathBuf) -> Result<u8, Failure> {
    let targets = target::load(name)?;
    let [target] = targets.as_slice() else { return Err(Failure::SeveralKernels(name.to_owned())) };
    if target.cut.is_some() {
        return Err(Failure::SnapshotOfSnapshot(name.to_owned()));
    }
    let fail = |error: snapshot::Error| Failure::Snapshot(target.name.clone(), error);
    let meta = snapshot::Meta {
        name: target.name.clone(),
        release: target.release.clone(),
        source: match target.source {
            crate::kernel::Source::Host => "the kernel of a running machine".to_owned(),
            _ => format!("file {}", target.name),
        },
        // A name that vmlinux lacks may be one of theirs: in the snapshot it is unknown, not absent.
        partial: target.modules.left_out(),
        ..snapshot::Meta::default()
    };
    let meta = meta.describing(&target.btf).map_err(fail)?;
    let bytes = snapshot::write(&target.btf, target.btf_ids.as_deref(), target.kconfig.as_deref(), &meta)
        .map_err(fail)?;
    // An older snapshot may be written anew, a kernel not.
    let is_file = fs::metadata(output).is_ok_and(|metadata| metadata.is_file());
    let is_snapshot = is_file
        && fs::File::open(output).is_ok_and(|mut file| {
            let mut head = [0; 8];
            std::io::Read::read_exact(&mut file, &mut head).is_ok() && head == *snapshot::MAGIC
        });
    if !is_snapshot && input::is_binary(output) {
        return Err(Failure::OutputIsBinary(output.display().to_string()));
    }
    let failed = |error| Failure::Output(output.display().to_string(), error);
    replace(output, &bytes).map_err(failed)?;
    writeln!(
        io::stderr(),
        "{}: {} bytes, from {} bytes of BTF",
        output.display(),
        bytes.len(),
        target.btf.len()
    )?;
    Ok(0)
}
