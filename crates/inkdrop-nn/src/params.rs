//! Named parameters, in the order in which the network was built.

use std::fmt::Display;
use std::ops::Deref;

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{DefaultGenerator, Result};

use crate::synchronization::{SumOverProcesses, Synchronization};

/// All named parameters and buffers of one network.
#[derive(Debug)]
pub struct Params {
    entries: Vec<Param>,
    kind: Kind,
    torso: Kind,
    device: Device,
    initialize: bool,
    /// Of the batch normalisations.
    synchronization: Synchronization,
}

/// One named tensor of a network.
#[derive(Debug)]
pub struct Param {
    /// The name, as in the published network's state_dict, e.g. `up0.1.weight`.
    pub name: String,
    /// The tensor that the layer uses; writing into it changes the layer.
    pub tensor: Tensor,
    /// Parameter or buffer.
    pub role: Role,
}

/// Role of a named tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A parameter, updated by the optimiser.
    Trained,
    /// Not trained: running statistics and counters.
    Buffer,
}

/// Initialisation of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform in ±1/√fan_in: PyTorch's default for weights and biases of
    /// linear and convolution layers (He et al. 2015 with a = √5).
    FanIn(i64),
    /// Uniform in ± this bound.
    Uniform(f64),
    /// Standard normal: PyTorch's default for embedding tables.
    Normal,
    /// Normal with this standard deviation.
    ScaledNormal(f64),
    /// A constant.
    Constant(f64),
}

/// A handle to a named tensor of a network; clones are handles to the same tensor.
#[derive(Debug)]
pub struct Weight(Tensor);

impl Weight {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self(tensor)
    }

    /// The same tensor without gradients.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn detached(&self) -> Result<Self> {
        Ok(Self(self.0.f_detach()?))
    }
}

impl Clone for Weight {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

impl Deref for Weight {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}

impl Params {
    /// An empty list. Parameters that are added have this compute dtype and device.
    ///
    /// - torso: compute dtype of the layers between the first and the last, which
    ///   improved-diffusion calls the torso. With half precision (`Half`, `BFloat16`) this is mixed
    ///   precision: norms, embeddings and the last layer stay in f32.
    pub fn new(torso: Kind, device: Device) -> Self {
        let half = matches!(torso, Kind::Half | Kind::BFloat16);
        let kind = if half { Kind::Float } else { torso };
        let synchronization = Synchronization::default();
        Self { entries: Vec::new(), kind, torso, device, initialize: true, synchronization }
    }

    /// An empty list whose trained parameters are allocated but not initialised, for a network that
    /// is filled from a file. Buffers have their initial values.
    ///
    /// ```
    /// use inkdrop_nn::{BatchNorm, Params};
    /// use inkdrop_torch::tch::{Device, Kind};
    ///
    /// let mut params = Params::uninitialized(Kind::Float, Device::Cpu);
    /// BatchNorm::new(&mut params.root(), 8)?;
    /// let variance = &params.get("running_var").expect("a buffer").tensor;
    /// assert_eq!(variance.double_value(&[0]), 1.0); // while `weight` holds any numbers
    /// # Ok::<(), inkdrop_torch::TorchError>(())
    /// ```
    pub fn uninitialized(torso: Kind, device: Device) -> Self {
        Self { initialize: false, ..Self::new(torso, device) }
    }

    /// The scope without a prefix, in which a network is built.
    pub fn root(&mut self) -> Scope<'_> {
        let kind = self.torso;
        Scope { params: self, prefix: String::new(), kind }
    }

    /// The device of the parameters.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The dtype of inputs, outputs, norms and embeddings.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The compute dtype: that of the convolutions between the first and the last layer.
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

    /// The entries that an optimiser updates.
    pub fn trained(&self) -> impl Iterator<Item = &Param> {
        self.entries.iter().filter(|entry| entry.role == Role::Trained)
    }

    /// The entry of this name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// True if a layer is a batch normalisation.
    pub fn has_batch_norm(&self) -> bool {
        self.iter().any(|param| param.name.ends_with("running_var"))
    }

    /// Makes every batch normalisation of the network use the statistics of a batch over all
    /// processes in training, as PyTorch's SyncBatchNorm does. All of them call forward and backward
    /// equally often.
    pub fn synchronize_batch_norm(&self, processes: Box<dyn SumOverProcesses>) {
        self.synchronization.set(processes);
    }

    /// True after [`Params::synchronize_batch_norm`]: running statistics are the same in all processes.
    pub fn batch_norm_is_synchronized(&self) -> bool {
        self.synchronization.get().is_some()
    }

    /// Initialises the trained parameters again, in the order in which they were built; for a network whose
    /// initialisation is not PyTorch's. Nothing is written in a network that is built uninitialised.
    ///
    /// ```
    /// use inkdrop_nn::{Init, Linear, Params};
    /// use inkdrop_torch::tch::{Device, Kind};
    ///
    /// let mut params = Params::new(Kind::Float, Device::Cpu);
    /// Linear::new(&mut params.root(), 8, 4)?;
    /// params.initialize(|name, shape| match name {
    ///     "bias" => Init::Constant(0.0),
    ///     _ => Init::Uniform((6.0 / (shape[0] + shape[1]) as f64).sqrt()),
    /// })?;
    /// assert_eq!(params.get("bias").map(|bias| bias.tensor.double_value(&[0])), Some(0.0));
    /// # Ok::<(), inkdrop_torch::TorchError>(())
    /// ```
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn initialize(&self, init: impl Fn(&str, &[i64]) -> Init) -> Result<()> {
        if !self.initialize {
            return Ok(());
        }
        let _guard = no_grad_guard();
        for Param { name, tensor, .. } in self.trained() {
            let shape = tensor.size();
            let drawn = self.filled(&shape, init(name, &shape), tensor.kind())?;
            tensor.shallow_clone().f_copy_(&drawn)?;
        }
        Ok(())
    }

