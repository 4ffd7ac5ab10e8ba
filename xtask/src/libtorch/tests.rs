//! Laws of an install, on libtorches of a few bytes.

use super::ensure::{State, ensure_from, look};
use super::install::{Source, Tree, install};
use super::layout::Layout;
use super::pins::Wheel;
use super::wheel::Wheels;
use super::{Choice, Device, Request};
use crate::testing::{TORCH, zip_with};
use anyhow::{Result, bail};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes the files of [`TORCH`], then fails if told to.
struct Fake<'a> {
    runs: &'a AtomicUsize,
    fails: bool,
    device: Device,
}

impl Source for Fake<'_> {
    fn name(&self) -> &'static str {
        "wheel"
    }

    fn title(&self) -> &'static str {
        "a fake"
    }

    fn fill(&self, _: &Layout, into: &Path) -> Result<Tree> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        for (name, text) in TORCH {
            let path = into.join(name);
            fs::create_dir_all(path.parent().expect("a folder"))?;
            fs::write(path, text)?;
        }
        if self.device == Device::Cuda {
            fs::write(into.join("torch/lib/libtorch_cuda.so"), "cuda")?;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        if self.fails {
            bail!("the cable was cut");
        }
        let (torch, version) = (into.join("torch"), "2.11.0+cpu".into());
        Ok(Tree {
            torch,
            version,
            origin: "fake".into(),
            device: self.device,
        })
    }
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn fake(fails: bool, device: Device) -> Box<dyn Source> {
    Box::new(Fake {
        runs: &RUNS,
        fails,
        device,
    })
}

fn workspace() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let layout = Layout::new(dir.path());
    (dir, layout)
}

fn good(request: &Request) -> Vec<Box<dyn Source>> {
    vec![fake(false, request.device.unwrap_or(Device::Cpu))]
}

fn none(_: &Request) -> Vec<Box<dyn Source>> {
    panic!("an intact install needs no source")
}

/// The names in `.libtorch`, sorted.
fn names(layout: &Layout) -> Vec<String> {
    let entries = fs::read_dir(layout.base()).expect("the folder");
    let mut names: Vec<_> = entries
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn an_install_is_complete_and_current() -> Result<()> {
    let (_dir, layout) = workspace();
    let stamp = ensure_from(&layout, &Request::default(), &good)?;
    assert_eq!(stamp.device, "cpu");
    assert_eq!(names(&layout), ["2.11.0-cpu", "current", "lock"]);
    let current = layout.current();
    assert_eq!(fs::read_to_string(current.join("lib/libc10.so"))?, "c10");
    assert_eq!(fs::read_to_string(current.join("lib/libgomp.so"))?, "gomp");
    assert_eq!(
        fs::read_to_string(current.join("build-version"))?,
        "2.11.0+cpu\n"
    );
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
fn a_failure_midway_leaves_nothing() {
    let (_dir, layout) = workspace();
    let bad = |_: &Request| vec![fake(true, Device::Cpu)];
    let error = ensure_from(&layout, &Request::default(), &bad).expect_err("a failure");
    assert!(
        format!("{error:#}").contains("the cable was cut"),
        "{error:#}"
    );
    assert_eq!(names(&layout), ["lock"]);
}

#[test]
fn a_failure_midway_keeps_what_was_there() -> Result<()> {
    let (_dir, layout) = workspace();
    ensure_from(&layout, &Request::default(), &good)?;
    assert!(install(&layout, fake(true, Device::Cpu).as_ref()).is_err());
    assert!(matches!(
        look(&layout, &Request::default()),
        State::Ready(..)
    ));
    assert_eq!(names(&layout), ["2.11.0-cpu", "current", "lock"]);
    Ok(())
}

#[test]
fn damage_is_noticed_and_mended() -> Result<()> {
    let (_dir, layout) = workspace();
    ensure_from(&layout, &Request::default(), &good)?;
    for harm in ["lib/libc10.so", "torch/lib/libtorch_cpu.so", "include"] {
        fs::remove_file(layout.current().join(harm))?;
        assert!(
            matches!(look(&layout, &Request::default()), State::Damaged(..)),
            "{harm}"
        );
        ensure_from(&layout, &Request::default(), &good)?;
        assert!(layout.current().join(harm).exists(), "{harm}");
    }
    fs::write(layout.current().join("torch/lib/libc10.so"), "longer")?;
    assert!(matches!(
        look(&layout, &Request::default()),
        State::Damaged(..)
    ));
    Ok(())
}

#[test]
fn two_setups_at_once_install_once() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let (_dir, layout) = workspace();
    let sources = |_: &Request| -> Vec<Box<dyn Source>> {
        vec![Box::new(Fake {
            runs: &RUNS,
            fails: false,
            device: Device::Cpu,
        })]
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let done = ensure_from(&layout, &Request::default(), &sources);
                assert!(done.is_ok(), "{done:?}");
            });
        }
    });
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);
}

