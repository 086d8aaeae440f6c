//! How JSON spells what the document keeps as types.

use serde::{Serialize, Serializer};

use super::findings::AllowedBy;
use super::number::number;
use super::verdict::Answer;
use crate::elf::ByteOrder;
use crate::errno::Errno;
use crate::finding::{Knob, Subject, SubjectKind};
use crate::kernel::{ConfigOrigin, DecidedBy, KernelArenaRule, Source};
use crate::load::Loader;
use crate::object::{Form, MapType, ProgramKind};
use crate::rule::{Level, Phase, Rule};

/// Spells types by the word that their `as_str` gives.
macro_rules! by_word {
    ($($type:ty),+ $(,)?) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        })+
    };
}

by_word!(
    AllowedBy,
    Answer,
    ByteOrder,
    ConfigOrigin,
    Form,
    KernelArenaRule,
    Level,
    Loader,
    Phase,
    ProgramKind,
    Source,
    SubjectKind
);

/// Spells types as they are printed.
macro_rules! as_printed {
    ($($type:ty),+ $(,)?) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}

as_printed!(DecidedBy, Errno, MapType);

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            kind: SubjectKind,
            name: &'a str,
        }
        Fields { kind: self.kind, name: &self.name }.serialize(serializer)
    }
}

impl Serialize for Knob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            name: &'a str,
            value: Option<Number>,
        }
        #[derive(Serialize)]
        struct Number(#[serde(serialize_with = "number")] u64);
        Fields { name: &self.name, value: self.value.map(Number) }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled<const N: usize>(values: [impl Serialize; N]) -> String {
        let words = values.iter().map(|value| serde_json::to_value(value).unwrap());
        words.map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_of_json_stay() {
        use SubjectKind as Kind;
        assert_eq!(spelled(Phase::ALL), "open load attach run");
        assert_eq!(spelled([Level::Note, Level::Warning, Level::Error]), "note warning error");
        assert_eq!(spelled([Answer::Pass, Answer::Fail, Answer::Unknown]), "pass fail unknown");
        assert_eq!(spelled([AllowedBy::Config, AllowedBy::Source]), "config source");
        assert_eq!(spelled([ByteOrder::Little, ByteOrder::Big]), "little big");
        assert_eq!(spelled([Form::Cpu, Form::Cid, Form::Other]), "cpu cid other");
        assert_eq!(spelled([Loader::Plain, Loader::Scx]), "plain scx");
        assert_eq!(spelled([Source::BuiltIn, Source::File, Source::Host]), "built-in file host");
        let rules = [KernelArenaRule::None, KernelArenaRule::One, KernelArenaRule::Always(1 << 20)];
        assert_eq!(spelled(rules), "none one always");
        let kinds = [ProgramKind::STRUCT_OPS, ProgramKind::SYSCALL, ProgramKind::UNSPEC];
        assert_eq!(spelled(kinds), "struct_ops syscall unspec");
        let kinds = [Kind::Object, Kind::StructOps, Kind::Member, Kind::Program, Kind::Map, Kind::Extern];
        assert_eq!(spelled(kinds), "object struct_ops member program map extern");
        assert_eq!(spelled([Kind::Section]), "section");
        assert_eq!(spelled([Errno::EINVAL, Errno(5)]), "EINVAL errno 5");
        assert_eq!(spelled([DecidedBy::Kconfig, DecidedBy::Run]), "--kconfig FILE --vm IMAGE");
        assert_eq!(spelled([DecidedBy::Kernel, DecidedBy::Image]), "--kernel KERNEL --kernel IMAGE");
        assert_eq!(spelled([DecidedBy::Value("ops.flags".to_owned())]), "--set ops.flags=VALUE");
        assert_eq!(spelled([MapType::ARENA, MapType(9999)]), "arena 9999");
        assert_eq!(spelled([crate::checks::find("missing-arena").unwrap()]), "missing-arena");
        let subject = Subject { kind: Kind::Map, name: "m".to_owned() };
        assert_eq!(serde_json::to_string(&subject).unwrap(), r#"{"kind":"map","name":"m"}"#);
    }
}
