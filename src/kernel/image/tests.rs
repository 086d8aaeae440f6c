use std::io::Write as _;
use std::path::Path;

use object::write::{Object, StandardSegment};
use object::{Architecture, BinaryFormat, Endianness, SectionKind};

use super::*;
use crate::kernel::builtin::flags;
use crate::kernel::kfunc_flags::KfuncSets;
use crate::kernel::{at_hand, builtin};

const ALL: [Compression; 6] = [
    Compression::Gzip,
    Compression::Xz,
    Compression::Zstd,
    Compression::Lz4,
    Compression::Lzma,
    Compression::Bzip2,
];

/// The smallest real BTF at hand: that of a fixture.
fn btf() -> Vec<u8> {
    use object::read::{Object as _, ObjectSection as _};
    let path = "fixtures/obj/clang-19/arena-not-always-mapped__near_cpu.bpf.o";
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    object::File::parse(&*bytes).unwrap().section_by_name(".BTF").unwrap().data().unwrap().to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    pack(Compression::Gzip, bytes)
}

fn pack(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
        Compression::Lz4 => {
            // The legacy frame, block by block, as `lz4 -l` writes it for the kernel.
            let mut out = vec![0x02, 0x21, 0x4c, 0x18];
            for chunk in bytes.chunks(8 << 20) {
                let block = lz4_flex::block::compress(chunk);
                out.extend_from_slice(&(block.len() as u32).to_le_bytes());
                out.extend_from_slice(&block);
            }
            out
        }
        Compression::Lzma => {
            let options = lzma_rust2::LzmaOptions::with_preset(1);
            let mut encoder = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

const CONFIG: &str = "CONFIG_SCHED_CLASS_EXT=y\nCONFIG_HZ=250\n";

/// What a kernel has in memory besides its types.
fn rodata() -> Vec<u8> {
    [
        b"Linux version %s (%s)\0".as_slice(),
        b"Linux version 7.3.4-test (root@vm) #1 SMP\0IKCFG_ST",
        &gzip(CONFIG.as_bytes()),
        b"IKCFG_ED",
    ]
    .concat()
}

/// Words of a `.BTF_ids`: an id, and a set of one kfunc.
const IDS: [u32; 5] = [7, 1, 1, 42, 5];

fn ids(order: Endianness) -> Vec<u8> {
    let bytes = if order == Endianness::Big { u32::to_be_bytes } else { u32::to_le_bytes };
    IDS.into_iter().flat_map(bytes).collect()
}

/// An executable ELF file with these sections.
fn elf(architecture: Architecture, order: Endianness, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Object::new(BinaryFormat::Elf, architecture, order);
    for (name, data) in sections {
        let segment = file.segment_name(StandardSegment::Data).to_vec();
        let section = file.add_section(segment, name.as_bytes().to_vec(), SectionKind::ReadOnlyData);
        file.append_section_data(section, data, 8);
    }
    let mut bytes = file.write().unwrap();
    // ET_EXEC; the crate writes ET_REL only.
    bytes[if order == Endianness::Little { 16 } else { 17 }] = 2;
    bytes
}

fn vmlinux() -> Vec<u8> {
    elf(
        Architecture::X86_64,
        Endianness::Little,
        &[(".rodata", &rodata()), (".BTF", &btf()), (".BTF_ids", &ids(Endianness::Little))],
    )
}

/// A bzImage of protocol 2.15 around a payload.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0u8; 3 * 512 + 64];
    image[..2].copy_from_slice(b"MZ");
    image[0x1f1] = 2;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&64u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image[0x300..0x311].copy_from_slice(b"7.3.4-header (r) ");
    [&image, payload, b"code after the payload"].concat()
}

/// As the kernel's build packs a payload: all but gzip get their length appended.
fn with_size(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut packed = pack(compression, bytes);
    if compression != Compression::Gzip {
        packed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    }
    packed
}

fn zboot(compression: Compression, payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0u8; 4096];
    image[..8].copy_from_slice(b"MZ\0\0zimg");
    image[8..12].copy_from_slice(&4096u32.to_le_bytes());
    image[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image[24..24 + compression.as_str().len()].copy_from_slice(compression.as_str().as_bytes());
    [&image, payload].concat()
}

/// An arm64 Image: no sections, a small BTF of a BPF program before the kernel's own, and a header that is none.
fn arm64() -> Vec<u8> {
    let mut image = vec![0u8; 512];
    image[..2].copy_from_slice(b"MZ");
    image[56..60].copy_from_slice(b"ARM\x64");
    let small =
        [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], [0].as_slice()]
            .concat();
    let broken =
        [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 16, 0, 0], [1].as_slice()]
            .concat();
    let head = [&image, &small[..], &broken, &rodata(), &[7; 100]].concat();
    let types = [&head[..], &btf()].concat();
    let gap = types.len().next_multiple_of(4) - types.len();
    [&types[..], &vec![0; gap], &ids(Endianness::Little), &[9; 5000]].concat()
}

