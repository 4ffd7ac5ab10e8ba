//! The environment of a worker process, as torchrun and `inkdrop launch` set it.

use std::env;

use crate::DistError;

/// What a worker process knows of the others, from its environment variables.
///
/// ```
/// use inkdrop_dist::WorkerEnv;
///
/// let variables = [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "10.0.0.7"), ("MASTER_PORT", "29500")];
/// let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
/// let worker = WorkerEnv::from_variables(lookup)?.expect("WORLD_SIZE is set");
/// assert_eq!((worker.rank, worker.world_size, worker.local_rank), (1, 2, 1));
/// # Ok::<(), inkdrop_dist::DistError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEnv {
    /// Number of this process, 0 to `world_size` − 1 (`RANK`).
    pub rank: usize,
    /// Number of processes (`WORLD_SIZE`).
    pub world_size: usize,
    /// Number of this process on its machine, which chooses its GPU (`LOCAL_RANK`; `RANK` without it).
    pub local_rank: usize,
    /// Host of the store (`MASTER_ADDR`).
    pub master_host: String,
    /// Port of the store (`MASTER_PORT`).
    pub master_port: u16,
    /// True if the launcher serves the store, else process 0 does (`TORCHELASTIC_USE_AGENT_STORE`).
    pub agent_store: bool,
    /// How often the launcher has started the processes again (`TORCHELASTIC_RESTART_COUNT`).
    pub restart_count: usize,
    /// Name of the run (`TORCHELASTIC_RUN_ID`); empty without a launcher.
    pub run_id: String,
}

impl WorkerEnv {
    /// The environment of this process; `None` if it is not one of several (`WORLD_SIZE` is missing).
    ///
    /// # Errors
    /// A variable is missing or out of range.
    pub fn from_env() -> Result<Option<Self>, DistError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// The same from other variables than those of this process.
    ///
    /// # Errors
    /// As [`WorkerEnv::from_env`].
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, DistError> {
        let Some(world_size) = variable("WORLD_SIZE") else { return Ok(None) };
        let world_size = number("WORLD_SIZE", &world_size, 1, usize::MAX)?;
        let rank = number("RANK", &required(&variable, "RANK")?, 0, world_size - 1)?;
        let local_rank = match variable("LOCAL_RANK") {
            Some(text) => number("LOCAL_RANK", &text, 0, world_size - 1)?,
            None => rank,
        };
        let port = required(&variable, "MASTER_PORT")?;
        let count = variable("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".to_string());
        Ok(Some(Self {
            rank,
            world_size,
            local_rank,
            master_host: required(&variable, "MASTER_ADDR")?,
            master_port: number("MASTER_PORT", &port, 1, usize::from(u16::MAX))? as u16,
            agent_store: variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|v| v == "True"),
            restart_count: number("TORCHELASTIC_RESTART_COUNT", &count, 0, usize::MAX)?,
            run_id: variable("TORCHELASTIC_RUN_ID").unwrap_or_default(),
        }))
    }

    /// Before each key in the store: a restart must not read the keys of the processes before it.
    pub(crate) fn key_prefix(&self) -> String {
        format!("inkdrop/{}/{}", self.run_id, self.restart_count)
    }
}

fn required(
    variable: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<String, DistError> {
    variable(name).filter(|text| !text.is_empty()).ok_or(DistError::Missing(name))
}

fn number(name: &'static str, text: &str, least: usize, most: usize) -> Result<usize, DistError> {
    let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| DistError::Variable {
        name,
        given: text.to_string(),
        expected: match most {
            usize::MAX => format!("a whole number of at least {least}"),
            _ => format!("{least} to {most}"),
        },
    })
}
