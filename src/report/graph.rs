//! Members -> programs -> maps of an object, as Graphviz, Mermaid or an SVG picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use quick_xml::escape::escape;

use super::document::Document;
use super::dossier::Dossier;
use super::objects::ObjectDoc;
use crate::finding::SubjectKind;
use crate::object::{F_ARENA_MAP_ALWAYS, MapType};
use crate::rule::Level;

/// What a box of the picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Member,
    Program,
    Map,
    Arena,
}

/// A box.
#[derive(Debug)]
struct Node {
    kind: Kind,
    title: String,
    /// Second line.
    note: String,
    /// The problem with it, if there is one.
    marked: Option<String>,
}

/// A picture of one ops variable, or of the programs that belong to none.
#[derive(Debug)]
pub(super) struct Graph {
    /// Headline.
    pub(super) title: String,
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
}

impl Graph {
    /// One graph for each ops variable of an object, and one for the other programs that load with it.
    pub(super) fn of(part: &Dossier<'_>) -> Vec<Self> {
        let object = part.object;
        let mut graphs = Vec::new();
        let mut shown: Vec<&str> = Vec::new();
        for ops in &object.struct_ops {
            let title = format!("struct_ops '{}' ({})", ops.map, ops.type_name);
            let mut graph = Self { title, nodes: Vec::new(), edges: Vec::new() };
            let mut known = BTreeMap::new();
            for member in &ops.members {
                let Some(program) = member.program.as_deref() else { continue };
                let full = format!("{}.{}", ops.map, member.name);
                let marked = problem(part, SubjectKind::Member, &full);
                let from = graph.node(Kind::Member, format!(".{}", member.name), String::new(), marked);
                let to = graph.program(part, program, &mut known);
                graph.edges.push((from, to));
                shown.push(program);
            }
            graphs.push(graph);
        }
        let mut rest = Self { title: "other programs".to_owned(), nodes: Vec::new(), edges: Vec::new() };
        let mut known = BTreeMap::new();
        for program in &object.programs {
            if !shown.contains(&program.name.as_str()) {
                rest.program(part, &program.name, &mut known);
            }
        }
        if !rest.nodes.is_empty() {
            graphs.push(rest);
        }
        graphs
    }

    fn node(&mut self, kind: Kind, title: String, note: String, marked: Option<String>) -> usize {
        self.nodes.push(Node { kind, title, note, marked });
        self.nodes.len() - 1
    }

    /// A program and its maps, each once.
    fn program(
        &mut self,
        part: &Dossier<'_>,
        name: &str,
        known: &mut BTreeMap<(bool, String), usize>,
    ) -> usize {
        if let Some(&node) = known.get(&(false, name.to_owned())) {
            return node;
        }
        let object = part.object;
        let program = object.programs.iter().find(|program| program.name == name);
        let note = program.map_or_else(String::new, |program| {
            let sleepable = if program.sleepable { ", sleepable" } else { "" };
            format!("{} instructions{sleepable}", program.insns_linked)
        });
        let marked = problem(part, SubjectKind::Program, name);
        let from = self.node(Kind::Program, name.to_owned(), note, marked);
        known.insert((false, name.to_owned()), from);
        for map in program.map(|program| program.maps.as_slice()).unwrap_or_default() {
            let to = match known.get(&(true, map.clone())) {
                Some(&node) => node,
                None => {
                    let (kind, note) = map_note(object, map);
                    let node = self.node(kind, map.clone(), note, problem(part, SubjectKind::Map, map));
                    known.insert((true, map.clone()), node);
                    node
                }
            };
            self.edges.push((from, to));
        }
        from
    }

    fn column(&self, of: impl Fn(Kind) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| of(self.nodes[node].kind)).collect()
    }

    /// A picture of three columns; colours come from CSS classes.
    pub(super) fn svg(&self) -> String {
        const ROW: usize = 44;
        const HEIGHT: usize = 34;
        const WIDTH: [usize; 3] = [170, 260, 230];
        const LEFT: [usize; 3] = [4, 254, 594];
        const TOTAL: usize = 828;
        let columns = [
            self.column(|kind| kind == Kind::Member),
            self.column(|kind| kind == Kind::Program),
            self.column(|kind| matches!(kind, Kind::Map | Kind::Arena)),
        ];
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut at = vec![(0, 0, 0); self.nodes.len()];
        for (column, nodes) in columns.iter().enumerate() {
            // Spread over the height, so that edges stay short.
            let free = (rows - nodes.len()) * ROW;
            for (row, &node) in nodes.iter().enumerate() {
                let y = 4 + row * ROW + free * (2 * row + 1) / (2 * nodes.len());
                at[node] = (LEFT[column], y, WIDTH[column]);
            }
        }
        let height = rows * ROW + 4;
        let mut svg = format!(
            "<svg class=\"graph\" viewBox=\"0 0 {TOTAL} {height}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title.as_str())
        );
        for &(from, to) in &self.edges {
            let ((x1, y1, w), (x2, y2, _)) = (at[from], at[to]);
            let (x1, y1, y2) = (x1 + w, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
            let bend = (x2 - x1) / 2;
            let class = if self.nodes[to].kind == Kind::Arena { "edge arena" } else { "edge" };
            let _ = writeln!(
                svg,
                "<path class=\"{class}\" d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\"/>",
                x1 + bend,
                x2 - bend
            );
        }
        for (node, &(x, y, w)) in self.nodes.iter().zip(&at) {
            let class = match node.kind {
                Kind::Member => "member",
                Kind::Program => "program",
                Kind::Map => "map",
                Kind::Arena => "map arena",
            };
            let bad = if node.marked.is_some() { " bad" } else { "" };
            let _ = write!(svg, "<g class=\"{class}{bad}\"><title>{}", escape(node.title.as_str()));
            if !node.note.is_empty() {
                let _ = write!(svg, ": {}", escape(node.note.as_str()));
            }
            if let Some(problem) = &node.marked {
                let _ = write!(svg, "\n{}", escape(problem.as_str()));
            }
            let _ =
                write!(svg, "</title><rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{HEIGHT}\" rx=\"5\"/>");
            let (first, second) = if node.note.is_empty() { (21, 0) } else { (15, 28) };
            let title = cut(&node.title, w / 8);
            let _ =
                write!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", x + 8, y + first, escape(title.as_str()));
            if second > 0 {
                let note = cut(&node.note, w / 7);
                let _ = write!(
                    svg,
                    "<text class=\"note\" x=\"{}\" y=\"{}\">{}</text>",
                    x + 8,
                    y + second,
                    escape(note.as_str())
                );
            }
            svg.push_str("</g>\n");
        }
        svg.push_str("</svg>");
        svg
    }
}