fn assert_kernel(bytes: &[u8], kind: Kind, compression: Option<Compression>) {
    let what = format!("{kind}, {compression:?}");
    let found = extract(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(*found.btf, *btf(), "{what}");
    assert_eq!((found.kind, found.compression), (kind, compression));
    if kind != Kind::RawBtf {
        assert_eq!(found.release.as_deref(), Some("7.3.4-test"), "{what}");
        assert_eq!(found.kconfig.as_deref(), Some(CONFIG), "{what}");
    }
    match kind {
        Kind::RawBtf => assert_eq!(found.btf_ids, None),
        _ => assert_eq!(found.btf_ids.unwrap()[..IDS.len()], IDS, "{what}"),
    }
}

#[test]
fn every_image_gives_its_btf() {
    assert_kernel(&btf(), Kind::RawBtf, None);
    assert_kernel(&vmlinux(), Kind::Vmlinux, None);
    assert_kernel(&arm64(), Kind::FlatImage, None);
    let big = elf(
        Architecture::S390x,
        Endianness::Big,
        &[(".rodata", &rodata()), (".BTF", &btf()), (".BTF_ids", &ids(Endianness::Big))],
    );
    assert_kernel(&big, Kind::Vmlinux, None);
    for compression in ALL {
        let some = Some(compression);
        assert_kernel(&pack(compression, &btf()), Kind::RawBtf, some);
        assert_kernel(&pack(compression, &vmlinux()), Kind::Vmlinux, some);
        assert_kernel(&pack(compression, &arm64()), Kind::FlatImage, some);
        assert_kernel(&bzimage(&with_size(compression, &vmlinux())), Kind::BzImage, some);
        assert_kernel(&zboot(compression, &pack(compression, &arm64())), Kind::Zboot, some);
    }
    // One inside the other.
    assert_kernel(
        &gzip(&bzimage(&with_size(Compression::Zstd, &vmlinux()))),
        Kind::BzImage,
        Some(Compression::Gzip),
    );
    // A unified kernel image: the bzImage is somewhere inside an EFI executable.
    let unified =
        [b"MZ".as_slice(), &[0; 1000], &with_size(Compression::Zstd, &vmlinux()), &[0; 100]].concat();
    assert_kernel(&unified, Kind::Efi, Some(Compression::Zstd));
}

#[test]
fn the_setup_header_names_the_release_where_the_kernel_does_not() {
    let mute = elf(Architecture::X86_64, Endianness::Little, &[(".BTF", &btf())]);
    let found = bzimage(&gzip(&mute));
    assert_eq!(extract(&found).unwrap().release.as_deref(), Some("7.3.4-header"));
}

#[test]
fn a_snapshot_is_a_kernel_too() {
    let meta = snapshot::Meta { release: Some("7.3.4".into()), ..Default::default() };
    let bytes = snapshot::write(&btf(), None, Some(CONFIG), &meta).unwrap();
    for bytes in [bytes.clone(), gzip(&bytes)] {
        let found = extract(&bytes).unwrap();
        assert_eq!((found.kind, found.release.as_deref()), (Kind::Snapshot, Some("7.3.4")));
        assert_eq!(found.kconfig.as_deref(), Some(CONFIG));
        assert_eq!(found.cut.unwrap().meta, meta);
    }
    let mut newer = bytes;
    newer[8] = 9;
    assert_eq!(extract(&newer).unwrap_err().code(), "unsupported-snapshot");
}

#[test]
fn what_is_no_kernel_is_named() {
    let without = elf(Architecture::X86_64, Endianness::Little, &[(".rodata", &rodata())]);
    let program = elf(Architecture::X86_64, Endianness::Little, &[(".rodata", b"hello")]);
    let mut module = vmlinux();
    module[16] = 1;
    let object = elf(Architecture::Bpf, Endianness::Little, &[(".BTF", &btf())]);
    let mut no_btf_image = vec![0u8; 4096];
    no_btf_image[56..60].copy_from_slice(b"ARM\x64");
    let mut bad_sections = vmlinux();
    bad_sections[58] = 7; // e_shentsize
    let lzo = [b"\x89LZO\0\r\n\x1a\n".as_slice(), &[0; 50]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not-a-kernel", vec![]),
        ("not-a-kernel", b"#!/bin/sh\n".to_vec()),
        ("not-a-kernel", vec![0xaa; 100]),
        ("not-a-kernel", gzip(b"just text")),
        ("not-a-kernel", gzip(&gzip(&gzip(&gzip(&gzip(&gzip(&btf()))))))),
        ("not-a-kernel", b"MZ an EFI program that holds no kernel".to_vec()),
        ("not-a-kernel", program),
        ("bpf-object-as-kernel", object),
        ("module-as-kernel", module),
        ("kernel-without-btf", without.clone()),
        ("kernel-without-btf", no_btf_image.clone()),
        ("kernel-without-btf", bzimage(&with_size(Compression::Xz, &without))),
        ("kernel-without-btf", zboot(Compression::Gzip, &gzip(&no_btf_image))),
        ("unsupported-compression", lzo.clone()),
        ("unsupported-compression", bzimage(&lzo)),
        ("unsupported-compression", zboot(Compression::Gzip, &lzo)),
        ("malformed-kernel", bad_sections),
    ];
    for (index, (code, bytes)) in cases.into_iter().enumerate() {
        let error = extract(&bytes).map(|found| found.kind).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), code, "case {index}: {text}");
        assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    }
}

