//! A seed starts the network that PyTorch starts: first entries after `torch.manual_seed(0)`
//! in PyTorch 2.11 (and diffusers 0.35.2).

use inkdrop_nn::{NormKind, Role};
use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
use inkdrop_unet::{ContextConfig, DdpmConfig, ImprovedConfig, ModelConfig, Unet2dConfig};

use crate::support::{build, ddpm, improved, unet2d};

fn check(config: &ModelConfig, entries: &[(&str, [f32; 2])]) {
    let _alone = crate::alone();
    manual_seed(0);
    let network = build(config);
    for (key, expected) in entries {
        let tensor = network.params().get(key).unwrap().tensor.flatten(0, -1).narrow(0, 0, 2);
        assert_eq!(Vec::<f32>::try_from(tensor).unwrap(), expected, "{key}");
    }
}

#[test]
fn sprites_notebook() {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    check(
        &ModelConfig::Context(config),
        &[
            ("init_conv.conv1.0.weight", [-0.001_440_839_3_f32, 0.10323862]),
            ("init_conv.conv2.0.bias", [0.052_427_545, -0.050_373_91]),
            ("down2.model.1.conv2.0.weight", [0.005_566_498, 0.027_937_8]),
            ("timeembed1.model.0.weight", [-0.024815917, -0.923_733_23]),
            ("contextembed2.model.2.bias", [-0.109_418_15, -0.007_992_053]),
            ("up0.0.weight", [-0.059_762_105, 0.008_666_128]),
            ("up1.model.0.bias", [0.083_412_95, -0.079_509_035]),
            ("out.3.weight", [0.048_598_506, 0.045_429_96]),
        ],
    );
}

#[test]
fn nanodiffusion() {
    check(
        &ModelConfig::Ddpm(DdpmConfig { classes: Some(7), ..ddpm() }),
        &[
            ("time_mlp.1.weight", [-0.0026469906_f32, 0.18966144]),
            ("downs.2.conv_2.1.weight", [0.06724872, -0.06635924]),
            ("ups.4.residual_connection.weight", [-0.19677421, -0.006611198]),
            ("downs.0.conv_2.1.weight", [-0.012636904, 0.059337944]),
            ("ups.0.time_bias.weight", [-0.20543638, -0.15568295]),
            ("downs.2.conv_1.weight", [0.11344855, -0.059748046]),
            ("ups.3.residual_connection.weight", [-0.03999322, -0.19142708]),
            ("ups.3.conv_1.bias", [-0.03461391, -0.020403117]),
            ("out_conv.weight", [0.08671172, 0.029244827]),
            ("out_conv.bias", [0.0940458, 0.0491151]),
        ],
    );
}

#[test]
fn improved_diffusion() {
    check(
        &ModelConfig::Improved(ImprovedConfig { classes: Some(5), ..improved() }),
        &[
            ("time_embed.0.weight", [-0.0013234953_f32, 0.09483072]),
            ("input_blocks.1.0.in_layers.2.bias", [-0.044758294, -0.0035239542]),
            ("output_blocks.0.0.skip_connection.bias", [0.0029048135, -0.06126922]),
            ("output_blocks.2.0.skip_connection.bias", [0.02648577, -0.050634693]),
            ("output_blocks.2.0.emb_layers.1.weight", [-0.081780404, -0.057802495]),
            ("output_blocks.1.2.conv.bias", [0.028078591, -0.0025491617]),
            ("label_emb.weight", [0.56795436, -0.6024142]),
            ("input_blocks.3.0.emb_layers.1.bias", [-0.078500286, -0.08793416]),
            ("output_blocks.3.0.skip_connection.weight", [-0.071692035, -0.09668401]),
            ("output_blocks.3.0.skip_connection.bias", [0.064906776, -0.061114877]),
        ],
    );
}

#[test]
fn diffusers() {
    check(
        &ModelConfig::Unet2d(Unet2dConfig { classes: Some(4), ..unet2d() }),
        &[
            ("conv_in.weight", [-0.0014408393_f32, 0.10323862]),
            ("down_blocks.1.attentions.0.to_k.weight", [-0.114237875, 0.18382406]),
            ("up_blocks.1.resnets.0.conv_shortcut.bias", [-0.15697232, -0.1356874]),
            ("conv_out.bias", [-0.07535369, 0.049694676]),
            ("mid_block.resnets.1.time_emb_proj.weight", [-0.13273722, 0.07912723]),
            ("down_blocks.0.resnets.0.conv1.bias", [0.03356467, 0.02787143]),
            ("up_blocks.0.attentions.0.to_q.bias", [0.11282197, 0.17372781]),
            ("down_blocks.1.attentions.0.to_q.weight", [-0.15473688, 0.17301592]),
            ("conv_out.weight", [0.0797297, -0.012234626]),
        ],
    );
}

/// The parameters of an uninitialised network are those of an initialised one but for their values;
/// its buffers are equal, and it draws nothing.
#[test]
fn an_uninitialised_network_draws_nothing() {
    let _alone = crate::alone();
    let batch = DdpmConfig { norm: NormKind::Batch, ..ddpm() };
    for config in [
        ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() }),
        ModelConfig::Ddpm(batch),
        ModelConfig::Improved(improved()),
        ModelConfig::Unet2d(unet2d()),
    ] {
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
            let drawn = config.build(kind, Device::Cpu).unwrap();
            manual_seed(5);
            let empty = config.build_uninitialized(kind, Device::Cpu).unwrap();
            let next = Tensor::rand([4], (Kind::Float, Device::Cpu));
            manual_seed(5);
            assert_eq!(next, Tensor::rand([4], (Kind::Float, Device::Cpu)), "nothing was drawn");
            assert_eq!(empty.params().iter().count(), drawn.params().iter().count());
            for (empty, drawn) in empty.params().iter().zip(drawn.params().iter()) {
                assert_eq!((&empty.name, empty.role), (&drawn.name, drawn.role));
                let (a, b) = (&empty.tensor, &drawn.tensor);
                assert_eq!((a.size(), a.kind()), (b.size(), b.kind()), "{}", empty.name);
                assert_eq!(a.requires_grad(), b.requires_grad(), "{}", empty.name);
                assert!(empty.role == Role::Trained || a == b, "{}", empty.name);
            }
        }
    }
}
