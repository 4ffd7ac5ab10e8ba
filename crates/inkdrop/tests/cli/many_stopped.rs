//! Runs of many images that are stopped or killed, and go on.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::support::{Outcome, Place, contents};

const SAMPLE: [&str; 10] =
    ["sample", "sprites", "-n", "90", "--batch", "4", "--steps", "4", "--class", "food"];

/// What a run makes that nothing stopped.
fn whole() -> &'static Place {
    static WHOLE: OnceLock<Place> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let place = Place::new();
        for out in ["x.npz", "x/"] {
            place.run(&[&SAMPLE[..], &["--out", out]].concat()).succeeds();
        }
        place
    })
}

pub fn start(place: &Place, args: &[&str]) -> Child {
    let mut command = place.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process")
}

/// Waits until something is there; whether the run went on meanwhile.
fn wait(child: &mut Child, there: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is made");
        if child.try_wait().expect("a process").is_some() {
            return false;
        }
        sleep(Duration::from_millis(1));
    }
    true
}

pub fn signal(mut child: Child, signal: &str) -> Outcome {
    // A child that has ended is not waited for yet, so its number is not another's.
    Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("a pipe"), &mut stderr)
        .expect("UTF-8");
    Outcome { code: child.wait().expect("an end").code(), stdout: String::new(), stderr }
}

/// How many images an unfinished array holds, as any reader of numpy files sees it.
fn held(path: &Path) -> u64 {
    let Ok(file) = fs::File::open(path) else { return 0 };
    let npy = npyz::NpyFile::new(std::io::BufReader::new(file)).expect("a npy at any moment");
    assert_eq!(npy.shape()[1..], [16, 16, 3]);
    npy.shape()[0]
}

/// A place whose run was ended by a signal after its first batch and before its last.
fn ended(out: &str, how: &str, first: impl Fn(&Place) -> bool) -> (Place, Outcome) {
    for _ in 0..20 {
        let place = Place::new();
        let mut child = start(&place, &[&SAMPLE[..], &["--out", out]].concat());
        let going = wait(&mut child, || first(&place));
        let outcome = signal(child, how);
        if going && outcome.code != Some(0) {
            return (place, outcome);
        }
    }
    panic!("20 runs were done before the signal");
}

fn resumed(place: &Place, out: &str) {
    let outcome = place.run(&[&SAMPLE[..], &["--out", out]].concat()).succeeds();
    assert!(outcome.stderr.contains("continuing: "), "{}", outcome.stderr);
    let made = |place: &Place| {
        let all = contents(&place.path("")).into_iter();
        // A writer that is killed may leave what it began under a hidden name.
        let hidden = |path: &Path| path.file_name().expect("a name").as_encoded_bytes()[0] == b'.';
        all.filter(|(path, _)| !hidden(path)).map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    let other = if out == "x/" { "x.npz" } else { "x" };
    let copy = Place::new();
    for (path, bytes) in contents(&whole().path("")) {
        let name = path.strip_prefix(whole().path("")).expect("a path inside").to_path_buf();
        match bytes {
            _ if name.starts_with(other) => {}
            Some(bytes) => {
                let path = copy.path(name.to_str().expect("UTF-8"));
                fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
                fs::write(path, bytes).expect("a file");
            }
            None => {}
        }
    }
    assert!(made(place) == made(&copy), "not the files of a run that nothing stopped");
}

#[test]
fn an_array_goes_on_to_the_same_bytes() {
    for how in ["-INT", "-TERM", "-KILL"] {
        let partial = |place: &Place| place.path("x.npz.partial.npy");
        let (place, outcome) = ended("x.npz", how, |place| held(&partial(place)) >= 4);
        let there = held(&partial(&place));
        assert!(there.is_multiple_of(4) && there < 90, "{there} images");
        assert!(!place.path("x.npz").exists());
        if how != "-KILL" {
            assert_eq!(outcome.code, Some(130));
            let words = format!("stopped: {there} of 90 images are in x.npz.partial.npy");
            assert!(outcome.stderr.contains(&words), "{}", outcome.stderr);
            assert!(outcome.stderr.contains("the same command continues"), "{}", outcome.stderr);
        }
        resumed(&place, "x.npz");
    }
}

#[test]
fn a_folder_goes_on_to_the_same_bytes() {
    for how in ["-INT", "-KILL"] {
        let (place, outcome) = ended("x/", how, |place| place.path("x/00003.png").exists());
        if how == "-INT" {
            assert_eq!(outcome.code, Some(130));
            let said = outcome.stderr;
            assert!(said.contains("of 90 images are in x; the same command continues"), "{said}");
        }
        resumed(&place, "x/");
    }
}

#[test]
fn a_stopped_array_grows_to_what_it_would_be() {
    let partial = |place: &Place| place.path("x.npz.partial.npy");
    let (place, _) = ended("x.npz", "-INT", |place| held(&partial(place)) >= 4);
    let more = |count| {
        let mut args = SAMPLE;
        args[3] = count;
        [&args[..], &["--out", "x.npz"]].concat()
    };
    place.refuses(&more("89"), &["count is 90 there, 89 now"]);
    place.run(&more("93")).succeeds();
    let other = Place::new();
    other.run(&more("93")).succeeds();
    let read = |place: &Place| fs::read(place.path("x.npz")).expect("samples");
    assert!(read(&place) == read(&other));
}

/// One batch of 500 steps: it would take a minute to its end.
#[test]
fn an_interrupt_does_not_wait_for_the_batch() {
    let place = Place::new();
    let args = ["sample", "sprites", "-n", "64", "--sampler", "ddpm", "--out", "x.npz"];
    let mut child = start(&place, &args);
    assert!(wait(&mut child, || place.path("x.npz.partial.npy").exists()), "it ended");
    let outcome = signal(child, "-INT");
    assert_eq!(outcome.code, Some(130));
    assert!(outcome.stderr.contains("stopped: 0 of 64 images"), "{}", outcome.stderr);
}

#[test]
fn one_torch_generator_starts_again() {
    let place = Place::new();
    let args = ["sample", "sprites", "-n", "64", "--rng", "torch", "--batch", "4", "--steps", "4"];
    let args = |out| [&args[..], &["--out", out]].concat();
    place.run(&args("whole.npz")).succeeds();
    let mut child = start(&place, &args("x.npz"));
    wait(&mut child, || held(&place.path("x.npz.partial.npy")) >= 4);
    signal(child, "-KILL");
    place.run(&args("x.npz")).succeeds();
    let read = |name| fs::read(place.path(name)).expect("samples");
    assert!(read("x.npz") == read("whole.npz"));
}

/// When a run listens for signals is not seen from outside; before, they end it at once, or are ignored if it is a
/// shell's background job.
#[test]
fn an_interrupted_picture_is_not_written() {
    let args = ["sample", "sprites", "-n", "64", "--sampler", "ddpm", "--out", "x.png"];
    for wait in [500, 1000, 2000, 4000, 8000] {
        let place = Place::new();
        let child = start(&place, &args);
        sleep(Duration::from_millis(wait));
        let outcome = signal(child, "-INT");
        assert!(outcome.code == Some(0) || !place.path("x.png").exists());
        if outcome.code == Some(130) {
            assert!(outcome.stderr.contains("x.png was not written"), "{}", outcome.stderr);
            return;
        }
    }
    panic!("never interrupted while it sampled");
}
