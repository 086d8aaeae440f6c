//! CO-RE: what libbpf makes of a relocation record against a kernel's types (`relo_core.c`, `bpf_object__relocate_core`).
//!
//! ```text
//! record -> Relocation (local spec) ─┐
//! target BTF -> Candidates ──────────┴-> Resolution (new value, patched instruction or poison) | CoreError
//! ```
//!
//! [`Resolver`] does all of it for one object and one target. Whoever wants to answer "cannot tell" for a type, or looks
//! for candidates elsewhere, asks [`Relocation::type_name`] first and brings its own [`Candidates`].

mod spec;

use std::collections::HashMap;
use std::fmt;

pub use spec::{Access, RelocationKind, Spec};

use super::compat::{Budget, Pair, kinds_are_compat};
use super::ext::CoreRelo;
use super::ids::TypeId;
use super::names::{essential, essential_name};
use super::section::{Btf, MAX_DEPTH};
use super::types::Kind;
use crate::errno::Errno;
use crate::insn::{Class, Insn, Width};
use crate::libbpf::Libbpf;

/// Immediate of the call that takes the place of an instruction whose record cannot be met; reads "bad relo".
pub const POISON_IMM: i32 = 0x0bad_2310;

/// Why libbpf gives up on a whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreError {
    /// What `bpf_object__load` returns.
    pub errno: Errno,
    /// What libbpf prints about the cause, without the prefix that names program and record; empty where it says nothing.
    pub text: String,
    /// The value was found, but the instruction cannot hold it: libbpf's `failed to patch insn`, with the instruction's
    /// index in its function.
    pub patching: Option<usize>,
    /// It is we who give up: the types are too entangled to compare, and libbpf would take ages.
    pub given_up: bool,
    /// The text names the relocation by itself, so that only the program comes before it.
    unnumbered: bool,
}

impl CoreError {
    fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self { errno, text: text.into(), patching: None, given_up: false, unnumbered: false }
    }

    /// The lines that libbpf prints about record `number` (of its section's block) in the program.
    pub fn lines(&self, program: &str, number: usize) -> Vec<String> {
        let prefix = format!("prog '{program}': relo #{number}: ");
        let mut lines = Vec::new();
        match self.text.as_str() {
            "" => {}
            text if self.unnumbered => lines.push(format!("prog '{program}': {text}")),
            text => lines.push(format!("{prefix}{text}")),
        }
        lines.push(match self.patching {
            Some(index) => format!("{prefix}failed to patch insn #{index}: -{}", self.errno),
            None => format!("{prefix}failed to relocate: -{}", self.errno),
        });
        lines
    }
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() { write!(f, "-{}", self.errno) } else { f.write_str(&self.text) }
    }
}

impl std::error::Error for CoreError {}

impl From<Errno> for CoreError {
    fn from(errno: Errno) -> Self {
        Self::new(errno, "")
    }
}

/// The instruction that a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its index in its function; libbpf's texts about patching count from there.
    pub index: usize,
    /// The instruction as it stands in the file.
    pub insn: Insn,
    /// What follows it: the second half of an `ld_imm64`.
    pub next: Option<Insn>,
}

/// Why an instruction is replaced by an invalid call, which is only an error where the verifier gets to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poison {
    /// The target has no type of that name and kind.
    NoCandidate,
    /// It has, but without that field or enumerator, or with another type for it.
    NoMatch,
    /// The field's size changed, and its type is not one whose loads and stores may be widened or narrowed: libbpf warns
    /// with the text (to be prefixed as [`CoreError::lines`] does). Sizes in bytes.
    MemorySize {
        /// What the object was compiled for.
        local: u32,
        /// What the target has.
        target: u32,
        /// The warning.
        warning: String,
    },
}

/// What becomes of the instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patched {
    /// It is made to hold the new value.
    Value,
    /// It is made invalid.
    Poison(Poison),
}

