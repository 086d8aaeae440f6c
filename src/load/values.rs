//! Values that user space sets between open and load, as the user tells them: `--set`, `[values]`, `--values`.
//!
//! Names are those of the object's skeleton: a global variable of `.rodata`, `.data` or `.bss`, or a member of an ops
//! variable. A part of a variable is named by its path: `config.slots[3].weight`.

use std::fmt;

use super::edit::{Edit, number};
use crate::btf::{Btf, Kind, TypeId};
use crate::elf::{ByteOrder, SymbolKind};
use crate::kernel::Kernel;
use crate::object::{MapIdx, MapOrigin, MemberInit, Object, OpsIdx};
use crate::suggest::nearest;

/// A value, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// What is set.
    pub name: String,
    /// To what: a number, `true`, `false`, `NULL`, an enumerator, several of these with `|`, or text for an array of `char`.
    pub value: String,
}

/// Why a value cannot be set in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// The object has nothing of that name. What was meant, perhaps.
    UnknownName(Option<String>),
    /// It cannot hold the value, or the value makes no sense.
    Unfit(String),
}

/// What a value is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A data map's initial content.
    Data(MapIdx),
    /// A member of an ops variable, by its number.
    Member(OpsIdx, usize),
}

/// A value in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it was told as.
    pub assignment: Assignment,
    /// Where it is written.
    pub home: Destination,
    /// First byte in the map's content, or in the object's own ops struct.
    pub offset: u64,
    /// What is written, in the object's byte order.
    pub bytes: Vec<u8>,
}

/// What user space does with what it is not told to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Knobs {
    /// Any value is possible.
    #[default]
    Open,
    /// It leaves variables as they stand in the file. Of ops variables nothing follows from that: flags and the like are 0 in most
    /// files because user space sets them.
    AsInFile,
}

/// What user space sets in an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    /// What is told, the last one for a byte counts.
    pub settings: Vec<Setting>,
    /// What is not.
    pub knobs: Knobs,
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl Assignment {
    /// Reads `NAME=VALUE`.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err("expected NAME=VALUE".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Finds its place in an object. Enumerators are those of the object, else of the kernels.
    ///
    /// # Errors
    /// See [`ValueError`].
    pub fn resolve(&self, object: &Object<'_>, kernels: &[&Kernel<'_>]) -> Result<Setting, ValueError> {
        let btf = object.btf.as_ref().ok_or(ValueError::UnknownName(None))?;
        let (base, path) = split(&self.name);
        let place = match place(object, btf, base, path)? {
            Some(place) => place,
            None => return Err(ValueError::UnknownName(suggestion(object, base))),
        };
        let bytes = encode(object, btf, kernels, place.ty, &self.value)
            .map_err(|why| ValueError::Unfit(format!("'{}': {why}", self.name)))?;
        Ok(Setting { assignment: self.clone(), home: place.home, offset: place.offset, bytes })
    }
}

impl Values {
    /// What is told of a member of an ops variable, as a number; `None` where nothing is, or not one number.
    pub fn member(&self, object: &Object<'_>, ops: OpsIdx, at: usize) -> Option<u64> {
        let bytes = self.member_bytes(ops, at).filter(|bytes| bytes.len() <= 8)?;
        Some(number(bytes, object.elf.byte_order))
    }

    /// What is told of a member of an ops variable.
    pub fn member_bytes(&self, ops: OpsIdx, at: usize) -> Option<&[u8]> {
        let found = self.settings.iter().rev().find(|setting| setting.home == Destination::Member(ops, at));
        found.map(|setting| setting.bytes.as_slice())
    }

    /// What is told of data maps.
    pub(super) fn edits(&self) -> impl Iterator<Item = Edit> {
        self.settings.iter().filter_map(|setting| match setting.home {
            Destination::Data(map) => Some(Edit {
                map,
                start: setting.offset,
                len: setting.bytes.len() as u64,
                bytes: Some(setting.bytes.clone()),
            }),
            Destination::Member(..) => None,
        })
    }
}

/// Where a value goes, and its type.
struct Resolved {
    home: Destination,
    offset: u64,
    ty: TypeId,
}

/// `config.slots[3]` as `config` and `.slots[3]`.
fn split(name: &str) -> (&str, &str) {
    name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
}

