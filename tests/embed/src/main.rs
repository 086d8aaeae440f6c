//! Opens one of two schedulers. It is built to be linted, never run.

mod qmap {
    include!(concat!(env!("OUT_DIR"), "/qmap.skel.rs"));
}
mod central {
    include!(concat!(env!("OUT_DIR"), "/central.skel.rs"));
}

use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use std::mem::MaybeUninit;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().count() > 1 {
        qmap::QmapSkelBuilder::default().open(&mut MaybeUninit::uninit())?.load()?;
    } else {
        central::CentralSkelBuilder::default().open(&mut MaybeUninit::uninit())?.load()?;
    }
    Ok(())
}
