//! The modules of a running kernel that bring split BTF along (/sys/kernel/btf), read when a name is not in vmlinux.
//!
//! libbpf goes through them in the order of their BTF ids, which is that of loading (`load_module_btfs`). The ids are for the
//! privileged; /proc/modules has the same order, last first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::lookup::Reason;
use crate::regular::read;

/// Largest split BTF that is read, bytes; that of the largest graphics driver has some 2 MB.
const MAX_FILE: u64 = 256 << 20;

/// The modules of a target, as far as they are known.
#[derive(Debug, Default)]
pub struct Modules {
    /// Where to read them; `None` where they were given, or where nobody knows which are loaded.
    folder: Option<Folder>,
    known: OnceLock<Result<Vec<Module>, Reason>>,
}

#[derive(Debug)]
struct Folder {
    /// Has a file of split BTF per module.
    files: PathBuf,
    /// Has a line per loaded module, the last loaded first.
    list: PathBuf,
}

/// A module that brings BTF along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name as the kernel spells it: `nf_conntrack`.
    pub name: String,
    /// Its split BTF, or why it cannot be read.
    pub data: Result<Vec<u8>, Reason>,
}

impl Modules {
    /// Which modules are loaded is not known: what vmlinux lacks may be in one or not.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// These and no others are loaded: name and split BTF, in the order of loading.
    pub fn loaded(modules: Vec<(String, Vec<u8>)>) -> Self {
        let modules = modules.into_iter().map(|(name, data)| Module { name, data: Ok(data) });
        Self { folder: None, known: OnceLock::from(Ok(modules.collect())) }
    }

    /// Those with a file in a folder such as /sys/kernel/btf, in the order that a file such as /proc/modules tells. Nothing
    /// is read yet.
    pub fn in_folder(files: impl Into<PathBuf>, list: impl Into<PathBuf>) -> Self {
        let folder = Folder { files: files.into(), list: list.into() };
        Self { folder: Some(folder), known: OnceLock::new() }
    }

    /// It is known which are loaded.
    pub fn is_known(&self) -> bool {
        self.folder.is_some() || self.known.get().is_some()
    }

    /// All of them in the order of loading, read now if they were not before; `None` where it is not known which there are.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn get(&self) -> Option<Result<&[Module], &Reason>> {
        let known = match &self.folder {
            Some(folder) => self.known.get_or_init(|| {
                folder.read().map_err(|error| {
                    format!("the BTF of loaded modules ({}) cannot be read: {error}", folder.files.display())
                        .into()
                })
            }),
            None => self.known.get()?,
        };
        Some(known.as_deref())
    }
}

impl Modules {
    /// Why a snapshot of this kernel stands for less than the kernel: it holds none of the modules. `None` where no module
    /// with BTF is known to be loaded.
    pub fn left_out(&self) -> Option<String> {
        match self.get()? {
            Ok([]) => None,
            Ok(modules) => {
                Some(format!("the snapshot leaves out modules that were loaded: {}", modules.len()))
            }
            Err(reason) => Some(format!("the modules are not in the snapshot: {reason}")),
        }
    }
}

impl Folder {
    fn read(&self) -> io::Result<Vec<Module>> {
        let mut modules = Vec::new();
        for file in fs::read_dir(&self.files)? {
            let file = file?;
            let Ok(name) = file.file_name().into_string() else { continue };
            if name == "vmlinux" {
                continue;
            }
            let data = match read(&file.path(), MAX_FILE) {
                Ok(data) => Ok(data),
                // Unloaded meanwhile; libbpf passes over it as well.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(format!("the BTF of module '{name}' cannot be read: {error}").into()),
            };
            modules.push(Module { name, data });
        }
        let order = loading_order(&self.list);
        let place = |name: &str| order.iter().position(|loaded| loaded == name).unwrap_or(order.len());
        modules.sort_by_cached_key(|module: &Module| (place(&module.name), module.name.clone()));
        Ok(modules)
    }
}

/// Names of loaded modules, the first loaded first; none where the list cannot be read: the order is then by name, and
/// matters only where two modules have the same name for different things.
fn loading_order(list: &Path) -> Vec<String> {
    let text = fs::read_to_string(list).unwrap_or_default();
    text.lines().rev().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cli")]
    #[test]
    fn a_folder_is_read_when_asked_and_in_the_order_of_loading() {
        let temp = tempfile::tempdir().unwrap();
        let (files, list) = (temp.path().join("btf"), temp.path().join("modules"));
        fs::create_dir(&files).unwrap();
        let modules = Modules::in_folder(&files, &list);
        assert!(modules.is_known());
        for name in ["vmlinux", "aaa", "first", "second", "bbb"] {
            fs::write(files.join(name), name).unwrap();
        }
        fs::create_dir(files.join("folder")).unwrap();
        fs::write(
            &list,
            "second 16384 0 - Live 0x0\nnone 16384 0 - Live 0x0\nfirst 16384 1 second, Live 0x0\n",
        )
        .unwrap();
        let read = modules.get().unwrap().unwrap();
        let names: Vec<_> = read.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["first", "second", "aaa", "bbb", "folder"]);
        assert_eq!(read[0].data.as_deref(), Ok(&b"first"[..]));
        let reason = read[4].data.as_ref().unwrap_err().to_string();
        assert_eq!(reason, "the BTF of module 'folder' cannot be read: is no regular file");
        // Read once.
        fs::remove_dir_all(&files).unwrap();
        assert_eq!(modules.get().unwrap().unwrap().len(), 5);
        let gone = Modules::in_folder(&files, &list);
        let reason = gone.get().unwrap().unwrap_err().to_string();
        assert!(
            reason.starts_with("the BTF of loaded modules (") && reason.contains("cannot be read"),
            "{reason}"
        );
    }

    #[test]
    fn modules_that_nobody_knows_are_not_none() {
        assert!(Modules::unknown().get().is_none() && !Modules::unknown().is_known());
        let none = Modules::loaded(Vec::new());
        assert!(none.is_known());
        assert_eq!(none.get(), Some(Ok(&[][..])));
        assert_eq!((Modules::unknown().left_out(), none.left_out()), (None, None));
        let one = Modules::loaded(vec![("one".into(), Vec::new())]).left_out().unwrap();
        assert!(one.ends_with("loaded: 1"), "{one}");
    }
}
