//! Tests of the installation from any source.

use super::super::ensure::{State, ensure_from, look};
use super::super::install::{Source, install};
use super::super::system::System;
use super::super::{Choice, Device, Request};
use super::{Fake, RUNS, fake, good, names, none, workspace};
use anyhow::Result;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn an_install_is_complete_and_current() -> Result<()> {
    let (_dir, layout) = workspace();
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
fn a_failure_midway_leaves_nothing() {
    let (_dir, layout) = workspace();
    let bad = |_: &Request| vec![fake(true, Device::Cpu)];
    let error = ensure_from(&layout, &Request::default(), &bad).expect_err("a failure");
    assert!(format!("{error:#}").contains("the cable was cut"), "{error:#}");
    assert_eq!(names(&layout), ["lock"]);
}

#[test]
fn a_failure_midway_keeps_what_was_there() -> Result<()> {
    let (_dir, layout) = workspace();
    ensure_from(&layout, &Request::default(), &good)?;
    assert!(install(&layout, fake(true, Device::Cpu).as_ref()).is_err());
    assert!(matches!(look(&layout, &Request::default()), State::Ready(..)));
    assert_eq!(names(&layout), ["2.11.0-cpu", "current", "lock"]);
    Ok(())
}

#[test]
fn damage_is_noticed_and_mended() -> Result<()> {
    let (_dir, layout) = workspace();
    ensure_from(&layout, &Request::default(), &good)?;
    for harm in ["lib/libc10.so", "torch/lib/libtorch_cpu.so", "include"] {
        fs::remove_file(layout.current().join(harm))?;
        assert!(matches!(look(&layout, &Request::default()), State::Damaged(..)), "{harm}");
        ensure_from(&layout, &Request::default(), &good)?;
        assert!(layout.current().join(harm).exists(), "{harm}");
    }
    fs::write(layout.current().join("torch/lib/libc10.so"), "longer")?;
    assert!(matches!(look(&layout, &Request::default()), State::Damaged(..)));
    Ok(())
}

#[test]
fn two_setups_at_once_install_once() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let (_dir, layout) = workspace();
    let sources = |_: &Request| -> Vec<Box<dyn Source>> {
        vec![Box::new(Fake { runs: &RUNS, fails: false, device: Device::Cpu })]
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
    let both = |_: &Request| vec![fake(true, Device::Cpu), fake(false, Device::Cpu)];
    ensure_from(&layout, &Request::default(), &both)?;
    let (_dir, layout) = workspace();
    let bad = |_: &Request| vec![fake(true, Device::Cpu), fake(true, Device::Cpu)];
    let text = format!("{:#}", ensure_from(&layout, &Request::default(), &bad).expect_err("both"));
    assert_eq!(text.matches("the cable was cut").count(), 2, "{text}");
    Ok(())
}

#[test]
fn a_system_libtorch_is_linked_not_copied() -> Result<()> {
    let (dir, layout) = workspace();
    let site = dir.path().join("site");
    let tree = Fake { runs: &RUNS, fails: false, device: Device::Cuda }.fill(&layout, &site)?;
    fs::write(tree.torch.join("version.py"), "__version__ = '2.11.0+cu130'\n")?;
    let exported = Some(tree.torch.clone());
    let system = System { exported: exported.clone(), device: None };
    let stamp = install(&layout, &system)?;
    let link = fs::read_link(layout.current().join("lib/libtorch_cpu.so"))?;
    assert_eq!(link, tree.torch.join("lib/libtorch_cpu.so"));
    let request = |source| Request { source, exported: exported.clone(), device: None };
    assert!(request(Choice::System).accepts(&stamp) && !request(Choice::Wheel).accepts(&stamp));
    Ok(())
}
