//! CO-RE: every record of every object against every kernel's BTF there is, and records that nobody wrote.
//! `CORE_RECORDS` (2000) says how many of those per pair of kernels, `MUTANT_SEED` (1) which.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use fastrand::Rng;
use scx_lint::btf::build::Builder;
use scx_lint::btf::core::{CoreError, Patched, Poison, Relocation, Resolution, Resolver, Slot};
use scx_lint::btf::{Btf, BtfExt, CoreRelo, Kind, StrOff, TypeId};
use scx_lint::elf::{ByteOrder, Elf};
use scx_lint::insn::Insn;
use scx_lint_oracle::core::{Answer, Candidates, Record, Types, resolve};

use crate::{kernels, objects};

fn raw(record: &CoreRelo) -> Record {
    Record {
        insn_off: record.insn_off,
        type_id: record.type_id.0,
        access_str_off: record.access.0,
        kind: record.kind,
    }
}

fn decode(slots: &[[u8; 8]; 2]) -> [Insn; 2] {
    slots.map(|slot| Insn::decode(&slot, ByteOrder::Little))
}

/// What both sides say, in words that can be compared.
fn ours(result: &Result<Resolution<'_>, CoreError>) -> String {
    match result {
        Ok(done) => {
            let warning = match &done.outcome {
                Patched::Poison(Poison::MemorySize { warning, .. }) => {
                    format!("prog 'p': relo #0: {warning}")
                }
                _ => String::new(),
            };
            format!("{} -> {} {:?} {:?} {warning}", done.orig, done.new, done.insn, done.next.unwrap())
        }
        Err(error) => {
            // The last line is the caller's, who is not there.
            let lines = error.lines("p", 0);
            let text = lines[..lines.len() - 1].concat();
            format!("-{} {} {text}", error.errno.0, error.patching.is_some())
        }
    }
}

fn theirs(answer: &Answer) -> String {
    // Matching says "unexpected kind" of kinds that it knows nothing about, and goes on.
    let last =
        answer.warnings.iter().rfind(|text| !text.starts_with("unexpected kind")).map_or("", String::as_str);
    if answer.errno != 0 {
        return format!("{} {} {last}", answer.errno, answer.patching);
    }
    let [insn, next] = decode(&answer.insns);
    format!("{} -> {} {insn:?} {next:?} {last}", answer.orig, answer.new)
}

/// libbpf's side of a [`Resolver`].
struct Libbpf<'a> {
    local: &'a Types,
    target: &'a Types,
    candidates: HashMap<u32, Option<Candidates>>,
}

impl<'a> Libbpf<'a> {
    fn new(local: &'a Types, target: &'a Types) -> Self {
        Self { local, target, candidates: HashMap::new() }
    }

    /// As `bpf_core_resolve_relo` and `bpf_object__relocate_core` do it; `None` where the search for candidates fails.
    fn resolve(&mut self, record: &CoreRelo, index: usize, slots: [[u8; 8]; 2]) -> Option<Answer> {
        let root = record.type_id.0;
        let find = || Candidates::find(self.local, root, self.target);
        let mut nobody = Candidates::none();
        let candidates = match record.kind {
            // Its root may be anonymous; then there is no type to look for, and nobody does.
            6 => Some(&mut nobody),
            _ => self.candidates.entry(root).or_insert_with(find).as_mut(),
        };
        Some(resolve(self.local, &raw(record), candidates?, index as i32, slots))
    }
}

/// Counts what was compared, and keeps one example of each kind of difference.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, usize>,
    differences: BTreeMap<String, (usize, String)>,
}

impl Tally {
    fn compare(
        &mut self,
        result: &Result<Resolution<'_>, CoreError>,
        answer: Option<&Answer>,
        what: impl FnOnce() -> String,
    ) {
        let class = match result {
            Ok(done) if done.is_poison() => "poison",
            Ok(_) => "value",
            Err(error) if error.text.starts_with("unexpected insn") => "other value in insn",
            Err(error) if error.text.contains("ambiguity") => "ambiguity",
            Err(error) if error.text.starts_with("parsing") => "bad access string",
            Err(_) => "other error",
        };
        *self.counts.entry(class).or_default() += 1;
        let ours = ours(result);
        let theirs = match answer {
            Some(answer) => theirs(answer),
            None if ours.contains("target candidate search failed for [") => return,
            None => "candidate search fails".to_owned(),
        };
        if ours != theirs {
            let kind: String = ours.chars().chain(theirs.chars()).filter(char::is_ascii_alphabetic).collect();
            let text = || format!("{}:\n    ours   {ours}\n    libbpf {theirs}", what());
            self.differences.entry(kind).or_insert_with(|| (0, text())).0 += 1;
        }
    }

    fn total(&self) -> usize {
        self.counts.values().sum()
    }

