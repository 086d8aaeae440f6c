//! Hold scx-lint's JSON report (version 1) against libbpf's answer for the same object.
//!
//! Both sides are plain JSON values, so this works on the output of any scx-lint binary. What is compared is what
//! libbpf decides at open; everything else in the report is not its business.

use serde_json::Value;

/// Errnos that open is known to give, by the name scx-lint prints. Above 4000 they are libbpf's own
/// (`enum libbpf_errno`).
const ERRNOS: &[(&str, i64)] = &[
    ("EPERM", 1),
    ("ENOENT", 2),
    ("ESRCH", 3),
    ("E2BIG", 7),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("EINVAL", 22),
    ("ENOSPC", 28),
    ("ERANGE", 34),
    ("ENAMETOOLONG", 36),
    ("ELOOP", 40),
    ("EPROTO", 71),
    ("ENOTSUP", 95),
    ("EOPNOTSUPP", 95),
    ("ENOTSUPP", 524),
    ("LIBBPF_ERRNO__LIBELF", 4000),
    ("LIBBPF_ERRNO__FORMAT", 4001),
    ("LIBBPF_ERRNO__KVERSION", 4002),
    ("LIBBPF_ERRNO__ENDIAN", 4003),
    ("LIBBPF_ERRNO__INTERNAL", 4004),
    ("LIBBPF_ERRNO__RELOC", 4005),
];

/// An errno, positive, from a name, a number or a number in a string, with or without sign.
pub fn errno_number(errno: &Value) -> Option<i64> {
    let text = match errno {
        Value::Number(n) => return n.as_i64().map(i64::abs),
        Value::String(text) => text.trim_start_matches('-'),
        _ => return None,
    };
    let named =
        ERRNOS.iter().find(|(name, _)| *name == text || name.strip_prefix("LIBBPF_ERRNO__") == Some(text));
    named.map(|&(_, n)| n).or_else(|| text.parse().ok())
}

/// Why an object is refused at open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Positive; `None` where scx-lint could not read the file at all and so quotes nobody.
    pub errno: Option<i64>,
    /// libbpf's warnings, or the one that scx-lint quotes; empty where libbpf refuses in silence.
    pub messages: Vec<String>,
}

/// What one side says about opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The object opens.
    Accepted,
    /// It does not.
    Refused(Refusal),
    /// libbpf died of it, or scx-lint says that it cannot tell or gave no report.
    Undecided(String),
}

/// libbpf's answer as an [`Opening`].
pub fn of_libbpf(answer: &Value) -> Opening {
    if let Some(crash) = answer["crash"].as_str() {
        return Opening::Undecided(format!("libbpf crashed: {crash}"));
    }
    if answer["ok"] == true {
        return Opening::Accepted;
    }
    Opening::Refused(Refusal {
        errno: errno_number(&answer["errno"]),
        messages: strings(&answer["messages"]).map(str::to_owned).collect(),
    })
}

/// scx-lint's report about its `index`-th object as an [`Opening`].
pub fn of_ours(report: &Value, index: usize) -> Opening {
    let object = &report["objects"][index];
    if object.is_null() {
        return Opening::Undecided("no such object in the report".to_owned());
    }
    if !object["error"].is_null() {
        return Opening::Refused(Refusal {
            errno: errno_number(&object["error"]["errno"]),
            messages: Vec::new(),
        });
    }
    let ours = |row: &&Value| row["object"] == index;
    let verdict = elements(&report["verdicts"]).filter(ours).find(|v| v["struct_ops"].is_null());
    match verdict.and_then(|v| v["open"].as_str()) {
        Some("pass") => Opening::Accepted,
        Some("fail") => {
            let findings = || elements(&report["findings"]).filter(ours).filter(|f| f["phase"] == "open");
            // The one that decides comes first among the errors: libbpf stops there.
            match findings().find(|f| f["level"] == "error").or_else(|| findings().next()) {
                None => Opening::Undecided("open fails, but no finding says why".to_owned()),
                Some(finding) => Opening::Refused(Refusal {
                    errno: errno_number(&finding["errno"]),
                    messages: finding["kernel_message"].as_str().map(str::to_owned).into_iter().collect(),
                }),
            }
        }
        other => Opening::Undecided(format!("verdict open: {}", other.unwrap_or("missing"))),
    }
}

