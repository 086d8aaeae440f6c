//! Tables of what libbpf makes of an object, for people.

use std::io::{self, Write};

use super::document::Document;
use super::objects::{MemberValue, ObjectDoc, ProgramDoc};
use crate::elf::ByteOrder;
use crate::object::Form;
use crate::rule::{Level, Phase};

/// Prints maps, programs and, for each ops variable, member -> program -> maps. Long cells wrap at
/// `width` columns.
///
/// # Errors
/// The writer's.
pub fn inspect(document: &Document, out: &mut impl Write, width: usize) -> io::Result<()> {
    for object in &document.objects {
        match &object.error {
            Some(error) => writeln!(out, "{}: {}", object.path, error.message)?,
            None => one(object, out, width)?,
        }
    }
    let refused = document
        .findings
        .iter()
        .filter(|finding| finding.phase == Phase::Open && finding.level == Level::Error);
    for finding in refused {
        writeln!(out, "\nlibbpf would not open it: {} [{}]", finding.message, finding.rule.name)?;
    }
    Ok(())
}

fn one(object: &ObjectDoc, out: &mut impl Write, width: usize) -> io::Result<()> {
    writeln!(
        out,
        "{}: object '{}', license \"{}\", {} endian",
        object.title(),
        object.name,
        object.license.escape_debug(),
        object.byte_order.map_or("?", ByteOrder::as_str)
    )?;
    let maps = object.maps.iter().map(|map| {
        vec![
            map.name.clone(),
            map.map_type.to_string(),
            map.key_size.to_string(),
            map.value_size.to_string(),
            map.max_entries.to_string(),
            if map.flag_names.is_empty() { format!("{:#x}", map.flags) } else { map.flag_names.join(" ") },
            map.used_by.join(" "),
        ]
    });
    table(out, width, "maps", &["name", "type", "key", "value", "entries", "flags", "used by"], maps)?;
    let programs = object.programs.iter().map(|program| {
        vec![
            program.name.clone(),
            program.section.clone(),
            if program.sleepable { "sleepable" } else { "" }.to_owned(),
            if program.autoload { "loads" } else { "off" }.to_owned(),
            program.insns.to_string(),
            program.insns_linked.to_string(),
            program.subprograms.join(" "),
        ]
    });
    let titles = ["name", "section", "", "", "insns", "linked", "subprograms"];
    table(out, width, "programs", &titles, programs)?;
    for ops in &object.struct_ops {
        let find = |name: &str| object.programs.iter().find(|program| program.name == name);
        let rows = ops.members.iter().map(|member| match (&member.program, &member.value) {
            (Some(program), _) => {
                vec![member.name.clone(), program.clone(), find(program).map_or_else(String::new, used)]
            }
            (None, Some(MemberValue::Number(value))) => {
                vec![member.name.clone(), value.to_string(), String::new()]
            }
            (None, Some(MemberValue::Text(text))) => {
                vec![member.name.clone(), format!("{text:?}"), String::new()]
            }
            (None, None) => vec![member.name.clone(), String::new(), String::new()],
        });
        let created = if ops.autocreate { "" } else { ", not created by default" };
        let link = if ops.link { "attached by link" } else { "attached without link" };
        let title = format!("struct_ops '{}': {}, {link}{created}", ops.map, ops.type_name);
        table(out, width, &title, &["member", "program or value", "maps (bound after load)"], rows)?;
        if ops.form == Form::Cid {
            writeln!(
                out,
                "  arenas of its member programs: {}",
                match ops.arenas.as_slice() {
                    [] => "none".to_owned(),
                    arenas => arenas.join(" "),
                }
            )?;
        }
    }
    Ok(())
}

/// The maps of a program, those that are only bound in parentheses.
fn used(program: &ProgramDoc) -> String {
    let bound = program.bound_maps.iter().map(|map| format!("({map})"));
    program.maps.iter().cloned().chain(bound).collect::<Vec<_>>().join(" ")
}

/// Columns aligned with spaces; the last one takes what is left and wraps between words.
fn table(
    out: &mut impl Write,
    width: usize,
    title: &str,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let rows: Vec<Vec<String>> = rows.collect();
    writeln!(out, "\n{title}{}", if rows.is_empty() { ": none" } else { "" })?;
    if rows.is_empty() {
        return Ok(());
    }
    let fixed = heads.len() - 1;
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..fixed).map(widest).collect();
    let indent = 2 + widths.iter().map(|width| width + 2).sum::<usize>();
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        let mut used = indent;
        for word in row[fixed].split(' ') {
            if used > indent && used + word.chars().count() > width.max(indent + 20) {
                writeln!(out, "{}", line.trim_end())?;
                line = " ".repeat(indent);
                used = indent;
            }
            line.push_str(word);
            line.push(' ');
            used += word.chars().count() + 1;
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
