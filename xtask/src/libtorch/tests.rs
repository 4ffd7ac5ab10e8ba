//! Tests of the installation, with a fake libtorch of a few bytes.

use super::*;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use zip::write::SimpleFileOptions;

/// The files of a fake libtorch.
pub const TORCH: [(&str, &str); 4] = [
    ("torch/lib/libtorch_cpu.so", "cpu"),
    ("torch/lib/libc10.so", "c10"),
    ("torch/lib/libgomp.so.1", "gomp"),
    ("torch/include/torch/csrc/api/include/torch/torch.h", "// torch"),
];

/// Writes an uncompressed zip of `entries` to `path`.
pub fn zip_with(path: &Path, entries: &[(&str, &str)]) -> PathBuf {
    let mut zip = zip::ZipWriter::new(File::create(path).expect("a temporary file"));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in entries {
        zip.start_file(*name, options).expect("an entry");
        zip.write_all(text.as_bytes()).expect("its bytes");
    }
    zip.finish().expect("a zip");
    path.to_owned()
}

/// A workspace without libtorch.
pub fn workspace() -> (tempfile::TempDir, LibtorchPaths) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let layout = LibtorchPaths::new(dir.path());
    (dir, layout)
}

/// Writes the files of [`TORCH`].
fn fill(into: &Path, device: Device) -> Result<Tree> {
    for (name, text) in TORCH {
        let path = into.join(name);
        fs::create_dir_all(path.parent().expect("a folder"))?;
        fs::write(path, text)?;
    }
    if device == Device::Cuda {
        fs::write(into.join("torch/lib/libtorch_cuda.so"), "cuda")?;
    }
    let (torch, version) = (into.join("torch"), "2.11.0+cpu".into());
    Ok(Tree { torch, version, origin: "fake".into(), device })
}

/// A source of [`TORCH`].
fn good(request: &Request) -> Vec<Source> {
    let device = request.device.unwrap_or(Device::Cpu);
    vec![Source { choice: Choice::Wheel, fill: Box::new(move |_, into| fill(into, device)) }]
}

/// A source that fails when all files are written.
fn broken() -> Source {
    let fill = |_: &LibtorchPaths, into: &Path| {
        fill(into, Device::Cpu)?;
        bail!("the cable was cut")
    };
    Source { choice: Choice::Wheel, fill: Box::new(fill) }
}

fn none(_: &Request) -> Vec<Source> {
    panic!("a complete installation needs no source")
}

/// The names in `.libtorch`, sorted.
fn names(layout: &LibtorchPaths) -> Vec<String> {
    let entries = fs::read_dir(layout.base()).expect("the folder");
    let mut names: Vec<_> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_install_is_complete_and_current() -> Result<()> {
    let (_dir, layout) = workspace();
    // What dead runs left is swept.
    fs::create_dir_all(layout.base().join(".unpack-1/lib"))?;
    fs::create_dir_all(layout.base().join(".old-1"))?;
    let stamp = ensure_from(&layout, &Request::default(), &good)?;
    assert_eq!(stamp.device, "cpu");
    assert_eq!(names(&layout), ["2.11.0-cpu", "current", "lock"]);
    let current = layout.current();
    assert_eq!(fs::read_to_string(current.join("lib/libc10.so"))?, "c10");
    assert_eq!(fs::read_to_string(current.join("lib/libgomp.so"))?, "gomp");
    assert_eq!(fs::read_to_string(current.join("build-version"))?, "2.11.0+cpu\n");
    let text = fs::read_to_string(current.join("lib/libtorch.so"))?;
    assert_eq!(text, "INPUT(libtorch_cpu.so libc10.so)\n");
    Ok(())
}

#[test]
fn a_second_setup_needs_no_source() -> Result<()> {
    let (_dir, layout) = workspace();
    let first = ensure_from(&layout, &Request::default(), &good)?;
    assert_eq!(ensure_from(&layout, &Request::default(), &none)?, first);
    // Even `current` alone is put back without a source.
    fs::remove_file(layout.current())?;
    assert_eq!(ensure_from(&layout, &Request::default(), &none)?, first);
    assert!(layout.current().join("lib/libc10.so").exists());
    Ok(())
}

#[test]
fn a_failure_midway_leaves_what_was_there() -> Result<()> {
    let (_dir, layout) = workspace();
    let error =
        ensure_from(&layout, &Request::default(), &|_| vec![broken()]).expect_err("it fails");
    assert!(format!("{error:#}").contains("the cable was cut"), "{error:#}");
    assert_eq!(names(&layout), ["lock"]);
    ensure_from(&layout, &Request::default(), &good)?;
    assert!(install(&layout, &broken()).is_err());
    assert!(matches!(look(&layout, &Request::default()), State::Ready(..)));
    assert_eq!(names(&layout), ["2.11.0-cpu", "current", "lock"]);
    Ok(())
}

#[test]
fn damage_is_noticed_and_mended() -> Result<()> {
    let (_dir, layout) = workspace();
    let damage = || match look(&layout, &Request::default()) {
        State::Damaged(_, _, why) => why,
        _ => panic!("not damaged"),
    };
    ensure_from(&layout, &Request::default(), &good)?;
    for harm in ["lib/libc10.so", "torch/lib/libtorch_cpu.so", "include"] {
        fs::remove_file(layout.current().join(harm))?;
        assert!(damage().contains("is missing"), "{harm}");
        ensure_from(&layout, &Request::default(), &good)?;
        assert!(layout.current().join(harm).exists(), "{harm}");
    }
    fs::write(layout.current().join("torch/lib/libc10.so"), "longer")?;
    assert!(damage().contains("lib/libc10.so has 6 bytes instead of 3"));
    Ok(())
}

#[test]
fn a_stamp_reads_back_and_a_truncated_one_is_ignored() -> Result<()> {
    let (_dir, layout) = workspace();
    let stamp = ensure_from(&layout, &Request::default(), &good)?;
    assert!(stamp.files.contains(&(3, "lib/libc10.so".to_owned())));
    assert_eq!(Stamp::read(&layout.current()), Some(stamp));
    let path = layout.current().join("install-stamp");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, &text[..text.len() - 6])?;
    assert_eq!(Stamp::read(&layout.current()), None);
    Ok(())
}