/// Every difference between libbpf's answer and scx-lint's report about its `index`-th object, one line each.
///
/// An input that scx-lint cannot read as a BPF ELF (`objects[].error`) need only be refused by libbpf too, whatever
/// the words. Otherwise the errno must agree and the quoted message be one of libbpf's warnings; where libbpf prints
/// none, none may be quoted.
pub fn differences(libbpf: &Value, ours: &Value, index: usize) -> Vec<String> {
    let mut out = Vec::new();
    match (of_libbpf(libbpf), of_ours(ours, index)) {
        (Opening::Accepted, Opening::Accepted) => contents(libbpf, &ours["objects"][index], &mut out),
        (Opening::Refused(theirs), Opening::Refused(ours)) => refusals(&theirs, &ours, libbpf, &mut out),
        (theirs, ours) => out.push(format!("open: libbpf {}, ours {}", brief(&theirs), brief(&ours))),
    }
    out
}

/// One side's opening in a few words.
pub fn brief(opening: &Opening) -> String {
    match opening {
        Opening::Accepted => "accepts".to_owned(),
        Opening::Undecided(why) => format!("cannot tell ({why})"),
        Opening::Refused(refusal) => {
            let errno = refusal.errno.map_or_else(|| "no errno".to_owned(), |n| format!("-{n}"));
            format!("refuses ({errno} {:?})", refusal.messages)
        }
    }
}

fn refusals(theirs: &Refusal, ours: &Refusal, libbpf: &Value, out: &mut Vec<String>) {
    // An input error: the report explains the file in its own words.
    if ours.errno.is_none() && ours.messages.is_empty() {
        return;
    }
    if theirs.errno != ours.errno {
        out.push(format!("errno: libbpf {}, ours {}", theirs.errno.unwrap_or(0), ours.errno.unwrap_or(0)));
    }
    // Messages about the file as such name it: by path, or in memory by the object's name.
    let path = libbpf["path"].as_str().unwrap_or_default();
    let base = path.rsplit('/').next().unwrap_or(path);
    let name: String = base.chars().take(15).take_while(|&c| c != '.').collect();
    let same = |a: &str, b: &str| {
        a == b
            || [path, base]
                .iter()
                .any(|p| !p.is_empty() && a.replace(*p, &name) == b.replace(path, &name).replace(base, &name))
    };
    match ours.messages.first() {
        Some(quoted) if theirs.messages.iter().any(|m| same(m, quoted)) => {}
        None if theirs.messages.is_empty() => {}
        quoted => out.push(format!("message: libbpf {:?}, ours {quoted:?}", theirs.messages)),
    }
}

fn contents(libbpf: &Value, ours: &Value, out: &mut Vec<String>) {
    field("object", libbpf, ours, ["name", "name"], out);
    field("object", libbpf, ours, ["license", "license"], out);
    // Only libbpf's maps have a section: its name is what scx-lint calls an internal map by.
    let map_name = |m: &Value| m.get("section").filter(|s| !s.is_null()).unwrap_or(&m["name"]).clone();
    pairs("map", [&libbpf["maps"], &ours["maps"]], map_name, out, |what, theirs, ours, out| {
        // libbpf 1.7 has no word for a type that is newer than itself.
        let nameless = theirs["type"].as_str().is_some_and(|ty| ty.bytes().all(|b| b.is_ascii_digit()));
        if !nameless {
            field(what, theirs, ours, ["type", "type"], out);
        }
        for name in ["flags", "key_size", "value_size", "max_entries", "map_extra", "kernel_name"] {
            field(what, theirs, ours, [name, name], out);
        }
    });
    let own_name = |p: &Value| p["name"].clone();
    let programs = [&libbpf["programs"], &ours["programs"]];
    pairs("program", programs, own_name, out, |what, theirs, ours, out| {
        for names in [["section", "section"], ["insn_cnt", "insns"], ["type", "kind"]] {
            field(what, theirs, ours, names, out);
        }
        let loads = autoload(libbpf, theirs);
        if ours["autoload"] != loads {
            out.push(format!("{what}: autoload: libbpf {loads}, ours {}", ours["autoload"]));
        }
    });
    let map = |s: &Value| s["map"].clone();
    let struct_ops = [&libbpf["struct_ops"], &ours["struct_ops"]];
    pairs("struct_ops", struct_ops, map, out, |what, theirs, ours, out| {
        for name in ["link", "autocreate"] {
            field(what, theirs, ours, [name, name], out);
        }
        let ty = essential_name(theirs["type"].as_str().unwrap_or_default());
        if ours["type"] != ty {
            out.push(format!("{what}: type: libbpf {ty}, ours {}", ours["type"]));
        }
        // libbpf lists only the members that a program is in.
        let set = elements(&ours["members"]).filter(|m| !m["program"].is_null()).cloned().collect();
        pairs(what, [&theirs["members"], &Value::Array(set)], own_name, out, |what, theirs, ours, out| {
            field(what, theirs, ours, ["program", "program"], out);
        });
    });
}

