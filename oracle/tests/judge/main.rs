//! What the running kernel's verifier walks, against what `scx_lint::reach` says.
//!
//! Each program of `testdata/reach.bpf.o` calls a helper that does not exist at one place: the kernel refuses the
//! program exactly if its verifier comes there. Needs the right to load BPF programs; without it the test says so and
//! passes. In a process of its own, because libbpf prints through one callback for the whole process.

use std::ffi::{CStr, CString};
use std::sync::Mutex;

use scx_lint::load::Knowledge;
use scx_lint::object::{InsnIdx, Object};
use scx_lint::verifier::reach::{Analysis, Reached};

const OBJECT: &[u8] = include_bytes!("../../../src/verifier/reach/testdata/reach.bpf.o");

static LOG: Mutex<String> = Mutex::new(String::new());

#[cfg(target_arch = "x86_64")]
type Args = *mut libbpf_sys::__va_list_tag;

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn print(
    _: libbpf_sys::libbpf_print_level,
    format: *const std::ffi::c_char,
    args: Args,
) -> i32 {
    unsafe extern "C" {
        fn vsnprintf(
            buffer: *mut std::ffi::c_char,
            size: usize,
            format: *const std::ffi::c_char,
            args: Args,
        ) -> i32;
    }
    let mut buffer = vec![0u8; 1 << 16];
    // SAFETY: libbpf hands over a format with its arguments; the buffer is as long as said.
    unsafe { vsnprintf(buffer.as_mut_ptr().cast(), buffer.len(), format, args) };
    let text = CStr::from_bytes_until_nul(&buffer).map(CStr::to_string_lossy).unwrap_or_default();
    LOG.lock().unwrap().push_str(&text);
    0
}

/// Loads one program of the object; tells whether that went well, and what was printed.
#[cfg(target_arch = "x86_64")]
fn load(name: &str) -> (bool, String) {
    let wanted = CString::new(name).unwrap();
    LOG.lock().unwrap().clear();
    // SAFETY: the object outlives its use, and every pointer that libbpf gives is used before it is closed.
    let result = unsafe {
        libbpf_sys::libbpf_set_print(Some(print));
        let object =
            libbpf_sys::bpf_object__open_mem(OBJECT.as_ptr().cast(), OBJECT.len() as u64, std::ptr::null());
        assert!(!object.is_null(), "libbpf cannot open the object");
        let mut program = libbpf_sys::bpf_object__next_program(object, std::ptr::null_mut());
        while !program.is_null() {
            let this = CStr::from_ptr(libbpf_sys::bpf_program__name(program));
            libbpf_sys::bpf_program__set_autoload(program, this == wanted.as_c_str());
            program = libbpf_sys::bpf_object__next_program(object, program);
        }
        let result = libbpf_sys::bpf_object__load(object);
        libbpf_sys::bpf_object__close(object);
        result
    };
    (result == 0, LOG.lock().unwrap().clone())
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_running_kernel_walks_what_is_certain_and_not_what_is_never_walked() {
    let object = Object::open(OBJECT, "reach.bpf.o").unwrap();
    let harmless = "t_rodata_false__never";
    let (loads, log) = load(harmless);
    if !loads && !log.contains("invalid func unknown#9999") {
        eprintln!(
            "NOT TESTED: this process may not load BPF programs here: {}",
            log.lines().last().unwrap_or_default()
        );
        return;
    }
    let knowledge = Knowledge::default();
    let analysis = Analysis::new(&object, &knowledge);
    let mut wrong = Vec::new();
    let mut counts = [0; 3];
    for (program, function, _) in object.programs() {
        let reach = analysis.program(program);
        let said = object
            .code_of(program)
            .flat_map(|(index, code)| {
                code.code
                    .insns()
                    .filter(|(_, insn)| insn.helper() == Some(9999))
                    .map(move |(at, _)| (index, at))
            })
            .map(|(index, at)| reach.at(index, InsnIdx(at)))
            .max()
            .unwrap();
        let (loads, log) = load(&function.name);
        let walked = log.contains("invalid func unknown#9999");
        if loads == walked {
            wrong.push(format!("{}: refused for another reason:\n{log}", function.name));
        }
        counts[said as usize] += 1;
        match (said, walked) {
            (Reached::Certain, false) | (Reached::Never, true) => {
                wrong.push(format!(
                    "{}: {said:?}, and the kernel {}",
                    function.name,
                    if walked { "walks it" } else { "does not" }
                ));
            }
            _ => {}
        }
    }
    eprintln!("never, possible, certain: {counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