/// The names of what can be set: variables, and ops variables.
fn names<'a>(object: &'a Object<'_>) -> impl Iterator<Item = &'a str> {
    let ops = object.ops().map(|(_, ops)| &*object[ops.map].name);
    let data = object
        .elf
        .symbols
        .iter()
        .filter(|symbol| symbol.kind == SymbolKind::Object && data_map(object, symbol.section).is_some());
    ops.chain(data.filter_map(|symbol| symbol.name.as_deref()))
}

fn suggestion(object: &Object<'_>, base: &str) -> Option<String> {
    nearest(base, names(object)).map(str::to_owned)
}

fn data_map(object: &Object<'_>, section: u32) -> Option<MapIdx> {
    let holds = |origin| matches!(origin, MapOrigin::Rodata | MapOrigin::Data | MapOrigin::Bss);
    let at = object.maps.iter().position(|map| holds(map.origin) && map.section.0 == section)?;
    Some(MapIdx(at))
}

/// Finds what a name and a path mean; `None` where the object has no such name.
fn place(object: &Object<'_>, btf: &Btf<'_>, base: &str, path: &str) -> Result<Option<Resolved>, ValueError> {
    if let Some((ops, _)) = ops_variable(object, base) {
        return member(object, btf, ops, path).map(Some);
    }
    let symbol = object.elf.symbols.iter().find_map(|symbol| {
        let named = symbol.kind == SymbolKind::Object && symbol.name.as_deref() == Some(base);
        Some((symbol, data_map(object, symbol.section).filter(|_| named)?))
    });
    let Some((symbol, map)) = symbol else { return Ok(None) };
    let ty = variable_type(object, btf, map, base);
    let ty = ty.ok_or_else(|| ValueError::Unfit(format!("'{base}' has no type in the object's BTF")))?;
    let (ty, offset) =
        walk(btf, ty, path).map_err(|why| ValueError::Unfit(format!("'{base}{path}': {why}")))?;
    Ok(Some(Resolved { home: Destination::Data(map), offset: symbol.value + offset, ty }))
}

/// The type of a variable of a data map.
fn variable_type(object: &Object<'_>, btf: &Btf<'_>, map: MapIdx, name: &str) -> Option<TypeId> {
    let vars = btf.get(object[map].type_id)?.data_sec()?;
    let var = vars.vars().find(|var| btf.get(var.ty).is_some_and(|ty| btf.name(&ty) == name))?;
    Some(btf.get(var.ty)?.target())
}

/// An ops variable by its name, or `ops` where there is one scheduler.
fn ops_variable<'a, 'd>(
    object: &'a Object<'d>,
    name: &str,
) -> Option<(OpsIdx, &'a crate::object::StructOps<'d>)> {
    object.ops().find(|(_, ops)| object[ops.map].name == name).or_else(|| {
        let mut schedulers = object.schedulers().filter(|_| name == "ops");
        schedulers.next().filter(|_| schedulers.next().is_none())
    })
}

/// A member of an ops variable.
fn member(object: &Object<'_>, btf: &Btf<'_>, index: OpsIdx, path: &str) -> Result<Resolved, ValueError> {
    let (ops, name) = (&object[index], path.strip_prefix('.').unwrap_or_default());
    let map = &object[ops.map];
    let at = ops.members.iter().position(|member| member.name == name);
    let types = btf.get(map.type_id).and_then(|ty| ty.composite());
    let found = at.and_then(|at| Some((at, types?.members().nth(at)?)));
    if name.is_empty() {
        let first = ops.members.first().map_or("flags", |member| member.name);
        let words = format!("'{}' is an ops variable: name a member, as '{0}.{first}'", map.name);
        return Err(ValueError::Unfit(words));
    }
    let Some((at, ty)) = found else {
        let meant = nearest(name, ops.members.iter().map(|member| member.name));
        let meant = meant.map_or_else(String::new, |meant| format!(", did you mean '{}.{meant}'?", map.name));
        return Err(ValueError::Unfit(format!(
            "'{}{path}' is no member of '{}'{meant}",
            map.name, ops.type_name
        )));
    };
    if ty.bitfield_size != 0 {
        return Err(ValueError::Unfit(format!("'{}{path}' is a bitfield", map.name)));
    }
    Ok(Resolved {
        home: Destination::Member(index, at),
        offset: u64::from(ops.members[at].offset),
        ty: ty.ty,
    })
}