/// Whether a program will be loaded: what open found, overridden for a program in an ops variable by whether one of
/// those is created (`bpf_object_adjust_struct_ops_autoload`, which runs at load). Whether it is sleepable cannot be
/// asked: libbpf sets that flag only when it loads.
fn autoload(libbpf: &Value, program: &Value) -> bool {
    let uses = |map: &&Value| elements(&map["members"]).any(|m| m["program"] == program["name"]);
    let mut users = elements(&libbpf["struct_ops"]).filter(uses).peekable();
    match users.peek() {
        Some(_) if program["type"] == "struct_ops" => users.any(|map| map["autocreate"] == true),
        _ => program["autoload"] == true,
    }
}

/// The name under which a type is looked for in a kernel: without its `___flavor`, the last `___` that has no further
/// underscore beside it (`bpf_core_essential_name_len`).
fn essential_name(name: &str) -> &str {
    let bytes = name.as_bytes();
    let is_flavor =
        |&at: &usize| bytes[at - 1] != b'_' && &bytes[at..at + 3] == b"___" && bytes[at + 3] != b'_';
    (1..bytes.len().saturating_sub(3)).rev().find(is_flavor).and_then(|at| name.get(..at)).unwrap_or(name)
}

/// Match two lists element by element. Only the order being different is one difference; an element that one side
/// does not have is another.
fn pairs(
    what: &str,
    [theirs, ours]: [&Value; 2],
    name: impl Fn(&Value) -> Value,
    out: &mut Vec<String>,
    each: impl Fn(&str, &Value, &Value, &mut Vec<String>),
) {
    let theirs: Vec<_> = elements(theirs).map(|v| (name(v), v)).collect();
    let mut rest: Vec<_> = elements(ours).map(|v| (name(v), v)).collect();
    let in_order = theirs.iter().map(|(key, _)| key).eq(rest.iter().map(|(key, _)| key));
    let mut complete = true;
    for (key, theirs) in theirs {
        let Some(at) = rest.iter().position(|(other, _)| *other == key) else {
            complete = false;
            out.push(format!("{what} {key}: libbpf only"));
            continue;
        };
        let (_, ours) = rest.remove(at);
        each(&format!("{what} {key}"), theirs, ours, out);
    }
    complete &= rest.is_empty();
    out.extend(rest.iter().map(|(key, _)| format!("{what} {key}: ours only")));
    if complete && !in_order {
        out.push(format!("{what}s: same names, other order"));
    }
}

fn field(what: &str, theirs: &Value, ours: &Value, [their_name, our_name]: [&str; 2], out: &mut Vec<String>) {
    let (theirs, ours) = (&theirs[their_name], &ours[our_name]);
    if theirs != ours && number(theirs).is_none_or(|n| number(ours) != Some(n)) {
        out.push(format!("{what}: {our_name}: libbpf {theirs}, ours {ours}"));
    }
}

