//! The whole way of an object, with and without a kernel, to the reports.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use scx_lint::Options;
use scx_lint::kernel::{Kernel, Target, target};
use scx_lint::report;

fn targets() -> &'static [Target] {
    static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();
    TARGETS.get_or_init(|| target::load("6.12,7.1,7.3").unwrap())
}

fn kernels() -> &'static [Kernel<'static>] {
    struct Shared(Vec<Kernel<'static>>);
    thread_local! {
        static KERNELS: &'static Shared =
            Box::leak(Box::new(Shared(targets().iter().map(|target| Kernel::new(target).unwrap()).collect())));
    }
    KERNELS.with(|shared| &shared.0)
}

fuzz_target!(|data: &[u8]| {
    for kernels in [&[], kernels()] {
        let mut document = scx_lint::lint_for("fuzz.bpf.o", data, kernels, &Options::default());
        serde_json::to_vec(&document).unwrap();
        document.make_printable();
        report::concise(&document, &mut Vec::new()).unwrap();
        report::inspect(&document, &mut Vec::new(), 80).unwrap();
        let style = report::Style { color: false, unicode: true, width: 60 };
        report::full(&document, &style, &report::Sources::default(), &mut Vec::new()).unwrap();
        report::dot(&document, &mut Vec::new()).unwrap();
    }
});
