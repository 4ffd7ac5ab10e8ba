//! The blocks of the sprites notebook's ContextUnet.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::compiled::{
    Compiled, CompiledConvUnit, Convolution, Form, Trained, TransposedConvolution, Unit,
};
use crate::{Activation, BatchNorm, Conv, ConvConfig, ConvTranspose2d, Mode, Scope};

/// 3×3 convolution · BatchNorm · GELU, the notebook's unit; keys `0` and `1`.
#[derive(Debug, Clone)]
pub struct ConvUnit {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvUnit {
    fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Self {
            conv: Conv::new(&mut scope.sub(0), ConvConfig::same(inputs, outputs, 3))?,
            norm: BatchNorm::new(&mut scope.sub(1), outputs)?,
        })
    }

    /// Folds the BatchNorm into the convolution.
    fn compile(&self, pack: bool) -> Result<CompiledConvUnit> {
        let (factor, offset) = self.norm.eval_affine()?;
        Ok(CompiledConvUnit(self.conv.scaled(&factor, &offset, pack)?))
    }
}

impl Unit for ConvUnit {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.norm.forward_activated(&self.conv.forward(x)?, mode, Some(Activation::Gelu))
    }
}

/// Two convolution units, keys `conv1` and `conv2`; with a residual, the
/// notebook's (first or shortcut + second)/1.414.
///
/// Where channels differ, the notebook draws a new random 1×1 convolution in
/// every forward; here the shortcut is a learned layer, key `shortcut`.
///
/// ```
/// use inkdrop_nn::{Mode, Params, ResidualConvBlock};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let block = ResidualConvBlock::new(&mut params.root(), 3, 8)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(block.forward(&x, Mode::Eval)?.size(), [2, 8, 16, 16]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ResidualConvBlock<F: Form = Trained> {
    first: F::ConvUnit,
    second: F::ConvUnit,
    residual: Residual<F::Conv>,
}

#[derive(Debug, Clone)]
enum Residual<C> {
    None,
    Input,
    Shortcut(C),
}

/// The notebook's stand-in for √2.
const SCALE: f64 = 1.414;

impl ResidualConvBlock {
    /// A block without residual.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Self {
            first: ConvUnit::new(&mut scope.sub("conv1"), inputs, outputs)?,
            second: ConvUnit::new(&mut scope.sub("conv2"), outputs, outputs)?,
            residual: Residual::None,
        })
    }

    /// Makes the block residual. If channels differ, its shortcut is initialised now.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn add_residual(&mut self, scope: &mut Scope, inputs: i64, outputs: i64) -> Result<()> {
        self.residual = if inputs == outputs {
            Residual::Input
        } else {
            let config = ConvConfig::same(inputs, outputs, 1);
            Residual::Shortcut(Conv::new(&mut scope.sub("shortcut"), config)?)
        };
        Ok(())
    }

    /// Compiles the block for inference: BatchNorm is folded into the convolutions.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, pack: bool) -> Result<ResidualConvBlock<Compiled>> {
        Ok(ResidualConvBlock {
            first: self.first.compile(pack)?,
            second: self.second.compile(pack)?,
            residual: match &self.residual {
                Residual::None => Residual::None,
                Residual::Input => Residual::Input,
                Residual::Shortcut(conv) => Residual::Shortcut(conv.compile(pack)?),
            },
        })
    }
}

impl<F: Form> ResidualConvBlock<F> {
    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H, W]
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let first = self.first.forward(x, mode)?;
        let second = self.second.forward(&first, mode)?;
        let sum = match &self.residual {
            Residual::None => return Ok(second),
            Residual::Input => x.f_add(&second)?,
            Residual::Shortcut(conv) => conv.forward_add(x, &second)?,
        };
        Ok(sum.f_div_scalar(SCALE)?)
    }
}

/// Two blocks and a 2×2 max-pooling, keys `model.0` and `model.1`.
///
/// ```
/// use inkdrop_nn::{Mode, Params, UnetDown};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let down = UnetDown::new(&mut params.root(), 3, 8)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(down.forward(&x, Mode::Eval)?.size(), [2, 8, 8, 8]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct UnetDown<F: Form = Trained> {
    blocks: [ResidualConvBlock<F>; 2],
}

impl UnetDown {
    /// A stage of the encoder, which halves height and width.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let mut model = scope.sub("model");
        let first = ResidualConvBlock::new(&mut model.sub(0), inputs, outputs)?;
        let second = ResidualConvBlock::new(&mut model.sub(1), outputs, outputs)?;
        Ok(Self { blocks: [first, second] })
    }

    /// Compiles the stage for inference.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, pack: bool) -> Result<UnetDown<Compiled>> {
        let [first, second] = &self.blocks;
        Ok(UnetDown { blocks: [first.compile(pack)?, second.compile(pack)?] })
    }
}

impl<F: Form> UnetDown<F> {
    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H/2, W/2]
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let h = self.blocks[0].forward(x, mode)?;
        let h = self.blocks[1].forward(&h, mode)?;
        Ok(h.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?)
    }
}

/// Concatenation with the skip connection, a 2×2 transposed convolution and two blocks,
/// keys `model.0`, `model.1`, `model.2`.
///
/// ```
/// use inkdrop_nn::{Mode, Params, UnetUp};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let up = UnetUp::new(&mut params.root(), 3 + 3, 8)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(up.forward(&x, &x, Mode::Eval)?.size(), [2, 8, 32, 32]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct UnetUp<F: Form = Trained> {
    up: F::ConvTranspose,
    blocks: [ResidualConvBlock<F>; 2],
}

impl UnetUp {
    /// A stage of the decoder, which doubles height and width; `inputs` counts x and skip together.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let mut model = scope.sub("model");
        let config = ConvConfig::patches(inputs, outputs, 2);
        let up = ConvTranspose2d::new(&mut model.sub(0), config)?;
        let first = ResidualConvBlock::new(&mut model.sub(1), outputs, outputs)?;
        let second = ResidualConvBlock::new(&mut model.sub(2), outputs, outputs)?;
        Ok(Self { up, blocks: [first, second] })
    }

    /// Compiles the stage for inference.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, pack: bool) -> Result<UnetUp<Compiled>> {
        let [first, second] = &self.blocks;
        let blocks = [first.compile(pack)?, second.compile(pack)?];
        Ok(UnetUp { up: self.up.compile(pack)?, blocks })
    }
}

impl<F: Form> UnetUp<F> {
    /// # Shapes
    /// - x: [B, Cx, H, W], skip: [B, Cs, H, W], Cx + Cs = inputs
    /// - returns [B, outputs, 2H, 2W]
    ///
    /// # Errors
    /// Other channels, or x and skip of other sizes.
    pub fn forward(&self, x: &Tensor, skip: &Tensor, mode: Mode) -> Result<Tensor> {
        let h = self.up.forward(&Tensor::f_cat(&[x, skip], 1)?)?; // skip connection
        let h = self.blocks[0].forward(&h, mode)?;
        self.blocks[1].forward(&h, mode)
    }
}