    fn finish(self, what: &str) {
        println!("{what}: {} compared: {:?}", self.total(), self.counts);
        let total: usize = self.differences.values().map(|(n, _)| n).sum();
        let lines: Vec<_> =
            self.differences.values().take(20).map(|(n, example)| format!("{n} like {example}")).collect();
        assert!(
            lines.is_empty(),
            "{total} of {} differ:\n{}",
            self.counts.values().sum::<usize>(),
            lines.join("\n")
        );
    }
}

#[test]
fn relocates_objects_like_libbpf() {
    let kernels = kernels();
    let mut tally = Tally::default();
    let objects: Vec<_> = objects().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    for (kernel, bytes) in &kernels {
        let (target, their_target) = (Btf::parse(bytes).unwrap(), Types::new(bytes).unwrap());
        for (object, path) in &objects {
            let Ok(elf) = Elf::parse(object) else { continue };
            let section = |name: &str| elf.sections.iter().find(|s| s.name == name).and_then(|s| s.data);
            let (Some(btf), Some(ext)) = (section(".BTF"), section(".BTF.ext")) else { continue };
            let (Ok(local), Ok(their_local), Ok(ext)) =
                (Btf::parse(btf), Types::new(btf), BtfExt::parse(ext))
            else {
                continue;
            };
            if elf.byte_order == ByteOrder::Big {
                continue;
            }
            let mut resolver = Resolver::new(&local, &target, &[]).libbpf(crate::LINKED);
            let mut libbpf = Libbpf::new(&their_local, &their_target);
            for section in &elf.sections {
                for record in ext.core_relos(&local, &section.name) {
                    let data = section.data.unwrap_or_default();
                    let slot_at = |at: usize| data.get(at..).and_then(|d| d.first_chunk::<8>()).copied();
                    let at = record.insn_off as usize;
                    let Some(first) = slot_at(at) else { continue };
                    let slots = [first, slot_at(at + 8).unwrap_or_default()];
                    let [insn, next] = decode(&slots);
                    let index = at / 8;
                    let result = resolver.resolve(&record, Slot { index, insn, next: Some(next) });
                    let answer = libbpf.resolve(&record, index, slots);
                    tally.compare(&result, answer.as_ref(), || {
                        let spec = Relocation::parse(&local, &record).map(|r| r.spec.to_string());
                        format!("{} on {kernel}: {} insn {index}: {spec:?}", path.display(), section.name)
                    });
                }
            }
        }
    }
    if kernels.is_empty() {
        return;
    }
    assert!(tally.total() > 0, "no record was compared");
    tally.finish(&format!("{} objects, {} kernels", objects.len(), kernels.len()));
}

/// A way through the types from a root, as clang would write it down; now and then one that does not exist.
fn access(btf: &Btf<'_>, root: TypeId, rng: &mut Rng) -> String {
    let mut path = if rng.u8(..10) == 0 { rng.u32(..3) } else { 0 }.to_string();
    let mut id = root;
    while let Some((_, ty)) = btf.resolve(id) {
        let len = match (ty.composite(), ty.array()) {
            (Some(composite), _) => composite.members().len() as u32,
            (_, Some(array)) => array.nelems,
            _ => break,
        };
        if rng.u8(..5) == 0 {
            break;
        }
        let index = match rng.u8(..30) {
            0 => len,
            // Not beyond an int: libbpf 1.7 would read there.
            1 => rng.u32(..1 << 31),
            _ => rng.u32(..len.max(1)),
        };
        path += &format!(":{index}");
        let next = ty.composite().and_then(|composite| composite.members().nth(index as usize)).map(|m| m.ty);
        id = match next.or(ty.array().map(|array| array.elem)) {
            Some(next) => next,
            None => break,
        };
    }
    const ODD: [&str; 10] = ["", ":0", "0:", "0::1", "0 1", "0:-1", "0:+1", "x", "0x", "0:99999999999"];
    match rng.u8(..100) {
        0 => ODD[rng.usize(..ODD.len())].to_owned(),
        1 => path + ":0",
        2 => format!("0{}", ":0".repeat(rng.usize(60..70))),
        _ => path,
    }
}

/// An instruction of some class that holds a value.
fn holding(value: u64, size: u32, rng: &mut Rng) -> [[u8; 8]; 2] {
    let imm = (value as u32).to_le_bytes();
    let off = (value as u16).to_le_bytes();
    let width = match size {
        1 => 0x10,
        2 => 0x08,
        8 => 0x18,
        _ => 0,
    };
    let width = if rng.u8(..8) == 0 { rng.u8(..4) << 3 } else { width };
    let with_imm = |code: u8| [code, 1, 0, 0, imm[0], imm[1], imm[2], imm[3]];
    let with_off = |code: u8| [code, 0x21, off[0], off[1], 0, 0, 0, 0];
    let high = ((value >> 32) as u32).to_le_bytes();
    let next = [0, 0, 0, 0, high[0], high[1], high[2], high[3]];
    let first = match rng.u8(..12) {
        0 | 1 => with_imm(0xb7),
        2 => with_imm(0x04),
        3 | 4 => with_imm(0x18),
        5 => with_off(0x62 & !0x18 | width),
        6 => with_off(0x63 & !0x18 | width),
        7 => with_imm(if rng.bool() { 0xbf } else { 0x85 }),
        _ => with_off(0x61 & !0x18 | width),
    };
    let next = if rng.u8(..50) == 0 { rng.u64(..).to_le_bytes() } else { next };
    [first, next]
}

