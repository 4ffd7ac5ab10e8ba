//! Training by the library.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use inkdrop::config::DataConfig;
use inkdrop::data::{Images, LabelledDataset, Labels};
use inkdrop::{Training, data};

/// A run of a few seconds.
fn small(steps: i64) -> Training {
    Training::preset("sprites")
        .and_then(|run| run.set("train.steps", steps))
        .and_then(|run| run.set("train.batch", 4))
        .and_then(|run| run.set("train.sample_every", 0))
        .and_then(|run| run.set("train.log_every", 1))
        .and_then(|run| run.set("data.count", 32))
        .and_then(|run| run.set("model.features", 8))
        .unwrap()
}

#[test]
fn a_run_has_a_loss_and_a_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let steps = seen.clone();
    let run = small(3)
        .on_step(move |step| steps.borrow_mut().push(step.step))
        .run(folder.path().join("run"))
        .unwrap();
    assert_eq!(*seen.borrow(), [1, 2, 3]);
    assert_eq!(run.steps(), 3);
    assert!(run.loss() > 0.0 && run.loss().is_finite());
    let samples = run.pipeline().unwrap().class("hero").steps(2).sample(2).unwrap();
    assert_eq!(samples.images().shape(), [2, 16, 16, 3]);
    let events = std::fs::read_dir(run.folder().events()).unwrap().count();
    assert_eq!(events, 1);
}

#[test]
fn a_stopped_run_resumes_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let whole = small(4).run(folder.path().join("whole")).unwrap();
    let out = folder.path().join("parts");
    let seen = Rc::new(Cell::new(0));
    let last = seen.clone();
    let mut session = small(4).on_step(move |step| last.set(step.step)).start(&out).unwrap();
    let mut steps = session.steps().unwrap();
    for _ in 0..2 {
        steps.next_step().unwrap();
    }
    assert_eq!(seen.get(), 2, "a loop of one's own calls the function, too");
    assert!(!steps.save().unwrap(), "the run is not finished");
    drop(steps);
    drop(session);
    let parts = Training::of_run(&out).unwrap().run(&out).unwrap();
    let bytes = |path: &std::path::Path| {
        let weights = inkdrop::checkpoint::StateDict::open(path).unwrap();
        weights.iter().map(|(_, tensor)| tensor.copy()).collect::<Vec<_>>()
    };
    let (a, b) = (bytes(&whole.models()[0]), bytes(&parts.models()[0]));
    assert!(a.iter().zip(&b).all(|(a, b)| a.equal(b)) && a.len() == b.len());
}

#[test]
fn a_run_takes_data_of_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let sprites = data::sprites::dataset(0, 16);
    let run = small(2).data(sprites).class_names(data::sprites::CLASSES);
    let run = run.run(folder.path().join("labelled")).unwrap();
    assert_eq!(run.pipeline().unwrap().metadata().contexts, data::sprites::CLASSES);
    let saved = std::fs::read_to_string(run.folder().config()).unwrap();
    assert!(saved.contains("kind = \"custom\""), "{saved}");
    let error = Training::of_run(folder.path().join("labelled")).unwrap();
    let error = error.run(folder.path().join("labelled")).err().unwrap().report();
    assert!(error.contains("Training::data"), "{error}");

    let gray = Images::new(ndarray::Array4::zeros((8, 16, 16, 3))).unwrap();
    small(1).data(gray).run(folder.path().join("images")).unwrap();
    let labels = Labels::Classes { ids: vec![0; 8], count: 2 };
    let images = std::sync::Arc::new(Images::new(ndarray::Array4::zeros((8, 16, 16, 3))).unwrap());
    let two = small(1).data(LabelledDataset { images, labels });
    let error = two.run(folder.path().join("two")).err();
    assert!(error.is_none(), "ids are a lower bound of the number of contexts: {error:?}");
}

#[test]
fn samples_are_handed_to_the_callback() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = Rc::new(RefCell::new(Vec::new()));
    let seen = shapes.clone();
    let training = small(2).set("train.sample_every", 2).unwrap().on_step(move |step| {
        seen.borrow_mut().extend(step.samples.as_ref().map(|images| images.nhwc()));
    });
    let run = training.run(folder.path().join("run")).unwrap();
    assert_eq!(*shapes.borrow(), [[40, 16, 16, 3]], "8 images of each of 5 contexts");
    assert!(run.folder().sample(2).is_file());
}

#[test]
fn mistakes_in_a_config_are_named() {
    let error = |training: inkdrop::Result<Training>| {
        let run = training.and_then(|training| training.config().map(drop));
        run.expect_err("an error").report()
    };
    for (training, expected) in [
        (Training::preset("nothing"), "there is no built-in config `nothing`"),
        (
            Training::preset("sprites").and_then(|run| run.set("train.learning_rate", 1.0)),
            "learning_rate",
        ),
        (Training::preset("sprites").and_then(|run| run.set("train.steps", "many")), "many"),
        (
            Training::preset("sprites").and_then(|run| run.set("train.steps.more", 1)),
            "expected a section",
        ),
        (Training::preset("sprites").and_then(|run| run.data_path("x")), "generated, not read"),
        (Training::toml("[model"), "invalid TOML"),
        (Training::file("nowhere.toml"), "cannot read nowhere.toml"),
    ] {
        let text = error(training);
        assert!(text.contains(expected), "{text}");
    }
}

/// The labels of a config belong to its images: with other images, those beside them are taken.
#[test]
fn images_come_with_the_labels_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let images = put("train-images-idx3-ubyte", &[0, 0, 8, 3, 0, 0, 0, 0]);
    let labels = put("train-labels-idx1-ubyte", &[]);
    let data = |path: &std::path::Path| {
        let training = Training::preset("fashion").and_then(|run| run.data_path(path)).unwrap();
        training.config().unwrap().data
    };
    let both = DataConfig::Idx { images: images.clone(), labels: Some(labels.clone()) };
    assert_eq!(data(&images), both);
    assert_eq!(data(folder.path()), both, "a folder stands for its files");
    std::fs::remove_file(labels).unwrap();
    assert_eq!(data(&images), DataConfig::Idx { images, labels: None });
}

/// config.toml could not hold it.
#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let error = Training::preset("folder").unwrap().data_path(path).err().unwrap().report();
    assert!(error.contains("expected a path in UTF-8"), "{error}");
}
