//! The terminal view of a training run: curves, samples, state, and keys that ask the trainer.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use inkdrop_data::picture::Picture;
use inkdrop_data::read::read_picture;
use inkdrop_report::{
    Log, ReportError, Run, RunRequest, SampleColours, in_progress, sample_colours, sample_path,
    sample_steps,
};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph, Widget};
use ratatui::{DefaultTerminal, Frame};

/// Interval between two checks of the run directory.
const LOOK: Duration = Duration::from_millis(500);

/// Weight of the earlier values in the exponential smoothing of the loss.
const SMOOTHING: f64 = 0.8;

/// Watches a run until the user quits, or until `ended` is true. Without a terminal it prints a line per
/// log line instead, and ends with the run.
///
/// Keys: `s` stops the trainer, `c` saves a checkpoint, `n` samples, the arrows choose the sample grid,
/// `q` quits the view. In the trainer's own process `q` and Ctrl-C stop the trainer.
///
/// - ended: set by the trainer, if it runs in this process
///
/// # Errors
/// The folder contains no run, or the terminal fails.
pub fn watch(folder: &Path, ended: Option<&AtomicBool>) -> Result<(), ReportError> {
    let run = Run::open_metrics(folder)?;
    let failed = |source| ReportError::Write { path: PathBuf::from("the terminal"), source };
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return match lines(folder, ended) {
            // Such as `inkdrop watch RUN | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(failed),
        };
    }
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let result = View::new(folder, run).run(&mut terminal, ended);
    ratatui::restore();
    result.map_err(failed)
}

