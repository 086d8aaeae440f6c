//! The oracle by itself.

use std::fs;

use scx_lint_oracle::mutate::Base;
use serde_json::Value;

use crate::{corpus, libbpf, objects, skipped};

/// What real kernels' loaders did at open is what libbpf does here. They had libbpf 1.8, which at open differs in
/// nothing that the corpus shows.
#[test]
fn opens_as_recorded_on_real_kernels() {
    let Some(corpus) = corpus() else {
        skipped("no recorded objects and outcomes beside the repository");
        return;
    };
    let mut libbpf = libbpf();
    let truth: Value =
        serde_json::from_str(&fs::read_to_string(corpus.join("truth/7.3.4.json")).unwrap()).unwrap();
    for (file, recorded) in truth.as_object().unwrap() {
        let path = corpus.join("objects").join(file);
        let answer = libbpf.open_file(path.to_str().unwrap()).unwrap();
        assert_eq!(answer["ok"], recorded["open"] == "pass", "{file}: {answer}");
        if recorded["open"] == "fail" {
            assert_eq!(answer["errno"], recorded["errno"], "{file}");
            // Recorded under another directory.
            let reason = recorded["reason"].as_str().unwrap().replace("/objs/", "");
            let dir = format!("{}/", path.parent().unwrap().display());
            let messages = answer["messages"].as_array().unwrap();
            assert!(
                messages.iter().any(|m| m.as_str().unwrap().replace(&dir, "") == reason),
                "{file}: {reason}: {messages:?}"
            );
        }
    }
}

/// Objects from memory, which is all that mutants are, get the answer of the file.
#[test]
fn memory_and_file_agree() {
    let mut libbpf = libbpf();
    for path in objects() {
        // libelf has another word for a file that is shorter than its header when it is in memory.
        if path.ends_with("short-header.o") {
            continue;
        }
        let path = path.to_str().unwrap();
        let mut by_path = libbpf.open_file(path).unwrap();
        let in_memory = libbpf.open_memory(path, &fs::read(path).unwrap()).unwrap();
        // Messages about the file name the path there and the object's name here.
        let name = String::from_utf8_lossy(scx_lint_oracle::view::object_name(path.as_bytes())).into_owned();
        for message in by_path["messages"].as_array_mut().unwrap() {
            *message = message.as_str().unwrap().replace(path, &name).into();
        }
        assert_eq!(by_path, in_memory);
    }
}

/// Objects that kill libbpf are answered, and so is the next one.
#[test]
fn outlives_a_crash() {
    let path = objects().into_iter().find(|p| libbpf().open_file(p.to_str().unwrap()).unwrap()["ok"] == true);
    let good = fs::read(path.expect("an object that opens")).unwrap();
    let base = Base::new(good.clone());
    let mut libbpf = libbpf();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut crashes = 0;
    for _ in 0..20_000 {
        let answer = libbpf.open_memory("mutant.bpf.o", &base.mutant(&mut rng).apply(&good)).unwrap();
        if !answer["crash"].is_null() {
            crashes += 1;
            assert_eq!(libbpf.open_memory("good.bpf.o", &good).unwrap()["ok"], true);
            if crashes == 2 {
                return;
            }
        }
    }
    panic!("libbpf survived 20000 mutants: {crashes} crashes are too few to show anything");
}
