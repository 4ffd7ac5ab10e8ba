//! Named parameters, in the order in which the network was built.

use std::fmt::Display;

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::Weight;

/// All parameters and buffers of one network.
#[derive(Debug)]
pub struct Params {
    entries: Vec<Param>,
    kind: Kind,
    torso: Kind,
    device: Device,
}

/// One named tensor of a network.
#[derive(Debug)]
pub struct Param {
    /// The name, as in the original's state_dict, e.g. `up0.1.weight`.
    pub name: String,
    /// The tensor that the layer uses: writing into it changes the layer.
    pub tensor: Tensor,
    /// Trained, or carried along.
    pub role: Role,
}

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Changed by the optimiser.
    Trained,
    /// Part of the state_dict, but not trained: running statistics, counters.
    Buffer,
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform in ±1/√fan_in: PyTorch's default for weights and biases of
    /// linear and convolution layers (He et al. 2015 with a = √5).
    FanIn(i64),
    /// Standard normal: PyTorch's default for embedding tables.
    Normal,
    /// Every entry the same.
    Constant(f64),
}

impl Params {
    /// No parameters yet; those to come have this floating point kind and device.
    ///
    /// With a half precision kind (`Half`, `BFloat16`) only the convolutions and
    /// the attention's projections are of that kind; norms, embeddings and the
    /// last layer stay in f32, as improved-diffusion splits it.
    pub fn new(torso: Kind, device: Device) -> Self {
        let half = matches!(torso, Kind::Half | Kind::BFloat16);
        let kind = if half { Kind::Float } else { torso };
        Self { entries: Vec::new(), kind, torso, device }
    }

    /// The scope with no prefix, to build a network in.
    pub fn root(&mut self) -> Scope<'_> {
        let kind = self.torso;
        Scope { params: self, prefix: String::new(), kind }
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The kind of inputs, outputs, norms and embeddings.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The kind of the convolutions between the first and the last layer.
    pub fn torso(&self) -> Kind {
        self.torso
    }

    /// All entries, in the order in which they were built.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.entries.iter()
    }

    /// All names, in the order in which they were built.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The entries that an optimiser changes.
    pub fn trained(&self) -> impl Iterator<Item = &Param> {
        self.entries.iter().filter(|entry| entry.role == Role::Trained)
    }

    /// The entry of this name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// How many numbers an optimiser changes.
    pub fn trained_count(&self) -> usize {
        self.trained().map(|entry| entry.tensor.numel()).sum()
    }
}

/// A place in the tree of names; layers make their parameters in one.
#[derive(Debug)]
pub struct Scope<'a> {
    params: &'a mut Params,
    prefix: String,
    kind: Kind,
}

impl Scope<'_> {
    /// The scope one name further down.
    pub fn sub(&mut self, name: impl Display) -> Scope<'_> {
        let prefix = format!("{}{name}.", self.prefix);
        Scope { kind: self.kind, params: self.params, prefix }
    }

    /// The same place, where no parameter is of half precision.
    pub fn full(&mut self) -> Scope<'_> {
        Scope { kind: self.params.kind, prefix: self.prefix.clone(), params: self.params }
    }

    /// A new trained parameter, never of half precision.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    ///
    /// # Panics
    /// The name is taken: a mistake in the network's own code.
    pub fn weight(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Weight> {
        self.trained(name, shape, init, self.params.kind)
    }

    /// A new trained parameter of the torso: of half precision where the network is.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    ///
    /// # Panics
    /// The name is taken.
    pub fn torso_weight(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Weight> {
        self.trained(name, shape, init, self.kind)
    }

    fn trained(&mut self, name: &str, shape: &[i64], init: Init, kind: Kind) -> Result<Weight> {
        let tensor = self.filled(shape, init, kind)?.f_set_requires_grad(true)?;
        Ok(self.push(name, tensor, Role::Trained))
    }

    /// The trained parameters that are made while `build` runs, beside what it makes.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn record<T>(
        &mut self,
        build: impl FnOnce(&mut Scope) -> Result<T>,
    ) -> Result<(T, Vec<Weight>)> {
        let before = self.params.entries.len();
        let built = build(self)?;
        let made = self.params.entries[before..].iter();
        let made = made.filter(|entry| entry.role == Role::Trained);
        Ok((built, made.map(|entry| Weight::new(entry.tensor.shallow_clone())).collect()))
    }

    /// A new untrained entry of the network's floating point kind.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn buffer(&mut self, name: &str, shape: &[i64], value: f64) -> Result<Weight> {
        let tensor = self.filled(shape, Init::Constant(value), self.params.kind)?;
        Ok(self.push(name, tensor, Role::Buffer))
    }

    /// A new untrained counter: a single i64, 0.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn counter(&mut self, name: &str) -> Result<Weight> {
        let tensor = Tensor::f_zeros([0i64; 0], (Kind::Int64, self.params.device))?;
        Ok(self.push(name, tensor, Role::Buffer))
    }

    fn filled(&self, shape: &[i64], init: Init, kind: Kind) -> Result<Tensor> {
        let _guard = no_grad_guard();
        // Drawn in f32 on the CPU whatever the network's kind, so that a seed means one network.
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let tensor = match init {
            Init::Constant(value) => tensor.f_fill_(value)?,
            Init::Normal => tensor.f_normal_(0.0, 1.0)?,
            Init::FanIn(fan_in) => {
                let bound = 3f64.sqrt() * ((1f64 / 3.0).sqrt() / (fan_in as f64).sqrt());
                tensor.f_uniform_(-bound, bound)?
            }
        };
        Ok(tensor.f_to_kind(kind)?.f_to_device(self.params.device)?)
    }

    fn push(&mut self, name: &str, tensor: Tensor, role: Role) -> Weight {
        let name = format!("{}{name}", self.prefix);
        assert!(self.params.get(&name).is_none(), "two parameters are named {name}");
        let handle = Weight::new(tensor.shallow_clone());
        self.params.entries.push(Param { name, tensor, role });
        handle
    }
}
