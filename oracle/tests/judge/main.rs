//! What the running kernel's verifier walks, against what `scx_lint::verifier::reach` says.
//!
//! Each program of `testdata/reach.bpf.o` calls a helper that does not exist at one place: the kernel refuses the
//! program exactly if its verifier comes there. Needs the right to load BPF programs: without it the test is ignored and
//! says why, or fails where `SCX_LINT_ALL_TOOLS` is set and the right could be had. In a process of its own, because
//! libbpf prints through one callback for the whole process.

use std::ffi::{CStr, CString};
use std::process::ExitCode;
use std::sync::Mutex;

use libtest_mimic::{Arguments, Failed, Trial};
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

/// Loads nothing: on other machines the callback's arguments are of another type.
#[cfg(not(target_arch = "x86_64"))]
fn load(_: &str) -> (bool, String) {
    (false, "this machine is not an x86-64".to_owned())
}

/// What the kernel says of a call to a helper that there is not.
const NO_SUCH_HELPER: &str = "invalid func unknown#9999";

/// Why the kernel cannot be asked, if it cannot, and whether a machine could be set up so that it can.
fn cannot_ask() -> Option<(String, bool)> {
    // Loads wherever programs load.
    let (loads, log) = load("t_rodata_false__never");
    if loads || log.contains(NO_SUCH_HELPER) {
        return None;
    }
    let reason = log.lines().last().unwrap_or("libbpf gives no reason").to_owned();
    Some((reason, !has_the_right()))
}

/// Has this process CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON. Where it has and is refused all the same, the machine's kernel
/// lacks something, or keeps its guests from it.
fn has_the_right() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |capability: u32| bits >> capability & 1 == 1;
    has(21) || has(38) && has(39)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let name = "the_running_kernel_walks_what_is_certain_and_not_what_is_never_walked";
    let trial = match cannot_ask() {
        None => Trial::test(name, judge),
        Some((reason, can_be_mended)) => {
            let strict = can_be_mended && std::env::var_os("SCX_LINT_ALL_TOOLS").is_some();
            let mend = if can_be_mended { "; run as root" } else { "" };
            let words = format!(
                "the kernel cannot be asked, as this process may not load BPF programs{mend}: {reason}"
            );
            eprintln!("{}: {words}", if strict { "FAILS" } else { "IGNORED" });
            Trial::test(name, move || Err(words.into())).with_ignored_flag(!strict)
        }
    };
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn judge() -> Result<(), Failed> {
    let object = Object::open(OBJECT, "reach.bpf.o").map_err(|error| error.to_string())?;
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
        let walked = log.contains(NO_SUCH_HELPER);
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
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
