//! The work of the engine: takes passes from the queue, and reports their steps.

use std::cell::OnceCell;
use std::ops::Range;
use std::time::{Duration, Instant};

use inkdrop_data::Images;
use inkdrop_data::picture::Picture;
use serde_json::json;

use crate::app::App;
use crate::engine::{Engine, EngineError, Progress, Request, StepImages};
use crate::pictures;
use crate::queue::Pass;

/// Minimum interval between two previews of a pass.
const PREVIEW: Duration = Duration::from_millis(80);

/// Maximum number of frames of an animation.
const FRAMES: usize = 40;

/// Runs passes until the queue is closed.
pub fn work(app: &App, engine: &mut dyn Engine) {
    while let Some(pass) = app.queue.next_pass() {
        let started = Instant::now();
        let images = pass.requests.iter().map(|request| request.count).sum();
        run(app, engine, pass);
        app.queue.pass_took(started.elapsed(), images);
    }
}

/// Runs a pass. If a pass of several requests fails, each runs alone, so that one cannot spoil another.
fn run(app: &App, engine: &mut dyn Engine, pass: Pass) {
    let started = Instant::now();
    let mut progress = PassProgress::new(app, &pass);
    match engine.run(&pass.requests, &mut progress) {
        Ok(images) => {
            let count = images.iter().map(|job| job.images.len()).sum();
            app.metrics.pass(count, started.elapsed());
            pass.jobs.iter().zip(images).for_each(|(id, images)| app.finish(id, Ok(images)));
        }
        Err(EngineError::Invalid(_)) if pass.jobs.len() > 1 => {
            for (id, request) in pass.jobs.into_iter().zip(pass.requests) {
                run(app, engine, Pass { jobs: vec![id], requests: vec![request] });
            }
        }
        Err(error) => pass.jobs.iter().for_each(|id| app.finish(id, Err(error.clone()))),
    }
}

/// Follows the steps of a pass: status, frames and previews of its jobs.
struct PassProgress<'a> {
    app: &'a App,
    /// The jobs, with their images among those of the pass.
    jobs: Vec<(String, Range<usize>)>,
    previewed: Instant,
}

impl<'a> PassProgress<'a> {
    fn new(app: &'a App, pass: &Pass) -> Self {
        // A job that is alone has all images; their number is that of its task.
        let alone = pass.jobs.len() == 1;
        let mut start = 0;
        let place = |(id, request): (&String, &Request)| {
            let images = start..if alone { usize::MAX } else { start + request.count };
            start = images.end;
            (id.clone(), images)
        };
        let jobs = pass.jobs.iter().zip(&pass.requests).map(place).collect();
        Self { app, jobs, previewed: Instant::now() - PREVIEW }
    }

    /// Sends the images of a step to all pages that watch.
    fn preview(&mut self, (step, of): (usize, usize), images: &StepImages) {
        self.previewed = Instant::now();
        for (id, range) in &self.jobs {
            let url = |all: &Images| pictures::data_url(&part(all, range)?);
            let event = json!({
                "type": "step", "job": id, "step": step, "of": of,
                "x": url(&images.x), "x0": url(&images.x0),
            });
            self.app.events.send(&event);
        }
    }
}

/// The images of one job.
fn part(all: &Images, range: &Range<usize>) -> Option<Images> {
    let end = range.end.min(all.len());
    all.select(&(range.start.min(end)..end).collect::<Vec<_>>()).ok()
}

impl Progress for PassProgress<'_> {
    fn step(&mut self, step: usize, of: usize, images: &dyn Fn() -> Option<StepImages>) -> bool {
        let made = OnceCell::new();
        let images = || made.get_or_init(images).as_ref();
        let last = step == of;
        let wanted = self.app.events.is_watched() && (last || self.previewed.elapsed() >= PREVIEW);
        if let Some(images) = wanted.then(images).flatten() {
            self.preview((step, of), images);
        }
        let kept = last || step.is_multiple_of(of.div_ceil(FRAMES).max(1));
        let mut goes_on = false;
        for (id, range) in &self.jobs {
            let frame = || -> Option<Picture> {
                let x = &kept.then(images).flatten()?.x;
                pictures::grid(&part(x, range)?, pictures::scale(x))
            };
            goes_on |= self.app.queue.step(id, (step, of), frame);
        }
        goes_on
    }
}
