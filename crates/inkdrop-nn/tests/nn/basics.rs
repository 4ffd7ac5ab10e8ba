//! Convolutions, norms, embeddings and the list of parameters.

use inkdrop_nn::{
    BatchNorm, Conv, ConvConfig, ConvTranspose2d, EmbedFc, Embedding, GroupNorm, Init,
    InstanceNorm, Linear, Mode, Params, ResidualConvBlock, Role, UnetDown, UnetUp,
    diffusers_embedding, positional_embedding, timestep_embedding,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::support::{F64, max_difference, params};

#[test]
fn default_initialisation_fills_pytorchs_range() {
    let mut params = params();
    Conv::new(&mut params.root(), ConvConfig::same(8, 64, 3)).unwrap();
    let bound = 1.0 / (8.0f64 * 9.0).sqrt();
    for param in params.iter() {
        let largest = f64::try_from(param.tensor.abs().max()).unwrap();
        assert!(largest <= bound && largest > 0.9 * bound, "{}: {largest} of {bound}", param.name);
    }
}

/// PyTorch counts the fan-in of a transposed convolution over its outputs.
#[test]
fn transposed_initialisation_counts_outputs() {
    let mut params = params();
    ConvTranspose2d::new(&mut params.root(), ConvConfig::patches(64, 4, 2)).unwrap();
    let largest = f64::try_from(params.get("weight").unwrap().tensor.abs().max()).unwrap();
    let bound = 1.0 / (4.0f64 * 4.0).sqrt();
    assert!(largest <= bound && largest > 0.9 * bound);
}

#[test]
fn names_keep_the_order_of_building() {
    let mut params = params();
    let mut root = params.root();
    Linear::new(&mut root.sub("b").sub(0), 2, 3).unwrap();
    BatchNorm::new(&mut root.sub("a"), 3).unwrap();
    let names: Vec<&str> = params.names().collect();
    let batch_norm =
        ["a.weight", "a.bias", "a.running_mean", "a.running_var", "a.num_batches_tracked"];
    assert_eq!(names[..2], ["b.0.weight", "b.0.bias"]);
    assert_eq!(names[2..], batch_norm);
    assert_eq!(params.trained_count(), 6 + 3 + 3 + 3);
    assert_eq!(params.get("a.running_var").unwrap().role, Role::Buffer);
}

#[test]
#[should_panic(expected = "two parameters are named x")]
fn a_name_is_given_once() {
    let mut params = params();
    let mut root = params.root();
    let _ = root.weight("x", &[1], Init::Constant(0.0)).unwrap();
    let _ = root.weight("x", &[1], Init::Constant(0.0));
}

/// y[o] = Σ w·x + b, summed by hand.
#[test]
fn convolution_is_the_sum_that_it_says() {
    let mut params = params();
    let conv = Conv::new(&mut params.root(), ConvConfig::same(2, 3, 3)).unwrap();
    let x = Tensor::randn([1, 2, 5, 5], F64);
    let y = conv.forward(&x).unwrap();
    let at = |name: &str, i: &[i64]| params.get(name).unwrap().tensor.double_value(i);
    let mut sum = at("bias", &[1]);
    for c in 0..2 {
        for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
            let (h, w) = (dy - 1, 3 + dx); // around row 0, column 4
            if (0..5).contains(&h) && (0..5).contains(&w) {
                sum += at("weight", &[1, c, dy, dx]) * x.double_value(&[0, c, h, w]);
            }
        }
    }
    assert!((y.double_value(&[0, 1, 0, 4]) - sum).abs() < 1e-12);
}

#[test]
fn group_norm_leaves_each_group_at_mean_zero_variance_one() {
    let mut params = params();
    let norm = GroupNorm::new(&mut params.root(), 2, 6).unwrap();
    let y = norm.forward(&(Tensor::randn([3, 6, 8, 8], F64) * 5.0 + 2.0)).unwrap();
    let groups = y.view([3, 2, -1]);
    let mean = groups.mean_dim([2i64].as_slice(), false, Kind::Double);
    let variance = groups.var_dim([2i64].as_slice(), false, false);
    assert!(max_difference(&mean, &mean.zeros_like()) < 1e-12);
    assert!(max_difference(&variance, &variance.ones_like()) < 1e-5);
}

