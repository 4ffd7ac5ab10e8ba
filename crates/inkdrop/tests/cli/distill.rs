//! `inkdrop distill`: its methods, what they refuse, and runs that are killed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use inkdrop_checkpoint::StateDict;

use super::continuous::{TINY, train};
use super::support::{Place, tensors};

/// The methods of `distill` with the config of their teacher.
const METHODS: [(&str, &str); 8] = [
    ("cmt-ect", "sprites-edm"),
    ("ect", "sprites-edm"),
    ("cmt", "sprites-edm"),
    ("cd", "sprites-edm"),
    ("cmt-ect", "sprites"),
    ("cd", "sprites-notebook"),
    ("progressive", "sprites-edm"),
    ("meanflow", "sprites-flow"),
];

/// The options of a run of eight steps with a checkpoint after each.
const EIGHT: [&str; 8] = [
    "--steps",
    "8",
    "--set",
    "train.checkpoint_every=1",
    "--set",
    "train.checkpoints_kept=9",
    "--set",
    "train.log_every=1",
];

/// Resumes the run in the directory, which ends with these weights.
fn resume(place: &Place, out: &str, whole: &Path) {
    place.run(&["train", "--resume", "--out", out]).succeeds();
    let last = place.path(&format!("{out}/final.safetensors"));
    assert!(tensors(&last) == tensors(whole), "{out}: not the weights of an uninterrupted run");
    let steps = fs::read_to_string(place.path(&format!("{out}/log.jsonl"))).expect("a log");
    assert_eq!(steps.lines().count(), 8, "{steps}");
}

/// kill -9 after the first checkpoint, wherever the process is then.
#[test]
fn a_killed_distillation_of_any_method_resumes_to_the_same_weights() {
    let place = Place::new();
    for config in ["sprites-edm", "sprites-flow", "sprites", "sprites-notebook"] {
        train(&place, config, config, &["--steps", "2"]);
    }
    for (method, config) in METHODS {
        let model = format!("{config}/final.safetensors");
        let command = ["distill", &model, "--method", method, "--out"];
        let out = format!("{method}-{config}");
        let whole = place.path(&format!("{out}/final.safetensors"));
        place.run(&[&command[..], &[&out], &EIGHT[..]].concat()).succeeds();

        let out = format!("{out}-killed");
        let mut killed = place.command(&[&command[..], &[&out], &EIGHT[..]].concat());
        let mut child = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a run");
        let first = place.path(&format!("{out}/checkpoints/step-0000001.safetensors"));
        let begun = Instant::now();
        while !first.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{method}: no checkpoint");
            sleep(Duration::from_millis(1));
        }
        child.kill().expect("a process to kill");
        child.wait().expect("an end");
        resume(&place, &out, &whole);
    }
}

