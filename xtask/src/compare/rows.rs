//! The rows of the comparison with PyTorch.

use super::pairs::Figure;

/// Bound on the difference to the outputs of eager PyTorch (or numpy).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Bound on |Δ| / max(1, max|reference|).
    Scaled(f64),
    /// Bound on |Δ| / max(1, |reference|) for each number.
    Each(f64),
    /// Bound on |Δ| / |reference| for each number.
    Relative(f64),
    /// Bound on |Δ|.
    Absolute(f64),
}

/// The work of a job ([`super::job`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// `forward`, `sampling`, `training` or `schedule`.
    pub what: &'static str,
    /// Preset of the network, or name of the schedule.
    pub model: &'static str,
    /// Images per batch.
    pub batch: usize,
    /// Steps of the sampler.
    pub steps: usize,
}

/// The measurement of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Task {
    /// Time of a job; outputs are compared first.
    Job(Work, Tolerance),
    /// Peak memory of a new process that repeats a job this often.
    Memory(Work, usize),
    /// Time of the whole program to the first image.
    FirstImage,
}

/// A row of the comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchRow {
    /// The name, matched by `--filter`.
    pub name: &'static str,
    /// The measurement.
    pub task: Task,
}

/// Execution modes of PyTorch.
const MODES: [&str; 3] = ["eager", "channels_last", "compile"];

impl BenchRow {
    /// All rows, in the order in which they run.
    pub const ALL: [Self; 17] = [
        forward("forward/context/1", "sprites", 1),
        forward("forward/context/16", "sprites", 16),
        forward("forward/context/64", "sprites", 64),
        forward("forward/ddpm_cifar10/1", "ddpm_cifar10", 1),
        forward("forward/ddpm_cifar10/8", "ddpm_cifar10", 8),
        forward("forward/improved_cifar10/1", "improved_cifar10", 1),
        forward("forward/improved_cifar10/8", "improved_cifar10", 8),
        Self {
            name: "training/context/100",
            task: Task::Job(work("training", "sprites", 100, 1), Tolerance::Relative(1e-4)),
        },
        sampling("sampling/context/1", "sprites", 1, 25),
        sampling("sampling/context/64", "sprites", 64, 25),
        sampling("sampling/ddpm_cifar10/1", "ddpm_cifar10", 1, 10),
        Self { name: "start/first_image", task: Task::FirstImage },
        Self {
            name: "memory/sample",
            task: Task::Memory(work("sampling", "ddpm_cifar10", 1, 3), 1),
        },
        Self { name: "memory/train", task: Task::Memory(work("training", "sprites", 100, 1), 6) },
        schedule("schedules/linear_1000", "linear_1000"),
        schedule("schedules/cosine_4000", "cosine_4000"),
        schedule("schedules/sprites_500", "sprites_500"),
    ];

    /// The rows whose name contains `filter`.
    pub fn matching(filter: &str) -> Vec<Self> {
        Self::ALL.into_iter().filter(|row| row.name.contains(filter)).collect()
    }

    /// The quantity that is measured.
    pub fn figure(&self) -> Figure {
        match self.task {
            Task::Job(..) => Figure::Seconds,
            Task::Memory(..) => Figure::Peak,
            Task::FirstImage => Figure::Wall,
        }
    }

    /// The names of the baselines; the outputs of the first one are the reference.
    pub fn modes(&self) -> &'static [&'static str] {
        match self.task {
            Task::Job(Work { what: "schedule", .. }, _) => &["numpy"],
            Task::Job(..) => &MODES,
            // `compile` would measure the compiler itself, and memory layouts hardly matter here.
            Task::Memory(..) => &["eager", "import"],
            Task::FirstImage => &["python"],
        }
    }
}

const fn work(what: &'static str, model: &'static str, batch: usize, steps: usize) -> Work {
    Work { what, model, batch, steps }
}

const fn forward(name: &'static str, model: &'static str, batch: usize) -> BenchRow {
    BenchRow { name, task: Task::Job(work("forward", model, batch, 1), Tolerance::Scaled(2e-5)) }
}

const fn sampling(name: &'static str, model: &'static str, batch: usize, steps: usize) -> BenchRow {
    let work = work("sampling", model, batch, steps);
    BenchRow { name, task: Task::Job(work, Tolerance::Absolute(1e-3)) }
}

const fn schedule(name: &'static str, model: &'static str) -> BenchRow {
    BenchRow { name, task: Task::Job(work("schedule", model, 1, 1), Tolerance::Each(1e-12)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_part_of_the_name() {
        let names =
            |filter| BenchRow::matching(filter).iter().map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(names(""), BenchRow::ALL.map(|row| row.name));
        assert_eq!(names("memory/"), ["memory/sample", "memory/train"]);
        assert_eq!(names("context/16"), ["forward/context/16"]);
        assert!(names("nowhere").is_empty());
    }

    #[test]
    fn names_are_there_once_and_fit_the_table() {
        for (number, row) in BenchRow::ALL.iter().enumerate() {
            assert!(row.name.len() <= 26, "{}", row.name);
            assert!(
                BenchRow::ALL[..number].iter().all(|other| other.name != row.name),
                "{}",
                row.name
            );
            assert!(!row.modes().is_empty());
        }
    }
}
