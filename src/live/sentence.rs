//! What became of an object on a kernel, in one sentence.

use super::observation::{AttachSeen, Observation, PhaseSeen};

/// `7.3.4 (guest of vmlinuz-7.3.4, tcg)`.
pub(super) fn place(seen: &Observation) -> String {
    let kernel = &seen.kernel;
    let release = if kernel.release.is_empty() { "a kernel that never came up" } else { &kernel.release };
    let accel = kernel.accel.as_ref().map_or_else(String::new, |accel| format!(", {accel}"));
    match &kernel.image {
        Some(image) => format!("{release} (guest of {image}{accel})"),
        None => format!("{release} (this machine)"),
    }
}

/// One sentence: how far it came, and the reason.
pub fn sentence(seen: &Observation) -> String {
    if let Some(phase) = seen.phases.iter().find(|phase| !phase.ok) {
        return format!("error: {}: {}", phase.phase.as_str(), reason(phase));
    }
    if let Some(attach) = seen.attach.iter().find(|attach| !attach.ok) {
        return format!("error: {}: {}", attach.map, verdict(attach));
    }
    if let Some(failure) = &seen.failure {
        let during = failure.during.as_ref().map_or_else(String::new, |step| format!(" during {step}"));
        return format!("error: {}{during}: {}", failure.code, failure.message);
    }
    let maps: Vec<String> =
        seen.attach.iter().map(|attach| format!("{}: {}", attach.map, verdict(attach))).collect();
    if maps.is_empty() {
        "ok: loads; it has no struct_ops map to attach".to_owned()
    } else {
        format!("ok: {}", maps.join("; "))
    }
}

/// Why a phase failed.
pub(super) fn reason(phase: &PhaseSeen) -> String {
    let errno = match (&phase.errno, &phase.meaning) {
        (Some(errno), Some(meaning)) => format!("{errno} ({meaning})"),
        (Some(errno), None) => errno.clone(),
        (None, _) => "failed".to_owned(),
    };
    match (&phase.program, &phase.diagnostic) {
        (Some(program), Some(found)) if !found.message.is_empty() => {
            format!("{errno}: program '{program}': {}", found.message)
        }
        (Some(program), _) => format!("{errno}: program '{program}'"),
        (None, _) => match phase.messages.first() {
            Some(text) => format!("{errno}: {}", text.trim_start_matches("libbpf: ")),
            None => errno,
        },
    }
}

/// What became of a struct_ops map.
pub(super) fn verdict(attach: &AttachSeen) -> String {
    let why = || match &attach.exit {
        Some(exit) if exit.message.is_empty() => exit.reason.clone(),
        Some(exit) => format!("{}: {}", exit.reason, exit.message),
        None => match attach.kernel_log.iter().find(|line| !line.ends_with(" enabled")) {
            Some(line) => line.clone(),
            None => "the kernel gives no reason".to_owned(),
        },
    };
    let held = attach.held_ms as f64 / 1000.0;
    let when = if held < 0.05 { "at once".to_owned() } else { format!("after {held:.1} s") };
    match () {
        () if attach.ok => format!("enabled, held {held:.1} s, detached"),
        () if !attach.call_ok => {
            let errno = attach.errno.as_deref().unwrap_or("an error");
            // A scheduler that is refused with an errno leaves its reason in the kernel log only.
            match attach.kernel_log.first() {
                Some(line) => format!("the attach call fails: {errno}: {line}"),
                None => {
                    let meaning =
                        attach.meaning.as_ref().map_or_else(String::new, |text| format!(" ({text})"));
                    format!("the attach call fails: {errno}{meaning}")
                }
            }
        }
        () if attach.ejected => {
            format!("the attach call succeeds, but the scheduler is ejected {when}: {}", why())
        }
        () if !attach.enabled => {
            format!("the attach call succeeds, but the scheduler is not enabled: {}", why())
        }
        () if attach.after != "disabled" && !attach.after.is_empty() => {
            format!("enabled, but after detach the state is '{}'", attach.after)
        }
        () => format!("enabled, but the kernel log has errors: {}", why()),
    }
}
