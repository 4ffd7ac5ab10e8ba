//! A network for inference gives what the trained one gives: every family, every option.

use inkdrop_nn::{Activation, CompileOptions, NormKind};
use inkdrop_torch::tch::Kind;
use inkdrop_unet::{
    AttentionOrder, ClassEmbedding, ContextConfig, DdpmConfig, ImprovedConfig, ModelConfig,
    Unet2dConfig,
};

use super::every::all;
use super::inference_support::{
    LAYOUTS, Layout, NEAR, check, check_all, given, largest, network, pass, shape,
};
use super::support::{ddpm, improved, unet2d};

const PLAIN: [Layout; 1] = [Layout::Ordinary];

#[test]
fn every_family_gives_for_inference_what_it_gives_trained() {
    for config in all() {
        check_all(&config, &LAYOUTS);
    }
}

#[test]
fn every_size_of_a_context_unet_is_the_same_for_inference() {
    for (channels, features, contexts, size) in
        [(3, 16, 5, 20), (8, 8, 1, 28), (1, 24, 10, 24), (3, 48, 2, 16), (16, 16, 3, 16)]
    {
        let config = ContextConfig { channels, features, contexts, size, interval: false };
        check_all(&ModelConfig::Context(config), &LAYOUTS);
    }
}

/// Levels of 8 or 12 channels normalise as trained, levels of 16 or 48 in one go with the rest.
#[test]
fn every_norm_and_activation_of_ddpm_is_the_same_for_inference() {
    let activations = [Activation::Relu, Activation::Silu, Activation::Mish, Activation::Gelu];
    for norm in [NormKind::Group, NormKind::Batch, NormKind::Instance, NormKind::None] {
        for activation in activations {
            for features in [12, 16] {
                let multipliers = if features == 12 { vec![1, 3] } else { vec![1, 4] };
                let attention = vec![0, 1];
                let config =
                    DdpmConfig { norm, activation, features, multipliers, attention, ..ddpm() };
                check_all(&ModelConfig::Ddpm(config), &PLAIN);
            }
        }
    }
}

#[test]
fn classes_times_and_padding_of_ddpm_are_the_same_for_inference() {
    for norm in [NormKind::Group, NormKind::Batch, NormKind::Instance, NormKind::None] {
        for (classes, time_features) in [(None, None), (Some(7), None), (Some(7), Some(24))] {
            for (features, padding) in [(12, 0), (16, 2), (32, 4)] {
                let config = DdpmConfig {
                    norm,
                    classes,
                    time_features,
                    features,
                    padding,
                    time_scale: 0.25,
                    ..ddpm()
                };
                check_all(&ModelConfig::Ddpm(config), &PLAIN);
            }
        }
    }
}

#[test]
fn every_number_of_groups_is_the_same_for_inference() {
    for (features, groups) in [(16, 1), (16, 2), (16, 16), (48, 3), (48, 12), (48, 48), (80, 5)] {
        let config =
            DdpmConfig { features, groups, multipliers: vec![1], attention: vec![0], ..ddpm() };
        check_all(&ModelConfig::Ddpm(config), &PLAIN);
    }
}

#[test]
fn every_option_of_improved_is_the_same_for_inference() {
    for dims in [1, 2, 3] {
        for scale_shift in [true, false] {
            for attention_order in [AttentionOrder::Legacy, AttentionOrder::New] {
                for resblock_updown in [true, false] {
                    let config = ImprovedConfig {
                        dims,
                        scale_shift,
                        attention_order,
                        resblock_updown,
                        learned_resample: attention_order == AttentionOrder::New,
                        classes: (dims == 2 || scale_shift).then_some(5),
                        attention: vec![1, 2],
                        heads: 2,
                        outputs: if resblock_updown { 3 } else { 6 },
                        ..improved()
                    };
                    check_all(&ModelConfig::Improved(config), &PLAIN);
                }
            }
        }
    }
}