#[test]
fn batch_norm_moves_its_statistics_by_a_tenth_and_only_in_training() {
    let mut params = params();
    let norm = BatchNorm::new(&mut params.root(), 2).unwrap();
    let x = Tensor::randn([4, 2, 3, 3], F64) * 2.0 + 3.0;
    let running = |name: &str| params.get(name).unwrap().tensor.copy();
    let same = norm.forward(&x, Mode::Eval).unwrap();
    assert!(max_difference(&same, &(&x / (1.0f64 + 1e-5).sqrt())) < 1e-12);
    assert_eq!(running("running_mean"), Tensor::zeros([2], F64));

    let _ = norm.forward(&x, Mode::Train).unwrap();
    let axes = [0i64, 2, 3];
    let mean = x.mean_dim(axes.as_slice(), false, Kind::Double);
    let variance = x.var_dim(axes.as_slice(), true, false); // unbiased, as PyTorch records it
    assert!(max_difference(&running("running_mean"), &(mean * 0.1)) < 1e-12);
    assert!(max_difference(&running("running_var"), &(variance * 0.1 + 0.9)) < 1e-12);
    assert_eq!(running("num_batches_tracked").int64_value(&[]), 1);
}

#[test]
fn positional_embedding_is_sines_then_cosines() {
    let t = Tensor::from_slice(&[3.0f32, 700.0]);
    let e = positional_embedding(&t, 128, 1.0).unwrap();
    for (row, t) in [3.0f64, 700.0].into_iter().enumerate() {
        for i in 0..64 {
            // f_1 is 0.8660 for dim 128, as the formula gives.
            let angle = t * (-(10000f64.ln()) * i as f64 / 64.0).exp();
            let at = |column: i64| e.double_value(&[row as i64, column]);
            assert!((at(i) - angle.sin()).abs() < 1e-4);
            assert!((at(64 + i) - angle.cos()).abs() < 1e-4);
        }
    }
    let scaled = positional_embedding(&t, 128, 0.5).unwrap();
    assert!(max_difference(&scaled, &positional_embedding(&(t * 0.5), 128, 1.0).unwrap()) < 1e-6);
}

