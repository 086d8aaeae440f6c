//! The few calls that neither the standard library, libbpf-rs nor rustix offer. All `unsafe` of the crate is here.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What the kernel says of a loaded program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgInfo {
    /// Ids of its maps.
    pub map_ids: Vec<u32>,
    /// Instructions that the verifier walked.
    pub verified_insns: u32,
    /// Size of the translated program, bytes.
    pub xlated_bytes: u32,
    /// Size of the machine code, bytes.
    pub jited_bytes: u32,
    /// How often it ran while somebody had the kernel count.
    pub run_count: u64,
}

/// Maps per program that the kernel allows (`MAX_USED_MAPS`), and one more for each that libbpf binds.
const MAX_MAP_IDS: usize = 256;

/// `BPF_OBJ_GET_INFO_BY_FD` of a program; libbpf-rs has it only for all programs of the machine.
///
/// # Errors
/// The system call's.
pub fn prog_info(fd: BorrowedFd<'_>) -> io::Result<ProgInfo> {
    let mut ids = [0_u32; MAX_MAP_IDS];
    // SAFETY: `bpf_prog_info` is a C struct of integers and arrays of them; all zeroes is a valid value and
    // is what the kernel wants in fields that are not asked for.
    let mut info: libbpf_sys::bpf_prog_info = unsafe { zeroed() };
    info.nr_map_ids = MAX_MAP_IDS as u32;
    info.map_ids = ids.as_mut_ptr() as u64;
    let mut len = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: `fd` is open for the call; `info` is writable and `len` is its size; the only buffer that it
    // points to is `ids`, with room for `nr_map_ids` ids, and it outlives the call.
    let result = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut len) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // The kernel gives back the true number, which may be larger than the room.
    let count = (info.nr_map_ids as usize).min(MAX_MAP_IDS);
    Ok(ProgInfo {
        map_ids: ids[..count].to_vec(),
        verified_insns: info.verified_insns,
        xlated_bytes: info.xlated_prog_len,
        jited_bytes: info.jited_prog_len,
        run_count: info.run_cnt,
    })
}

/// Has the kernel count the runs of all programs while the descriptor is open (`BPF_ENABLE_STATS`, 5.8).
///
/// # Errors
/// The system call's.
pub fn count_runs() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number and gives back a number.
    let fd = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel has just made the descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the calling thread a real-time one, so that it runs although the scheduler on trial does not
/// schedule. Threads and processes that it starts are ordinary again.
///
/// # Errors
/// The system call's; then a scheduler that stalls also stalls us until the kernel's watchdog ejects it.
pub fn become_realtime() -> io::Result<()> {
    // SAFETY: `sched_param` holds integers only.
    let mut param: libc::sched_param = unsafe { zeroed() };
    param.sched_priority = 1;
    // SAFETY: 0 is the calling thread, and `param` is readable for the call.
    let result = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const param)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel kill the process when the thread that starts it ends, in whatever way.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    // SAFETY: the closure runs between fork and exec in the child. It makes two system calls, allocates
    // nothing and takes no lock, which is all that is allowed there.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    }
}

/// A file that is in memory only: nothing of it is left behind, however we end.
///
/// # Errors
/// The system's.
pub fn memory_file(name: &str, data: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(data)?;
    Ok(file)
}

/// Keeps files open in the program that the command starts, under the same numbers; no other child gets them.
pub fn hand_over(command: &mut Command, files: Vec<OwnedFd>) -> &mut Command {
    // SAFETY: the closure runs between fork and exec in the child. It makes one system call per file, on files that it
    // owns and that are therefore open, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            for file in &files {
                if libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    /// A newer libbpf-rs brings a newer libbpf, which is then to be foreseen.
    #[test]
    fn what_is_linked_is_what_is_foreseen() {
        // SAFETY: they only give numbers that were compiled in.
        let (major, minor) =
            unsafe { (libbpf_sys::libbpf_major_version(), libbpf_sys::libbpf_minor_version()) };
        assert_eq!(super::super::LIBBPF.as_str(), format!("{major}.{minor}"));
    }
}
