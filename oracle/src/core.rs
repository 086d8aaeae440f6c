//! libbpf's CO-RE by itself: a record, an instruction and two BTFs, without an object or a kernel around them.
//!
//! What `bpf_object__relocate_core` does for each record is in three functions that libbpf shares with the kernel. They
//! are not part of its interface, but visible to whoever links it statically, as we do; their types are restated here
//! from `relo_core.h` of 1.7.0, to which Cargo.toml pins us.
//!
//! Every `unsafe` here is a call of one of them. They trust their types: ids, names and members have to be those of BTFs
//! that libbpf has parsed, without cycles of modifiers.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, Once};

use libbpf_sys as sys;

use crate::view::{capture_messages, take_warnings};

/// Runs one call and gives what libbpf printed meanwhile; it prints into one place for the whole process.
fn listening<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    static CAPTURE: Once = Once::new();
    static TURN: Mutex<()> = Mutex::new(());
    CAPTURE.call_once(capture_messages);
    // Nothing is left half done by a holder that panicked.
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    take_warnings();
    let result = call();
    (result, take_warnings())
}

#[repr(C)]
struct Candidate {
    btf: *const sys::btf,
    id: u32,
}

#[repr(C)]
struct CandidateList {
    list: *mut Candidate,
    len: c_int,
}

/// `struct bpf_core_relo_res`.
#[repr(C)]
#[derive(Default)]
struct Res {
    orig_val: u64,
    new_val: u64,
    poison: bool,
    validate: bool,
    fail_memsz_adjust: bool,
    orig_sz: u32,
    orig_type_id: u32,
    new_sz: u32,
    new_type_id: u32,
}

/// `struct bpf_core_relo`, as it stands in `.BTF.ext`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Record {
    pub insn_off: u32,
    pub type_id: u32,
    pub access_str_off: u32,
    pub kind: u32,
}

/// Words that `struct bpf_core_spec` takes, and some.
const SPEC: usize = 192;

unsafe extern "C" {
    fn bpf_core_essential_name_len(name: *const c_char) -> usize;
    fn bpf_core_add_cands(
        local: *mut Candidate,
        essential_len: usize,
        target: *const sys::btf,
        name: *const c_char,
        first_id: c_int,
        list: *mut CandidateList,
    ) -> c_int;
    fn bpf_core_calc_relo_insn(
        program: *const c_char,
        record: *const Record,
        number: c_int,
        local: *const sys::btf,
        list: *mut CandidateList,
        scratch: *mut u64,
        res: *mut Res,
    ) -> c_int;
    fn bpf_core_patch_insn(
        program: *const c_char,
        insn: *mut [u8; 8],
        insn_idx: c_int,
        record: *const Record,
        number: c_int,
        res: *const Res,
    ) -> c_int;
    fn bpf_core_types_are_compat(
        local: *const sys::btf,
        local_id: u32,
        target: *const sys::btf,
        target_id: u32,
    ) -> c_int;
    fn bpf_core_types_match(
        local: *const sys::btf,
        local_id: u32,
        target: *const sys::btf,
        target_id: u32,
    ) -> c_int;
}

/// A BTF that libbpf has parsed; a split one must not outlive its base.
pub struct Types(ptr::NonNull<sys::btf>);

impl Drop for Types {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { sys::btf__free(self.0.as_ptr()) };
    }
}

impl Types {
    /// `btf__new`.
    ///
    /// # Errors
    /// libbpf's errno, positive.
    pub fn new(bytes: &[u8]) -> Result<Self, i32> {
        let (start, len) = (bytes.as_ptr().cast::<c_void>(), bytes.len() as u32);
        // SAFETY: libbpf copies the bytes.
        listening(|| Self::take(unsafe { sys::btf__new(start, len) })).0
    }

    /// `btf__new_split`.
    ///
    /// # Errors
    /// libbpf's errno, positive.
    pub fn split(bytes: &[u8], base: &Self) -> Result<Self, i32> {
        let (start, len) = (bytes.as_ptr().cast::<c_void>(), bytes.len() as u32);
        // SAFETY: libbpf copies the bytes; the caller keeps the base.
        listening(|| Self::take(unsafe { sys::btf__new_split(start, len, base.0.as_ptr()) })).0
    }

    /// `btf__parse_raw`: reads the file itself.
    ///
    /// # Errors
    /// libbpf's errno, positive.
    pub fn from_file(path: &CStr) -> Result<Self, i32> {
        // SAFETY: the path is a C string.
        Self::take(unsafe { sys::btf__parse_raw(path.as_ptr()) })
    }

    fn take(btf: *mut sys::btf) -> Result<Self, i32> {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        ptr::NonNull::new(btf).map(Self).ok_or(errno)
    }

    /// `btf__type_cnt`.
    pub fn count(&self) -> u32 {
        // SAFETY: a live BTF.
        unsafe { sys::btf__type_cnt(self.0.as_ptr()) }
    }

