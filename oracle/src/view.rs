//! Open one object with libbpf and put everything its public interface tells into JSON.
//!
//! Every `unsafe` here is a call into libbpf or a look at memory that it owns. What they rely on, once for all: an
//! object that opened stays valid until `bpf_object__close`, which [`Opened`] calls on drop; the pointers that its
//! getters hand out live as long as it does; and libbpf is called from one thread only (the worker has no other).

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::ptr;
use std::sync::Mutex;

use libbpf_sys as sys;
use serde_json::{Value, json};

/// Bytes of `bpf_object.name`, after which the license follows (`struct bpf_object`, libbpf.c of 1.7.0).
const OBJ_NAME_LEN: usize = 16;

/// Size of `bpf_object.license`.
const LICENSE_LEN: usize = 64;

/// `BTF_KIND_STRUCT`.
const KIND_STRUCT: u32 = 4;

/// The file name as `bpf_object__open_file` would turn it into an object name: the part after the last slash, at
/// most 15 bytes of it, up to the first dot (`bpf_object__new`).
pub fn object_name(path: &[u8]) -> &[u8] {
    let base = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    let cut = &base[..base.len().min(OBJ_NAME_LEN - 1)];
    cut.split(|&b| b == b'.').next().unwrap_or(cut)
}

/// What libbpf printed since the last [`take_messages`], with its level.
static MESSAGES: Mutex<Vec<(u32, String)>> = Mutex::new(Vec::new());

unsafe extern "C" {
    /// `vsnprintf(3)`. On x86-64 and arm64, the hosts we build for, a C function receives a `va_list` parameter as a
    /// pointer, so the one that libbpf hands to the print callback can be passed on as it came.
    fn vsnprintf(buf: *mut c_char, size: usize, format: *const c_char, args: *mut c_void) -> c_int;
}

unsafe extern "C" fn print(level: u32, format: *const c_char, args: *mut sys::__va_list_tag) -> c_int {
    if level == sys::LIBBPF_DEBUG {
        return 0;
    }
    // One pass only, because a va_list cannot be walked twice. Nothing that opening prints is this long: names come
    // from the object, but a longer line would be cut and no worse.
    let mut buf = vec![0_u8; 16 * 1024];
    // SAFETY: `buf` has the size given, and format and arguments are what libbpf made for each other.
    let len = unsafe { vsnprintf(buf.as_mut_ptr().cast(), buf.len(), format, args.cast()) };
    buf.truncate(usize::try_from(len).unwrap_or(0).min(buf.len() - 1));
    let text = String::from_utf8_lossy(&buf);
    let text = text.strip_prefix("libbpf: ").unwrap_or(&text);
    if let Ok(mut messages) = MESSAGES.lock() {
        messages.push((level, text.trim_end_matches('\n').to_owned()));
    }
    0
}

/// Route libbpf's messages to us. Once per process, before anything else.
pub fn capture_messages() {
    // SAFETY: `print` has the type that libbpf expects and lives forever.
    unsafe { sys::libbpf_set_print(Some(print)) };
}

fn take_messages() -> Vec<(u32, String)> {
    MESSAGES.lock().map(|mut m| std::mem::take(&mut *m)).unwrap_or_default()
}

/// The warnings that libbpf printed since messages were last taken.
pub fn take_warnings() -> Vec<String> {
    take_messages()
        .into_iter()
        .filter(|&(level, _)| level == sys::LIBBPF_WARN)
        .map(|(_, text)| text)
        .collect()
}

/// An object that libbpf opened; closed on drop.
pub struct Opened(ptr::NonNull<sys::bpf_object>);

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a successful open and is closed only here.
        unsafe { sys::bpf_object__close(self.0.as_ptr()) }
    }
}

