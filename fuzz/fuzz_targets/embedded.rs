//! Programs that hold objects.
#![no_main]

use std::cell::RefCell;
use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use scx_lint::input::{self, Compiler};
use scx_lint::object::Object;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new_in("/dev/shm").unwrap());
}

fuzz_target!(|data: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.as_file_mut().set_len(0).unwrap();
        std::io::Seek::rewind(file).unwrap();
        file.write_all(data).unwrap();
        let Ok(loaded) = input::load(file.path(), &Compiler::default(), &|_| ()) else { return };
        for part in &loaded.parts {
            if let Some(bytes) = loaded.bytes.get(part.range.clone()) {
                let _ = Object::open(bytes, &part.name);
            }
        }
    });
});
