//! DiT against its equations written out with loops over numbers.

use std::collections::BTreeMap;

use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Mode, Network, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::{Dit, DitConfig};

use super::support::{F32, dit, stir};

type Rows = Vec<Vec<f64>>;

/// The weights by name, in C order, with the equations of Peebles & Xie 2023 on them.
struct Reference {
    config: DitConfig,
    weights: BTreeMap<String, Vec<f64>>,
}

impl Reference {
    fn of(network: &Dit, config: &DitConfig) -> Self {
        let values = |tensor: &Tensor| {
            Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).unwrap()
        };
        let weights = network.params().iter();
        let weights = weights.map(|param| (param.name.clone(), values(&param.tensor))).collect();
        Self { config: config.clone(), weights }
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) =
            (&self.weights[&format!("{name}.weight")], &self.weights[&format!("{name}.bias")]);
        let row =
            |(row, bias): (&[f64], &f64)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
        weight.chunks(x.len()).zip(bias).map(row).collect()
    }

    fn embedding(&self, t: f64, class: Option<usize>) -> Vec<f64> {
        let frequency = |i: i32| (-f64::from(i) / 128.0 * 10_000f64.ln()).exp();
        let cosines = (0..128).map(|i| (t * frequency(i)).cos());
        let sinusoids: Vec<f64> =
            cosines.chain((0..128).map(|i| (t * frequency(i)).sin())).collect();
        let hidden = self.linear("t_embedder.mlp.0", &sinusoids).into_iter().map(silu);
        let mut sum = self.linear("t_embedder.mlp.2", &hidden.collect::<Vec<_>>());
        if let Some(class) = class {
            let table = &self.weights["y_embedder.embedding_table.weight"];
            let width = sum.len();
            sum.iter_mut().zip(&table[class * width..]).for_each(|(sum, row)| *sum += row);
        }
        sum.into_iter().map(silu).collect()
    }

    /// Sine and cosine of column, then row.
    fn position(&self, column: usize, row: usize) -> Vec<f64> {
        let quarter = self.config.features as usize / 4;
        let frequency = |i: usize| 10_000f64.powf(-(i as f64) / quarter as f64);
        let axis = |n: usize| {
            let angle = move |i: usize| n as f64 * frequency(i);
            let sines = (0..quarter).map(move |i| angle(i).sin());
            sines.chain((0..quarter).map(move |i| angle(i).cos())).collect::<Vec<f64>>()
        };
        [axis(column), axis(row)].concat()
    }

    /// x: [C][H][W]
    fn tokens(&self, x: &[f64]) -> Rows {
        let (size, patch) = (self.config.size as usize, self.config.patch as usize);
        let grid = size / patch;
        let mut tokens = Vec::new();
        for (row, column) in (0..grid).flat_map(|row| (0..grid).map(move |column| (row, column))) {
            let mut pixels = Vec::new();
            for channel in 0..self.config.channels as usize {
                for (y, at) in (0..patch).flat_map(|y| (0..patch).map(move |at| (y, at))) {
                    let place = (channel * size + row * patch + y) * size + column * patch + at;
                    pixels.push(x[place]);
                }
            }
            let position = self.position(column, row);
            let token = self.linear("x_embedder.proj", &pixels);
            tokens.push(token.iter().zip(position).map(|(a, b)| a + b).collect());
        }
        tokens
    }

    fn attend(&self, name: &str, tokens: &Rows) -> Rows {
        let width = self.config.features as usize;
        let (heads, head) = (self.config.heads as usize, width / self.config.heads as usize);
        let qkv: Rows = tokens.iter().map(|x| self.linear(&format!("{name}.qkv"), x)).collect();
        let part =
            |token: usize, part: usize, h: usize| &qkv[token][part * width + h * head..][..head];
        let mut out = vec![vec![0.0; width]; tokens.len()];
        for (query, h) in (0..tokens.len()).flat_map(|q| (0..heads).map(move |h| (q, h))) {
            let dot = |key| {
                let (q, k) = (part(query, 0, h), part(key, 1, h));
                (q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (head as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..tokens.len()).map(dot).collect();
            let sum: f64 = weights.iter().sum();
            for (key, weight) in weights.iter().enumerate() {
                for (i, v) in part(key, 2, h).iter().enumerate() {
                    out[query][h * head + i] += weight / sum * v;
                }
            }
        }
        out.iter().map(|x| self.linear(&format!("{name}.proj"), x)).collect()
    }

    /// [C'][H][W] of one image.
    fn forward(&self, x: &[f64], t: f64, class: Option<usize>) -> Vec<f64> {
        let (width, condition) = (self.config.features as usize, self.embedding(t, class));
        let mut tokens = self.tokens(x);
        for block in (0..self.config.depth).map(|number| format!("blocks.{number}")) {
            let rows = self.linear(&format!("{block}.adaLN_modulation.1"), &condition);
            let parts: Vec<&[f64]> = rows.chunks(width).collect();
            let h: Rows = tokens.iter().map(|x| modulated(x, parts[0], parts[1])).collect();
            let h = self.attend(&format!("{block}.attn"), &h);
            add(&mut tokens, &h, parts[2]);
            let mlp = |x: &Vec<f64>| {
                let x = modulated(x, parts[3], parts[4]);
                let hidden = self.linear(&format!("{block}.mlp.fc1"), &x).into_iter().map(gelu);
                self.linear(&format!("{block}.mlp.fc2"), &hidden.collect::<Vec<_>>())
            };
            let h: Rows = tokens.iter().map(mlp).collect();
            add(&mut tokens, &h, parts[5]);
        }
        let rows = self.linear("final_layer.adaLN_modulation.1", &condition);
        let (shift, scale) = rows.split_at(width);
        let last = |x: &Vec<f64>| self.linear("final_layer.linear", &modulated(x, shift, scale));
        self.image(&tokens.iter().map(last).collect())
    }

    fn image(&self, tokens: &Rows) -> Vec<f64> {
        let DitConfig { size, patch, outputs, .. } = self.config;
        let (size, patch, outputs) = (size as usize, patch as usize, outputs as usize);
        let mut image = vec![0.0; outputs * size * size];
        for (index, pixel) in image.iter_mut().enumerate() {
            let (channel, y, x) = (index / (size * size), index / size % size, index % size);
            let token = y / patch * (size / patch) + x / patch;
            *pixel = tokens[token][(y % patch * patch + x % patch) * outputs + channel];
        }
        image
    }
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// Hendrycks & Gimpel 2016, with tanh.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

fn modulated(x: &[f64], shift: &[f64], scale: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let unit = |x: &f64| (x - mean) / (variance + 1e-6).sqrt();
    x.iter().zip(scale).zip(shift).map(|((x, s), b)| unit(x) * (1.0 + s) + b).collect()
}

fn add(tokens: &mut Rows, h: &Rows, gate: &[f64]) {
    for (token, h) in tokens.iter_mut().zip(h) {
        token.iter_mut().zip(h).zip(gate).for_each(|((x, h), gate)| *x += gate * h);
    }
}

#[test]
fn the_network_is_its_equations() {
    let _guard = no_grad_guard();
    for config in [
        dit(),
        DitConfig { classes: Some(5), outputs: 6, ..dit() },
        DitConfig { patch: 4, channels: 1, outputs: 1, mlp_ratio: 2.5, heads: 2, ..dit() },
    ] {
        let network = config.build(Kind::Double, Device::Cpu).unwrap();
        stir(&network);
        let reference = Reference::of(&network, &config);
        let x = Tensor::randn([2, config.channels, 16, 16], (Kind::Double, Device::Cpu));
        let (times, ids) = ([3.0, 999.0], [2, 5]); // the second is no class
        let classes = config.classes.map(|_| ClassIds::new(&ids, Device::Cpu).unwrap());
        let known = classes.is_some();
        let conditioning = Conditioning { classes, ..Conditioning::none() };
        let t = Tensor::from_slice(&times);
        let out = network.forward(&x, &t, &conditioning).unwrap();
        let compiled = network.compile(&CompileOptions::default()).unwrap();
        let fast = compiled.forward(&x, &t, &conditioning).unwrap();
        for image in 0..2 {
            let numbers = |x: &Tensor| Vec::<f64>::try_from(x.get(image).reshape([-1])).unwrap();
            let at = image as usize;
            let class = known.then_some(ids[at] as usize);
            let expected = reference.forward(&numbers(&x), times[at], class);
            for out in [&out, &fast] {
                let errors = numbers(out).into_iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let error = errors.fold(0.0, f64::max);
                // The sinusoids of the timestep are computed in f32.
                assert!(error < 2e-5, "{error} of {config:?}");
            }
        }
    }
}

/// The original's state_dict, which an optimizer's state follows.
#[test]
fn keys_are_those_of_the_original_in_its_order() {
    let config = DitConfig { classes: Some(5), depth: 1, ..dit() };
    let network = config.build(Kind::Float, Device::Cpu).unwrap();
    let mut expected = vec!["pos_embed".to_string()];
    for layer in [
        "x_embedder.proj",
        "t_embedder.mlp.0",
        "t_embedder.mlp.2",
        "y_embedder.embedding_table",
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
        "blocks.0.adaLN_modulation.1",
        "final_layer.linear",
        "final_layer.adaLN_modulation.1",
    ] {
        expected.push(format!("{layer}.weight"));
        if layer != "y_embedder.embedding_table" {
            expected.push(format!("{layer}.bias"));
        }
    }
    assert!(network.params().names().eq(expected.iter().map(String::as_str)));
    assert!(network.params().trained().all(|param| param.name != "pos_embed"));
}

/// Every block starts as the identity, and the output at 0.
#[test]
fn it_starts_from_nothing() {
    let network = dit().build(Kind::Float, Device::Cpu).unwrap();
    let x = Tensor::randn([2, 3, 16, 16], F32);
    let t = Tensor::from_slice(&[0i64, 999]);
    let out = network.forward_mode(&x, &t, &Conditioning::none(), Mode::Train).unwrap();
    assert_eq!(out, x.zeros_like());
    for param in network.params().trained() {
        let zero = param.tensor.abs().max().double_value(&[]) == 0.0;
        let starts_at_zero =
            ["bias", "adaLN", "final_layer"].iter().any(|part| param.name.contains(part));
        assert_eq!(zero, starts_at_zero, "{}", param.name);
    }
}

#[test]
fn another_size_is_refused() {
    let network = dit().build(Kind::Float, Device::Cpu).unwrap();
    let t = Tensor::from_slice(&[1i64]);
    for shape in [[1, 3, 8, 8], [1, 3, 16, 32], [1, 1, 16, 16]] {
        let x = Tensor::zeros(shape, F32);
        let error = network.forward(&x, &t, &Conditioning::none()).unwrap_err().to_string();
        assert!(error.starts_with("x has shape"), "{error}");
    }
}