#[test]
fn two_setups_at_once_install_once() {
    let (_dir, layout) = workspace();
    let runs = Arc::new(AtomicUsize::new(0));
    let sources = |_: &Request| {
        let runs = runs.clone();
        let fill = move |_: &LibtorchPaths, into: &Path| {
            runs.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(50));
            fill(into, Device::Cpu)
        };
        vec![Source { choice: Choice::Wheel, fill: Box::new(fill) }]
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let done = ensure_from(&layout, &Request::default(), &sources);
                assert!(done.is_ok(), "{done:?}");
            });
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn homes_are_switched_without_a_source() -> Result<()> {
    let (_dir, layout) = workspace();
    let of = |device| Request { device: Some(device), ..Request::default() };
    ensure_from(&layout, &of(Device::Cpu), &good)?;
    ensure_from(&layout, &of(Device::Cuda), &good)?;
    assert_eq!(layout.current_name().as_deref(), Some("2.11.0-cuda"));
    // The linker never sees libtorch_cuda.so; the program finds it beside lib/.
    assert!(layout.current().join("cuda/libtorch_cuda.so").exists());
    assert!(!layout.current().join("lib/libtorch_cuda.so").exists());
    ensure_from(&layout, &Request::default(), &none)?;
    assert_eq!(layout.current_name().as_deref(), Some("2.11.0-cuda"));
    ensure_from(&layout, &of(Device::Cpu), &none)?;
    assert_eq!(layout.current_name().as_deref(), Some("2.11.0-cpu"));
    Ok(())
}

#[test]
fn the_next_source_is_tried_and_all_failures_are_told() -> Result<()> {
    let (_dir, layout) = workspace();
    let both = |request: &Request| [vec![broken()], good(request)].into_iter().flatten().collect();
    ensure_from(&layout, &Request::default(), &both)?;
    let (_dir, layout) = workspace();
    let bad = |_: &Request| vec![broken(), broken()];
    let text = format!("{:#}", ensure_from(&layout, &Request::default(), &bad).expect_err("both"));
    assert_eq!(text.matches("the cable was cut").count(), 2, "{text}");
    Ok(())
}

#[test]
fn a_full_disk_is_explained_and_ends_the_trying() {
    let (_dir, layout) = workspace();
    let full = |_: &LibtorchPaths, _: &Path| {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        Err(error).context("cannot unpack lib/libtorch_cpu.so")
    };
    let full = |_: &Request| vec![Source { choice: Choice::Wheel, fill: Box::new(full) }, broken()];
    let error = ensure_from(&layout, &Request::default(), &full).expect_err("a full disk");
    let text = format!("{error:#}");
    for part in ["disk is full", "1.1 GB", "libtorch_cpu.so", "again"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("the cable was cut"), "{text}");
}

#[test]
fn a_system_libtorch_is_linked_not_copied() -> Result<()> {
    let (dir, layout) = workspace();
    let tree = fill(&dir.path().join("site"), Device::Cuda)?;
    fs::write(tree.torch.join("version.py"), "__version__ = '2.11.0+cu130'\n")?;
    let exported = Some(tree.torch.clone());
    let stamp = install(&layout, &system::source(exported.clone(), None))?;
    let link = fs::read_link(layout.current().join("lib/libtorch_cpu.so"))?;
    assert_eq!(link, tree.torch.join("lib/libtorch_cpu.so"));
    let request = |source| Request { source, exported: exported.clone(), device: None };
    assert!(request(Choice::System).accepts(&stamp) && !request(Choice::Wheel).accepts(&stamp));
    Ok(())
}