/// What libbpf does with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<'t> {
    /// The value by the object's own types: what the instruction should hold. 0 where poisoned for want of a match.
    pub orig: u64,
    /// The value by the target's types; for the four existence kinds 1 or 0.
    pub new: u64,
    /// RelocationValue or poison.
    pub outcome: Patched,
    /// The instruction after that.
    pub insn: Insn,
    /// And what follows it.
    pub next: Option<Insn>,
    /// How the first matching candidate is accessed; for displaying `... in the kernel`.
    pub target: Option<Spec<'t>>,
}

impl Resolution<'_> {
    /// Reaching the instruction is an error.
    pub fn is_poison(&self) -> bool {
        matches!(self.outcome, Patched::Poison(_))
    }
}

/// The types of a target that a record's root may stand for (`bpf_core_cand_list`). Resolving drops those that did not
/// match from it, so one list has to serve all records of the same root type, in order, as in libbpf.
#[derive(Debug, Clone, Default)]
pub struct Candidates<'a, 't> {
    list: Vec<(&'a Btf<'t>, TypeId)>,
}

impl<'a, 't> Candidates<'a, 't> {
    /// The types of one BTF with the root's essential name and kind (`bpf_core_add_cands`); of a split one only its own.
    pub fn of(relocation: &Relocation<'_>, target: &'a Btf<'t>) -> Self {
        let mut found = Self::default();
        found.add(relocation, target);
        found
    }

    /// Adds those of another BTF. libbpf looks into modules only if the kernel itself has none.
    pub fn add(&mut self, relocation: &Relocation<'_>, target: &'a Btf<'t>) {
        let fits = |&id: &TypeId| {
            let kind = target.get(id).map(|ty| ty.kind());
            kind.is_some_and(|kind| kinds_are_compat(kind, relocation.root_kind))
        };
        let ids = target.names().own_essential(essential(relocation.root_name.as_bytes()));
        self.list.extend(ids.into_iter().filter(fits).map(|id| (target, id)));
    }

    /// Adds one type by hand.
    pub fn push(&mut self, target: &'a Btf<'t>, id: TypeId) {
        self.list.push((target, id));
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The types in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Btf<'t>, TypeId)> + '_ {
        self.list.iter().copied()
    }
}

/// A record whose access string has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation<'l> {
    /// What is asked for.
    pub kind: RelocationKind,
    /// The access by the object's types. Displays as libbpf prints it.
    pub spec: Spec<'l>,
    /// The libbpf that patches the instruction; the newest, unless told.
    pub libbpf: Libbpf,
    root_kind: Kind,
    root_name: &'l str,
    /// Of the instruction, in its section; some texts count from there.
    insn_in_section: u32,
    number: u32,
}

impl<'l> Relocation<'l> {
    /// Parses a record (libbpf `bpf_core_parse_spec`, and what `bpf_core_find_cands` asks of the root).
    ///
    /// # Errors
    /// An anonymous root, a bad access string, an unknown kind: libbpf then gives up on the object.
    pub fn parse(local: &Btf<'l>, record: &CoreRelo) -> Result<Self, CoreError> {
        let root = local.get(record.type_id).ok_or(Errno::EINVAL)?;
        let name = local.name(&root);
        let kind = RelocationKind::new(record.kind);
        if name.is_empty() && kind != Some(RelocationKind::TypeIdLocal) {
            return Err(CoreError::new(
                Errno::EINVAL,
                format!(
                    "target candidate search failed for {} {} {name}: -22",
                    record.type_id,
                    root.kind().as_str()
                ),
            ));
        }
        let spec = match kind {
            Some(kind) => Spec::parse(local, record, kind),
            None => Err(spec::unknown_kind(local.bytes(record.access))),
        };
        let failed = |errno: Errno| {
            CoreError::new(
                Errno::EINVAL,
                format!(
                    "parsing {} {} {} + {} failed: -{}",
                    record.type_id,
                    root.kind().as_str(),
                    if name.is_empty() { "<anon>" } else { name },
                    String::from_utf8_lossy(local.bytes(record.access)),
                    errno.0
                ),
            )
        };
        let spec = spec.map_err(failed)?;
        Ok(Self {
            kind: spec.kind,
            spec,
            libbpf: Libbpf::default(),
            root_kind: root.kind(),
            root_name: name,
            insn_in_section: record.insn_off / 8,
            number: record.kind,
        })
    }