impl Opened {
    /// `bpf_object__open_mem` with an object name of the caller's choice.
    ///
    /// # Errors
    /// libbpf's errno, positive; its own codes start at 4000.
    pub fn from_memory(name: &CStr, bytes: &[u8]) -> Result<Self, i32> {
        let opts = sys::bpf_object_open_opts {
            sz: size_of::<sys::bpf_object_open_opts>() as sys::size_t,
            object_name: name.as_ptr(),
            ..Default::default()
        };
        // SAFETY: bytes and options outlive the call, and libbpf keeps neither (`bpf_object__elf_finish`).
        Self::take(unsafe {
            sys::bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as sys::size_t, &opts)
        })
    }

    /// `bpf_object__open_file` without options.
    ///
    /// # Errors
    /// libbpf's errno, as for [`from_memory`](Self::from_memory).
    pub fn from_file(path: &CStr) -> Result<Self, i32> {
        // SAFETY: the path is a C string; no options is allowed.
        Self::take(unsafe { sys::bpf_object__open_file(path.as_ptr(), ptr::null()) })
    }

    fn take(object: *mut sys::bpf_object) -> Result<Self, i32> {
        // Nothing may run between the call and this: a failed open leaves its code in errno (`libbpf_ptr`).
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        ptr::NonNull::new(object).map(Self).ok_or(errno)
    }

    fn name(&self) -> String {
        // SAFETY: see the module's comment; the name is an array inside the object.
        text(unsafe { sys::bpf_object__name(self.0.as_ptr()) })
    }

    /// The license libbpf will load the programs with. No getter exists.
    fn license(&self) -> String {
        // SAFETY: `bpf_object__name` points at the first field of `struct bpf_object`; in 1.7.0, to which Cargo.toml
        // pins us, the license is the second, an array that `bpf_object__init_license` always terminates.
        unsafe {
            let bytes = sys::bpf_object__name(self.0.as_ptr()).add(OBJ_NAME_LEN).cast::<u8>();
            let bytes = std::slice::from_raw_parts(bytes, LICENSE_LEN);
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(LICENSE_LEN);
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        }
    }

    fn maps(&self) -> impl Iterator<Item = *mut sys::bpf_map> {
        // SAFETY: see the module's comment; a null start means the first map.
        let next = |map: *mut sys::bpf_map| unsafe { sys::bpf_object__next_map(self.0.as_ptr(), map) };
        std::iter::successors(Some(next(ptr::null_mut())), move |&map| Some(next(map)))
            .take_while(|map| !map.is_null())
    }

    /// Entry programs: libbpf skips what it takes for subprograms.
    fn programs(&self) -> impl Iterator<Item = *mut sys::bpf_program> {
        // SAFETY: as for `maps`.
        let next =
            |prog: *mut sys::bpf_program| unsafe { sys::bpf_object__next_program(self.0.as_ptr(), prog) };
        std::iter::successors(Some(next(ptr::null_mut())), move |&p| Some(next(p)))
            .take_while(|p| !p.is_null())
    }

    fn map(&self, map: *mut sys::bpf_map) -> Value {
        // SAFETY: see the module's comment: plain getters on a live map. The second and third word of `struct bpf_map`
        // (1.7.0) are the name that the kernel will see and, for internal maps, the section's. `bpf_map__name` gives
        // one or the other, depending on the section's name (`map_uses_real_name`).
        unsafe {
            let kernel_name = *map.cast::<*const c_char>().add(1);
            // Cut only when the map is created (`bpf_map_create`).
            let kernel_name = CStr::from_ptr(kernel_name).to_bytes();
            let kernel_name =
                String::from_utf8_lossy(&kernel_name[..kernel_name.len().min(OBJ_NAME_LEN - 1)]);
            let section = *map.cast::<*const c_char>().add(2);
            json!({
                "name": text(sys::bpf_map__name(map)),
                "kernel_name": kernel_name,
                "section": (!section.is_null()).then(|| text(section)),
                "type": name_of(sys::libbpf_bpf_map_type_str(sys::bpf_map__type(map)), sys::bpf_map__type(map)),
                "flags": sys::bpf_map__map_flags(map),
                "key_size": sys::bpf_map__key_size(map),
                "value_size": sys::bpf_map__value_size(map),
                "max_entries": sys::bpf_map__max_entries(map),
                "map_extra": sys::bpf_map__map_extra(map),
                "autocreate": sys::bpf_map__autocreate(map),
                "internal": sys::bpf_map__is_internal(map),
                "pin_path": (!sys::bpf_map__pin_path(map).is_null()).then(|| text(sys::bpf_map__pin_path(map))),
            })
        }
    }

    fn program(&self, program: *mut sys::bpf_program) -> Value {
        // SAFETY: see the module's comment: plain getters on a live program.
        unsafe {
            let kind = sys::bpf_program__type(program);
            json!({
                "name": text(sys::bpf_program__name(program)),
                "section": text(sys::bpf_program__section_name(program)),
                "type": name_of(sys::libbpf_bpf_prog_type_str(kind), kind),
                "attach_type": sys::bpf_program__expected_attach_type(program),
                "autoload": sys::bpf_program__autoload(program),
                "flags": sys::bpf_program__flags(program),
                "insn_cnt": sys::bpf_program__insn_cnt(program),
            })
        }
    }

    /// The ops variable behind a struct_ops map: its type and which program each member points at. Read from the
    /// shadow struct, in which open has put a `struct bpf_program *` into every member with a relocation
    /// (`bpf_object__collect_st_ops_relos`).
    fn struct_ops(&self, map: *mut sys::bpf_map) -> Value {
        let programs: Vec<_> = self.programs().collect();
        let mut members = Vec::new();
        let mut type_name = String::new();
        // SAFETY: see the module's comment. libbpf has checked that the value's type is a struct and copied its size
        // from there, so its members follow the `btf_type` and the shadow holds `size` bytes; offsets are checked.
        unsafe {
            let btf = sys::bpf_object__btf(self.0.as_ptr());
            let ty = sys::btf__type_by_id(btf, sys::bpf_map__btf_value_type_id(map));
            let mut size: sys::size_t = 0;
            let shadow = sys::bpf_map__initial_value(map, &mut size).cast::<u8>();
            if !ty.is_null() && !shadow.is_null() && ((*ty).info >> 24) & 0x1f == KIND_STRUCT {
                type_name = text(sys::btf__name_by_offset(btf, (*ty).name_off));
                let vlen = ((*ty).info & 0xffff) as usize;
                for member in std::slice::from_raw_parts(ty.add(1).cast::<sys::btf_member>(), vlen) {
                    let offset = (member.offset / 8) as usize;
                    if offset + size_of::<usize>() > size as usize {
                        continue;
                    }
                    let word = shadow.add(offset).cast::<usize>().read_unaligned();
                    if let Some(&program) = programs.iter().find(|&&p| p as usize == word) {
                        members.push(json!({
                            "name": text(sys::btf__name_by_offset(btf, member.name_off)),
                            "program": text(sys::bpf_program__name(program)),
                        }));
                    }
                }
            }
            json!({
                "map": text(sys::bpf_map__name(map)),
                "type": type_name,
                "link": sys::bpf_map__map_flags(map) & sys::BPF_F_LINK != 0,
                "autocreate": sys::bpf_map__autocreate(map),
                "members": members,
            })
        }
    }

    /// Everything the public interface tells about the object.
    pub fn describe(&self) -> Value {
        // SAFETY: a getter on a live map.
        let is_ops = |m| unsafe { sys::bpf_map__type(m) } == sys::BPF_MAP_TYPE_STRUCT_OPS;
        json!({
            "name": self.name(),
            "license": self.license(),
            "maps": self.maps().map(|m| self.map(m)).collect::<Vec<_>>(),
            "programs": self.programs().map(|p| self.program(p)).collect::<Vec<_>>(),
            // A `.maps` definition may claim the type too, but has no ops variable behind it and no shadow to look
            // at: `bpf_map__initial_value` would follow a null pointer.
            "struct_ops": self.maps().filter(|&m| is_ops(m) && Self::has_shadow(m)).map(|m| self.struct_ops(m)).collect::<Vec<_>>(),
        })
    }

    /// Whether a map of type STRUCT_OPS stands for an ops variable.
    fn has_shadow(map: *mut sys::bpf_map) -> bool {
        // SAFETY: a getter on a live map. Only `init_struct_ops_maps` sets the flag at open (1.7.0).
        unsafe { sys::bpf_map__autoattach(map) }
    }
}