/// Prints the log as it grows.
fn lines(folder: &Path, ended: Option<&AtomicBool>) -> io::Result<()> {
    let mut shown = None;
    loop {
        let going =
            in_progress(folder) && !ended.is_some_and(|ended| ended.load(Ordering::Relaxed));
        if let Ok(run) = Run::open_metrics(folder) {
            let steps = run
                .log
                .curve("loss")
                .iter()
                .filter(|(step, _)| shown.is_none_or(|last| *step > last));
            let mut out = io::stdout().lock();
            for (step, loss) in steps {
                writeln!(out, "step {step} of {}, loss {loss:.4}", run.planned_steps.unwrap_or(0))?;
            }
            out.flush()?;
            shown = run.log.curve("loss").last().map(|(step, _)| *step).or(shown);
        }
        if !going {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// What the view shows.
struct View {
    folder: PathBuf,
    run: Run,
    in_progress: bool,
    /// True in the process of the trainer.
    owns_trainer: bool,
    samples: Vec<u64>,
    colours: Option<SampleColours>,
    /// Index of the shown grid; `None` for the newest.
    chosen: Option<usize>,
    /// The shown grid with its step.
    picture: Option<(u64, Picture)>,
    note: String,
    log_length: u64,
}

impl View {
    fn new(folder: &Path, run: Run) -> Self {
        let mut view = Self {
            folder: folder.to_path_buf(),
            run,
            in_progress: false,
            owns_trainer: false,
            samples: Vec::new(),
            colours: None,
            chosen: None,
            picture: None,
            note: String::new(),
            log_length: 0,
        };
        view.look();
        view
    }

    fn run(mut self, terminal: &mut DefaultTerminal, ended: Option<&AtomicBool>) -> io::Result<()> {
        self.owns_trainer = ended.is_some();
        let mut looked = Instant::now();
        while !ended.is_some_and(|ended| ended.load(Ordering::Relaxed)) {
            terminal.draw(|frame| self.draw(frame))?;
            if event::poll(LOOK.saturating_sub(looked.elapsed()))?
                && let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && self.press(key)
            {
                return Ok(());
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look();
            }
        }
        Ok(())
    }

    /// Reads the files that have changed.
    fn look(&mut self) {
        self.in_progress = in_progress(&self.folder);
        let length = std::fs::metadata(self.folder.join("log.jsonl")).map_or(0, |file| file.len());
        let samples = sample_steps(&self.folder);
        if length != self.log_length || samples != self.samples {
            (self.log_length, self.samples) = (length, samples);
            // The run may be in the middle of a change; the next look sees it.
            if let Ok(run) = Run::open_metrics(&self.folder) {
                self.run = run;
            }
            self.colours = sample_colours(&self.folder).pop();
        }
        self.load_picture();
    }

    fn load_picture(&mut self) {
        let step = self.chosen.and_then(|index| self.samples.get(index)).or(self.samples.last());
        let Some(&step) = step else { return };
        if self.picture.as_ref().is_none_or(|(shown, _)| *shown != step)
            && let Ok(picture) = read_picture(sample_path(&self.folder, step))
        {
            self.picture = Some((step, picture));
        }
    }

    /// Obeys a key. Returns true to end the view.
    fn press(&mut self, key: KeyEvent) -> bool {
        let interrupt =
            key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc if self.owns_trainer => self.ask(RunRequest::Stop),
            _ if interrupt && self.owns_trainer => self.ask(RunRequest::Stop),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            _ if interrupt => return true,
            KeyCode::Char('s') => self.ask(RunRequest::Stop),
            KeyCode::Char('c') => self.ask(RunRequest::Checkpoint),
            KeyCode::Char('n') => self.ask(RunRequest::Sample),
            KeyCode::Left => self.choose(-1),
            KeyCode::Right => self.choose(1),
            _ => {}
        }
        false
    }

    fn ask(&mut self, request: RunRequest) {
        self.note = match request.send(&self.folder) {
            _ if !self.in_progress => "the run is not in progress".to_string(),
            Ok(()) => format!("asked for: {request}"),
            Err(error) => error.to_string(),
        };
    }

    fn choose(&mut self, by: isize) {
        let Some(last) = self.samples.len().checked_sub(1) else { return };
        let next = self.chosen.unwrap_or(last).saturating_add_signed(by).min(last);
        self.chosen = (next < last).then_some(next);
        self.load_picture();
    }

    fn draw(&self, frame: &mut Frame) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(2), Constraint::Min(6), Constraint::Length(2)])
                .areas(frame.area());
        self.head(frame, head);
        let [curves, right] =
            Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)])
                .areas(body);
        self.curves(frame, curves);
        self.samples(frame, right);
        self.foot(frame, foot);
    }

    /// Name, state and progress.
    fn head(&self, frame: &mut Frame, area: Rect) {
        let [text, gauge] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
        let state = match (self.in_progress, self.run.finished) {
            (true, _) => "training",
            (false, true) => "finished",
            (false, false) => "stopped",
        };
        let (done, planned) =
            (self.run.log.last_step.unwrap_or(0), self.run.planned_steps.unwrap_or(0));
        let left = time_left(&self.run.log, planned).filter(|_| self.in_progress);
        let left = left.map_or_else(String::new, |left| format!(", {} left", duration(left)));
        let line = Line::from(vec![
            Span::raw(self.run.name.clone()).bold(),
            Span::raw(format!("  {state}{left}")),
        ]);
        frame.render_widget(line, text);
        let ratio = if planned == 0 { 0.0 } else { (done as f64 / planned as f64).clamp(0.0, 1.0) };
        let gauge_line = Gauge::default().ratio(ratio).label(format!("step {done} of {planned}"));
        frame.render_widget(gauge_line.gauge_style(Style::new().fg(Color::Blue)), gauge);
    }

    /// The loss; with room also by noise level, and the gradient norm.
    fn curves(&self, frame: &mut Frame, area: Rect) {
        let log = &self.run.log;
        let raw = finite(log.curve("loss"));
        let smooth = smoothed(&raw);
        let validation = finite(log.curve("validation"));
        let loss = [
            Series::new("loss", &raw, Color::DarkGray),
            Series::new("smoothed", &smooth, Color::Blue),
            Series::new("validation", &validation, Color::Yellow),
        ];
        if area.height < 30 {
            return chart(frame, area, "loss", &loss);
        }
        let [first, second, third] = Layout::vertical([Constraint::Ratio(1, 3); 3]).areas(area);
        chart(frame, first, "loss", &loss);
        let levels: Vec<Vec<(f64, f64)>> = (0..4)
            .map(|quarter| smoothed(&finite(log.curve(&format!("loss_q{quarter}")))))
            .collect();
        let colours = [Color::Blue, Color::Yellow, Color::Green, Color::Magenta];
        let names = ["q0 (low)", "q1", "q2", "q3 (high)"];
        let levels: Vec<Series> = (0..4)
            .map(|quarter| Series::new(names[quarter], &levels[quarter], colours[quarter]))
            .collect();
        chart(frame, second, "loss by noise level", &levels);
        let norm = finite(log.curve("grad_norm"));
        chart(frame, third, "gradient norm", &[Series::new("norm", &norm, Color::Blue)]);
    }

    fn samples(&self, frame: &mut Frame, area: Rect) {
        let title = match &self.picture {
            Some((step, _)) => format!("samples of step {step} (← →)"),
            None => "no samples yet".to_string(),
        };
        let block = Block::bordered().title(title);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        if let Some((_, picture)) = &self.picture {
            frame.render_widget(HalfBlocks(picture), inside);
        }
    }

    fn foot(&self, frame: &mut Frame, area: Rect) {
        let value = |key: &str| match self.run.log.curve(key).last() {
            Some((_, value)) => format!("{value:.3e}"),
            None => "-".to_string(),
        };
        let waits =
            self.run.log.curve("data_wait_fraction").last().map_or(0.0, |(_, wait)| 100.0 * wait);
        let rate = self.run.log.curve("images_per_s").last().map_or(0.0, |(_, rate)| *rate);
        let drift = self.colours.as_ref().filter(|colours| colours.drifts());
        let numbers = format!(
            "loss {}  gradient {}  lr {}  {rate:.0} images/s  waiting {waits:.0} %",
            value("loss"),
            value("grad_norm"),
            value("lr")
        );
        let keys = match self.owns_trainer {
            true => "q stop and save  c checkpoint  n sample now",
            false => "q quit  s stop the run  c checkpoint  n sample now",
        };
        let note = match drift {
            Some(colours) if self.note.is_empty() => {
                format!("colour drift of {:.2} standard deviations", colours.drift())
            }
            _ => self.note.clone(),
        };
        let second =
            Line::from(vec![Span::raw(keys).dim(), Span::raw("  "), Span::raw(note).yellow()]);
        frame.render_widget(Paragraph::new(vec![Line::raw(numbers), second]), area);
    }
}