/// At most so many characters, with an ellipsis.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The first error or warning about a thing.
fn problem(part: &Dossier<'_>, kind: SubjectKind, name: &str) -> Option<String> {
    let about = part.findings.iter().find(|finding| {
        finding.level > Level::Note && finding.subject.kind == kind && finding.subject.name == name
    })?;
    Some(format!("{}[{}]: {}", about.level.as_str(), about.rule.name, about.message))
}

fn map_note(object: &ObjectDoc, name: &str) -> (Kind, String) {
    let Some(map) = object.maps.iter().find(|map| map.name == name) else {
        return (Kind::Map, String::new());
    };
    if map.map_type != MapType::ARENA {
        return (Kind::Map, map.map_type.to_string());
    }
    let always = if map.flags & F_ARENA_MAP_ALWAYS != 0 { ", always mapped" } else { "" };
    (Kind::Arena, format!("arena, {} pages{always}", map.max_entries))
}

/// Prints Graphviz, one cluster for each ops variable.
///
/// # Errors
/// The writer's.
pub fn dot(document: &Document, out: &mut impl Write) -> io::Result<()> {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    writeln!(out, "digraph scx {{\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];")?;
    for (index, part) in document.parts().iter().enumerate() {
        for (number, graph) in Graph::of(part).iter().enumerate() {
            let title = format!("{}: {}", part.object.title(), graph.title);
            writeln!(out, "  subgraph cluster_{index}_{number} {{\n    label={};", quote(&title))?;
            for (id, node) in graph.nodes.iter().enumerate() {
                let mut label = quote(&node.title);
                if !node.note.is_empty() {
                    label.insert_str(label.len() - 1, &format!("\\n{}", node.note.replace('"', "\\\"")));
                }
                let style = match node.kind {
                    Kind::Member => ", shape=plaintext",
                    Kind::Program => "",
                    Kind::Map => ", shape=cylinder",
                    Kind::Arena => ", shape=cylinder, style=filled, fillcolor=gold",
                };
                let bad = if node.marked.is_some() { ", color=red" } else { "" };
                writeln!(out, "    n{index}_{number}_{id} [label={label}{style}{bad}];")?;
            }
            for (from, to) in &graph.edges {
                writeln!(out, "    n{index}_{number}_{from} -> n{index}_{number}_{to};")?;
            }
            writeln!(out, "  }}")?;
        }
    }
    writeln!(out, "}}")
}

/// Prints Mermaid, one subgraph for each ops variable.
///
/// # Errors
/// The writer's.
pub fn mermaid(document: &Document, out: &mut impl Write) -> io::Result<()> {
    // Mermaid takes HTML entities with # instead of &.
    let quote = |text: &str| format!("\"{}\"", escape(text).replace('#', "#35;").replace('&', "#"));
    writeln!(out, "flowchart LR")?;
    writeln!(out, "  classDef arena fill:#ffd700,stroke:#8a6d00,color:#000")?;
    writeln!(out, "  classDef bad stroke:#d00,stroke-width:3px")?;
    for (index, part) in document.parts().iter().enumerate() {
        for (number, graph) in Graph::of(part).iter().enumerate() {
            let title = format!("{}: {}", part.object.title(), graph.title);
            writeln!(out, "  subgraph g{index}_{number}[{}]", quote(&title))?;
            for (id, node) in graph.nodes.iter().enumerate() {
                let text = match node.note.as_str() {
                    "" => node.title.clone(),
                    note => format!("{} ({note})", node.title),
                };
                let (open, close) = match node.kind {
                    Kind::Member => ("([", "])"),
                    Kind::Program => ("[", "]"),
                    Kind::Map | Kind::Arena => ("[(", ")]"),
                };
                writeln!(out, "    n{index}_{number}_{id}{open}{}{close}", quote(&text))?;
                if node.kind == Kind::Arena {
                    writeln!(out, "    class n{index}_{number}_{id} arena")?;
                }
                if node.marked.is_some() {
                    writeln!(out, "    class n{index}_{number}_{id} bad")?;
                }
            }
            writeln!(out, "  end")?;
            for (from, to) in &graph.edges {
                writeln!(out, "  n{index}_{number}_{from} --> n{index}_{number}_{to}")?;
            }
        }
    }
    Ok(())
}