    fn filled(&self, shape: &[i64], init: Init, kind: Kind) -> Result<Tensor> {
        let _guard = no_grad_guard();
        let _generator = DefaultGenerator::lock();
        // Drawn in f32 on the CPU whatever the dtype and device, so that a seed means one network.
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let tensor = match init {
            Init::Constant(value) => tensor.f_fill_(value)?,
            Init::Normal => tensor.f_normal_(0.0, 1.0)?,
            Init::ScaledNormal(std) => tensor.f_normal_(0.0, std)?,
            Init::Uniform(bound) => tensor.f_uniform_(-bound, bound)?,
            Init::FanIn(fan_in) => {
                let bound = 3f64.sqrt() * ((1f64 / 3.0).sqrt() / (fan_in as f64).sqrt());
                tensor.f_uniform_(-bound, bound)?
            }
        };
        Ok(tensor.f_to_kind(kind)?.f_to_device(self.device)?)
    }

    /// Number of trained values.
    pub fn trained_count(&self) -> usize {
        self.trained().map(|entry| entry.tensor.numel()).sum()
    }
}

/// A prefix of parameter names, in which a layer adds its parameters.
#[derive(Debug)]
pub struct Scope<'a> {
    params: &'a mut Params,
    prefix: String,
    kind: Kind,
}

impl Scope<'_> {
    /// The scope of a child module.
    pub fn sub(&mut self, name: impl Display) -> Scope<'_> {
        let prefix = format!("{}{name}.", self.prefix);
        Scope { kind: self.kind, params: self.params, prefix }
    }

    /// The same scope, with all parameters in full precision.
    pub fn full(&mut self) -> Scope<'_> {
        Scope { kind: self.params.kind, prefix: self.prefix.clone(), params: self.params }
    }

    /// The dtype of parameters in full precision.
    pub fn full_kind(&self) -> Kind {
        self.params.kind
    }

    /// Adds a trained parameter in full precision.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    ///
    /// # Panics
    /// The name is taken.
    pub fn weight(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Weight> {
        self.trained(name, shape, init, self.params.kind)
    }

    /// Adds a trained parameter in the compute dtype.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    ///
    /// # Panics
    /// The name is taken.
    pub fn torso_weight(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Weight> {
        self.trained(name, shape, init, self.kind)
    }

    /// The processes whose batch statistics are shared.
    pub(crate) fn synchronization(&self) -> Synchronization {
        self.params.synchronization.clone()
    }

    /// False in a network that is built uninitialised, whose memory is not to be written.
    pub(crate) fn initializes(&self) -> bool {
        self.params.initialize
    }

    fn trained(&mut self, name: &str, shape: &[i64], init: Init, kind: Kind) -> Result<Weight> {
        let tensor = match self.params.initialize {
            true => self.params.filled(shape, init, kind)?,
            false => Tensor::f_empty(shape, (kind, self.params.device))?,
        };
        let tensor = tensor.f_set_requires_grad(true)?;
        Ok(self.push(name, tensor, Role::Trained))
    }

    /// Runs `build` and returns its result with the trained parameters that it adds.
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

    /// Adds a buffer in full precision.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn buffer(&mut self, name: &str, shape: &[i64], value: f64) -> Result<Weight> {
        let tensor = self.params.filled(shape, Init::Constant(value), self.params.kind)?;
        Ok(self.push(name, tensor, Role::Buffer))
    }

    /// Adds a buffer of constant values, such as the taps of a filter, in full precision.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn constant(&mut self, name: &str, values: &Tensor) -> Result<Weight> {
        let tensor = values.f_to_kind(self.params.kind)?.f_to_device(self.params.device)?;
        Ok(self.push(name, tensor.f_detach()?, Role::Buffer))
    }

    /// Adds a buffer that is drawn once and not trained, in full precision; zeros in a network that is
    /// built uninitialised.
    ///
    /// - factor: multiplies the drawn values
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn drawn(&mut self, name: &str, shape: &[i64], init: Init, factor: f64) -> Result<Weight> {
        let init = if self.params.initialize { init } else { Init::Constant(0.0) };
        let tensor = self.params.filled(shape, init, Kind::Float)?.f_mul_scalar(factor)?;
        Ok(self.push(name, tensor.f_to_kind(self.params.kind)?, Role::Buffer))
    }

    /// Zeros in the compute dtype without a name: what a layer without this weight computes with.
    pub(crate) fn unnamed_zeros(&self, shape: &[i64]) -> Result<Weight> {
        Ok(Weight::new(self.params.filled(shape, Init::Constant(0.0), self.kind)?))
    }

    /// Adds a counter: a single i64, 0.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn counter(&mut self, name: &str) -> Result<Weight> {
        let tensor = Tensor::f_zeros([0i64; 0], (Kind::Int64, self.params.device))?;
        Ok(self.push(name, tensor, Role::Buffer))
    }

    fn push(&mut self, name: &str, tensor: Tensor, role: Role) -> Weight {
        let name = format!("{}{name}", self.prefix);
        assert!(self.params.get(&name).is_none(), "two parameters are named {name}");
        let handle = Weight::new(tensor.shallow_clone());
        self.params.entries.push(Param { name, tensor, role });
        handle
    }
}
