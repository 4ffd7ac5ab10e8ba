//! Tests of the installation from wheels.

use super::super::install::install;
use super::super::pins::Wheel;
use super::super::unpack::sha256;
use super::super::wheel::Wheels;
use super::workspace;
use crate::testing::{TORCH, zip_with};
use anyhow::Result;
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// Fake wheels; the pinned hash is that of `good`.
fn wheels(dir: &Path, tamper: bool) -> (Wheels, Rc<Cell<usize>>) {
    let archive = zip_with(&dir.join("source.whl"), &TORCH);
    let sha256 = sha256(&archive).expect("a hash");
    let pin = Wheel { file: "torch-2.11.0-x.whl", sha256: String::leak(sha256), cpu: true };
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
    assert!(text.contains("torch-2.11.0-x.whl is not the published file"), "{text}");
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
    fs::copy(dir.path().join("source.whl"), layout.downloads().join("torch-2.11.0-x.whl"))?;
    install(&layout, &wheels)?;
    assert_eq!(fetched.get(), 0);
    Ok(())
}
