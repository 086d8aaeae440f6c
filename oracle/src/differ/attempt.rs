//! The side that asks the running kernel: loads each program of a mutant alone, with the object's maps.
//!
//! An object is opened and prepared once in a process of its own, and each program is loaded in a copy of that process:
//! whatever a mutant does, to libbpf or to the kernel's patience, ends with a process.

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, RawFd};
use std::ptr;

use libbpf_sys as sys;
use serde_json::{Value, json};

use crate::view;

/// The program is cut off at this many log lines.
const LINES: usize = 8;

/// Bytes of a verifier's log. Without the register states a few kilobytes are many; a log that does not fit would be a
/// failure.
const LOG: usize = 1 << 20;

/// `BPF_LOG_STATS` alone: what a refusal says and the figures, no register states.
const STATISTICS: u32 = 4;

/// What the kernel says of an object's programs, one row each: `p`, `rc` (0, -errno, or a word where the verifier was
/// not asked), `n` instructions processed, `m` first lines of its log.
///
/// # Errors
/// No process or pipe can be made.
pub fn object(bytes: &[u8], seconds: u32) -> io::Result<Vec<Value>> {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the array has room for the two ends.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let child = fork(seconds.saturating_mul(30), || {
        // SAFETY: the descriptors are this process's own copies, used nowhere else.
        let mut out = unsafe {
            libc::close(ends[0]);
            File::from_raw_fd(ends[1])
        };
        let _ = programs(bytes, seconds, &mut out);
    })?;
    // SAFETY: as above.
    let input = unsafe {
        libc::close(ends[1]);
        File::from_raw_fd(ends[0])
    };
    let lines = BufReader::new(input).lines().map_while(Result::ok);
    let mut rows: Vec<Value> = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
    if let Some(words) = wait(child) {
        rows.push(json!({"p": null, "rc": words}));
    }
    Ok(rows)
}

/// Runs something in a copy of this process, which ends after so many seconds at the latest.
fn fork(seconds: u32, then: impl FnOnce()) -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, so that its copy may do what it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: plain system calls.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(seconds);
            }
            then();
            // SAFETY: ends this copy without the original's cleaning up.
            unsafe { libc::_exit(0) }
        }
        child => Ok(child),
    }
}

/// Why a process did not end by itself.
fn wait(child: libc::pid_t) -> Option<&'static str> {
    let mut status = 0;
    // SAFETY: the status is ours.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    match libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)) {
        Some(libc::SIGALRM) => Some("timeout"),
        Some(_) => Some("crash"),
        None => None,
    }
}

fn programs(bytes: &[u8], seconds: u32, out: &mut File) -> io::Result<()> {
    view::capture_messages();
    let Some(object) = open(bytes) else {
        return row(out, &json!({"p": null, "rc": "open", "m": view::take_warnings()}));
    };
    let names: Vec<CString> = each(object).map(|program| name(program).to_owned()).collect();
    // SAFETY: the object is open, and stays so until this process ends.
    let prepared = unsafe {
        for program in each(object) {
            sys::bpf_program__set_autoload(program, true);
        }
        sys::bpf_object__prepare(object) == 0
    };
    for wanted in &names {
        let _ = view::take_warnings();
        let child = fork(seconds, || {
            // What is wrong with one program must not keep the others from being asked about.
            let object = if prepared { Some(object) } else { open(bytes) };
            if let Some(object) = object {
                let _ = row(out, &program(object, wanted));
            }
        })?;
        if let Some(words) = wait(child) {
            row(out, &json!({"p": wanted.to_string_lossy(), "rc": words}))?;
        }
    }
    Ok(())
}

fn row(out: &mut File, row: &Value) -> io::Result<()> {
    out.write_all(format!("{row}\n").as_bytes())
}

fn open(bytes: &[u8]) -> Option<*mut sys::bpf_object> {
    // SAFETY: bytes and length belong together; libbpf copies what it keeps.
    let object = unsafe { sys::bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as u64, ptr::null()) };
    (!object.is_null()).then_some(object)
}

fn each(object: *mut sys::bpf_object) -> impl Iterator<Item = *mut sys::bpf_program> {
    // SAFETY: the object is open.
    let next = move |last| unsafe { sys::bpf_object__next_program(object, last) };
    std::iter::successors(Some(next(ptr::null_mut())), move |&last| Some(next(last)))
        .take_while(|program| !program.is_null())
}

fn name<'a>(program: *mut sys::bpf_program) -> &'a CStr {
    // SAFETY: the name lives as long as the object, which is never closed here.
    unsafe { CStr::from_ptr(sys::bpf_program__name(program)) }
}

/// Loads one program of an open or prepared object.
fn program(object: *mut sys::bpf_object, wanted: &CStr) -> Value {
    let mut log = vec![0_u8; LOG];
    // SAFETY: the object is open; the log outlives the load.
    let code = unsafe {
        for program in each(object) {
            let is_wanted = name(program) == wanted;
            sys::bpf_program__set_autoload(program, is_wanted);
            if is_wanted {
                sys::bpf_program__set_log_buf(program, log.as_mut_ptr().cast::<c_char>(), LOG as u64);
                sys::bpf_program__set_log_level(program, STATISTICS);
            }
        }
        sys::bpf_object__load(object)
    };
    let text = CStr::from_bytes_until_nul(&log).map(CStr::to_string_lossy).unwrap_or_default();
    let warnings = view::take_warnings();
    let refused = warnings.iter().any(|warning| warning.contains("BPF program load failed"));
    let processed = text
        .lines()
        .find_map(|line| line.strip_prefix("processed ")?.split_once(" insns")?.0.parse::<u64>().ok());
    let rc = match code {
        // Nobody came to the verifier: this machine lets no one load such a program.
        _ if code == -libc::EPERM && text.is_empty() => json!("forbidden"),
        _ if refused => json!(code),
        0 => json!(0),
        // After the load libbpf fills slots of maps, which it cannot with one program alone.
        _ if processed.is_some() => json!(code),
        _ => json!("libbpf"),
    };
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_statistics(line)).take(LINES).collect();
    if !refused {
        lines.extend(warnings.iter().map(String::as_str).take(3));
    }
    json!({"p": wanted.to_string_lossy(), "rc": rc, "n": processed, "m": lines})
}

fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth ", "insns processed ", "insns by ", "subprog "]
        .iter()
        .any(|start| line.starts_with(start))
}
