//! Text that a terminal or a browser shows as it is: names in an object and names of files may hold anything.

use super::document::Document;
use super::findings::FindingDoc;
use super::location::LocationDoc;
use super::runs::LiveRun;
use crate::kernel::DecidedBy;

/// Writes control characters out as `\u{1b}`, so that no name moves the cursor, colours the text or breaks the line.
pub(crate) fn escape(text: &mut String, keep: &[char]) {
    // Those that turn the direction of writing around make a line look like another.
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let control = |c: char| (c.is_control() || turns(c)) && !keep.contains(&c);
    if text.contains(control) {
        let escaped = text.chars().fold(String::new(), |mut out, c| {
            match c {
                c if control(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
            out
        });
        *text = escaped;
    }
}

impl Document {
    /// Escapes control characters in everything that comes from inputs, for the formats that people read as text.
    ///
    /// Line breaks stay in help texts, which are ours, and tabs in C lines.
    pub fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &[]);
        for object in &mut self.objects {
            all(&mut object.path);
            all(&mut object.name);
            all(&mut object.license);
            all(&mut object.sentence);
            object.values.iter_mut().for_each(all);
            if let Some(error) = &mut object.error {
                all(&mut error.message);
            }
            if let Some(embedded) = &mut object.embedded {
                all(&mut embedded.name);
            }
            for ops in &mut object.struct_ops {
                all(&mut ops.map);
                all(&mut ops.type_name);
                ops.arenas.iter_mut().for_each(all);
                for member in &mut ops.members {
                    all(&mut member.name);
                    member.program.iter_mut().for_each(all);
                }
            }
            for program in &mut object.programs {
                all(&mut program.name);
                all(&mut program.section);
                program.subprograms.iter_mut().for_each(all);
                program.maps.iter_mut().for_each(all);
                program.bound_maps.iter_mut().for_each(all);
                program.kfuncs.iter_mut().for_each(|kfunc| all(&mut kfunc.name));
            }
            for map in &mut object.maps {
                all(&mut map.name);
                all(&mut map.kernel_name);
                map.used_by.iter_mut().for_each(all);
            }
        }
        self.findings.iter_mut().for_each(FindingDoc::make_printable);
        for allow in &mut self.unmatched_allows {
            [&mut allow.rule, &mut allow.place, &mut allow.problem].into_iter().for_each(all);
        }
        for passed in &mut self.passed_over {
            [&mut passed.path, &mut passed.words].into_iter().for_each(all);
        }
        for kernel in &mut self.kernels {
            all(&mut kernel.name);
        }
        for undecided in &mut self.undecided {
            all(&mut undecided.subject.name);
            all(&mut undecided.reason);
            for way in &mut undecided.decided_by {
                if let DecidedBy::Value(name) = way {
                    all(name);
                }
            }
            undecided.locations.iter_mut().for_each(LocationDoc::make_printable);
        }
    }
}

impl FindingDoc {
    fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &[]);
        all(&mut self.message);
        all(&mut self.subject.name);
        self.kernel_message.iter_mut().for_each(all);
        self.help.iter_mut().for_each(|help| escape(help, &['\n']));
        self.locations.iter_mut().for_each(LocationDoc::make_printable);
    }
}

impl LocationDoc {
    fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &[]);
        self.file.iter_mut().for_each(all);
        self.text.iter_mut().for_each(|text| escape(text, &['\t']));
        all(&mut self.label);
        self.program.iter_mut().for_each(all);
    }
}

impl LiveRun {
    /// Escapes control characters: what libbpf and a kernel say quotes names from the object.
    pub fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &[]);
        all(&mut self.kernel);
        all(&mut self.words);
        self.differs.iter_mut().chain(&mut self.unforeseen).for_each(all);
        self.findings.iter_mut().for_each(FindingDoc::make_printable);
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn control_characters_are_written_out() {
        let escaped = |text: &str, keep: &[char]| {
            let mut text = text.to_owned();
            escape(&mut text, keep);
            text
        };
        assert_eq!(escaped("\u{1b}[31mred\n", &[]), "\\u{1b}[31mred\\n");
        assert_eq!(escaped("\tx;\u{7}", &['\t']), "\tx;\\u{7}");
        assert_eq!(escaped("größe \u{9b}", &[]), "größe \\u{9b}");
        assert_eq!(escaped("\u{202e}o.fpb", &[]), "\\u{202e}o.fpb");
        assert_eq!(escaped("plain", &[]), "plain");
    }
}