    /// The root type of the access, in the object's BTF.
    pub fn root(&self) -> TypeId {
        self.spec.root
    }

    /// Its kind.
    pub fn root_kind(&self) -> Kind {
        self.root_kind
    }

    /// The name that a target's type has to have: the root's without its flavour. Empty for an anonymous one, which
    /// only [`RelocationKind::TypeIdLocal`] may be about.
    pub fn type_name(&self) -> &'l str {
        essential_name(self.root_name)
    }

    /// What the record is about, as C spells it: `task_struct.scx.slice`, `cpumask.bits[0]`,
    /// `scx_public_consts::SCX_SLICE_DFL`, or the type's name alone. Without flavours of types.
    pub fn subject(&self) -> String {
        format!("{}{}", self.type_name(), self.spec.path())
    }

    /// Resolves against the candidates and patches the instruction (libbpf `bpf_core_calc_relo_insn`,
    /// `bpf_core_patch_insn`). Non-matching candidates are dropped from the list if any matches.
    ///
    /// # Errors
    /// Candidates that disagree, values that the instruction does not hold or cannot hold, and the like: libbpf then
    /// gives up on the object. A match that would take libbpf ages is given up with `E2BIG`.
    pub fn resolve<'t>(
        &self,
        local: &Btf<'l>,
        slot: Slot,
        candidates: &mut Candidates<'_, 't>,
    ) -> Result<Resolution<'t>, CoreError> {
        self.resolve_within(local, slot, candidates, &mut Budget::new())
    }

    /// The same as one of many questions.
    ///
    /// # Errors
    /// As for [`resolve`](Self::resolve).
    pub fn resolve_within<'t>(
        &self,
        local: &Btf<'l>,
        slot: Slot,
        candidates: &mut Candidates<'_, 't>,
        budget: &mut Budget,
    ) -> Result<Resolution<'t>, CoreError> {
        let empty = candidates.is_empty();
        let (value, target) = budget.ask(|budget| self.calculate(local, candidates, budget))?;
        let mut patched = self.patch(&value, slot, empty)?;
        patched.target = target;
        Ok(patched)
    }

    fn calculate<'t>(
        &self,
        local: &Btf<'l>,
        candidates: &mut Candidates<'_, 't>,
        budget: &mut Budget,
    ) -> Result<(RelocationValue, Option<Spec<'t>>), CoreError> {
        if self.kind == RelocationKind::TypeIdLocal {
            let id = u64::from(self.root().0);
            return Ok((
                RelocationValue { orig: id, new: id, validate: false, ..RelocationValue::default() },
                None,
            ));
        }
        let mut matching = Vec::new();
        let mut first: Option<(RelocationValue, Spec<'t>)> = None;
        for (number, (target, id)) in candidates.iter().enumerate() {
            let pair = Pair { local, target };
            let mut spec = Spec::empty(self.kind, id, target);
            let matches = self.spec.matches(pair, &mut spec, budget).map_err(|errno| {
                let text = format!("error matching candidate #{number} {}: -{}", spec.cut(), errno.0);
                let given_up = errno == Errno::E2BIG && budget.is_spent();
                CoreError { given_up, ..CoreError::new(errno, text) }
            })?;
            if !matches {
                continue;
            }
            let value = self.values(local, Some((target, &spec)))?;
            if let Some((before, of)) = &first {
                if spec.bit_offset != of.bit_offset {
                    let text = format!("field offset ambiguity: {} != {}", spec.bit_offset, of.bit_offset);
                    return Err(CoreError::new(Errno::EINVAL, text));
                }
                if (value.poison, value.new) != (before.poison, before.new) {
                    let verdict = |poison| if poison { "failure" } else { "success" };
                    let text = format!(
                        "relocation decision ambiguity: {} {} != {} {}",
                        verdict(value.poison),
                        value.new,
                        verdict(before.poison),
                        before.new
                    );
                    return Err(CoreError::new(Errno::EINVAL, text));
                }
            } else {
                first = Some((value, spec));
            }
            matching.push((target, id));
        }
        match first {
            Some((value, spec)) => {
                candidates.list = matching;
                Ok((value, Some(spec)))
            }
            None => Ok((self.values(local, None)?, None)),
        }
    }

    /// The value by each side's types (libbpf `bpf_core_calc_relo`).
    fn values(
        &self,
        local: &Btf<'l>,
        target: Option<(&Btf<'_>, &Spec<'_>)>,
    ) -> Result<RelocationValue, CoreError> {
        let mut value = RelocationValue { validate: true, ..RelocationValue::default() };
        if self.kind.is_field() {
            let orig = self.field(local, &self.spec)?;
            (value.orig, value.validate) = (orig.value, orig.validate);
            let Some((target, spec)) = target else {
                value.poison = self.kind != RelocationKind::FieldExists;
                return Ok(value);
            };
            let new = self.field(target, spec)?;
            value.new = new.value;
            (value.orig_size, value.new_size) = (orig.size, new.size);
            if orig.size != new.size {
                let (from, to) = (local.get(orig.ty), target.get(new.ty));
                let (Some(from), Some(to)) = (from, to) else { return Err(Errno::EINVAL.into()) };
                let pointers = from.kind() == Kind::Ptr && to.kind() == Kind::Ptr;
                // `BTF_INT_SIGNED` alone: a `bool` or `char` with more bits is let through.
                let unsigned = [from, to].iter().all(|ty| ty.kind() == Kind::Int && ty.int_encoding() != 1);
                value.misfit = !pointers && !unsigned;
            }
        } else if self.kind.is_enumerator() {
            value.orig = self.enumerator(local, &self.spec);
            match target {
                Some((target, spec)) => value.new = self.enumerator(target, spec),
                None => value.poison = self.kind == RelocationKind::EnumvalValue,
            }
        } else {
            value.validate = self.kind != RelocationKind::TypeIdTarget;
            value.orig = self.of_type(local, &self.spec)?;
            if let Some((target, spec)) = target {
                value.new = self.of_type(target, spec)?;
            }
        }
        Ok(value)
    }

    /// libbpf `bpf_core_calc_field_relo` for one side.
    fn field(&self, btf: &Btf<'_>, spec: &Spec<'_>) -> Result<Field, CoreError> {
        use RelocationKind::{
            FieldByteOffset, FieldByteSize, FieldExists, FieldLshiftU64, FieldRshiftU64, FieldSigned,
        };
        let error = || CoreError::from(Errno::EINVAL);
        let mut field = Field { validate: true, ..Field::default() };
        if self.kind == FieldExists {
            field.value = 1;
            return Ok(field);
        }
        let access = spec.accesses.last().ok_or_else(error)?;
        // An array's elements are loaded one by one.
        let element_size = |id: TypeId| -> Result<u32, CoreError> {
            let mut id = id;
            for _ in 0..MAX_DEPTH {
                let (elem, ty) = btf.resolve(id).ok_or_else(error)?;
                match ty.array() {
                    Some(array) => id = array.elem,
                    None => return btf.resolve_size(elem).map(|size| size as u32).map_err(|_| error()),
                }
            }
            Err(error())
        };
        let Some(_) = access.name else {
            match self.kind {
                FieldByteOffset => {
                    field.value = u64::from(spec.bit_offset / 8);
                    field.size = element_size(access.ty)?;
                    field.ty = access.ty;
                }
                FieldByteSize => field.value = btf.resolve_size(access.ty).map_err(|_| error())?,
                _ => {
                    // Printed as if the kind were the record's number.
                    let text = format!(
                        "relo {} at insn #{} can't be applied to array access",
                        self.number, self.insn_in_section
                    );
                    return Err(CoreError { unnumbered: true, ..CoreError::new(Errno::EINVAL, text) });
                }
            }
            return Ok(field);
        };
        let composite = btf.get(access.ty).and_then(|ty| ty.composite());
        let member = composite.and_then(|ty| ty.member(access.index as usize)).ok_or_else(error)?;
        let (member_id, member_type) = btf.resolve(member.ty).ok_or_else(error)?;
        let bit_offset = spec.bit_offset;
        let mut bits = u32::from(member.bitfield_size);
        let (mut byte_offset, mut bytes);
        if bits > 0 {
            field.validate = false;
            bytes = member_type.size();
            // libbpf divides by it.
            if bytes == 0 {
                return Err(error());
            }
            byte_offset = bit_offset / 8 / bytes * bytes;
            // The smallest load that covers the bitfield.
            let end =
                |byte_offset: u32| (bit_offset.wrapping_add(bits)).wrapping_sub(byte_offset.wrapping_mul(8));
            while end(byte_offset) > bytes.wrapping_mul(8) {
                if bytes >= 8 {
                    let text = format!(
                        "relo {} at insn #{} can't be satisfied for bitfield",
                        self.number, self.insn_in_section
                    );
                    return Err(CoreError { unnumbered: true, ..CoreError::new(Errno::E2BIG, text) });
                }
                bytes *= 2;
                byte_offset = bit_offset / 8 / bytes * bytes;
            }
        } else {
            bytes = btf.resolve_size(member_id).map_err(|_| error())? as u32;
            byte_offset = bit_offset / 8;
            bits = bytes.wrapping_mul(8);
        }
        match self.kind {
            FieldByteOffset => {
                field.value = u64::from(byte_offset);
                if field.validate {
                    field.size = element_size(member_id)?;
                    field.ty = member_id;
                }
            }
            FieldByteSize => field.value = u64::from(bytes),
            FieldSigned => {
                let signed = member_type.is_signed_enum() || member_type.int_encoding() & 1 != 0;
                field.value = u64::from(signed);
                field.validate = true;
            }
            FieldLshiftU64 => {
                let end = bit_offset.wrapping_add(bits).wrapping_sub(byte_offset.wrapping_mul(8));
                field.value = u64::from(64u32.wrapping_sub(end));
            }
            FieldRshiftU64 => {
                field.value = u64::from(64u32.wrapping_sub(bits));
                field.validate = true;
            }
            _ => return Err(error()),
        }
        Ok(field)
    }

    /// libbpf `bpf_core_calc_type_relo` for one side.
    fn of_type(&self, btf: &Btf<'_>, spec: &Spec<'_>) -> Result<u64, CoreError> {
        Ok(match self.kind {
            RelocationKind::TypeIdTarget => u64::from(spec.root.0),
            RelocationKind::TypeSize => {
                btf.resolve_size(spec.root).map_err(|_| CoreError::from(Errno::EINVAL))?
            }
            _ => 1,
        })
    }

    /// libbpf `bpf_core_calc_enumval_relo` for one side. A 32-bit value is sign-extended even where it has no sign.
    fn enumerator(&self, btf: &Btf<'_>, spec: &Spec<'_>) -> u64 {
        if self.kind == RelocationKind::EnumvalExists {
            return 1;
        }
        let value = || {
            let access = spec.accesses.first()?;
            let ty = btf.get(access.ty)?;
            let value = ty.enumerators()?.value(access.index as usize)?.value;
            let narrow = i64::from((value as u32).cast_signed()).cast_unsigned();
            Some(if ty.kind() == Kind::Enum { narrow } else { value })
        };
        value().unwrap_or(0)
    }

    /// libbpf `bpf_core_patch_insn`.
    fn patch<'t>(
        &self,
        value: &RelocationValue,
        slot: Slot,
        no_candidate: bool,
    ) -> Result<Resolution<'t>, CoreError> {
        let Slot { index, insn, next } = slot;
        let fail =
            |errno, text: String| Err(CoreError { patching: Some(index), ..CoreError::new(errno, text) });
        let RelocationValue { orig, new, .. } = *value;
        let mut done = Resolution { orig, new, outcome: Patched::Value, insn, next, target: None };
        // What the record asks for is not there.
        let lost = value.poison.then_some(if no_candidate { Poison::NoCandidate } else { Poison::NoMatch });
        let unrecognized = || {
            format!(
                "trying to relocate unrecognized insn #{index}, code:{:#x}, src:{:#x}, dst:{:#x}, off:{:#x}, imm:{:#x}",
                insn.opcode(),
                insn.src,
                insn.dst,
                i32::from(insn.off),
                insn.imm
            )
        };
        // 1.7 looks at no instruction that it makes invalid.
        let looks = self.libbpf >= Libbpf::V1_8;
        if let Some(why) = lost.clone().filter(|_| !looks) {
            done.poison(why);
            return Ok(done);
        }
        // How the value found is printed: 1.7 takes it for a number without sign.
        let shown = |got: i32| if looks { got.to_string() } else { got.cast_unsigned().to_string() };
        let sign_extended = |n: i32| i64::from(n).cast_unsigned();
        match insn.class() {
            Class::Alu | Class::Alu64 => {
                if insn.takes_register() {
                    return fail(Errno::EINVAL, if looks { unrecognized() } else { String::new() });
                }
                if let Some(why) = lost {
                    done.poison(why);
                    return Ok(done);
                }
                if value.validate && sign_extended(insn.imm) != orig {
                    let got = shown(insn.imm);
                    let text =
                        format!("unexpected insn #{index} (ALU/ALU64) value: got {got}, exp {orig} -> {new}");
                    return fail(Errno::EINVAL, text);
                }
                done.insn.imm = new as i32;
            }
            Class::Ldx | Class::St | Class::Stx => {
                if let Some(why) = lost {
                    done.poison(why);
                    return Ok(done);
                }
                if value.validate && sign_extended(insn.off.into()) != orig {
                    let got = shown(insn.off.into());
                    let text = format!(
                        "unexpected insn #{index} (LDX/ST/STX) value: got {got}, exp {orig} -> {new}"
                    );
                    return fail(Errno::EINVAL, text);
                }
                let Ok(off) = i16::try_from(new) else {
                    return fail(Errno::ERANGE, format!("insn #{index} (LDX/ST/STX) value too big: {new}"));
                };
                if value.misfit {
                    let warning = format!(
                        "insn #{index} (LDX/ST/STX) accesses field incorrectly. Make sure you are accessing pointers, unsigned integers, or fields of matching type and size."
                    );
                    done.poison(Poison::MemorySize {
                        local: value.orig_size,
                        target: value.new_size,
                        warning,
                    });
                    return Ok(done);
                }
                done.insn.off = off;
                if value.orig_size != value.new_size {
                    let got = u32::from(insn.width().bytes());
                    if got != value.orig_size {
                        let exp = value.orig_size;
                        let text =
                            format!("insn #{index} (LDX/ST/STX) unexpected mem size: got {got}, exp {exp}");
                        return fail(Errno::EINVAL, text);
                    }
                    let Some(width) = Width::of(value.new_size) else {
                        let size = value.new_size;
                        let text = format!("insn #{index} (LDX/ST/STX) invalid new mem size: {size}");
                        return fail(Errno::EINVAL, text);
                    };
                    done.insn = done.insn.with_width(width);
                }
            }
            Class::Ld => {
                let bare = insn.is_ld_imm64() && insn.src == 0 && insn.off == 0;
                let Some(mut next) = next.filter(|next| next.is_second_half()).filter(|_| bare) else {
                    return fail(Errno::EINVAL, format!("insn #{index} (LDIMM64) has unexpected form"));
                };
                if let Some(why) = lost {
                    done.poison(why);
                    return Ok(done);
                }
                let got = u64::from(insn.imm.cast_unsigned()) | u64::from(next.imm.cast_unsigned()) << 32;
                if value.validate && got != orig {
                    let text =
                        format!("unexpected insn #{index} (LDIMM64) value: got {got}, exp {orig} -> {new}");
                    return fail(Errno::EINVAL, text);
                }
                done.insn.imm = new as i32;
                next.imm = (new >> 32) as i32;
                done.next = Some(next);
            }
            Class::Jmp | Class::Jmp32 => return fail(Errno::EINVAL, unrecognized()),
        }
        Ok(done)
    }
}