/// Follows a path through a type: the type at its end and its byte offset.
fn walk(btf: &Btf<'_>, ty: TypeId, path: &str) -> Result<(TypeId, u64), String> {
    let (mut ty, mut offset, mut rest) = (ty, 0u64, path);
    while !rest.is_empty() {
        let (_, resolved) = btf.resolve(ty).ok_or("its type cannot be followed")?;
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']').ok_or("a ']' is missing")?;
            let index: u32 = index.trim().parse().map_err(|_| format!("'{index}' is no index"))?;
            let array = resolved.array().ok_or_else(|| format!("'[{index}]': it is no array there"))?;
            if index >= array.nelems {
                return Err(format!("index {index} is outside of its {} elements", array.nelems));
            }
            let size = btf.size_of(array.elem).ok_or("its elements have no size")?;
            offset += u64::from(index) * size;
            (ty, rest) = (array.elem, after);
        } else {
            let inner = rest.strip_prefix('.').ok_or_else(|| format!("'{rest}' is no path"))?;
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (name, after) = inner.split_at(end);
            let (member, at) =
                field(btf, resolved, name, 0).ok_or_else(|| format!("it has no member '{name}'"))?;
            offset += at;
            (ty, rest) = (member, after);
        }
    }
    Ok((ty, offset))
}

/// Nested anonymous structs at most.
const MOST_NESTED: usize = 32;

/// A member of a struct or of the anonymous ones in it: its type and byte offset.
fn field(btf: &Btf<'_>, ty: crate::btf::Type<'_>, name: &str, depth: usize) -> Option<(TypeId, u64)> {
    let members = ty.composite().filter(|_| depth < MOST_NESTED)?.members();
    for member in members.filter(|member| member.bitfield_size == 0) {
        let at = u64::from(member.bit_offset / 8);
        let known = btf.str(member.name);
        if known == name {
            return Some((member.ty, at));
        }
        if known.is_empty()
            && let Some((_, inner)) = btf.resolve(member.ty)
            && let Some((ty, inside)) = field(btf, inner, name, depth + 1)
        {
            return Some((ty, at + inside));
        }
    }
    None
}