/// A C string of libbpf's, read as we would print it.
fn text(s: *const c_char) -> String {
    if s.is_null() {
        return String::new();
    }
    // SAFETY: not null, and libbpf terminates its strings.
    unsafe { CStr::from_ptr(s) }.to_string_lossy().into_owned()
}

/// The spelling libbpf has for an enumerator, or its number, as text, where it has none.
fn name_of(s: *const c_char, number: u32) -> Value {
    if s.is_null() { json!(number.to_string()) } else { json!(text(s)) }
}

fn answer(path: &[u8], opened: Result<Opened, i32>) -> Value {
    let of = |wanted: u32, messages: &[(u32, String)]| -> Vec<String> {
        messages.iter().filter(|(level, _)| *level == wanted).map(|(_, text)| text.clone()).collect()
    };
    let messages = take_messages();
    let mut out = json!({
        "path": String::from_utf8_lossy(path),
        "ok": opened.is_ok(),
        "errno": opened.as_ref().err().map_or(0, |errno| -errno),
        "messages": of(sys::LIBBPF_WARN, &messages),
        "infos": of(sys::LIBBPF_INFO, &messages),
    });
    if let (Ok(object), Some(out)) = (opened, out.as_object_mut()) {
        let Value::Object(description) = object.describe() else { unreachable!("describe builds an object") };
        out.extend(description);
    }
    out
}