/// A curve of a chart.
struct Series<'a> {
    name: &'a str,
    points: &'a [(f64, f64)],
    colour: Color,
}

impl<'a> Series<'a> {
    fn new(name: &'a str, points: &'a [(f64, f64)], colour: Color) -> Self {
        Self { name, points, colour }
    }
}

/// The points without gaps.
fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(_, value)| value.is_finite()).collect()
}

/// Exponential smoothing without the bias of its start.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (mut sum, mut weight) = (0.0, 0.0);
    let smooth = |&(step, value): &(f64, f64)| {
        sum = SMOOTHING * sum + (1.0 - SMOOTHING) * value;
        weight = SMOOTHING * weight + (1.0 - SMOOTHING);
        (step, sum / weight)
    };
    points.iter().map(smooth).collect()
}

fn chart(frame: &mut Frame, area: Rect, title: &str, series: &[Series]) {
    let points = || series.iter().flat_map(|series| series.points.iter());
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low < high { [low, high] } else { [low.min(0.0), high.max(low + 1.0)] }
    };
    if points().next().is_none() {
        let empty = Paragraph::new("no values yet").alignment(Alignment::Center);
        return frame.render_widget(empty.block(Block::bordered().title(title.to_string())), area);
    }
    let (x, y) =
        (range(&mut points().map(|point| point.0)), range(&mut points().map(|point| point.1)));
    let data = series.iter().filter(|series| !series.points.is_empty()).map(|series| {
        Dataset::default()
            .name(series.name)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(series.colour))
            .data(series.points)
    });
    let label = |value: f64| match value.abs() {
        small if small != 0.0 && small < 1e-2 => format!("{value:.1e}"),
        large if large >= 1000.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    };
    let axis = |bounds: [f64; 2], labels: Vec<String>| {
        Axis::default().bounds(bounds).labels(labels).style(Style::new().dim())
    };
    let steps = x.map(|step| format!("{step:.0}")).to_vec();
    let chart = Chart::new(data.collect())
        .block(Block::bordered().title(title.to_string()))
        .x_axis(axis(x, steps))
        .y_axis(axis(y, y.map(label).to_vec()));
    frame.render_widget(chart, area);
}

/// A picture in half blocks: two pixels per character.
struct HalfBlocks<'a>(&'a Picture);

impl Widget for HalfBlocks<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let (width, height) = (self.0.width() as f64, self.0.height() as f64);
        let fit = (f64::from(area.width) / width).min(2.0 * f64::from(area.height) / height);
        let columns = ((width * fit) as u16).min(area.width);
        let rows = ((height * fit / 2.0) as u16).min(area.height);
        let pixel = |column: u16, half: u16| {
            let x = ((f64::from(column) + 0.5) / fit).min(width - 1.0) as usize;
            let y = ((f64::from(half) + 0.5) / fit).min(height - 1.0) as usize;
            let at = 3 * (y * self.0.width() + x);
            let rgb = &self.0.pixels()[at..at + 3];
            Color::Rgb(rgb[0], rgb[1], rgb[2])
        };
        for row in 0..rows {
            for column in 0..columns {
                let style = Style::new().fg(pixel(column, 2 * row)).bg(pixel(column, 2 * row + 1));
                buffer.set_string(area.x + column, area.y + row, "▀", style);
            }
        }
    }
}