impl Resolution<'_> {
    fn poison(&mut self, why: Poison) {
        let invalid = Insn::call(POISON_IMM);
        if self.insn.is_ld_imm64() {
            self.next = self.next.map(|_| invalid);
        }
        self.insn = invalid;
        self.outcome = Patched::Poison(why);
    }
}

/// What a record comes to (`bpf_core_relo_res`).
#[derive(Debug, Clone, Copy, Default)]
struct RelocationValue {
    orig: u64,
    new: u64,
    poison: bool,
    /// The instruction has to hold `orig`.
    validate: bool,
    /// Loads and stores of the field cannot change their size as they would have to.
    misfit: bool,
    orig_size: u32,
    new_size: u32,
}

/// One side's value of a field.
#[derive(Debug, Default)]
struct Field {
    value: u64,
    validate: bool,
    /// Bytes that a load of it takes, and its type; only for the offset of what is no bitfield.
    size: u32,
    ty: TypeId,
}

/// CO-RE for one object against one target: candidates are looked up once per root type, as libbpf does.
#[derive(Debug)]
pub struct Resolver<'a, 'l, 't> {
    local: &'a Btf<'l>,
    target: &'a Btf<'t>,
    modules: &'a [Btf<'t>],
    candidates: HashMap<TypeId, Candidates<'a, 't>>,
    libbpf: Libbpf,
}