#[test]
fn the_super_resolution_form_is_the_same_for_inference() {
    for (scale_shift, classes) in [(true, None), (false, Some(5)), (true, Some(5))] {
        let config = ImprovedConfig { scale_shift, classes, ..improved() };
        check_all(&ModelConfig::ImprovedSuperRes(config), &LAYOUTS);
    }
}

#[test]
fn every_option_of_unet2d_is_the_same_for_inference() {
    let activations = [Activation::Relu, Activation::Silu, Activation::Mish, Activation::Gelu];
    for (i, activation) in activations.into_iter().enumerate() {
        for scale_shift in [true, false] {
            for far_padding in [true, false] {
                let class_embedding =
                    if i % 2 == 0 { ClassEmbedding::Table } else { ClassEmbedding::Timestep };
                let config = Unet2dConfig {
                    activation,
                    scale_shift,
                    far_padding,
                    class_embedding,
                    classes: (i < 3).then_some(4),
                    eps: [1e-6, 1e-5, 1e-3, 0.1][i],
                    middle_divisor: [1.0, 1.5, 0.5, 2.0][i],
                    middle_groups: (i == 2).then_some(8),
                    center_input: i == 1,
                    cosine_first: far_padding,
                    frequency_shift: if scale_shift { 0.0 } else { 1.0 },
                    features: if i == 3 { vec![16, 24] } else { vec![8, 16] },
                    down_attention: vec![true; 2],
                    head_channels: Some([8, 4, 3, 8][i]), // 3: narrower inside than outside
                    ..unet2d()
                };
                check_all(&ModelConfig::Unet2d(config), &PLAIN);
            }
        }
    }
}

/// More sizes than a packed layer keeps copies for, each of them again later.
#[test]
fn images_of_many_sizes_in_turn_are_the_same_for_inference() {
    let sizes = [[16, 16], [8, 24], [4, 4], [20, 8], [12, 16], [16, 12]];
    for config in [
        ModelConfig::Ddpm(ddpm()),
        ModelConfig::Ddpm(DdpmConfig {
            features: 16,
            classes: Some(7),
            attention: vec![0, 1],
            ..ddpm()
        }),
        ModelConfig::Improved(ImprovedConfig { attention: vec![1, 2], ..improved() }),
        ModelConfig::ImprovedSuperRes(improved()),
        ModelConfig::Unet2d(unet2d()),
    ] {
        let trained = network(&config, Kind::Float);
        for pack in [true, false] {
            let options = CompileOptions { pack, ..CompileOptions::at([500.0]) };
            let ready = trained.compile(&options).unwrap();
            for [height, width] in sizes.into_iter().chain(sizes) {
                for (at, classes) in [(&[500.0][..], &[1][..]), (&[500.0; 3], &[0, 3, 1])] {
                    let size = [at.len() as i64, 3, height, width];
                    let given = given(&config, &size, at, classes);
                    check(&config, (trained.as_ref(), ready.as_ref()), &given, NEAR);
                }
            }
        }
    }
}

/// Otherwise the tests above would prove little about the conditioning.
#[test]
fn times_and_classes_make_a_difference() {
    for config in all() {
        let ready = network(&config, Kind::Float).compile(&CompileOptions::default()).unwrap();
        let out = |t: f64, class: i64| {
            pass(ready.as_ref(), &given(&config, &shape(&config, 1), &[t], &[class]))
        };
        let (base, other_time, other_class) = (out(500.0, 1), out(40.0, 1), out(500.0, 2));
        let differ = |a: &f64, b: f64| b > 1e-3 * a;
        // What is added before a norm of single channels is taken out again by it.
        let timeless = matches!(&config, ModelConfig::Ddpm(config)
            if config.time_features.is_none() || config.norm == NormKind::Instance);
        let difference = largest(&(&base - other_time));
        assert!(timeless || differ(&largest(&base), difference), "{difference}: {config:?}");
        let difference = largest(&(&base - other_class));
        let classes = config.classes().is_some();
        assert!(!classes || differ(&largest(&base), difference), "{difference}: {config:?}");
    }
}
