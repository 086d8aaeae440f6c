//! Formats of `bpf_snprintf`, which the verifier reads (`check_bpf_snprintf_call`, `bpf_bprintf_prepare`).

use super::super::checker::Checker;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::Kind;
use super::super::rules::Era;

/// A byte of a format; 0 after its end.
fn at(format: &[u8], index: usize) -> u8 {
    format.get(index).copied().unwrap_or(0)
}

/// `isspace`, as the kernel counts bytes.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// What may stand after `%s` and a plain `%p`.
fn ends_word(byte: u8) -> bool {
    byte == 0 || is_space(byte) || byte.is_ascii_punctuation()
}

/// `isprint`, as the kernel counts bytes.
fn is_print(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | 0xa0..)
}

/// What comes of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// It goes with the arguments.
    Fine,
    /// It does not.
    Wrong,
    /// Kernels differ in what they make of bytes that are not ASCII.
    Depends,
}

/// A format with so many arguments. `text` tells that bytes which are not ASCII may stand between the specifiers, if known.
pub(super) fn check(format: &[u8], arguments: u64, text: Option<bool>) -> Format {
    let (mut index, mut used) = (0, 0);
    while index < format.len() {
        let byte = format[index];
        if !byte.is_ascii() {
            match text {
                Some(true) => {}
                Some(false) => return Format::Wrong,
                None => return Format::Depends,
            }
        } else if !is_print(byte) && !is_space(byte) {
            return Format::Wrong;
        }
        if byte != b'%' {
            index += 1;
            continue;
        }
        if at(format, index + 1) == b'%' {
            index += 2;
            continue;
        }
        if used >= arguments {
            return Format::Wrong;
        }
        index += 1;
        if !at(format, index).is_ascii() {
            return Format::Wrong;
        }
        while matches!(at(format, index), b'0' | b'+' | b'-' | b' ') {
            index += 1;
        }
        if matches!(at(format, index), b'1'..=b'9') {
            while at(format, index).is_ascii_digit() {
                index += 1;
            }
        }
        let Some(last) = specifier(format, index) else { return Format::Wrong };
        index = last + 1;
        used += 1;
    }
    Format::Fine
}

/// The last byte of the specifier that begins there.
fn specifier(format: &[u8], mut index: usize) -> Option<usize> {
    match at(format, index) {
        b'p' => match (at(format, index + 1), at(format, index + 2)) {
            (next, _) if ends_word(next) => Some(index),
            (b'k' | b'u', b's') => ends_word(at(format, index + 3)).then_some(index + 2),
            (b'K' | b'x' | b's' | b'S' | b'B', _) => Some(index + 1),
            (b'i' | b'I', b'4' | b'6') => Some(index + 2),
            _ => None,
        },
        b's' => ends_word(at(format, index + 1)).then_some(index),
        b'c' => Some(index),
        _ => {
            for _ in 0..2 {
                if at(format, index) == b'l' {
                    index += 1;
                }
            }
            matches!(at(format, index), b'i' | b'd' | b'u' | b'x' | b'X').then_some(index)
        }
    }
}

impl Checker<'_, '_> {
    /// The format of `bpf_snprintf` goes with its arguments.
    pub(super) fn check_snprintf(&mut self) -> Step {
        let length = self.reg(5).value.var_off().value;
        if !length.is_multiple_of(8) {
            return Err(Stop::unmodelled("arguments of bpf_snprintf that are no numbers of 8 bytes"));
        }
        let format = *self.reg(3);
        let (Kind::MapValue(map), Some(start)) = (format.kind, format.value.constant()) else {
            return Err(Stop::unmodelled("a format that is not known"));
        };
        let Some(bytes) = self.string_at(map, start)? else {
            return Err(Stop::unmodelled("a format without an end"));
        };
        let text = match self.rules.era {
            Era::V6_12 => Some(false),
            era if era >= Era::V7_2 => Some(true),
            _ => None,
        };
        match check(&bytes, length / 8, text) {
            Format::Fine => Ok(()),
            Format::Wrong => Err(Stop::einval(Why::WrongArgument, "Invalid format string")),
            Format::Depends => Err(Stop::unmodelled("a format that is not ASCII")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_the_kernel_reads_them() {
        let is = |format: &str, arguments| check(format.as_bytes(), arguments, Some(true));
        for fine in
            ["%d %u", "%i %x", "%s %pB", "%-10lld%08llx", "%p, %ps", "%pi4 %pI6", "%pks %pus", "%c%lX"]
        {
            assert_eq!(is(fine, 2), Format::Fine, "{fine}");
            assert_eq!(is(fine, 1), Format::Wrong, "{fine}");
        }
        for wrong in ["%", "%q", "%sx", "%pi5", "%pus8", "a\u{7}", "%l", "%é"] {
            assert_eq!(is(wrong, 1), Format::Wrong, "{wrong}");
        }
        assert_eq!(is("100%% ä\n", 0), Format::Fine);
        assert_eq!(check("ä".as_bytes(), 0, Some(false)), Format::Wrong);
        assert_eq!(check("ä".as_bytes(), 0, None), Format::Depends);
    }
}