    /// `btf__find_by_name_kind`: an id, or a negative errno.
    pub fn find(&self, name: &CStr, kind: u32) -> i32 {
        // SAFETY: a live BTF and a C string.
        unsafe { sys::btf__find_by_name_kind(self.0.as_ptr(), name.as_ptr(), kind) }
    }

    /// `btf__resolve_size`: bytes, or a negative errno.
    pub fn size(&self, id: u32) -> i64 {
        // SAFETY: a live BTF; any id will do.
        unsafe { sys::btf__resolve_size(self.0.as_ptr(), id) }
    }

    /// `btf__align_of`: bytes, or 0 where a type has none.
    pub fn align(&self, id: u32) -> i32 {
        // SAFETY: a live BTF.
        listening(|| unsafe { sys::btf__align_of(self.0.as_ptr(), id) }).0
    }

    /// `bpf_core_types_are_compat`: 1, 0, or a negative errno.
    pub fn are_compat(&self, id: u32, target: &Self, target_id: u32) -> i32 {
        // SAFETY: live BTFs; the caller's ids are theirs.
        listening(|| unsafe { bpf_core_types_are_compat(self.0.as_ptr(), id, target.0.as_ptr(), target_id) })
            .0
    }

    /// `bpf_core_types_match`: 1, 0, or a negative errno.
    pub fn match_types(&self, id: u32, target: &Self, target_id: u32) -> i32 {
        // SAFETY: as above.
        listening(|| unsafe { bpf_core_types_match(self.0.as_ptr(), id, target.0.as_ptr(), target_id) }).0
    }

    fn name(&self, id: u32) -> Option<&CStr> {
        // SAFETY: a live BTF, which checks the id; its strings live as long as it does.
        unsafe {
            let ty = sys::btf__type_by_id(self.0.as_ptr(), id);
            let name = if ty.is_null() {
                ptr::null()
            } else {
                sys::btf__name_by_offset(self.0.as_ptr(), (*ty).name_off)
            };
            if name.is_null() { None } else { Some(CStr::from_ptr(name)) }
        }
    }
}

/// The types of a target that a root type may stand for. Both BTFs must outlive it.
pub struct Candidates(CandidateList);

impl Drop for Candidates {
    fn drop(&mut self) {
        // SAFETY: allocated by libbpf with realloc, or null.
        unsafe { libc::free(self.0.list.cast()) };
    }
}

impl Candidates {
    /// `bpf_core_find_cands` without modules; `None` for an anonymous or absent root, which it refuses.
    pub fn find(local: &Types, root: u32, target: &Types) -> Option<Self> {
        let name = local.name(root).filter(|name| !name.is_empty())?;
        let mut found = Self(CandidateList { list: ptr::null_mut(), len: 0 });
        let mut wanted = Candidate { btf: local.0.as_ptr(), id: root };
        // SAFETY: live BTFs, a C string and an empty list.
        unsafe {
            let len = bpf_core_essential_name_len(name.as_ptr());
            bpf_core_add_cands(&mut wanted, len, target.0.as_ptr(), c"vmlinux".as_ptr(), 1, &mut found.0);
        }
        Some(found)
    }

    /// An empty list.
    pub fn none() -> Self {
        Self(CandidateList { list: ptr::null_mut(), len: 0 })
    }

    /// Their ids.
    pub fn ids(&self) -> Vec<u32> {
        let len = usize::try_from(self.0.len).unwrap_or(0);
        // SAFETY: libbpf's array of that many.
        (0..len).map(|i| unsafe { (*self.0.list.add(i)).id }).collect()
    }
}

/// What libbpf does with one record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Answer {
    /// 0, or negative.
    pub errno: i32,
    /// The value was found, and patching failed.
    pub patching: bool,
    pub orig: u64,
    pub new: u64,
    /// The instruction and what follows it.
    pub insns: [[u8; 8]; 2],
    /// Warnings, about record 0 of program `p`.
    pub warnings: Vec<String>,
}

/// Resolves a record and patches the two slots. The instruction has index `index` in its function.
pub fn resolve(
    local: &Types,
    record: &Record,
    candidates: &mut Candidates,
    index: i32,
    slots: [[u8; 8]; 2],
) -> Answer {
    let mut answer = Answer { insns: slots, ..Answer::default() };
    let mut res = Res::default();
    let mut scratch = vec![0_u64; 3 * SPEC];
    // SAFETY: the record's type is the local BTF's, the scratch has room for three specs, and the two slots are all that
    // patching touches.
    let call = || unsafe {
        answer.errno = bpf_core_calc_relo_insn(
            c"p".as_ptr(),
            record,
            0,
            local.0.as_ptr(),
            &mut candidates.0,
            scratch.as_mut_ptr(),
            &mut res,
        );
        if answer.errno == 0 {
            answer.errno =
                bpf_core_patch_insn(c"p".as_ptr(), answer.insns.as_mut_ptr(), index, record, 0, &res);
            answer.patching = answer.errno != 0;
        }
    };
    let warnings = listening(call).1;
    (answer.orig, answer.new) = (res.orig_val, res.new_val);
    answer.warnings = warnings;
    answer
}