#[test]
fn relocates_made_up_records_like_libbpf() {
    let setting = |name, default| std::env::var(name).map_or(default, |v: String| v.parse().unwrap());
    let (count, seed) = (setting("CORE_RECORDS", 2000), setting("MUTANT_SEED", 1));
    let kernels = kernels();
    let mut rng = Rng::with_seed(seed);
    let mut tally = Tally::default();
    // Neighbours, both ways, and the first against the last.
    let count_of = kernels.len();
    let pairs: Vec<_> =
        (0..count_of).flat_map(|i| [(i, (i + 1) % count_of), ((i + 1) % count_of, i)]).collect();
    for (from, to) in pairs {
        let (local_kernel, target_kernel) = (&kernels[from], &kernels[to]);
        let (base, target) = (Btf::parse(&local_kernel.1).unwrap(), Btf::parse(&target_kernel.1).unwrap());
        let (their_base, their_target) =
            (Types::new(&local_kernel.1).unwrap(), Types::new(&target_kernel.1).unwrap());
        // The access strings have to be in the local BTF: one on top of the kernel's holds them.
        let mut strings = Builder::split(&base);
        let mut roots: Vec<_> = base
            .types()
            .filter(|(_, ty)| match ty.kind() {
                Kind::Struct | Kind::Union => true,
                Kind::Enum | Kind::Enum64 | Kind::Typedef | Kind::Fwd | Kind::Int => rng.u8(..4) == 0,
                _ => rng.u8(..100) == 0,
            })
            .map(|(id, _)| id)
            .collect();
        rng.shuffle(&mut roots);
        // Every other one has several candidates, which may not agree.
        let several = |id: &TypeId| {
            let ty = base.get(*id);
            ty.is_some_and(|ty| target.names().essential(base.name(&ty)).len() > 1)
        };
        roots.sort_by_key(|id| !several(id));
        let (first, rest) = roots.split_at(roots.partition_point(several));
        let half = count as usize / 20 + 1;
        let roots: Vec<_> = first.iter().take(half).chain(rest.iter().take(half)).copied().collect();
        let records: Vec<_> = (0..count)
            .map(|_| {
                // Few roots, because libbpf looks at every type of the target for each.
                let type_id = roots[rng.usize(..roots.len())];
                let kind = if rng.u8(..100) == 0 { rng.u32(13..20) } else { rng.u32(..13) };
                let text = match kind {
                    6..=9 | 12 if rng.u8(..50) > 0 => "0".to_owned(),
                    10 | 11 => {
                        let values = base.resolve(type_id).and_then(|(_, ty)| ty.enumerators());
                        rng.usize(..values.map_or(0, |v| v.values().len()) + 1).to_string()
                    }
                    _ => access(&base, type_id, &mut rng),
                };
                CoreRelo { insn_off: 80, type_id, access: StrOff(strings.string(&text)), kind }
            })
            .collect();
        let strings = strings.finish();
        let local = Btf::parse_split(&strings, &base).unwrap();
        let their_local = Types::split(&strings, &their_base).unwrap();
        let mut resolver = Resolver::new(&local, &target, &[]).libbpf(crate::LINKED);
        let mut libbpf = Libbpf::new(&their_local, &their_target);
        // After an ambiguity libbpf gives up on the object, and leaves a list of candidates that is half pruned.
        let mut spoiled = std::collections::HashSet::new();
        for record in &records {
            // libbpf 1.7 reads out of bounds.
            if local.bytes(record.access).contains(&b'-') || spoiled.contains(&record.type_id) {
                continue;
            }
            // Once to learn what the instruction should hold, once with one that does.
            let mut value = 0;
            for round in 0..2 {
                let size = rng.u32(..4);
                let slots = holding(value, 1 << size, &mut rng);
                let [insn, next] = decode(&slots);
                let result = resolver.resolve(record, Slot { index: 7, insn, next: Some(next) });
                let answer = libbpf.resolve(record, 7, slots);
                let ambiguous = result.as_ref().is_err_and(|error| error.text.contains("ambiguity"));
                tally.compare(&result, answer.as_ref(), || {
                    let access = local.str(record.access);
                    let spec = Relocation::parse(&local, record).map(|r| r.spec.to_string());
                    format!("{} on {}: {record:?} {access}: {spec:?}", local_kernel.0, target_kernel.0)
                });
                if ambiguous {
                    spoiled.insert(record.type_id);
                    break;
                }
                if round == 0 {
                    value = answer.map_or(0, |answer| answer.orig);
                }
            }
        }
    }
    if kernels.is_empty() {
        return;
    }
    tally.finish(&format!("made-up records of {} kernels", kernels.len()));
}