impl<'a, 'l, 't> Resolver<'a, 'l, 't> {
    /// For an object's BTF and a kernel's, and those of its modules where they are known.
    pub fn new(local: &'a Btf<'l>, target: &'a Btf<'t>, modules: &'a [Btf<'t>]) -> Self {
        Self { local, target, modules, candidates: HashMap::new(), libbpf: Libbpf::default() }
    }

    /// As a release of libbpf does it; without, the newest.
    pub fn libbpf(mut self, libbpf: Libbpf) -> Self {
        self.libbpf = libbpf;
        self
    }

    /// The candidates for a record's root (libbpf `bpf_core_find_cands`).
    pub fn candidates(&mut self, relocation: &Relocation<'l>) -> &mut Candidates<'a, 't> {
        let modules = self.modules;
        self.candidates_with(relocation, || modules)
    }

    /// The same with modules that are only fetched where the kernel itself has no candidate.
    pub fn candidates_with(
        &mut self,
        relocation: &Relocation<'l>,
        modules: impl FnOnce() -> &'a [Btf<'t>],
    ) -> &mut Candidates<'a, 't> {
        self.candidates.entry(relocation.root()).or_insert_with(|| {
            let mut found = Candidates::of(relocation, self.target);
            if found.is_empty() {
                modules().iter().for_each(|module| found.add(relocation, module));
            }
            found
        })
    }

    /// What libbpf does with the record. Records have to be asked about in file order.
    ///
    /// # Errors
    /// As for [`Relocation::parse`] and [`Relocation::resolve`].
    pub fn resolve(&mut self, record: &CoreRelo, slot: Slot) -> Result<Resolution<'t>, CoreError> {
        let mut relocation = Relocation::parse(self.local, record)?;
        relocation.libbpf = self.libbpf;
        let local = self.local;
        relocation.resolve(local, slot, self.candidates(&relocation))
    }
}

#[cfg(test)]
mod tests;
