//! Gradient checkpointing of a block: less memory for more time.

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Pass, Result, checkpoint};

use crate::{Block, BlockConditioning, Mode, Scope, Weight};

/// A block with optional gradient checkpointing (Chen et al. 2016): it keeps only its inputs for the
/// backward pass and runs again there. Output and gradients are bit for bit those of the block
/// itself, with dropout on, too.
///
/// ```
/// use inkdrop_nn::{
///     Block, BlockConditioning, Checkpointed, Mode, Params, ResBlock, ResBlockConfig,
/// };
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let config = ResBlockConfig { dropout: 0.1, ..ResBlockConfig::improved(32, 32, 64) };
/// let block =
///     Checkpointed::new(&mut params.root(), true, |scope| ResBlock::new(scope, &config))?;
/// let x = Tensor::randn([2, 32, 8, 8], (Kind::Float, Device::Cpu));
/// let embedding = Tensor::randn([2, 64], (Kind::Float, Device::Cpu));
/// let out = block.forward(&x, &BlockConditioning::embedding(embedding), Mode::Train)?;
/// out.sum(Kind::Float).backward();
/// assert!(params.trained().all(|param| param.tensor.grad().defined()));
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpointed<B> {
    block: B,
    weights: Vec<Weight>,
    on: bool,
}

impl<B: Block> Checkpointed<B> {
    /// Builds a block and records the weights that it creates.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn new(
        scope: &mut Scope,
        on: bool,
        build: impl FnOnce(&mut Scope) -> Result<B>,
    ) -> Result<Self> {
        let (block, weights) = scope.record(build)?;
        Ok(Self { block, weights, on })
    }

    /// The block itself.
    pub fn block(&self) -> &B {
        &self.block
    }

    /// Runs the block with gradient checkpointing.
    fn checkpoint(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let mut inputs = vec![x];
        inputs.extend(&conditioning.embedding);
        inputs.extend(&conditioning.class_ids);
        let embedded = conditioning.embedding.is_some();
        let class_conditional = conditioning.class_ids.is_some();
        let weights: Vec<&Tensor> = self.weights.iter().map(|weight| &**weight).collect();
        let first_image = conditioning.first_image;
        let random = self.block.random() && mode != Mode::Eval;
        let block = self.block.clone();
        checkpoint(&inputs, &weights, random, move |inputs, pass| {
            let mut rest = inputs[1..].iter().map(Tensor::shallow_clone);
            let embedding = if embedded { rest.next() } else { None };
            let class_ids = if class_conditional { rest.next() } else { None };
            let again = pass == Pass::Again && mode == Mode::Train;
            let mode = if again { Mode::Recompute } else { mode };
            let conditioning =
                BlockConditioning { embedding, class_ids, modulation: None, first_image };
            block.forward(&inputs[0], &conditioning, mode)
        })
    }
}

impl<B: Block> Block for Checkpointed<B> {
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        if self.on {
            return self.checkpoint(x, conditioning, mode);
        }
        // A node of its own for each input: gradients from inside the block are summed
        // there first, as they are when the block is checkpointed, so that no bit differs.
        // An alias of each input gives sums of gradients the same order with and without gradient
        // checkpointing, so both are equal to the bit.
        let alias = |t: &Tensor| inkdrop_torch::Result::Ok(t.f_alias()?);
        let embedding = conditioning.embedding.as_ref().map(alias).transpose()?;
        let class_ids = conditioning.class_ids.as_ref().map(Tensor::shallow_clone);
        let first_image = conditioning.first_image;
        let conditioning =
            BlockConditioning { embedding, class_ids, modulation: None, first_image };
        self.block.forward(&alias(x)?, &conditioning, mode)
    }

    fn random(&self) -> bool {
        self.block.random()
    }
}
