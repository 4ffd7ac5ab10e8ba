//! Runs and their folders.

use std::fs;
use std::path::Path;

use inkdrop_checkpoint::StateDict;
use inkdrop_train::{LogLine, NoCallback, OtherData, Outcome, RunFolder, TrainConfig, TrainError};
use tempfile::TempDir;

use super::support::{Losses, StopAfter, build, builder_on, checkpoints, config, equal, trainer};

#[test]
fn training_makes_the_loss_smaller() {
    let mut losses = Losses::default();
    trainer(config(40)).run(None, &mut losses).unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses.0[..5]), mean(&losses.0[35..]));
    assert!(last < 0.8 * first, "from {first} to {last}");
}

#[test]
fn a_seed_means_one_run() {
    let run = |config: TrainConfig| {
        let mut trainer = trainer(config);
        trainer.run(None, &mut NoCallback).unwrap();
        trainer
    };
    let first = run(config(3));
    assert!(equal(first.ema_network().params(), run(config(3)).ema_network().params()));
    let other = run(TrainConfig { seed: 1, ..config(3) });
    assert!(!equal(first.ema_network().params(), other.ema_network().params()));
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been() {
    let whole = {
        let mut trainer = trainer(config(7));
        trainer.run(None, &mut NoCallback).unwrap();
        trainer
    };
    let folder = TempDir::new().unwrap();
    let folder = RunFolder::create(&folder.path().join("run")).unwrap();
    let mut first = trainer(config(7));
    assert_eq!(first.run(Some(&folder), &mut StopAfter(3, 0)).unwrap(), Outcome::Stopped);
    let mut second = trainer(config(7));
    second.restore(&folder.latest().unwrap(), OtherData::Refused).unwrap();
    assert_eq!(second.step(), 3);
    assert_eq!(second.run(Some(&folder), &mut NoCallback).unwrap(), Outcome::Finished);
    assert!(equal(whole.ema_network().params(), second.ema_network().params()));
    assert_eq!(steps_of(&folder.log()), [2, 4, 6, 7], "the log has no line twice");
}

fn steps_of(log: &Path) -> Vec<u64> {
    let line = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap()
    };
    fs::read_to_string(log).unwrap().lines().map(line).collect()
}

#[test]
fn the_log_forgets_a_future_that_was_lost() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    trainer(config(6)).run(Some(&folder), &mut NoCallback).unwrap();
    assert_eq!(steps_of(&folder.log()), [2, 4, 6]);
    fs::remove_file(folder.latest().unwrap()).unwrap(); // back to step 4
    let torn = fs::read_to_string(folder.log()).unwrap() + "{\"step\": 8, \"lo";
    fs::write(folder.log(), torn).unwrap();
    let mut again = trainer(config(6));
    again.restore(&folder.latest().unwrap(), OtherData::Refused).unwrap();
    again.run(Some(&folder), &mut NoCallback).unwrap();
    assert_eq!(steps_of(&folder.log()), [2, 4, 6]);
}

#[test]
fn only_the_newest_checkpoints_are_kept() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    trainer(config(9)).run(Some(&folder), &mut NoCallback).unwrap();
    let names = checkpoints(&folder);
    assert_eq!(names, ["step-0000008.safetensors", "step-0000009.safetensors"]);
}

/// A step that ruins the weights is found before they are saved: the checkpoint before it goes on.
#[test]
fn a_nan_stops_and_keeps_the_last_good_checkpoint() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    let every = TrainConfig { checkpoint_every: 1, ..config(50) };
    trainer(every.clone()).run(Some(&folder), &mut StopAfter(3, 0)).unwrap();
    let good = folder.latest().unwrap();

    let mut ruined = trainer(TrainConfig { lr: 1e30, ..every.clone() });
    ruined.restore(&good, OtherData::Refused).unwrap();
    let error = ruined.run(Some(&folder), &mut NoCallback).unwrap_err();
    let TrainError::NotFinite { step, kept, .. } = &error else { panic!("{error}") };
    assert_eq!(*step, 5, "step 4 ruined the weights");
    assert!(kept.contains(&good.display().to_string()), "{kept}");
    assert_eq!(folder.latest().unwrap(), good);

    let mut again = trainer(TrainConfig { steps: 6, ..every });
    again.restore(&good, OtherData::Refused).unwrap();
    assert_eq!(again.run(Some(&folder), &mut NoCallback).unwrap(), Outcome::Finished);
}