/// A value as the bytes of a type.
fn encode(
    object: &Object<'_>,
    btf: &Btf<'_>,
    kernels: &[&Kernel<'_>],
    ty: TypeId,
    value: &str,
) -> Result<Vec<u8>, String> {
    let (_, resolved) = btf.resolve(ty).ok_or("its type cannot be followed")?;
    let size = btf.size_of(ty).ok_or("its type has no size")?;
    if let Some(array) = resolved.array() {
        let is_text = btf.size_of(array.elem) == Some(1);
        if !is_text {
            return Err("it is an array: name an element".to_owned());
        }
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        let room = usize::try_from(size).unwrap_or(0);
        if text.len() >= room {
            return Err(format!("{} bytes and a NUL do not fit into its {room}", text.len()));
        }
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(room, 0);
        return Ok(bytes);
    }
    let signed = match resolved.kind() {
        Kind::Int => resolved.is_signed_int(),
        Kind::Enum | Kind::Enum64 => resolved.is_signed_enum(),
        Kind::Ptr => {
            return match value {
                "NULL" | "0" | "0x0" => Ok(vec![0; 8]),
                _ => Err("it is a pointer, which can be set to NULL only".to_owned()),
            };
        }
        Kind::Struct | Kind::Union => return Err("it is a struct: name a member".to_owned()),
        kind => return Err(format!("it is of BTF kind {}", kind.as_str())),
    };
    let number = parse(object, btf, kernels, value)?;
    let bits = u32::try_from(size * 8).unwrap_or(0);
    let (least, most) = match (bits, signed) {
        (8 | 16 | 32 | 64, true) => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        (8 | 16 | 32 | 64, false) => (0, (1i128 << bits) - 1),
        _ => return Err(format!("it is {size} bytes wide")),
    };
    let most = if resolved.is_bool() { 1 } else { most };
    if number < least || number > most {
        return Err(format!("{value} does not fit: {least} to {most}"));
    }
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    let len = (bits / 8) as usize;
    Ok(match object.elf.byte_order {
        ByteOrder::Little => little[..len].to_vec(),
        ByteOrder::Big => big[big.len() - len..].to_vec(),
    })
}

/// A number, or several with `|`.
fn parse(object: &Object<'_>, btf: &Btf<'_>, kernels: &[&Kernel<'_>], value: &str) -> Result<i128, String> {
    let mut parts = value.split('|').map(|part| term(object, btf, kernels, part.trim()));
    let first = parts.next().unwrap_or_else(|| Err("it is empty".to_owned()))?;
    parts.try_fold(first, |all, part| Ok(all | part?))
}

fn term(object: &Object<'_>, btf: &Btf<'_>, kernels: &[&Kernel<'_>], word: &str) -> Result<i128, String> {
    if word.is_empty() {
        return Err("a value is missing beside '|'".to_owned());
    }
    if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return literal(word);
    }
    match word {
        "true" => return Ok(1),
        "false" => return Ok(0),
        _ => {}
    }
    let own = btf.names().enumerator(word).map(|(_, value)| value);
    let theirs = || kernels.iter().find_map(|kernel| kernel.any_enumerator(word));
    let value = own.or_else(theirs).ok_or_else(|| {
        let of =
            if kernels.is_empty() { "; name a kernel for those of kernels" } else { " nor of the kernels" };
        format!("'{word}' is no number and no enumerator of '{}'{of}", object.name)
    })?;
    Ok(i128::from(value))
}

/// A number as TOML and Rust spell it: digits may be grouped with `_`.
fn literal(word: &str) -> Result<i128, String> {
    let (minus, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    let is_grouped =
        digits.split('_').all(|group| !group.is_empty() && group.chars().all(|c| c.is_digit(radix)));
    if !is_grouped {
        return Err(format!("'{word}' is no number"));
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(format!(
            "'{word}' begins with 0, which means another base to some; write it without, or as 0x..."
        ));
    }
    let number = u64::from_str_radix(&digits.replace('_', ""), radix);
    let number = i128::from(number.map_err(|_| format!("'{word}' is too large"))?);
    Ok(if minus { -number } else { number })
}

/// The value of a variable or a member in the file, as it is shown: a number, or nothing for what is none.
pub fn in_file(object: &Object<'_>, name: &str) -> Option<u64> {
    let btf = object.btf.as_ref()?;
    let (base, path) = split(name);
    let place = place(object, btf, base, path).ok()??;
    match place.home {
        Destination::Member(ops, at) => match object[ops].members[at].value {
            MemberInit::Scalar(value) => Some(value),
            MemberInit::Null => Some(0),
            MemberInit::Program(_) | MemberInit::Bytes(_) => None,
        },
        Destination::Data(map) => {
            let size = btf.size_of(place.ty).filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
            let data = object.elf.section_at(object[map].section.0)?.data?;
            let start = usize::try_from(place.offset).ok()?;
            let bytes = data.get(start..start.checked_add(usize::try_from(size).ok()?)?)?;
            Some(number(bytes, object.elf.byte_order))
        }
    }
}

/// What of a data map holds a byte, as [`Assignment`] names it: a variable, or the part of one.
pub fn name_at(object: &Object<'_>, map: MapIdx, at: u64) -> Option<String> {
    let symbol = object.elf.symbols.iter().find(|symbol| {
        symbol.section == object[map].section.0
            && symbol.kind == SymbolKind::Object
            && (symbol.value..symbol.value.saturating_add(symbol.size)).contains(&at)
    })?;
    let mut name = symbol.name.as_deref()?.to_owned();
    if let Some(btf) = &object.btf
        && let Some(ty) = variable_type(object, btf, map, &name)
        && let Some(path) = path_to(btf, ty, at - symbol.value)
    {
        name.push_str(&path);
    }
    Some(name)
}

/// The path to the number at a byte of a type; `None` where there is none, or a bitfield.
fn path_to(btf: &Btf<'_>, ty: TypeId, at: u64) -> Option<String> {
    let (mut ty, mut at, mut path) = (ty, at, String::new());
    for _ in 0..MOST_NESTED {
        let (_, resolved) = btf.resolve(ty)?;
        if let Some(array) = resolved.array() {
            let size = btf.size_of(array.elem).filter(|size| *size > 0)?;
            path.push_str(&format!("[{}]", at / size));
            (ty, at) = (array.elem, at % size);
        } else if let Some(composite) = resolved.composite() {
            let holds = |member: &crate::btf::Member| {
                let start = u64::from(member.bit_offset / 8);
                let size = btf.size_of(member.ty).unwrap_or(0);
                member.bitfield_size == 0 && (start..start.saturating_add(size)).contains(&at)
            };
            let member = composite.members().find(holds)?;
            let name = btf.str(member.name);
            if !name.is_empty() {
                path.push_str(&format!(".{name}"));
            }
            (ty, at) = (member.ty, at - u64::from(member.bit_offset / 8));
        } else {
            return Some(path);
        }
    }
    None
}