#[test]
fn truncation_is_told_and_never_panics() {
    let images: Vec<Vec<u8>> = ALL
        .into_iter()
        .flat_map(|compression| {
            [
                pack(compression, &vmlinux()),
                bzimage(&with_size(compression, &vmlinux())),
                zboot(compression, &pack(compression, &arm64())),
            ]
        })
        .chain([vmlinux(), arm64()])
        .collect();
    for image in &images {
        let mut truncated = 0;
        for step in 1..40 {
            let len = image.len() * step / 40;
            if let Err(error) = extract(&image[..len]) {
                truncated += usize::from(error.code() == "truncated-kernel");
            }
        }
        if !flat::is_image(image) {
            assert!(truncated > 10, "{truncated}");
        }
    }
}

#[test]
fn damage_never_panics() {
    let mut random = fastrand::Rng::with_seed(3);
    for compression in ALL {
        for image in [
            bzimage(&with_size(compression, &vmlinux())),
            zboot(compression, &pack(compression, &arm64())),
            pack(compression, &vmlinux()),
        ] {
            for _ in 0..12 {
                let mut damaged = image.clone();
                for _ in 0..random.usize(1..6) {
                    let at =
                        if random.bool() { random.usize(..damaged.len()) } else { random.usize(..0x260) };
                    damaged[at] = random.u8(..);
                }
                let _ = extract(&damaged);
            }
        }
    }
    for image in [vmlinux(), arm64()] {
        for _ in 0..100 {
            let mut damaged = image.clone();
            let at = random.usize(..damaged.len());
            damaged[at] = random.u8(..);
            let _ = extract(&damaged);
        }
    }
}

#[test]
fn bombs_end_in_an_error() {
    let zeros = vec![0u8; 64 << 20];
    for compression in ALL {
        let bomb = pack(compression, &zeros);
        let limit = compression::limit(bomb.len());
        // lz4 reaches 255 at best, so its limit is the nearest.
        assert!(limit < zeros.len(), "{compression}: {} bytes", bomb.len());
        let error = extract(&bomb).map(|found| found.kind).unwrap_err();
        assert_eq!(error.code(), "decompression-limit", "{compression}: {error}");
    }
    // A dictionary of 4 GiB, asked for in 13 bytes.
    let greedy = [[0x5d, 0, 0, 0xff, 0xff].as_slice(), &[0xff; 8], &[0; 100]].concat();
    assert_eq!(extract(&greedy).map(|found| found.kind).unwrap_err().code(), "malformed-kernel");
}

/// The BTF in an image is what the kernel itself shows: that of the built-in release, or what is kept beside the image.
#[test]
fn real_images_give_the_btf_that_the_kernel_shows() {
    let images = at_hand::images();
    let last = images.len().saturating_sub(1);
    for (at, (version, path)) in images.into_iter().enumerate() {
        // The others are compressed like these; they cost a second each.
        if at != 0 && at != last && !version.ends_with("-map-always") {
            continue;
        }
        let image = std::fs::read(&path).unwrap();
        let found = extract(&image).unwrap();
        // Its kfuncs are those of the release that is built in; a small configuration has fewer.
        let types = btf::Btf::parse(&found.btf).unwrap();
        let sets = KfuncSets::read(&found.btf_ids.unwrap(), &types);
        let series = version.split('.').take(2).collect::<Vec<_>>().join(".");
        assert!(sets.kfuncs().len() > 150, "{version}: {}", sets.kfuncs().len());
        let is_built_in = builtin::RELEASES.iter().any(|known| version.starts_with(known.release));
        for (id, flags) in sets.kfuncs().iter().filter(|_| is_built_in) {
            let kfunc = types.name(&types.get(*id).unwrap());
            let mut rows = flags::rows_of(kfunc).iter();
            let row = rows.find(|row| row.releases.split(' ').any(|release| release == series));
            assert_eq!(row.map(|row| row.flags), Some(*flags), "{version}: {kfunc}");
        }
        assert_eq!(found.kind, Kind::BzImage);
        let release = found.release.unwrap_or_default();
        assert!(release.starts_with(version.split(['-', '+']).next().unwrap()), "{version}: {release}");
        // Those of distributions carry no configuration; the others are built for tests.
        let is_own = version.ends_with("-scx") || version.ends_with("-map-always");
        let config = found.kconfig.unwrap_or_default();
        assert_eq!(config.contains("\nCONFIG_SCHED_CLASS_EXT=y\n"), is_own, "{version}");
        let known = builtin::RELEASES.iter().find(|known| version.starts_with(known.release) && !is_own);
        let beside = path.with_file_name(format!("btf/{version}.btf.xz"));
        if let Ok(packed) = std::fs::read(beside) {
            assert!(found.btf == extract(&packed).unwrap().btf, "{version}");
        }
        if let Some(known) = known {
            assert_eq!(snapshot::sha256(&found.btf), known.btf_sha256, "{version}");
        }
    }
}