/// Two of eight steps are mid-training: a run that ends in it, right after it, or in the tuning goes on.
#[test]
fn mid_training_and_tuning_are_one_run_that_resumes_at_every_step() {
    let place = Place::new();
    train(&place, "sprites-edm", "edm", &["--steps", "2"]);
    let share = ["--set", "train.loss.consistency-phases.share=0.25"];
    let command = ["distill", "edm/final.safetensors", "--out", "fast"];
    let first = place.run(&[&command[..], &EIGHT[..], &share].concat()).succeeds();
    assert!(!first.stderr.contains("trained for another process"), "{}", first.stderr);
    let config = fs::read_to_string(place.path("fast/config.toml")).expect("the config");
    for line in ["[train.loss.consistency-phases.tuning]", "teacher = \"edm/final.safetensors\""] {
        assert!(config.contains(line), "{line} in {config}");
    }
    let whole = place.path("whole.safetensors");
    fs::copy(place.path("fast/final.safetensors"), &whole).expect("a copy");
    for done in [1, 2, 5] {
        fs::remove_file(place.path("fast/final.safetensors")).expect("the last file");
        for step in done + 1..=8 {
            let file = place.path(&format!("fast/checkpoints/step-{step:07}.safetensors"));
            fs::remove_file(file).expect("a checkpoint");
        }
        resume(&place, "fast", &whole);
    }

    // The losses of the phases are of different size.
    let log = fs::read_to_string(place.path("fast/log.jsonl")).expect("a log");
    let losses: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|line| line["loss"].as_f64().expect("a loss"))
        .collect();
    let largest = |losses: &[f64]| losses.iter().copied().fold(0.0, f64::max);
    assert!(largest(&losses[..2]) < 0.5 * largest(&losses[2..]), "{losses:?}");

    // The phases are fractions of the whole run.
    let longer = ["train", "--out", "fast", "--resume", "--steps", "16"];
    place.refuses(&longer, &["train.steps: 8 → 16", "--allow-changes"]);

    let inspected = place.run(&["inspect", "fast/final.safetensors"]).succeeds().stdout;
    let phases = "consistency-mid-training for 2 steps, then consistency-tuning for 6 steps";
    assert!(inspected.contains(phases), "{inspected}");
    place.run(&["report", "fast", "--no-animation"]).succeeds();
    let page = fs::read_to_string(place.path("fast/report.html")).expect("a page");
    assert!(page.contains("2 mid-training, 6 tuning"));
    place.run(&["sample", "fast/final.safetensors", "-n", "1", "--out", "x.png"]).succeeds();
    let share = ["--set", "train.loss.consistency-phases.share=1.5"];
    let no = ["distill", "edm/final.safetensors", "--out", "no"];
    place.refuses(&[&no[..], &share].concat(), &["share 1.5: expected 0 to 1"]);
}

/// BatchNorm keeps the statistics of the model, and the file names its sampler.
#[test]
fn a_tuned_model_samples_in_two_steps() {
    let place = Place::new();
    train(&place, "sprites-edm", "edm", &["--steps", "2"]);
    let command = ["distill", "edm/final.safetensors", "--method", "ect", "--out", "fast"];
    let first = place.run(&[&command[..], &["--steps", "4"]].concat()).succeeds();
    assert!(!first.stderr.contains("trained for another process"), "{}", first.stderr);
    let config = fs::read_to_string(place.path("fast/config.toml")).expect("the config");
    for line in ["[train.loss.consistency-tuning]", "optimizer = \"radam\"", "count = 64"] {
        assert!(config.contains(line), "{line} in {config}");
    }
    let whole = tensors(&place.path("fast/final.safetensors"));
    let model = tensors(&place.path("edm/final.safetensors"));
    let same = |name: &str| whole[name] == model[name];
    let (statistics, weights): (Vec<_>, Vec<_>) =
        whole.keys().partition(|name| name.contains(".running_"));
    assert!(!statistics.is_empty() && statistics.iter().all(|name| same(name)));
    assert!(weights.iter().any(|name| !same(name)));

    let sample = |more: &[&str]| {
        let command = ["sample", "fast/final.safetensors", "-n", "2", "--out", "x.npz"];
        place.run(&[&command[..], more].concat()).succeeds();
        fs::read(place.path("x.npz")).expect("the samples")
    };
    let two = sample(&["--steps", "2"]);
    assert_eq!(two, sample(&["--steps", "2", "--sampler", "consistency"]));
    assert_ne!(two, sample(&["--steps", "2", "--sampler", "ddim"]));
    let inspected = place.run(&["inspect", "fast/final.safetensors"]).succeeds().stdout;
    assert!(inspected.contains("consistency"), "{inspected}");

    let refuses = |more: &[&str], words| {
        let command = ["distill", "--out", "no"];
        place.refuses(&[&command[..], more].concat(), &[words]);
    };
    for method in ["cmt", "cd"] {
        refuses(&["fast/final.safetensors", "--method", method], "a consistency model already");
    }
    refuses(
        &["edm/final.safetensors", "--method", "x"],
        "expected cmt-ect, ect, cmt, cd, progressive or meanflow",
    );
    train(&place, "sprites-flow", "flow", &["--steps", "2"]);
    refuses(&["flow/final.safetensors"], "starts from EDM's preconditioning");
}