#[test]
fn what_dead_runs_left_is_swept() -> Result<()> {
    let (_dir, layout) = workspace();
    fs::create_dir_all(layout.base().join(".unpack-1/lib"))?;
    fs::create_dir_all(layout.base().join(".old-1"))?;
    ensure_from(&layout, &Request::default(), &good)?;
    assert_eq!(names(&layout), ["2.11.0-cpu", "current", "lock"]);
    Ok(())
}

#[test]
fn homes_are_switched_without_a_source() -> Result<()> {
    let (_dir, layout) = workspace();
    let of = |device| Request {
        device: Some(device),
        ..Request::default()
    };
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
    let both = |_: &Request| vec![fake(true, Device::Cpu), fake(false, Device::Cpu)];
    ensure_from(&layout, &Request::default(), &both)?;
    let (_dir, layout) = workspace();
    let bad = |_: &Request| vec![fake(true, Device::Cpu), fake(true, Device::Cpu)];
    let text = format!(
        "{:#}",
        ensure_from(&layout, &Request::default(), &bad).expect_err("both")
    );
    assert_eq!(text.matches("the cable was cut").count(), 2, "{text}");
    Ok(())
}

#[test]
fn a_system_libtorch_is_linked_not_copied() -> Result<()> {
    let (dir, layout) = workspace();
    let site = dir.path().join("site");
    let tree = Fake {
        runs: &RUNS,
        fails: false,
        device: Device::Cuda,
    }
    .fill(&layout, &site)?;
    fs::write(
        tree.torch.join("version.py"),
        "__version__ = '2.11.0+cu130'\n",
    )?;
    let exported = Some(tree.torch.clone());
    let system = super::system::System {
        exported: exported.clone(),
        device: None,
    };
    let stamp = install(&layout, &system)?;
    let link = fs::read_link(layout.current().join("lib/libtorch_cpu.so"))?;
    assert_eq!(link, tree.torch.join("lib/libtorch_cpu.so"));
    let request = |source| Request {
        source,
        exported: exported.clone(),
        device: None,
    };
    assert!(request(Choice::System).accepts(&stamp) && !request(Choice::Wheel).accepts(&stamp));
    Ok(())
}

/// Fake wheels: `good` is the bytes that the pin belongs to.
fn wheels(dir: &Path, tamper: bool) -> (Wheels, Rc<Cell<usize>>) {
    let archive = zip_with(&dir.join("source.whl"), &TORCH);
    let sha256 = super::unpack::sha256(&archive).expect("a hash");
    let pin = Wheel {
        file: "torch-2.11.0-x.whl",
        sha256: String::leak(sha256),
        cpu: true,
    };
    let fetched = Rc::new(Cell::new(0));
    let count = fetched.clone();
    let fetch = move |wheel: &Wheel, folder: &Path| {
        count.set(count.get() + 1);
        let mut bytes = fs::read(&archive)?;
        if tamper && count.get() == 1 {
            bytes.truncate(bytes.len() / 2);
        }
        Ok(fs::write(folder.join(wheel.file), bytes)?)
    };
    (Wheels::faked(vec![pin], Box::new(fetch)), fetched)
}

#[test]
fn a_truncated_wheel_is_deleted_and_fetched_afresh() -> Result<()> {
    let (dir, layout) = workspace();
    let (wheels, fetched) = wheels(dir.path(), true);
    let error = install(&layout, &wheels).err();
    let text = format!("{:#}", error.expect("a refusal"));
    assert!(
        text.contains("torch-2.11.0-x.whl is not the file that was published"),
        "{text}"
    );
    assert!(!layout.downloads().join("torch-2.11.0-x.whl").exists() && !layout.current().exists());
    install(&layout, &wheels)?;
    assert_eq!(fetched.get(), 2);
    assert!(layout.current().join("lib/libtorch_cpu.so").exists());
    assert!(!layout.downloads().exists());
    Ok(())
}

#[test]
fn a_wheel_that_is_here_already_is_not_fetched() -> Result<()> {
    let (dir, layout) = workspace();
    let (wheels, fetched) = wheels(dir.path(), false);
    fs::create_dir_all(layout.downloads())?;
    fs::copy(
        dir.path().join("source.whl"),
        layout.downloads().join("torch-2.11.0-x.whl"),
    )?;
    install(&layout, &wheels)?;
    assert_eq!(fetched.get(), 0);
    Ok(())
}
