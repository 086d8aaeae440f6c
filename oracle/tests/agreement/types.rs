//! BTF by itself: what parses, names, sizes and compatibility, on kernels' own and on mutants of small ones.

use std::ffi::CString;
use std::fs;

use fastrand::Rng;
use scx_lint::btf::build::Builder;
use scx_lint::btf::{Btf, Kind, TypeId, types_are_compat, types_match};
use scx_lint::elf::Elf;
use scx_lint_oracle::core::Types;

use crate::{kernels, objects};

#[test]
fn parses_mutants_like_libbpf() {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for path in objects() {
        let bytes = fs::read(path).unwrap();
        let Ok(elf) = Elf::parse(&bytes) else { continue };
        let btf = elf.sections.iter().find(|s| s.name == ".BTF").and_then(|s| s.data);
        seeds.extend(btf.map(<[u8]>::to_vec));
    }
    let base = Builder::new().finish();
    let (base, their_base) = (Btf::parse(&base).unwrap(), Types::new(&base).unwrap());
    let mut rng = Rng::with_seed(1);
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..60_000 {
        let mut bytes = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(1..4) {
            let limit = if rng.bool() { 24 } else { bytes.len() };
            let at = rng.usize(..limit.min(bytes.len()));
            match rng.u8(..4) {
                0 => bytes[at] = rng.u8(..),
                1 => bytes[at] ^= 1 << rng.u8(..8),
                2 => {
                    let small = rng.u32(..64).to_le_bytes();
                    let at = at & !3;
                    let end = bytes.len().min(at + 4);
                    bytes[at..end].copy_from_slice(&small[..end - at]);
                }
                _ => bytes.truncate(rng.usize(bytes.len() / 2..=bytes.len())),
            }
            if bytes.is_empty() {
                bytes.push(0x9f);
            }
        }
        let split = rng.u8(..5) == 0;
        let (ours, theirs) = if split {
            (Btf::parse_split(&bytes, &base), Types::split(&bytes, &their_base))
        } else {
            (Btf::parse(&bytes), Types::new(&bytes))
        };
        // Behind a longer header kinds and lengths are wider, which 1.7 does not know yet.
        let header_len = bytes.get(4..8).map_or(0, |w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        if header_len > 24 && bytes.get(..2) == Some(&[0x9f, 0xeb]) {
            continue;
        }
        assert_eq!(ours.is_ok(), theirs.is_ok(), "mutant {number}, split {split}: {:?}", ours.err());
        if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) {
            assert_eq!(ours.len(), theirs.count() as usize, "mutant {number}");
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 1000 && refused > 1000);
}

#[test]
fn names_and_sizes_like_libbpf() {
    let mut rng = Rng::with_seed(1);
    for (kernel, bytes) in kernels() {
        let (ours, theirs) = (Btf::parse(&bytes).unwrap(), Types::new(&bytes).unwrap());
        for (id, ty) in ours.types() {
            let size = ours.resolve_size(id).map_or_else(|errno| -i64::from(errno.0), |size| size as i64);
            assert_eq!(size, theirs.size(id.0), "{kernel}: size of {id}");
            // Without a prototype or variable: libbpf warns about those.
            if !matches!(ty.kind(), Kind::Func | Kind::FuncProto | Kind::Var | Kind::DataSec) {
                let align = ours.align_of(id).map_or(0, |align| align as i32);
                assert_eq!(align, theirs.align(id.0), "{kernel}: alignment of {id}");
            }
            // libbpf looks at every type where they are not sorted.
            if rng.u8(..100) > 0 || ours.name(&ty).is_empty() {
                continue;
            }
            let name = CString::new(ours.name(&ty)).unwrap();
            for kind in [Kind::Struct, Kind::Func, ty.kind()] {
                let found = ours.names().find(ours.name(&ty), kind).map_or(-2, |id| id.0 as i32);
                assert_eq!(found, theirs.find(&name, kind as u32), "{kernel}: {name:?} {kind:?}");
            }
        }
    }
}

#[test]
fn compares_types_like_libbpf() {
    let kernels = kernels();
    let code = |result: Result<bool, scx_lint::errno::Errno>| match result {
        Ok(yes) => i32::from(yes),
        Err(errno) => -errno.0,
    };
    let (mut yes, mut no) = (0, 0);
    for pair in kernels.windows(2) {
        let (local, target) = (Btf::parse(&pair[0].1).unwrap(), Btf::parse(&pair[1].1).unwrap());
        let (their_local, their_target) = (Types::new(&pair[0].1).unwrap(), Types::new(&pair[1].1).unwrap());
        let mut rng = Rng::with_seed(1);
        let mut compare = |id: TypeId, other: TypeId| {
            let compat = their_local.are_compat(id.0, &their_target, other.0);
            assert_eq!(
                code(types_are_compat(&local, id, &target, other)),
                compat,
                "{pair:?} {id} {other}",
                pair = pair[0].0
            );
            let matches = their_local.match_types(id.0, &their_target, other.0);
            assert_eq!(
                code(types_match(&local, id, &target, other)),
                matches,
                "{pair:?} {id} {other}",
                pair = pair[0].0
            );
            yes += usize::from(compat == 1) + usize::from(matches == 1);
            no += usize::from(compat == 0) + usize::from(matches == 0);
        };
        for (id, ty) in local.types() {
            if ty.kind() == Kind::Func {
                if let Some(other) = target.names().find(local.name(&ty), Kind::Func) {
                    compare(ty.target(), target.get(other).unwrap().target());
                }
            } else {
                for other in target.names().all(local.name(&ty)) {
                    compare(id, other);
                }
            }
            if rng.u8(..20) == 0 {
                compare(id, TypeId(rng.u32(..target.len() as u32)));
            }
        }
    }
    println!("{yes} yes, {no} no");
    assert!(kernels.len() < 2 || yes > 1000 && no > 1000);
}