/// In two runs: mid-training, then tuning of its result.
#[test]
fn mid_training_prepares_tuning() {
    let place = Place::new();
    train(&place, "sprites-edm", "edm", &["--steps", "2"]);
    let command = ["distill", "edm/final.safetensors", "--method", "cmt", "--out"];
    place.run(&[&command[..], &["mid", "--steps", "2"]].concat()).succeeds();
    let config = fs::read_to_string(place.path("mid/config.toml")).expect("the config");
    assert!(config.contains("teacher = \"edm/final.safetensors\""), "{config}");
    // Without a method, a consistency model is tuned.
    place.run(&["distill", "mid/final.safetensors", "--out", "fast", "--steps", "2"]).succeeds();
    let config = fs::read_to_string(place.path("fast/config.toml")).expect("the config");
    assert!(config.contains("[train.loss.consistency-tuning]"), "{config}");
    place.run(&["sample", "fast/final.safetensors", "-n", "1", "--out", "x.png"]).succeeds();
    let without = "train.loss.consistency-mid-training.steps=0";
    place.refuses(&[&command[..], &["no", "--set", without]].concat(), &["steps 0", "1 to 65535"]);
}

#[test]
fn consistency_distillation_has_the_model_as_its_teacher() {
    let place = Place::new();
    train(&place, "sprites-edm", "edm", &["--steps", "2"]);
    let model = "edm/final.safetensors";
    let command = ["distill", model, "--method", "cd", "--out", "fast", "--steps", "2"];
    place.run(&command).succeeds();
    let config = fs::read_to_string(place.path("fast/config.toml")).expect("the config");
    assert!(config.contains("teacher = \"edm/final.safetensors\""), "{config}");
    place.run(&["sample", "fast/final.safetensors", "-n", "1", "--out", "x.png"]).succeeds();

    let refuses = |more: &[&str], words| {
        let command = ["train", "sprites-edm", "--out", "no", "--steps", "2"];
        place.refuses(&[&command[..], &TINY[..], more].concat(), &[words]);
    };
    let (loss, levels) =
        ("train.loss={consistency-distillation={levels=18}}", "train.noise_distribution");
    refuses(&["--set", loss], "noise_distribution where the noise levels are a grid");
    refuses(&["--set", loss, "--unset", levels], "needs a teacher");
    refuses(&["--set", "train.teacher=edm/final.safetensors"], "leave it out");
    refuses(&["--set", "train.loss={consistency-tuning={q=0.5}}"], "q 0.5: expected");
}

/// A network of noise or of v, on its own schedule; the file needs no option to be sampled, and is tuned further.
#[test]
fn models_with_timesteps_become_consistency_models() {
    let place = Place::new();
    for (config, methods) in [("sprites", ["cmt-ect", "cd"]), ("sprites-notebook", ["ect", "cd"])] {
        train(&place, config, config, &["--steps", "2"]);
        let model = format!("{config}/final.safetensors");
        for method in methods {
            let out = format!("{config}-{method}");
            let command = ["distill", &model, "--method", method, "--out", &out, "--steps", "2"];
            let first = place.run(&command).succeeds();
            assert!(!first.stderr.contains("another process"), "{}", first.stderr);
            let student = format!("{out}/final.safetensors");
            let sample = |more: &[&str]| {
                let command = ["sample", &student, "-n", "2", "--out", "x.npz"];
                place.run(&[&command[..], more].concat()).succeeds();
                fs::read(place.path("x.npz")).expect("the samples")
            };
            let own = sample(&[]);
            assert_eq!(own, sample(&["--sampler", "consistency", "--steps", "4"]));
            assert_ne!(own, sample(&["--steps", "2"]));
            sample(&["--spacing", "trailing2"]);
            let inspected = place.run(&["inspect", &student]).succeeds().stdout;
            assert!(inspected.contains("consistency.sigma_max="), "{inspected}");
        }
        let student = format!("{config}-cd/final.safetensors");
        let out = format!("{config}-further");
        place.run(&["distill", &student, "--out", &out, "--steps", "1"]).succeeds();
        let config = fs::read_to_string(place.path(&format!("{out}/config.toml"))).expect("TOML");
        assert!(config.contains("[train.loss.consistency-tuning]"), "{config}");
        for method in ["cmt", "cd"] {
            let command = ["distill", &student, "--method", method, "--out", "no"];
            place.refuses(&command, &["a consistency model already"]);
        }
        let no_flow = ["a consistency model", "that it was distilled from"];
        place.refuses(&["eval", "bpd", &student, "sprites"], &no_flow);
        place.refuses(&["eval", "likelihood", &student, "sprites:1:2"], &no_flow);
    }
}