/// Open a file by path and describe the outcome: `path`, `ok`, `errno` (negative, 0 if it opened), `messages`
/// (warnings without their prefix) and `infos`; if it opened also `name`, `license`, `maps`, `programs`,
/// `struct_ops`.
pub fn open_file(path: &[u8]) -> Value {
    take_messages();
    let Ok(c_path) = CString::new(path) else {
        return json!({"path": String::from_utf8_lossy(path), "ok": false, "errno": -libc::ENOENT, "messages": [], "infos": []});
    };
    answer(path, Opened::from_file(&c_path))
}

/// The same for bytes in memory, named as the file `path` would be.
pub fn open_memory(path: &[u8], bytes: &[u8]) -> Value {
    take_messages();
    // SANITY: a path with a NUL cannot reach libbpf; what is before it is all that a C string can carry.
    let name =
        CString::new(object_name(path).split(|&b| b == 0).next().unwrap_or_default()).unwrap_or_default();
    if bytes.is_empty() {
        // `bpf_object__open_mem` refuses an empty buffer with EINVAL before looking at anything; a file of no bytes
        // goes through `elf_begin` and is no ELF.
        let text = format!("elf: '{}' is not a proper ELF object", String::from_utf8_lossy(name.as_bytes()));
        return json!({"path": String::from_utf8_lossy(path), "ok": false, "errno": -4001, "messages": [text], "infos": []});
    }
    match Pages::holding(bytes) {
        Ok(pages) => answer(path, Opened::from_memory(&name, pages.bytes())),
        Err(e) => {
            json!({"path": String::from_utf8_lossy(path), "ok": false, "errno": -e.raw_os_error().unwrap_or(libc::ENOMEM), "messages": [e.to_string()], "infos": []})
        }
    }
}

/// Open a file and let `bpf_object__prepare` match it against the running kernel: externs, struct_ops types, CO-RE,
/// relocations, map creation. Needs root, and for a struct_ops object a kernel that has the type.
///
/// `ok` and `errno` are those of prepare; `programs` are as prepare left them, so that `insn_cnt` includes the
/// appended subprograms.
pub fn prepare_file(path: &[u8]) -> Value {
    take_messages();
    let Ok(c_path) = CString::new(path) else { return open_file(path) };
    let prepared = Opened::from_file(&c_path).and_then(|object| {
        // SAFETY: a live object, prepared once.
        match unsafe { sys::bpf_object__prepare(object.0.as_ptr()) } {
            0 => Ok(object),
            err => Err(-err),
        }
    });
    answer(path, prepared)
}

/// Bytes laid out as a mapped file: from the start of a page, zeros up to the end of the last one, and a fault
/// beyond. libelf maps the file that `open_file` names, so this is what libbpf sees, reads out of bounds included.
struct Pages {
    start: *mut c_void,
    mapped: usize,
    len: usize,
}

impl Pages {
    fn holding(bytes: &[u8]) -> io::Result<Self> {
        const PAGE: usize = 4096;
        let body = bytes.len().next_multiple_of(PAGE);
        let mapped = body + PAGE;
        // SAFETY: a fresh private mapping, not tied to any memory of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = Self { start, mapped, len: bytes.len() };
        // SAFETY: the mapping is at least as long as the bytes, and its last page is of no use to us.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast::<u8>(), bytes.len());
            libc::mprotect(start.add(body), PAGE, libc::PROT_NONE);
        }
        Ok(pages)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped, initialised (anonymous pages are zero), and unmapped only on drop.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: exactly what `holding` mapped.
        unsafe { libc::munmap(self.start, self.mapped) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_open_file_cuts_them() {
        assert_eq!(object_name(b"dir.d/scx_simple.bpf.o"), b"scx_simple");
        assert_eq!(object_name(b"a_very_long_name_indeed.bpf.o"), b"a_very_long_nam");
        assert_eq!(object_name(b".hidden.o"), b"");
        assert_eq!(object_name(b"dir/"), b"");
    }
}
