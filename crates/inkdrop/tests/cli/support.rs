//! A folder to work in, the binary to call, and what a refusal looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Kind;
use tempfile::TempDir;

/// Arguments that make a training run take a second.
pub const TINY: [&str; 12] = [
    "--set",
    "model.features=8",
    "--set",
    "train.batch=4",
    "--set",
    "data.count=64",
    "--set",
    "train.checkpoint_every=1",
    "--set",
    "train.log_every=1",
    "--unset",
    "validation",
];

/// What a refused command may not say: a panic, or the C++ side's stack.
const CRASHES: [&str; 6] =
    ["panicked", "RUST_BACKTRACE", "stack backtrace", "frame #", "c10::", "Exception raised from"];

pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the binary starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "stderr: {}", self.stderr);
        self
    }

    /// An error with a message that holds every word; `a|b` asks for one of both.
    pub fn fails_saying(self, words: &[&str]) -> Self {
        assert!(matches!(self.code, Some(1 | 2)), "status {:?}: {}", self.code, self.stderr);
        for crash in CRASHES {
            assert!(!self.stderr.contains(crash), "`{crash}` in: {}", self.stderr);
        }
        for word in words {
            let said = word.split('|').any(|w| self.stderr.contains(w));
            assert!(said, "no `{word}` in: {}", self.stderr);
        }
        self
    }
}

/// A folder of one test, holding a file `kept.png` that no refused command may touch.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        place.put("kept.png", b"what stood here before");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a writable folder");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inkdrop"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("OMP_NUM_THREADS", "1").env("CUDA_VISIBLE_DEVICES", "");
        command.env_remove("RUST_BACKTRACE");
        command
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    /// The command fails with these words, and every file stays as it was.
    pub fn refuses(&self, args: &[&str], words: &[&str]) -> Outcome {
        let before = contents(self.0.path());
        let outcome = self.run(args).fails_saying(words);
        let after = contents(self.0.path());
        let names = |all: &BTreeMap<PathBuf, _>| all.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&before), names(&after), "files came or went");
        assert!(before == after, "a file changed");
        outcome
    }

    /// A training run of the tiny model in the folder `out`.
    pub fn train(&self, out: &str, steps: &str, more: &[&str]) -> Outcome {
        self.run(&train_args(out, steps, more))
    }
}

pub fn train_args<'a>(out: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "sprites-notebook", "--out", out, "--steps", steps], &TINY[..], more].concat()
}

/// A run of two steps on images of 16 × 16; CHANNELS, CONTEXTS and DATA are to be filled in.
const SHORT_RUN: &str = r#"
[model]
family = "context"
channels = CHANNELS
features = 8
contexts = CONTEXTS
size = 16

[process]
schedule = { name = "sprites", steps = 500, beta_start = 1e-4, beta_end = 0.02 }
time = "fraction"
variance = "fixed-large"

[data]
DATA

[train]
steps = 2
batch = 4
lr = 1e-3
ema = ["0.999:warm-up"]
label_dropout = 0.1
noising = "exact"
seed = 0
checkpoint_every = 1
checkpoints_kept = 2
sample_every = 100
log_every = 1
"#;

/// Puts such a run into a place, as mine.toml.
pub fn put_run(place: &Place, channels: &str, contexts: &str, data: &str) {
    let text = SHORT_RUN.replace("CHANNELS", channels).replace("CONTEXTS", contexts);
    place.put("mine.toml", text.replace("DATA", data).as_bytes());
}

/// Every path below a folder, with the bytes of files; links that lead nowhere
/// have none.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path, None);
        } else {
            let bytes = path.exists().then(|| fs::read(&path).expect("a readable file"));
            all.insert(path, bytes);
        }
    }
    all
}

/// The bytes of a file of weights of the tiny model.
pub fn model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let place = Place::new();
        place.train("run", "3", &[]).succeeds();
        fs::read(place.path("run/final.safetensors")).expect("the final weights")
    })
}

/// A folder with the tiny model in it, as `model.safetensors`.
pub fn place_with_model() -> Place {
    let place = Place::new();
    place.put("model.safetensors", model());
    place
}

/// Every tensor of a file, bit by bit: kind, shape and bytes.
pub fn tensors(path: &Path) -> BTreeMap<String, (Kind, Vec<i64>, Vec<u8>)> {
    let weights = StateDict::open(path).expect("a whole file of weights");
    let entry = |(key, tensor): (&str, &inkdrop_torch::tch::Tensor)| {
        let flat = tensor.contiguous();
        let mut bytes = vec![0; flat.numel() * tensor.kind().elt_size_in_bytes()];
        flat.copy_data_u8(&mut bytes, flat.numel());
        (key.to_string(), (tensor.kind(), tensor.size(), bytes))
    };
    weights.iter().map(entry).collect()
}