/// The built-in model with 500 timesteps: after a minute at most, two calls of the student are nearer to the data
/// than two DDIM steps of its teacher.
#[test]
fn a_short_distillation_beats_the_steps_of_its_teacher() {
    let place = Place::new();
    let settings = [
        "process.consistency.sigma_max=15.0",
        "train.batch=48",
        "train.lr=5e-4",
        "train.warm_up=10",
        "train.ema=[\"0.95:warm-up\"]",
        "train.sample_every=0",
        "train.validate_every=10",
        "train.loss.consistency-phases.share=0.5",
        "train.loss.consistency-phases.mid_training.steps=4",
        "train.loss.consistency-phases.tuning.q=8.0",
        "train.noise_distribution={log-normal={mean=0.4,std=1.5}}",
        "validation={kind=\"sprites\",seed=1,count=64}",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let command = ["distill", "sprites", "--out", "fast", "--steps", "60"];
    place.run(&[&command[..], &settings].concat()).succeeds();
    let log = fs::read_to_string(place.path("fast/log.jsonl")).expect("a log");
    let lines = log.lines().map(serde_json::from_str::<serde_json::Value>);
    let lines: Vec<_> = lines.map(|line| line.expect("JSON")).collect();
    let validation = |step: usize| {
        let line = lines.iter().find(|line| line["step"] == step).expect("a line");
        line["validation"].as_f64().expect("a validation loss")
    };
    // The loss of mid-training; that of tuning has targets that move with the student.
    assert!(validation(30) < 0.97 * validation(10), "{log}");

    let distance = |model: &str, sampler: &str| {
        let command = ["sample", model, "-n", "200", "--class", "each", "--steps", "2"];
        let more = ["--sampler", sampler, "--out", "x.npz"];
        place.run(&[&command[..], &more].concat()).succeeds();
        let command = ["eval", "distance", "x.npz", "sprites:2000000:200", "--json"];
        let text = place.run(&command).succeeds().stdout;
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        report["pixels"]["sliced_wasserstein"]
            .as_f64()
            .unwrap_or_else(|| panic!("no distance in {text}"))
    };
    let student = distance("fast/final.safetensors", "consistency");
    let teacher = distance("sprites", "ddim");
    assert!(student < 0.85 * teacher, "{student} {teacher}");
}

/// Eight steps, then four: each file is sampled by DDIM over its own noise levels.
#[test]
fn progressive_distillation_halves_the_steps() {
    let place = Place::new();
    for (config, spacings) in
        [("sprites-edm", ["sigmas:80,", "sigmas:80,"]), ("sprites-flow", ["flow8", "flow4"])]
    {
        train(&place, config, config, &["--steps", "2"]);
        let mut model = format!("{config}/final.safetensors");
        for (steps, spacing) in [8, 4].into_iter().zip(spacings) {
            let out = format!("{config}-{steps}");
            let more = ["--steps", "2", "--out", &out];
            let command = ["distill", &model, "--method", "progressive", "--guidance", "1.5"];
            place.run(&[&command[..], &more[..]].concat()).succeeds();
            model = format!("{out}/final.safetensors");
            let sample = |more: &[&str]| {
                let command = ["sample", &model, "-n", "2", "--out", "x.npz"];
                place.run(&[&command[..], more].concat()).succeeds();
                fs::read(place.path("x.npz")).expect("the samples")
            };
            let own = sample(&[]);
            let stored = place.run(&["inspect", &model]).succeeds().stdout;
            assert!(stored.contains("ddim") && stored.contains(spacing), "{stored}");
            assert_ne!(own, sample(&["--sampler", "ddim", "--steps", "3"]));
        }
        // Such a model predicts whole steps of its own.
        let folder = format!("{config}-given");
        let (out, picture) = (format!("{folder}/"), format!("{folder}/00000.png"));
        place.run(&["data", "-n", "1", "--seed", "1", "--out", &out]).succeeds();
        let given = [&model[..], &picture, "--out", "x.png"];
        let invert = [&["edit", "invert"][..], &given].concat();
        place.refuses(&invert, &["progressive distillation predicts whole steps"]);
        let inpaint = ["edit", "inpaint", "--box", "1,8,14,8", "--times", "2"];
        let known = [&inpaint[..], &given].concat();
        place.refuses(&known, &["--times and --jump are for RePaint"]);
        place.refuses(&["eval", "likelihood", &model, &folder], &["a model of progressive"]);
    }
    let refuses = |more: &[&str], words| {
        let command = ["distill", "--method", "progressive", "--out", "no"];
        place.refuses(&[&command[..], more].concat(), &[words]);
    };
    refuses(&["sprites"], "starts from a diffusion model of continuous noise levels");
    refuses(&["sprites-fast"], "starts from a diffusion model of continuous noise levels");
    let three = "train.loss.progressive-distillation.steps=3";
    let command = ["distill", "sprites-flow/final.safetensors", "--method", "progressive"];
    let more = ["--steps", "1", "--out", "three", "--set", three];
    place.run(&[&command[..], &more[..]].concat()).succeeds();
    refuses(&["three/final.safetensors"], "it samples in 3 steps");
    place.refuses(
        &[
            "distill",
            "sprites-edm/final.safetensors",
            "--method",
            "ect",
            "--guidance",
            "2",
            "--out",
            "no",
        ],
        &["train.teacher_guidance"],
    );
}

/// Refused before the run begins.
#[test]
fn a_teacher_is_a_diffusion_model_of_the_same_images_and_conditions() {
    let place = Place::new();
    train(&place, "sprites-classes", "classes", &["--steps", "1"]);
    for (teacher, words) in [
        ("sprites-fast", ["sprites-fast is a consistency model", "expected a diffusion model"]),
        ("fashion", ["has images of shape [1, 28, 28]", "the student [3, 16, 16]"]),
        ("classes/final.safetensors", ["has 6 classes", "the student 5 contexts"]),
    ] {
        let set = format!("train.teacher={teacher}");
        let command = ["distill", "sprites", "--method", "cd", "--set", &set, "--out", "no"];
        place.refuses(&command, &["train.teacher", words[0], words[1]]);
    }
    // As many contexts, but others.
    train(&place, "sprites", "own", &["--steps", "1"]);
    let mut weights = StateDict::open(&place.path("own/final.safetensors")).expect("a model");
    weights.set_metadata("contexts", &["a", "b", "c", "d", "e"]).expect("metadata");
    weights.save(&place.path("other.safetensors")).expect("a file");
    let set = "train.teacher=other.safetensors";
    let command = ["distill", "sprites", "--method", "cd", "--set", set, "--out", "no"];
    place.refuses(&command, &["classes a, b, c, d, e", "expected the same in the same order"]);
    let command = ["train", "sprites", "--out", "on", "--init", "other.safetensors"];
    let begun = place.run(&[&command[..], &TINY[..], &["--steps", "1"]].concat()).succeeds();
    assert!(begun.stderr.contains("class numbers stand for others"), "{}", begun.stderr);
}

/// A student of a checkpoint starts as its teacher, which is the average, with its data and label dropout.
#[test]
fn a_checkpoint_is_distilled_from_its_average() {
    let place = Place::new();
    let slow = ["--steps", "2", "--set", r#"train.ema=["0.5"]"#, "--set", "train.lr=1e-2"];
    let dropout = ["--set", "train.label_dropout=0.25"];
    train(&place, "sprites-edm", "edm", &[&slow[..], &dropout].concat());
    let command = ["distill", "edm/checkpoints/step-0000002.safetensors", "--out", "fast"];
    let short = ["--steps", "1", "--set", "train.lr=1e-20", "--set", "train.batch=4"];
    let whole = ["--method", "ect", "--set", r#"train.ema=["0"]"#];
    place.run(&[&command[..], &short, &whole].concat()).succeeds();
    let of = |path: &str| StateDict::open(&place.path(path)).expect("a model");
    let (teacher, student) = (of("edm/final.safetensors"), of("fast/final.safetensors"));
    for (name, tensor) in teacher.iter().filter(|(name, _)| name.ends_with("weight")) {
        let apart = (tensor - student.get(name).expect("the weight")).abs().max();
        assert!(apart.double_value(&[]) < 1e-6, "{name}: {apart}");
    }
    let config = |run: &str| -> toml::Table {
        let text = fs::read_to_string(place.path(run).join("config.toml")).expect("a config");
        text.parse().expect("TOML")
    };
    let (of_teacher, of_student) = (config("edm"), config("fast"));
    assert_eq!(of_student["data"], of_teacher["data"]);
    assert_eq!(of_student["train"]["label_dropout"].as_float(), Some(0.25));
}

/// A model of two segments is sampled by DDIM from the start of each.
#[test]
fn distillation_in_segments_is_sampled_by_ddim() {
    let place = Place::new();
    let levels = "train.loss={consistency-distillation={levels=5,segments=2}}";
    let command = ["distill", "sprites", "--method", "cd", "--set", levels, "--steps", "1"];
    let more = ["--set", "train.batch=4", "--out", "two"];
    place.run(&[&command[..], &more[..]].concat()).succeeds();
    let sample = |more: &[&str]| {
        let command = ["sample", "two/final.safetensors", "-n", "2", "--out", "x.npz"];
        place.run(&[&command[..], more].concat()).succeeds();
        fs::read(place.path("x.npz")).expect("the samples")
    };
    let own = sample(&[]);
    let stored = place.run(&["inspect", "two/final.safetensors"]).succeeds().stdout;
    let mut words = stored.split_whitespace();
    let spacing = words.find_map(|word| word.strip_prefix("spacing="));
    let spacing = spacing.unwrap_or_else(|| panic!("no noise levels in {stored}"));
    assert_eq!(spacing.split(',').count(), 2, "{spacing}");
    assert_eq!(own, sample(&["--sampler", "ddim", "--spacing", spacing]));
    assert_eq!(own, sample(&["--sampler", "ddim"]), "its own sampler has its own noise levels");
    assert_ne!(own, sample(&["--sampler", "consistency", "--spacing", spacing]));
    let zero = ["sample", "two/final.safetensors", "--steps", "0", "--out", "no.npz"];
    place.refuses(&zero, &["0 sampling steps: expected 1 to"]);
    place.run(&["report", "two"]).succeeds();
    let page = fs::read_to_string(place.path("two/report.html")).expect("the page");
    assert!(page.contains("2 steps of ddim from noise"));
    for segments in ["0", "3", "5"] {
        let set =
            format!("train.loss={{consistency-distillation={{levels=5,segments={segments}}}}}");
        let command = ["distill", "sprites", "--method", "cd", "--set", &set, "--out", "no"];
        place.refuses(&command, &[&format!("segments {segments}"), "a divisor of levels − 1"]);
    }
}

/// A rectified flow gets an embedding of the time interval, which starts at zero.
#[test]
fn a_mean_flow_is_made_from_a_rectified_flow() {
    let place = Place::new();
    train(&place, "sprites-flow", "flow", &["--steps", "2"]);
    let command = ["distill", "flow/final.safetensors", "--method", "meanflow", "--out", "mean"];
    let first = place.run(&[&command[..], &["--steps", "2"]].concat()).succeeds();
    assert!(!first.stderr.contains("trained for another process"), "{}", first.stderr);
    let weights = tensors(&place.path("mean/final.safetensors"));
    assert!(weights.contains_key("intervalembed1.model.2.weight"));

    let sample = |more: &[&str]| {
        let command = ["sample", "mean/final.safetensors", "-n", "2", "--out", "x.npz"];
        place.run(&[&command[..], more].concat()).succeeds();
        fs::read(place.path("x.npz")).expect("the samples")
    };
    let four = sample(&["--steps", "4"]);
    assert_eq!(sample(&[]), four);
    assert_ne!(sample(&["--steps", "1"]), four);
    // The network predicts whole steps.
    sample(&["--sampler", "euler"]);
    let model = "mean/final.safetensors";
    let refuses = |command: &[&str], words: &[&str]| {
        let [name, rest @ ..] = command else { panic!("a command") };
        place.refuses(&[&[*name, model], rest].concat(), words);
    };
    for options in [["--sampler", "heun"], ["--sampler", "consistency"], ["--eta", "0.5"]] {
        refuses(&[&["sample"], &options[..]].concat(), &["whole steps", "ddim without eta"]);
    }
    refuses(&["distill", "--method", "progressive", "--out", "no"], &["mean velocities"]);
    let likelihood = ["eval", "likelihood", model, "sprites:1:2"];
    place.refuses(&likelihood, &["mean velocities", "that it was distilled from"]);

    place.run(&["sample", model, "-n", "1", "--out", "x/"]).succeeds();
    let invert = ["edit", "invert", model, "x/00000.png", "--out", "no/"];
    place.refuses(&invert, &["inversion", "whole steps"]);
    // Inpainting takes the pixels that are known, in a few steps.
    let inpaint = ["edit", "inpaint", model, "x/00000.png", "--box", "4,4,6,6"];
    place.run(&[&inpaint[..], &["--out", "y/"]].concat()).succeeds();
    place.refuses(&[&inpaint[..], &["--times", "3", "--out", "no/"]].concat(), &["for RePaint"]);

    let detected = place.run(&["inspect", "mean/final.safetensors"]).succeeds().stdout;
    assert!(detected.contains("interval=true") && detected.contains("mean-flow"), "{detected}");

    let refuses = |model: &str, words| {
        place.refuses(&["distill", model, "--method", "meanflow", "--out", "no"], &[words]);
    };
    train(&place, "sprites-edm", "edm", &["--steps", "2"]);
    refuses("edm/final.safetensors", "MeanFlow starts from a rectified flow");
    let alone = ["train", "sprites-flow", "--out", "no", "--set", "train.loss={mean-flow={}}"];
    let unset = ["--unset", "train.noise_distribution"];
    place.refuses(&[&alone[..], &unset[..]].concat(), &["expected the preconditioning mean-flow"]);
}

/// The sigma of a flow has no largest value, from which a grid of noise levels could start.
#[test]
fn a_grid_of_noise_levels_needs_a_largest_one() {
    let place = Place::new();
    for loss in ["consistency-training", "consistency-mid-training"] {
        let loss = format!("train.loss={{{loss}={{}}}}");
        let train = ["train", "sprites-flow", "--out", "run", "--steps", "1"];
        let change = ["--unset", "train.noise_distribution", "--set", &loss];
        let words = ["sigma_max inf: expected a finite number"];
        place.refuses(&[&train[..], &change].concat(), &words);
    }
}
