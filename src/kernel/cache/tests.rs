use super::*;
use crate::kernel::at_hand;
use crate::kernel::image::extract;

/// The smallest thing that is worth keeping: packed types.
fn packed(btf: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(btf).unwrap();
    encoder.finish().unwrap()
}

fn btf() -> Vec<u8> {
    let mut build = crate::btf::build::Builder::new();
    let int = build.int("int", 4, true);
    build.composite("task_struct", 4, &[crate::btf::build::Field::new("pid", int, 0)]);
    build.finish()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).map(|all| all.map(|entry| entry.unwrap().path()).collect());
    found.unwrap_or_default()
}

/// All that was found; no field is left out.
fn all(found: Extracted<'_>) -> impl PartialEq + std::fmt::Debug {
    let Extracted { btf, release, build, kconfig, arch, btf_ids, kind, compression, cut } = found;
    assert!(cut.is_none());
    (btf.into_owned(), release, build, kconfig, arch, btf_ids, kind, compression)
}

fn folder() -> (tempfile::TempDir, Cache) {
    let scratch = tempfile::tempdir().unwrap();
    let cache = Cache::new(scratch.path().join("a/images"));
    (scratch, cache)
}

#[test]
fn what_is_kept_is_what_was_found() {
    let (_scratch, cache) = folder();
    let image = packed(&btf());
    let fresh = all(extract(&image).unwrap());
    for _ in 0..2 {
        assert_eq!(all(cache.extract(&image).unwrap()), fresh);
        assert_eq!(entries(&cache.folder).len(), 1);
    }
    // What is read, and not the image: the entry says another release.
    let path = entries(&cache.folder).remove(0);
    let bytes = fs::read(&path).unwrap();
    let (key, mut found) = decode(&bytes).unwrap();
    found.release = Some("7.3.99".to_owned());
    fs::write(&path, encode(&found, key.first_chunk().unwrap()).unwrap()).unwrap();
    assert_eq!(cache.extract(&image).unwrap().release.as_deref(), Some("7.3.99"));
    // Another image has another entry.
    let mut other = image.clone();
    other.push(0);
    let _ = cache.extract(&other);
    assert_eq!(cache.extract(&image).unwrap().release.as_deref(), Some("7.3.99"));
}

#[test]
fn what_costs_nothing_is_not_kept() {
    let (_scratch, cache) = folder();
    let btf = btf();
    assert_eq!(cache.extract(&btf).unwrap().btf, btf);
    assert_eq!(cache.extract(b"no kernel").unwrap_err(), extract(b"no kernel").unwrap_err());
    let broken = &packed(&btf)[..20];
    assert_eq!(cache.extract(broken).unwrap_err(), extract(broken).unwrap_err());
    assert!(entries(&cache.folder).is_empty());
}

#[test]
fn a_damaged_entry_is_made_anew() {
    let (_scratch, cache) = folder();
    let image = packed(&btf());
    let fresh = all(extract(&image).unwrap());
    cache.extract(&image).unwrap();
    let path = entries(&cache.folder).remove(0);
    let whole = fs::read(&path).unwrap();
    let mut of_another = whole.clone();
    of_another[CHECKED] ^= 1;
    correct_checksum(&mut of_another);
    let mut newer = whole.clone();
    newer[8] += 1;
    let damaged =
        [Vec::new(), whole[..whole.len() / 2].to_vec(), b"something else".to_vec(), of_another, newer];
    for bytes in damaged {
        fs::write(&path, bytes).unwrap();
        assert_eq!(all(cache.extract(&image).unwrap()), fresh);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        assert!(decode(&flipped).is_none(), "byte {at}");
    }
}

