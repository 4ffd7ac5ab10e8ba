//! A block that trades time for memory.

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Pass, Result, checkpoint};

use crate::{Block, BlockConditioning, Mode, Scope, Weight};

/// A block that, when switched on, keeps only its inputs for the backward pass
/// and runs again there (Chen et al. 2016). Output and gradients are bit for bit
/// those of the block itself, with dropout on, too.
///
/// ```
/// use inkdrop_nn::{Checkpointed, Mode, Params, ResBlock, ResBlockConfig, BlockConditioning};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let config = ResBlockConfig { dropout: 0.1, ..ResBlockConfig::improved(32, 32, 64) };
/// let block =
///     Checkpointed::new(&mut params.root(), true, |scope| ResBlock::new(scope, &config))?;
/// let x = Tensor::randn([2, 32, 8, 8], (Kind::Float, Device::Cpu));
/// let conditioning = BlockConditioning::embedding(Tensor::randn([2, 64], (Kind::Float, Device::Cpu)));
/// block.forward(&x, &conditioning, Mode::Train)?.sum(Kind::Float).backward();
/// assert!(params.trained().all(|param| param.tensor.grad().defined()));
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct Checkpointed<B> {
    block: B,
    weights: Vec<Weight>,
    on: bool,
}

impl<B: Block> Checkpointed<B> {
    /// Builds a block and remembers the weights that it makes.
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

    /// A block that is not checkpointed, of a network for inference.
    pub(crate) fn never(block: B) -> Self {
        Self { block, weights: Vec::new(), on: false }
    }

    /// The block itself.
    pub(crate) fn block(&self) -> &B {
        &self.block
    }

    /// # Shapes
    /// Those of the block.
    ///
    /// # Errors
    /// Those of the block.
    pub fn forward(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        if !self.on {
            // A node of its own for each input: gradients from inside the block are summed
            // there first, as they are when the block is checkpointed, so that no bit differs.
            let alias = |t: &Tensor| inkdrop_torch::Result::Ok(t.f_alias()?);
            let embedding = conditioning.embedding.as_ref().map(alias).transpose()?;
            let class_ids = conditioning.class_ids.as_ref().map(Tensor::shallow_clone);
            let modulation = conditioning.modulation.as_ref().map(Tensor::shallow_clone);
            return self.block.forward(
                &alias(x)?,
                &BlockConditioning { embedding, class_ids, modulation },
                mode,
            );
        }
        let mut inputs = vec![x];
        inputs.extend(&conditioning.embedding);
        inputs.extend(&conditioning.class_ids);
        let (timed, classed) = (conditioning.embedding.is_some(), conditioning.class_ids.is_some());
        let weights: Vec<&Tensor> = self.weights.iter().map(|weight| &**weight).collect();
        let random = self.block.random() && mode != Mode::Eval;
        let block = self.block.clone();
        checkpoint(&inputs, &weights, random, move |inputs, pass| {
            let mut rest = inputs[1..].iter().map(Tensor::shallow_clone);
            let embedding = if timed { rest.next() } else { None };
            let class_ids = if classed { rest.next() } else { None };
            let again = pass == Pass::Again && mode == Mode::Train;
            let mode = if again { Mode::Recompute } else { mode };
            let conditioning = BlockConditioning { embedding, class_ids, modulation: None };
            block.forward(&inputs[0], &conditioning, mode)
        })
    }
}