/// A number, which the report writes as a hexadecimal string above 2^53.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
        _ => value.as_u64(),
    }
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    elements(list).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn theirs() -> Value {
        json!({
            "path": "d/sched.bpf.o", "ok": true, "errno": 0, "messages": [], "name": "sched", "license": "GPL",
            "maps": [
                {"name": "arena", "section": null, "kernel_name": "arena", "type": "arena", "flags": 1024, "key_size": 0, "value_size": 0,
                 "max_entries": 100, "map_extra": 1_u64 << 60},
                {"name": "sched.bss", "section": ".bss", "kernel_name": "sched.bss", "type": "array", "flags": 0, "key_size": 4,
                 "value_size": 8, "max_entries": 1, "map_extra": 0}
            ],
            "programs": [{"name": "p", "section": "struct_ops.s/p", "type": "struct_ops", "autoload": true, "flags": 0, "insn_cnt": 3}],
            "struct_ops": [{"map": "ops", "type": "sched_ext_ops", "link": true, "autocreate": true, "members": [{"name": "init", "program": "p"}]}],
        })
    }

    fn ours() -> Value {
        json!({
            "objects": [{
                "path": "d/sched.bpf.o", "name": "sched", "license": "GPL", "error": null,
                "maps": [
                    {"name": "arena", "kernel_name": "arena", "type": "arena", "flags": 1024, "key_size": 0, "value_size": 0,
                     "max_entries": 100, "map_extra": "0x1000000000000000"},
                    {"name": ".bss", "kernel_name": "sched.bss", "type": "array", "flags": 0, "key_size": 4, "value_size": 8,
                     "max_entries": 1, "map_extra": 0}
                ],
                "programs": [{"name": "p", "section": "struct_ops.s/p", "kind": "struct_ops", "autoload": true, "insns": 3}],
                "struct_ops": [{"map": "ops", "type": "sched_ext_ops", "link": true, "autocreate": true,
                                "members": [{"name": "init", "program": "p"}, {"name": "flags", "value": 3}]}],
            }],
            "verdicts": [{"object": 0, "struct_ops": null, "open": "pass"}],
            "findings": [],
        })
    }

    #[test]
    fn equal_views_do_not_differ() {
        assert_eq!(differences(&theirs(), &ours(), 0), Vec::<String>::new());
    }

    /// Change one place of our report at a time: each change must show.
    #[test]
    fn every_compared_field_counts() {
        let object = "/objects/0";
        for (at, value) in [
            ("/name", json!("other")),
            ("/license", json!("MIT")),
            ("/maps/0/name", json!("other")),
            ("/maps/0/type", json!("array")),
            ("/maps/0/flags", json!(0)),
            ("/maps/0/key_size", json!(4)),
            ("/maps/0/value_size", json!(4)),
            ("/maps/0/max_entries", json!(1)),
            ("/maps/0/map_extra", json!("0x1000000000000001")),
            ("/maps/1/kernel_name", json!(".bss")),
            ("/programs/0/section", json!("struct_ops/p")),
            ("/programs/0/autoload", json!(false)),
            ("/programs/0/insns", json!(4)),
            ("/programs/0/kind", json!("syscall")),
            ("/programs", json!([])),
            ("/struct_ops/0/type", json!("sched_ext_ops_cid")),
            ("/struct_ops/0/link", json!(false)),
            ("/struct_ops/0/members", json!([])),
            ("/struct_ops/0/members/0/program", json!("q")),
        ] {
            let mut ours = ours();
            *ours.pointer_mut(&format!("{object}{at}")).unwrap() = value;
            assert_ne!(differences(&theirs(), &ours, 0), Vec::<String>::new(), "{at}");
        }
        let mut swapped = ours();
        swapped["objects"][0]["maps"].as_array_mut().unwrap().reverse();
        assert_eq!(differences(&theirs(), &swapped, 0), ["maps: same names, other order"]);
    }

    #[test]
    fn programs_of_uncreated_ops_do_not_load() {
        let (mut theirs, mut ours) = (theirs(), ours());
        for view in [&mut theirs, &mut ours["objects"][0]] {
            view["struct_ops"][0]["autocreate"] = json!(false);
        }
        assert_eq!(differences(&theirs, &ours, 0).len(), 1, "libbpf will set autoload to false");
        ours["objects"][0]["programs"][0]["autoload"] = json!(false);
        assert_eq!(differences(&theirs, &ours, 0), Vec::<String>::new());
    }

    #[test]
    fn flavors_are_cut() {
        for (name, essential) in [
            ("a___b", "a"),
            ("a___b___c", "a___b"),
            ("a____b", "a____b"),
            ("___a", "___a"),
            ("a___", "a___"),
            ("", ""),
        ] {
            assert_eq!(essential_name(name), essential, "{name}");
        }
    }

    #[test]
    fn refusals_agree_in_errno_and_words() {
        let libbpf = json!({"path": "d/a_long_object_name.o", "ok": false, "errno": -4001, "messages": ["elf: multiple symbol tables in d/a_long_object_name.o"]});
        let ours = |errno: Value, message: Value| {
            json!({
                "objects": [{"error": null}],
                "verdicts": [{"object": 0, "struct_ops": null, "open": "fail"}],
                "findings": [{"object": 0, "phase": "open", "level": "error", "errno": errno, "kernel_message": message}],
            })
        };
        let right = json!("elf: multiple symbol tables in d/a_long_object_name.o");
        for errno in [json!("LIBBPF_ERRNO__FORMAT"), json!(-4001), json!("-4001"), json!("FORMAT")] {
            assert_eq!(differences(&libbpf, &ours(errno, right.clone()), 0), Vec::<String>::new());
        }
        assert_eq!(
            differences(
                &libbpf,
                &ours(json!(4001), json!("elf: multiple symbol tables in a_long_object_n")),
                0
            ),
            Vec::<String>::new()
        );
        assert_eq!(differences(&libbpf, &ours(json!("EINVAL"), right), 0).len(), 1);
        assert_eq!(differences(&libbpf, &ours(json!(4001), json!("something else")), 0).len(), 1);
        assert_eq!(differences(&libbpf, &ours(json!(4001), Value::Null), 0).len(), 1);
        let accepted = json!({"objects": [{"error": null}], "verdicts": [{"object": 0, "struct_ops": null, "open": "pass"}]});
        assert_eq!(differences(&libbpf, &accepted, 0).len(), 1);
        let unreadable = json!({"objects": [{"error": {"code": "truncated"}}]});
        assert_eq!(differences(&libbpf, &unreadable, 0), Vec::<String>::new());
        assert_eq!(differences(&theirs(), &unreadable, 0).len(), 1);
    }
}
