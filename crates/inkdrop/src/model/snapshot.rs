//! Network and process of the snapshots of EDM and EDM2, from the arguments of their preconditioned networks.

use inkdrop_checkpoint::{Constructor, StateDict};
use inkdrop_process::{ContinuousConfig, Preconditioning};
use inkdrop_schedule::BetaRange;
use inkdrop_unet::{ImageSize, ModelConfig};
use serde_json::{Map, Value};

use crate::Result;
use crate::error::{Context, bail, ensure};
use crate::model::spec;

/// The class of a preconditioned network in a snapshot, which determines the preconditioning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Edm,
    Vp,
    Ve,
    Iddpm,
    Edm2,
}

/// The names of the first arguments of all classes, in order.
const POSITIONS: [&str; 4] = ["img_resolution", "img_channels", "label_dim", "use_fp16"];

/// Arguments of the preconditioning; all others are the network's. The precision is an option of sampling here.
const OUTER: [&str; 10] = [
    "use_fp16",
    "sigma_data",
    "sigma_min",
    "sigma_max",
    "beta_d",
    "beta_min",
    "epsilon_t",
    "M",
    "C_1",
    "C_2",
];

/// A preconditioned network of a snapshot.
pub struct Snapshot {
    class: Class,
    arguments: Map<String, Value>,
}

impl Class {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "EDMPrecond" => Self::Edm,
            "VPPrecond" => Self::Vp,
            "VEPrecond" => Self::Ve,
            "iDDPMPrecond" => Self::Iddpm,
            "Precond" => Self::Edm2,
            _ => return None,
        })
    }
}

impl Snapshot {
    /// The preconditioned network around weights; `None` if the file records none.
    ///
    /// # Errors
    /// More arguments by position than all classes share.
    pub fn of(weights: &StateDict) -> Result<Option<Self>> {
        let known = |call: &Constructor| Some((Class::named(&call.class)?, call.clone()));
        let Some((class, call)) = weights.constructors().find_map(known) else { return Ok(None) };
        ensure!(
            call.arguments.len() <= POSITIONS.len(),
            "the snapshot gives {} {} arguments by position, expected at most {}: give --config PRESET|FILE and --process",
            call.class,
            call.arguments.len(),
            POSITIONS.len()
        );
        let by_position = POSITIONS.map(str::to_string).into_iter().zip(call.arguments);
        Ok(Some(Self { class, arguments: by_position.chain(call.keywords).collect() }))
    }

    /// The network.
    ///
    /// # Errors
    /// Arguments that no network has, or of another type.
    pub fn network(&self) -> Result<ModelConfig> {
        let mut arguments = self.arguments.clone();
        arguments.retain(|name, value| !OUTER.contains(&name.as_str()) && !value.is_null());
        let (family, defaults) = match self.class {
            Class::Edm2 => ("edm2", vec![("label_dim", 0), ("logvar_channels", 128)]),
            Class::Iddpm => ("edm", vec![("out_channels", 2 * self.channels()?)]),
            _ => ("edm", Vec::new()),
        };
        for (name, value) in defaults {
            arguments.entry(name).or_insert(value.into());
        }
        if family == "edm" {
            let inner = match self.class {
                Class::Vp | Class::Ve => "SongUNet",
                _ => "DhariwalUNet",
            };
            arguments.entry("model_type").or_insert(inner.into());
        }
        // The image size is among the arguments.
        spec::from_arguments(family, arguments.into(), ImageSize::square(32)).context(
            "the arguments of the snapshot's network are not known (give --config PRESET|FILE)",
        )
    }

    fn channels(&self) -> Result<i64> {
        let given = self.arguments.get("img_channels").and_then(Value::as_i64);
        let small = given.filter(|channels| (1..=1 << 16).contains(channels));
        small.context("the snapshot has no valid img_channels: expected a number from 1 to 65536")
    }

    /// The process: the preconditioning, with the noise levels that the network takes.
    ///
    /// # Errors
    /// Arguments of another type, or that the preconditioning does not have here.
    pub fn process(&self) -> Result<ContinuousConfig> {
        let preconditioning = match self.class {
            Class::Edm | Class::Edm2 => {
                Preconditioning::Edm { sigma_data: self.number("sigma_data")?.unwrap_or(0.5) }
            }
            Class::Vp => {
                let usual = BetaRange::default();
                Preconditioning::Vp(BetaRange {
                    beta_d: self.number("beta_d")?.unwrap_or(usual.beta_d),
                    beta_min: self.number("beta_min")?.unwrap_or(usual.beta_min),
                })
            }
            Class::Ve => Preconditioning::Ve {},
            Class::Iddpm => Preconditioning::Iddpm {},
        };
        for (name, fixed) in [("M", 1000.0), ("C_1", 0.001), ("C_2", 0.008), ("epsilon_t", 1e-5)] {
            if let Some(given) = self.number(name)?.filter(|given| *given != fixed) {
                bail!("the snapshot's {name} is {given}, expected {fixed}: give --process");
            }
        }
        // The sampler stays within the levels of the network (`max(sigma_min, net.sigma_min)`).
        let (min, max) = preconditioning.sigma_range();
        let sigma_min = self.number("sigma_min")?.filter(|given| *given > min);
        let sigma_max = self.number("sigma_max")?.filter(|given| *given < max);
        Ok(ContinuousConfig { sigma_min, sigma_max, ..ContinuousConfig::new(preconditioning) })
    }

    /// An argument that is a number; `None` if it is not given.
    fn number(&self, name: &str) -> Result<Option<f64>> {
        match self.arguments.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_f64();
                Ok(Some(number.with_context(|| {
                    format!("the snapshot's {name} is {value}, expected a number")
                })?))
            }
        }
    }
}