#[test]
fn a_folder_holds_one_run() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("run");
    assert!(matches!(RunFolder::open(&path), Err(TrainError::NothingToResume { .. })));
    let folder = RunFolder::create(&path).unwrap();
    fs::write(folder.config(), "x").unwrap();
    assert!(matches!(RunFolder::create(&path), Err(TrainError::Occupied(_))));
    assert!(matches!(RunFolder::open(&path), Err(TrainError::InUse(_))));
    drop(folder);
    assert!(RunFolder::open(&path).is_ok());
}

/// Killed before its first file was whole, a run has left no run behind.
#[test]
fn an_empty_folder_can_be_begun_again() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("run");
    RunFolder::create(&path).unwrap();
    fs::write(path.join(".config.toml.Xy12z"), "half").unwrap();
    assert!(RunFolder::create(&path).is_ok());
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("other.safetensors");
    let mut other = StateDict::of(build().params());
    other.save(&path).unwrap();
    let error = trainer(config(2)).restore(&path, OtherData::Refused).unwrap_err().to_string();
    assert!(error.contains("not a training checkpoint"), "{error}");
    other.set_metadata("step", &3).unwrap();
    other.save(&path).unwrap();
    assert!(
        trainer(config(2))
            .restore(&path, OtherData::Refused)
            .unwrap_err()
            .to_string()
            .contains("missing")
    );
}

/// Logs of earlier versions call the data wait `waiting`.
#[test]
fn the_data_wait_of_old_logs_is_read() {
    for key in ["waiting", "data_wait_fraction"] {
        let text = format!(
            "{{\"step\":2,\"loss\":0.5,\"lr\":1e-3,\"images_per_s\":9.0,\"{key}\":0.25,\"seconds\":1.0}}"
        );
        let line: LogLine = serde_json::from_str(&text).unwrap();
        assert_eq!(line.data_wait_fraction, 0.25, "{key}");
        assert!(serde_json::to_string(&line).unwrap().contains("\"data_wait_fraction\":0.25"));
        assert!(line.numbers().any(|number| number == ("speed/data_wait_fraction", 0.25)));
    }
}

/// Where a run keeps its files, and which checkpoint is its last.
#[test]
fn files_of_a_run_have_their_places() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("run");
    let folder = RunFolder::create(&path).unwrap();
    assert_eq!(folder.latest(), None);
    for (file, place) in [
        (folder.config(), "config.toml"),
        (folder.log(), "log.jsonl"),
        (folder.checkpoints(), "checkpoints"),
        (folder.samples(), "samples"),
        (folder.events(), "events"),
    ] {
        assert!(file.starts_with(&path) && file.ends_with(place), "{}", file.display());
    }
    let sample = folder.sample(7);
    assert!(sample.starts_with(folder.samples()), "{}", sample.display());
    assert_ne!(sample, folder.sample(8));
    let [a, b] = ["0.9", "power=0.1"].map(|decay| folder.finished_average(decay.parse().unwrap()));
    assert!(a != b && a != folder.finished() && a.starts_with(&path) && b.starts_with(&path));
    assert!(folder.finished().starts_with(&path));
}

/// Samples are due at their interval and at the end.
#[test]
fn samples_are_due_at_their_interval_and_at_the_end() {
    let due = |sample_every| {
        let mut trainer = trainer(TrainConfig { sample_every, ..config(5) });
        let mut run = trainer.start_run(None).unwrap();
        let mut due = Vec::new();
        while let Some(step) = run.next_step().unwrap() {
            due.extend(step.sample_due.then_some(step.step));
        }
        due
    };
    assert_eq!(due(2), [2, 4, 5]);
    assert!(due(0).is_empty());
}

/// A checkpoint describes its data: another number of images or other classes are refused, unless
/// they are allowed.
#[test]
fn other_data_is_refused_unless_it_is_allowed() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    let mut first = trainer(config(2));
    first.set_origin("a test");
    first.run(Some(&folder), &mut NoCallback).unwrap();
    let path = folder.latest().unwrap();
    let data = || inkdrop_data::sprites::dataset(0, 20);
    let others = [
        builder_on(inkdrop_data::sprites::dataset(0, 21)),
        builder_on(data()).class_names(vec!["a".into(), "b".into()]),
    ];
    for other in others {
        let mut other = other.build(config(2)).unwrap();
        let error = other.restore(&path, OtherData::Refused).unwrap_err();
        assert!(matches!(error, TrainError::DataChanged { .. }), "{error}");
        other.restore(&path, OtherData::Allowed).unwrap();
        assert_eq!((other.step(), other.origin()), (2, "a test"));
    }
    let mut same = builder_on(data()).build(config(2)).unwrap();
    same.restore(&path, OtherData::Refused).unwrap();
}