#[test]
fn timestep_embedding_is_cosines_then_sines_and_pads_odd_widths() {
    let t = Tensor::from_slice(&[0.0f32, 10.5]);
    let even = timestep_embedding(&t, 8, 10000.0).unwrap();
    let zero: Vec<f32> = even.get(0).try_into().unwrap();
    assert_eq!(zero, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert!((even.double_value(&[1, 0]) - 10.5f64.cos()).abs() < 1e-5);
    let odd = timestep_embedding(&t, 9, 10000.0).unwrap();
    assert_eq!(odd.narrow(1, 0, 8), even);
    assert_eq!(odd.select(1, 8), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
}

#[test]
fn blocks_have_the_shapes_that_they_say() {
    let mut params = params();
    let mut root = params.root();
    let x = Tensor::randn([2, 4, 8, 12], F64);
    let down = UnetDown::new(&mut root.sub("down"), 4, 6).unwrap();
    assert_eq!(down.forward(&x, Mode::Eval).unwrap().size(), [2, 6, 4, 6]);
    let up = UnetUp::new(&mut root.sub("up"), 8, 5).unwrap();
    assert_eq!(up.forward(&x, &x, Mode::Eval).unwrap().size(), [2, 5, 16, 24]);
    let embed = EmbedFc::new(&mut root.sub("embed"), 3, 7).unwrap();
    assert_eq!(embed.forward(&Tensor::randn([2, 3], F64)).unwrap().size(), [2, 7, 1, 1]);
}

#[test]
fn a_residual_adds_what_went_in() {
    let mut params = params();
    let mut root = params.root();
    let mut block = ResidualConvBlock::new(&mut root, 4, 4).unwrap();
    let x = Tensor::randn([1, 4, 6, 6], F64);
    let plain = block.forward(&x, Mode::Eval).unwrap();
    block.add_residual(&mut root, 4, 4).unwrap();
    let residual = block.forward(&x, Mode::Eval).unwrap();
    assert!(max_difference(&residual, &((plain + &x) / 1.414)) < 1e-12);
    assert!(params.get("shortcut.weight").is_none(), "equal channels need no shortcut");
}

#[test]
fn wrong_channels_are_an_error_not_a_panic() {
    let mut params = params();
    let conv = Conv::new(&mut params.root(), ConvConfig::same(3, 8, 3)).unwrap();
    let error = conv.forward(&Tensor::randn([1, 4, 8, 8], F64)).unwrap_err().to_string();
    assert!(error.contains("channels"), "{error}");
}

#[test]
fn diffusers_embedding_is_the_others_with_its_flags() {
    let t = Tensor::from_slice(&[0.0f32, 3.25, 999.0]);
    let flipped = diffusers_embedding(&t, 32, true, 0.0).unwrap();
    assert!(max_difference(&flipped, &timestep_embedding(&t, 32, 10000.0).unwrap()) < 1e-6);
    let plain = diffusers_embedding(&t, 32, false, 0.0).unwrap();
    assert!(max_difference(&plain, &positional_embedding(&t, 32, 1.0).unwrap()) < 1e-6);
    // With shift 1 the last frequency is 1/10000 itself.
    let shifted = diffusers_embedding(&t, 32, false, 1.0).unwrap();
    assert!((shifted.double_value(&[2, 15]) - (999.0f64 / 10000.0).sin()).abs() < 1e-6);
    assert_eq!(diffusers_embedding(&t, 9, true, 0.0).unwrap().size(), [3, 9]);
}

#[test]
fn a_record_holds_what_was_built_meanwhile() {
    let mut params = params();
    let mut root = params.root();
    Linear::new(&mut root.sub("before"), 2, 3).unwrap();
    let (_, weights) = root.record(|scope| BatchNorm::new(&mut scope.sub("norm"), 4)).unwrap();
    let shapes: Vec<_> = weights.iter().map(|weight| weight.size()).collect();
    assert_eq!(shapes, [[4], [4]]); // scale and shift, not the statistics
}

#[test]
fn a_recomputing_batch_norm_records_nothing() {
    let mut params = params();
    let norm = BatchNorm::new(&mut params.root(), 2).unwrap();
    let x = Tensor::randn([4, 2, 3, 3], F64);
    let trained = norm.forward(&x, Mode::Train).unwrap();
    let state =
        |params: &Params| -> Vec<Tensor> { params.iter().map(|p| p.tensor.copy()).collect() };
    let before = state(&params);
    let again = norm.forward(&x, Mode::Recompute).unwrap();
    assert_eq!(again, trained);
    assert_eq!(state(&params), before);
}

/// In f32 with the channels innermost, batch normalisation is one operation.
#[test]
fn the_fused_batch_norm_keeps_the_statistics_of_the_plain_one() {
    let batches = [1.0, 3.0].map(|factor| Tensor::randn([4, 32, 5, 3], F64) * factor + factor);
    for x in &batches {
        let _ = x.narrow(1, 7, 1).fill_(2.0); // a channel of equal values
    }
    let trained = |kind, layout: &dyn Fn(&Tensor) -> Tensor| -> Vec<Tensor> {
        let mut params = Params::new(kind, Device::Cpu);
        let norm = BatchNorm::new(&mut params.root(), 32).unwrap();
        for x in &batches {
            let _ = norm.forward(&layout(&x.to_kind(kind)), Mode::Train).unwrap();
        }
        params.iter().map(|param| param.tensor.to_kind(Kind::Double)).collect()
    };
    let exact = trained(Kind::Double, &Tensor::shallow_clone);
    let fused = trained(Kind::Float, &|x| inkdrop_torch::channels_last(x).unwrap());
    assert_eq!(fused.len(), exact.len());
    for (given, expected) in fused.iter().zip(&exact) {
        let largest = expected.abs().max().double_value(&[]).max(1.0);
        let apart = max_difference(given, expected);
        assert!(apart < 1e-6 * largest, "{apart:e}: {given:?}");
    }
}

#[test]
fn instance_norm_leaves_each_channel_at_mean_zero_variance_one() {
    let mut params = params();
    let norm = InstanceNorm::new(&mut params.root(), 3).unwrap();
    let y = norm.forward(&(Tensor::randn([2, 3, 8, 8], F64) * 3.0 + 1.0)).unwrap().view([2, 3, -1]);
    let mean = y.mean_dim([2i64].as_slice(), false, Kind::Double);
    let variance = y.var_dim([2i64].as_slice(), false, false);
    assert!(max_difference(&mean, &mean.zeros_like()) < 1e-12);
    assert!(max_difference(&variance, &variance.ones_like()) < 1e-4);
}

#[test]
fn a_zeroed_convolution_moves_the_generator_like_a_drawn_one() {
    let draw = |zero: bool| {
        inkdrop_torch::tch::manual_seed(3);
        let mut params = params();
        let new = if zero { Conv::new_zero } else { Conv::new };
        let conv = new(&mut params.root(), ConvConfig::same(2, 2, 3)).unwrap();
        let out = conv.forward(&Tensor::ones([1, 2, 4, 4], F64)).unwrap();
        f64::try_from(out.abs().max()).unwrap()
    };
    assert_eq!(draw(true), 0.0);
    assert!(draw(false) > 0.0);
}

#[test]
fn labels_outside_the_table_are_an_error_of_the_layer_too() {
    let mut params = params();
    let table = Embedding::new(&mut params.root(), 3, 4).unwrap();
    assert!(table.forward(&Tensor::from_slice(&[3i64])).is_err());
    assert!(table.forward(&Tensor::from_slice(&[-1i64])).is_err());
}

#[test]
fn a_batch_norm_does_not_train_on_one_value() {
    let mut params = params();
    let norm = BatchNorm::new(&mut params.root(), 2).unwrap();
    let error = norm.forward(&Tensor::ones([1, 2, 1, 1], F64), Mode::Train).unwrap_err();
    assert!(error.to_string().contains("one value per channel, given [1, 2, 1, 1]"), "{error}");
    assert!(norm.forward(&Tensor::ones([1, 2, 1, 1], F64), Mode::Eval).is_ok());
}
