//! Why a scheduler exited: as it recorded itself, and as the kernel log tells.

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use super::kmsg;
use super::names::map_name;
use super::observation::ExitSeen;
use super::pasted;
use crate::btf::Kind;
use crate::elf::SymbolKind;
use crate::object::Object;

/// `sched_ext: BPF scheduler "NAME" disabled (REASON)` and, after it, `sched_ext: NAME: MESSAGE`.
pub(super) fn exit_from_log(records: &[kmsg::Record]) -> Option<ExitSeen> {
    let mut lines = records.iter().filter_map(|record| record.text.strip_prefix("sched_ext: "));
    let (name, reason) = lines.by_ref().find_map(pasted::disabled)?;
    let message = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(ExitSeen {
        kind: None,
        code: None,
        reason: reason.to_owned(),
        message: message.unwrap_or_default().to_owned(),
        source: "kernel log".to_owned(),
    })
}

/// Where an object keeps its `struct user_exit_info`, as scx's headers define it.
pub(super) struct ExitData {
    map: MapHandle,
    /// Byte offset of the variable in the map's value.
    offset: usize,
    /// Byte offset and size of each member that is there.
    members: Vec<(String, usize, usize)>,
}

pub(super) fn exit_data(object: &Object<'_>, loaded: &libbpf_rs::Object) -> Option<ExitData> {
    let btf = object.btf.as_ref()?;
    let (name, ty) = btf.types().find_map(|(_, ty)| {
        let (_, inner) = (ty.kind() == Kind::Var).then(|| btf.resolve(ty.target())).flatten()?;
        (inner.kind() == Kind::Struct && btf.name(&inner) == "user_exit_info").then(|| (btf.name(&ty), inner))
    })?;
    let symbol = object
        .elf
        .symbols
        .iter()
        .find(|symbol| symbol.kind == SymbolKind::Object && symbol.name.as_deref() == Some(name))?;
    let section = &object.elf.section_at(symbol.section)?.name;
    let map = loaded.maps().find(|map| map_name(&map.name().to_string_lossy()) == section)?;
    let members = ty.composite()?.members().filter_map(|member| {
        let size = btf.size_of(member.ty)?;
        Some((btf.str(member.name).to_owned(), member.bit_offset as usize / 8, usize::try_from(size).ok()?))
    });
    Some(ExitData {
        map: MapHandle::try_from(&map).ok()?,
        offset: usize::try_from(symbol.value).ok()?,
        members: members.collect(),
    })
}

impl ExitData {
    /// What `ops.exit` recorded; `None` where it recorded nothing.
    pub(super) fn read(&self, kinds: &dyn Fn() -> Vec<(String, u64)>) -> Option<ExitSeen> {
        let value = self.map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY).ok()??;
        let member = |name: &str| {
            let (_, offset, size) = self.members.iter().find(|(known, _, _)| known == name)?;
            value.get(self.offset.checked_add(*offset)?..)?.get(..*size)
        };
        let number = |name: &str| {
            let bytes = member(name)?;
            match bytes.len() {
                4 => Some(i64::from(i32::from_ne_bytes(bytes.try_into().ok()?))),
                8 => Some(i64::from_ne_bytes(bytes.try_into().ok()?)),
                _ => None,
            }
        };
        let text = |name: &str| {
            let bytes = member(name).unwrap_or_default();
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let kind = number("kind").filter(|&kind| kind != 0)?;
        let name =
            kinds().iter().find(|(_, value)| i64::try_from(*value) == Ok(kind)).map(|(name, _)| name.clone());
        Some(ExitSeen {
            kind: Some(name.unwrap_or_else(|| kind.to_string())),
            code: number("exit_code"),
            reason: text("reason"),
            message: text("msg"),
            source: "object".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> kmsg::Record {
        kmsg::Record { level: 3, text: text.to_owned() }
    }

    #[test]
    fn the_kernel_log_gives_reason_and_message() {
        let records = [
            record("sched_ext: BPF scheduler \"a\" enabled"),
            record("sched_ext: BPF scheduler \"a\" disabled (runtime error)"),
            record("sched_ext: a: ops.init() failed (-17)"),
        ];
        let exit = exit_from_log(&records).unwrap();
        assert_eq!(
            (exit.reason.as_str(), exit.message.as_str()),
            ("runtime error", "ops.init() failed (-17)")
        );
        assert_eq!(exit_from_log(&records[..1]), None);
    }
}