#[test]
fn where_nothing_can_be_kept_the_image_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let image = packed(&btf());
    let fresh = all(extract(&image).unwrap());
    // A file stands where the folder should.
    fs::write(scratch.path().join("file"), "").unwrap();
    let cache = Cache::new(scratch.path().join("file/images"));
    assert_eq!(all(cache.extract(&image).unwrap()), fresh);
    // A folder stands where the entry should.
    let (_scratch, cache) = folder();
    cache.extract(&image).unwrap();
    let path = entries(&cache.folder).remove(0);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(all(cache.extract(&image).unwrap()), fresh);
    assert_eq!(entries(&cache.folder), [path]);
}

#[test]
fn runs_at_the_same_time_do_no_harm() {
    let (_scratch, cache) = folder();
    let images: Vec<Vec<u8>> =
        (0..4u8).map(|number| packed(&[btf().as_slice(), &[number]].concat())).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    for image in &images {
                        assert_eq!(all(cache.extract(image).unwrap()), all(extract(image).unwrap()));
                    }
                }
            });
        }
    });
    assert_eq!(entries(&cache.folder).len(), images.len());
}

#[test]
fn what_nobody_wants_is_dropped() {
    let (_scratch, cache) = folder();
    fs::create_dir_all(&cache.folder).unwrap();
    let key = |digit: &str| digit.repeat(2 * KEY);
    let put = |name: String, age: Duration| {
        let file = fs::File::create(cache.folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    };
    let (new, old, ancient) = (Duration::ZERO, NOTED + NOTED, KEPT + NOTED);
    put(format!("{}.{VERSION}", key("a")), old);
    put(format!("{}.{VERSION}", key("b")), ancient);
    put(format!("{}.{}", key("c"), VERSION + 1), new);
    put(".1-ThreadId(2).new".to_owned(), new);
    put(".1-ThreadId(3).new".to_owned(), old);
    put("something of the user's".to_owned(), ancient);
    cache.extract(packed(&btf())).unwrap();
    let names = entries(&cache.folder).into_iter();
    let mut names: Vec<String> =
        names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|name| !name.starts_with(&key("a")) && name != ".1-ThreadId(2).new");
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[1], "something of the user's");
}

#[test]
fn use_is_noted() {
    let (_scratch, cache) = folder();
    let image = packed(&btf());
    cache.extract(&image).unwrap();
    let path = entries(&cache.folder).remove(0);
    let age = || fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    fs::File::options().append(true).open(&path).unwrap().set_modified(SystemTime::now() - KEPT).unwrap();
    assert!(age() > NOTED);
    cache.extract(&image).unwrap();
    assert!(age() < NOTED);
}

#[test]
fn real_images_are_kept_whole() {
    let (_scratch, cache) = folder();
    for (version, path) in at_hand::images().into_iter().rev().take(2) {
        let image = fs::read(&path).unwrap();
        let fresh = all(extract(&image).unwrap());
        assert!(all(cache.extract(&image).unwrap()) == fresh, "{version}");
        assert!(all(cache.extract(&image).unwrap()) == fresh, "{version}, kept");
    }
}

/// Damage that the checksum does not show; memory is bounded by the lengths that an entry may have.
#[test]
fn damage_behind_the_checksum_does_no_harm() {
    let image = packed(&btf());
    let mut found = extract(&image).unwrap();
    found.kconfig = Some("CONFIG_BPF=y\n".repeat(20));
    found.btf_ids = Some((0..100).collect());
    let whole = encode(&found, &[7; KEY]).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let mut read = 0;
    for round in 0..20_000 {
        let mut damaged = whole.clone();
        if round % 4 == 0 {
            damaged.truncate(random.usize(CHECKED..whole.len()));
        }
        for _ in 0..random.usize(1..4) {
            let at = random.usize(CHECKED..damaged.len().max(CHECKED + 1));
            if let Some(byte) = damaged.get_mut(at) {
                *byte = random.u8(..);
            }
        }
        correct_checksum(&mut damaged);
        if let Some((_, found)) = decode(&damaged) {
            let _ = crate::btf::Btf::parse(&found.btf);
            read += 1;
        }
    }
    assert!(read > 0, "no damage got past the lengths: the test tests nothing");
}