/// Seconds to the last step, from the last log lines.
fn time_left(log: &Log, planned: u64) -> Option<f64> {
    let seconds = log.curve("seconds");
    let (last, first) = (seconds.last()?, seconds.get(seconds.len().saturating_sub(20))?);
    let pace = (last.1 - first.1) / (last.0 - first.0);
    // A resumed run counts its seconds anew.
    (pace.is_finite() && pace > 0.0).then(|| pace * (planned as f64 - last.0).max(0.0))
}

/// `3 h 20 min`, `5 min`, `12 s`.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0) as u64;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds:.0} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use inkdrop_data::picture::write_png;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn run_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "[train]\nsteps = 200\n").unwrap();
        let line = |step: u32| {
            let loss = 1.0 / f64::from(step);
            format!(
                "{{\"step\":{step},\"loss\":{loss},\"loss_q0\":{loss},\"grad_norm\":0.5,\"lr\":1e-3,\"seconds\":{step}}}\n"
            )
        };
        let log: String = (1..=100).map(line).collect();
        fs::write(folder.path().join("log.jsonl"), log).unwrap();
        fs::create_dir(folder.path().join("samples")).unwrap();
        for (step, colour) in [(50, [255, 0, 0]), (100, [0, 0, 255])] {
            write_png(sample_path(folder.path(), step), &Picture::filled(8, 8, colour)).unwrap();
        }
        folder
    }

    /// The screen as text, and the foreground of a place in the middle of the samples.
    fn screen(view: &View, width: u16, height: u16) -> (String, Color) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let text = buffer
            .content()
            .chunks(width.into())
            .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n");
        (text.collect(), buffer[(width / 2 + 2, 4)].fg)
    }

    #[test]
    fn both_sizes_show_curves_samples_and_keys() {
        let folder = run_folder();
        let mut view = View::new(folder.path(), Run::open_metrics(folder.path()).unwrap());
        for (width, height) in [(80, 24), (200, 60), (20, 8)] {
            let (text, colour) = screen(&view, width, height);
            if width >= 80 {
                for part in [
                    "step 100 of 200",
                    "stopped",
                    "loss",
                    "samples of step 100",
                    "q quit",
                    "gradient 5.000e-1",
                ] {
                    assert!(text.contains(part), "{part}\n{text}");
                }
                assert_eq!(text.contains("loss by noise level"), height >= 40, "{text}");
                assert_eq!(colour, Color::Rgb(0, 0, 255));
            }
        }
        view.press(KeyCode::Left.into());
        let (text, colour) = screen(&view, 80, 24);
        assert!(text.contains("samples of step 50") && colour == Color::Rgb(255, 0, 0), "{text}");
        view.press(KeyCode::Left.into());
        view.press(KeyCode::Right.into());
        assert!(screen(&view, 80, 24).0.contains("samples of step 100"));
    }

    #[test]
    fn keys_ask_the_trainer_and_end_the_view() {
        let folder = run_folder();
        let mut view = View::new(folder.path(), Run::open_metrics(folder.path()).unwrap());
        let lock = fs::File::create(folder.path().join(".lock")).unwrap();
        lock.lock().unwrap();
        view.look();
        for (key, request) in
            [('s', RunRequest::Stop), ('c', RunRequest::Checkpoint), ('n', RunRequest::Sample)]
        {
            assert!(!view.press(KeyCode::Char(key).into()));
            assert!(request.take(folder.path()), "{key}");
            assert_eq!(view.note, format!("asked for: {request}"));
        }
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(view.press(interrupt) && view.press(KeyCode::Char('q').into()));
        assert!(!RunRequest::Checkpoint.take(folder.path()));
        view.owns_trainer = true;
        assert!(!view.press(interrupt), "the trainer ends the view");
        assert!(RunRequest::Stop.take(folder.path()));
    }

    #[test]
    fn time_left_follows_the_last_lines() {
        let log = |lines: &[(u32, u32)]| {
            let line = |(step, seconds): &(u32, u32)| {
                format!("{{\"step\":{step},\"seconds\":{seconds}}}\n")
            };
            Log::parse(&lines.iter().map(line).collect::<String>())
        };
        assert_eq!(time_left(&log(&[(10, 20), (20, 40)]), 120), Some(200.0));
        assert_eq!(time_left(&log(&[(10, 20)]), 120), None);
        assert_eq!(time_left(&log(&[(10, 40), (20, 20)]), 120), None, "resumed");
        assert_eq!(
            (duration(12.4), duration(300.0), duration(12_000.0)),
            ("12 s".into(), "5 min".into(), "3 h 20 min".into())
        );
    }
}
