//! Which kernels there are to boot.

use std::path::PathBuf;

use super::root;

/// A kernel image.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// File name without `vmlinuz-`, e.g. `7.3.4`.
    pub name: String,
    /// The image.
    pub path: PathBuf,
    /// Major and minor number out of the name.
    pub version: (u32, u32),
}

impl Kernel {
    /// Built with the arena rule of the RFC series: an arena must have BPF_F_ARENA_MAP_ALWAYS.
    pub fn is_map_always(&self) -> bool {
        self.name.ends_with("-map-always")
    }

    /// Was built with sched_ext, as its own types say.
    pub fn has_sched_ext(&self) -> bool {
        let read = || {
            let data = std::fs::read(&self.path).ok()?;
            let target = scx_lint::kernel::target::from_file(&self.name, &data).ok()?;
            Some(scx_lint::kernel::Kernel::new(&target).ok()?.has_sched_ext())
        };
        read().unwrap_or(true)
    }

    /// Knows cid-form schedulers.
    pub fn knows_cid(&self) -> bool {
        self.version >= (7, 2)
    }
}

fn folders() -> Vec<PathBuf> {
    if let Some(list) = std::env::var_os("SCX_LINT_KERNELS") {
        return std::env::split_paths(&list).collect();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    [Some(root().join("../shared/kernels")), cache.map(|cache| cache.join("scx-lint/kernels"))]
        .into_iter()
        .flatten()
        .collect()
}

/// The kernels of the first folder that has any, in order of version.
pub fn find() -> Vec<Kernel> {
    for folder in folders() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut found: Vec<Kernel> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
                let mut numbers =
                    name.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
                let version = (numbers.next()?, numbers.next()?);
                Some(Kernel { name, path, version })
            })
            .collect();
        found.sort_by(|a, b| (a.version, &a.name).cmp(&(b.version, &b.name)));
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// The kernel for what needs only one: the newest that any distribution ships and that knows cid-form.
pub fn pick(kernels: &[Kernel]) -> Option<&Kernel> {
    let able = || kernels.iter().filter(|kernel| kernel.knows_cid());
    able().rfind(|kernel| !kernel.is_map_always()).or_else(|| able().next_back())
}
