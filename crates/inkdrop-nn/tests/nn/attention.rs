//! Attention: the fused form, the order of heads, and the forms of its projections.

use inkdrop_nn::{
    AttentionConfig, AttentionKeys, HeadOrder, Mode, Params, Projection, SelfAttention, attend,
    attend_explicitly,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::support::{F64, max_difference, params, put, stir};

#[test]
fn the_fused_form_is_the_explicit_one() {
    for (kind, bound) in [(Kind::Double, 1e-12), (Kind::Float, 2e-6)] {
        for [batch, heads, places, width] in
            [[2, 3, 7, 5], [1, 1, 64, 32], [3, 2, 1, 4], [1, 4, 130, 16]]
        {
            let tensor = || Tensor::randn([batch, heads, width, places], (kind, Device::Cpu));
            // Width innermost or not: both are taken.
            for flip in [false, true] {
                let [q, k, v] = [tensor(), tensor(), tensor()].map(|t| {
                    let t = t.transpose(2, 3);
                    if flip { t.contiguous() } else { t }
                });
                let (fused, explicit) = (attend(&q, &k, &v), attend_explicitly(&q, &k, &v));
                assert!(max_difference(&fused.unwrap(), &explicit.unwrap()) < bound);
            }
        }
    }
}

#[test]
fn their_gradients_are_the_same() {
    let tensor = || Tensor::randn([2, 2, 9, 8], F64).set_requires_grad(true);
    let inputs = [tensor(), tensor(), tensor()];
    let probe = Tensor::randn([2, 2, 9, 8], F64);
    let gradients = |form: fn(&Tensor, &Tensor, &Tensor) -> inkdrop_torch::Result<Tensor>| {
        let out = form(&inputs[0], &inputs[1], &inputs[2]).unwrap();
        (out * &probe).sum(Kind::Double).backward();
        inputs.each_ref().map(|input| {
            let grad = input.grad().copy();
            let _ = input.grad().zero_();
            grad
        })
    };
    let (fused, explicit) = (gradients(attend), gradients(attend_explicitly));
    for (a, b) in fused.iter().zip(&explicit) {
        assert!(max_difference(a, b) < 1e-12);
    }
}

/// A block with stirred weights, and its parameters.
fn block(config: &AttentionConfig) -> (SelfAttention, Params) {
    let mut params = params();
    let block = SelfAttention::new(&mut params.root(), config).unwrap();
    stir(&params);
    (block, params)
}

fn with(projection: Projection) -> AttentionConfig {
    AttentionConfig { projection, ..AttentionConfig::improved(64, 4) }
}

const LEGACY: Projection = Projection::Fused { dims: 1, order: HeadOrder::HeadsFirst };
const NEW: Projection = Projection::Fused { dims: 1, order: HeadOrder::PartsFirst };

/// (head, q|k|v, D) rows as (q|k|v, head, D) rows.
fn reorder(rows: &Tensor) -> Tensor {
    let mut shape = rows.size();
    shape.splice(0..1, [4, 3, 16]);
    rows.view(&shape[..]).transpose(0, 1).flatten(0, 2)
}

#[test]
fn the_two_orders_of_heads_are_a_permutation_of_rows() {
    let (legacy, from) = block(&with(LEGACY));
    let (new, to) = block(&with(NEW));
    for param in from.iter() {
        let value = if param.name.starts_with("qkv") {
            reorder(&param.tensor)
        } else {
            param.tensor.copy()
        };
        put(&to, &param.name, &value);
    }
    let x = Tensor::randn([2, 64, 5, 3], F64);
    let (a, b) = (legacy.apply(&x, Mode::Eval).unwrap(), new.apply(&x, Mode::Eval).unwrap());
    assert!(max_difference(&a, &b) < 1e-12);
    assert!(max_difference(&a, &x) > 0.1, "the block does something");
}

#[test]
fn three_layers_are_one_with_their_rows_together() {
    let (joint, from) = block(&with(NEW));
    let separate = AttentionConfig { keys: AttentionKeys::DIFFUSERS, ..with(Projection::Separate) };
    let (separate, to) = block(&separate);
    let of = |name: &str| from.get(name).unwrap().tensor.detach();
    for (i, name) in ["to_q", "to_k", "to_v"].into_iter().enumerate() {
        let rows = |tensor: Tensor| tensor.narrow(0, 64 * i as i64, 64);
        put(&to, &format!("{name}.weight"), &rows(of("qkv.weight")).squeeze_dim(2));
        put(&to, &format!("{name}.bias"), &rows(of("qkv.bias")));
    }
    put(&to, "to_out.0.weight", &of("proj_out.weight").squeeze_dim(2));
    put(&to, "to_out.0.bias", &of("proj_out.bias"));
    for end in ["weight", "bias"] {
        put(&to, &format!("group_norm.{end}"), &of(&format!("norm.{end}")));
    }
    let x = Tensor::randn([2, 64, 4, 4], F64);
    let (a, b) = (joint.apply(&x, Mode::Eval).unwrap(), separate.apply(&x, Mode::Eval).unwrap());
    assert!(max_difference(&a, &b) < 1e-12);
}

#[test]
fn a_divisor_divides_the_sum() {
    let (plain, from) = block(&with(LEGACY));
    let (divided, to) = block(&AttentionConfig { divisor: 2.0, ..with(LEGACY) });
    for param in from.iter() {
        put(&to, &param.name, &param.tensor);
    }
    let x = Tensor::randn([1, 64, 9], F64);
    let (a, b) = (plain.apply(&x, Mode::Eval).unwrap(), divided.apply(&x, Mode::Eval).unwrap());
    assert!(max_difference(&(a / 2.0), &b) < 1e-12);
}
