//! Registers and their types as messages name them (`reg_type_str`).

use super::reg::{Flags, Kind};

/// The name of a type with its flags: `ptr_or_null_`, `trusted_ptr_`, `map_value`.
pub fn type_name(kind: Kind, flags: Flags) -> String {
    let base = match kind {
        Kind::NotInit => "?",
        Kind::Scalar => "scalar",
        Kind::Ctx => "ctx",
        Kind::MapPtr(_) => "map_ptr",
        Kind::MapValue(_) => "map_value",
        Kind::MapKey(_) => "map_key",
        Kind::Stack(_) => "fp",
        Kind::Mem(_) => "mem",
        Kind::Buf => "buf",
        Kind::TpBuffer => "tp_buffer",
        Kind::BtfId(_) => "ptr_",
        Kind::Func(_) => "func",
        Kind::Arena => "arena",
        Kind::Dynptr(_) => "dynptr_ptr",
        Kind::Socket => "sock",
        Kind::SockCommon => "sock_common",
        Kind::TcpSock => "tcp_sock",
        Kind::XdpSock => "xdp_sock",
        Kind::Packet => "pkt",
        Kind::StackDynptr { .. } | Kind::StackIter { .. } | Kind::StackIrq { .. } => "",
    };
    let postfix = match kind {
        Kind::BtfId(_) if flags.has(Flags::MAYBE_NULL) => "or_null_",
        _ if flags.has(Flags::MAYBE_NULL) => "_or_null",
        _ => "",
    };
    let mut prefix = String::new();
    for (flag, word) in [
        (Flags::RDONLY, "rdonly_"),
        (Flags::RINGBUF, "ringbuf_"),
        (Flags::USER, "user_"),
        (Flags::PERCPU, "percpu_"),
        (Flags::RCU, "rcu_"),
        (Flags::UNTRUSTED, "untrusted_"),
        (Flags::TRUSTED, "trusted_"),
    ] {
        if flags.has(flag) {
            prefix.push_str(word);
        }
    }
    format!("{prefix}{base}{postfix}")
}

/// A kind of type as messages name it (`btf_type_str`).
pub fn kind_word(kind: crate::btf::Kind) -> String {
    match kind {
        crate::btf::Kind::Void => "UNKNOWN".to_owned(),
        other => other.as_str().to_ascii_uppercase(),
    }
}

/// What messages call a register.
pub fn register_name(number: u8) -> &'static str {
    const NAMES: [&str; 11] = ["R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10"];
    NAMES.get(usize::from(number)).copied().unwrap_or("R?")
}

/// The register that a message is about: the first that it names, or the argument, which some messages up to 7.1 count from 0.
pub fn register_named(message: &str) -> Option<u32> {
    message.split(|c: char| !c.is_ascii_alphanumeric() && c != '#').find_map(|word| {
        let number = |name: &str| word.strip_prefix(name)?.parse::<u32>().ok();
        let argument =
            || number("arg#").or_else(|| number("args#")).or_else(|| number("arg"))?.checked_add(1);
        number("R").or_else(argument)
    })
}
