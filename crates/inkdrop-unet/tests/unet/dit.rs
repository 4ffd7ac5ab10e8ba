//! DiT and JiT against their equations written out with loops over numbers.

use std::collections::BTreeMap;

use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Mode, Network, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::{Dit, DitConfig};

use super::support::{F32, dit, jit, stir};

type Rows = Vec<Vec<f64>>;

/// The weights by name, in C order, with the equations of Peebles & Xie 2023 and Li & He 2025 on them.
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
        let weight = &self.weights[&format!("{name}.weight")];
        let none = vec![0.0; weight.len() / x.len()];
        let bias = self.weights.get(&format!("{name}.bias")).unwrap_or(&none);
        let row =
            |(row, bias): (&[f64], &f64)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
        weight.chunks(x.len()).zip(bias).map(row).collect()
    }

    /// Zhang & Sennrich 2019, eq. 4.
    fn rms(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let factors = &self.weights[&format!("{name}.weight")];
        x.iter().zip(factors).map(|(x, g)| g * x / (mean_square + 1e-6).sqrt()).collect()
    }

    fn modulated(&self, name: &str, x: &[f64], shift: &[f64], scale: &[f64]) -> Vec<f64> {
        let x = if self.config.rms_norm { self.rms(name, x) } else { layer_norm(x) };
        x.iter().zip(scale).zip(shift).map(|((x, s), b)| x * (1.0 + s) + b).collect()
    }

    fn class(&self, class: usize) -> &[f64] {
        let width = self.config.features as usize;
        &self.weights["y_embedder.embedding_table.weight"][class * width..][..width]
    }

    /// Channels 2i and 2i + 1 turned by a token's row, or its column in the second half; tokens of the class are not.
    fn rotated(&self, x: &[f64], token: usize, context: usize) -> Vec<f64> {
        let Some(place) = token.checked_sub(context) else { return x.to_vec() };
        let (grid, half) = ((self.config.size / self.config.patch) as usize, x.len() / 2);
        let mut out = Vec::new();
        for (at, pair) in x.chunks(2).enumerate() {
            let channel = 2 * at;
            let position = if channel < half { place / grid } else { place % grid };
            let angle = position as f64 * 10_000f64.powf(-((channel % half) as f64) / half as f64);
            out.push(pair[0] * angle.cos() - pair[1] * angle.sin());
            out.push(pair[0] * angle.sin() + pair[1] * angle.cos());
        }
        out
    }

    fn mlp(&self, name: &str, x: &[f64]) -> Vec<f64> {
        if !self.config.swiglu {
            let hidden = self.linear(&format!("{name}.fc1"), x).into_iter().map(gelu);
            return self.linear(&format!("{name}.fc2"), &hidden.collect::<Vec<_>>());
        }
        let both = self.linear(&format!("{name}.w12"), x);
        let (gate, up) = both.split_at(both.len() / 2);
        let hidden = gate.iter().zip(up).map(|(&gate, up)| silu(gate) * up);
        self.linear(&format!("{name}.w3"), &hidden.collect::<Vec<_>>())
    }

    fn embedding(&self, t: f64, class: Option<usize>) -> Vec<f64> {
        let frequency = |i: i32| (-f64::from(i) / 128.0 * 10_000f64.ln()).exp();
        let cosines = (0..128).map(|i| (t * frequency(i)).cos());
        let sinusoids: Vec<f64> =
            cosines.chain((0..128).map(|i| (t * frequency(i)).sin())).collect();
        let hidden = self.linear("t_embedder.mlp.0", &sinusoids).into_iter().map(silu);
        let mut sum = self.linear("t_embedder.mlp.2", &hidden.collect::<Vec<_>>());
        if let Some(class) = class {
            sum.iter_mut().zip(self.class(class)).for_each(|(sum, row)| *sum += row);
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
            let token = match self.config.bottleneck {
                None => self.linear("x_embedder.proj", &pixels),
                Some(_) => {
                    self.linear("x_embedder.proj2", &self.linear("x_embedder.proj1", &pixels))
                }
            };
            tokens.push(token.iter().zip(position).map(|(a, b)| a + b).collect());
        }
        tokens
    }

    /// - context: number of tokens of the class before those of the image
    fn attend(&self, name: &str, tokens: &Rows, context: usize) -> Rows {
        let width = self.config.features as usize;
        let (heads, head) = (self.config.heads as usize, width / self.config.heads as usize);
        let qkv: Rows = tokens.iter().map(|x| self.linear(&format!("{name}.qkv"), x)).collect();
        let part = |token: usize, part: usize, h: usize| {
            let mut x = qkv[token][part * width + h * head..][..head].to_vec();
            if part < 2 && self.config.qk_norm {
                x = self.rms(&format!("{name}.{}_norm", ["q", "k"][part]), &x);
            }
            if part < 2 && self.config.rotary {
                x = self.rotated(&x, token, context);
            }
            x
        };
        let mut out = vec![vec![0.0; width]; tokens.len()];
        for (query, h) in (0..tokens.len()).flat_map(|q| (0..heads).map(move |h| (q, h))) {
            let dot = |key| {
                let (q, k) = (part(query, 0, h), part(key, 1, h));
                (q.iter().zip(&k).map(|(q, k)| q * k).sum::<f64>() / (head as f64).sqrt()).exp()
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
        let mut context = 0;
        for number in 0..self.config.depth {
            let block = format!("blocks.{number}");
            if number == self.config.in_context_start && self.config.in_context_len > 0 {
                let class = self.class(class.unwrap());
                let positions = self.weights["in_context_posemb"].chunks(width);
                let sum = |place: &[f64]| class.iter().zip(place).map(|(a, b)| a + b).collect();
                context = positions.len();
                tokens.splice(0..0, positions.map(sum).collect::<Rows>());
            }
            let rows = self.linear(&format!("{block}.adaLN_modulation.1"), &condition);
            let parts: Vec<&[f64]> = rows.chunks(width).collect();
            let norm = |name: &str, x: &[f64], at: usize| {
                self.modulated(&format!("{block}.{name}"), x, parts[at], parts[at + 1])
            };
            let h: Rows = tokens.iter().map(|x| norm("norm1", x, 0)).collect();
            let h = self.attend(&format!("{block}.attn"), &h, context);
            add(&mut tokens, &h, parts[2]);
            let mlp = |x: &Vec<f64>| self.mlp(&format!("{block}.mlp"), &norm("norm2", x, 3));
            let h: Rows = tokens.iter().map(mlp).collect();
            add(&mut tokens, &h, parts[5]);
        }
        let rows = self.linear("final_layer.adaLN_modulation.1", &condition);
        let (shift, scale) = rows.split_at(width);
        let norm = |x: &[f64]| self.modulated("final_layer.norm_final", x, shift, scale);
        let last = |x: &Vec<f64>| self.linear("final_layer.linear", &norm(x));
        self.image(&tokens[context..].iter().map(last).collect())
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

fn layer_norm(x: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    x.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt()).collect()
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
        DitConfig { rms_norm: true, ..dit() },
        DitConfig { qk_norm: true, ..dit() },
        DitConfig { rotary: true, ..dit() },
        DitConfig { swiglu: true, mlp_ratio: 2.7, ..dit() },
        DitConfig { bottleneck: Some(5), ..dit() },
        DitConfig { classes: Some(5), in_context_len: 2, ..dit() },
        jit(),
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
fn keys_of_jit_are_those_of_its_original() {
    let network = DitConfig { depth: 1, in_context_start: 0, ..jit() }
        .build(Kind::Float, Device::Cpu)
        .unwrap();
    let mut names: Vec<&str> = network.params().names().collect();
    names.sort_unstable();
    let mut expected = vec!["pos_embed".to_string(), "in_context_posemb".to_string()];
    for layer in [
        "x_embedder.proj1",
        "y_embedder.embedding_table",
        "blocks.0.norm1",
        "blocks.0.norm2",
        "blocks.0.attn.q_norm",
        "blocks.0.attn.k_norm",
        "final_layer.norm_final",
    ] {
        expected.push(format!("{layer}.weight"));
    }
    for layer in [
        "x_embedder.proj2",
        "t_embedder.mlp.0",
        "t_embedder.mlp.2",
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
        "blocks.0.mlp.w12",
        "blocks.0.mlp.w3",
        "blocks.0.adaLN_modulation.1",
        "final_layer.linear",
        "final_layer.adaLN_modulation.1",
    ] {
        expected.extend(["weight", "bias"].map(|name| format!("{layer}.{name}")));
    }
    expected.sort_unstable();
    assert_eq!(names, expected);
    for param in network.params().trained() {
        let one = param.tensor.eq_tensor(&param.tensor.ones_like()).all().int64_value(&[]) == 1;
        assert_eq!(one, param.name.contains("norm"), "{}", param.name);
    }
}

/// The gradients of all weights by finite differences along a direction, with every option on.
#[test]
fn gradients_are_those_of_finite_differences() {
    for config in [dit(), jit(), DitConfig { checkpoint: true, ..jit() }] {
        let network = config.build(Kind::Double, Device::Cpu).unwrap();
        stir(&network);
        let x = Tensor::randn([2, 3, 16, 16], (Kind::Double, Device::Cpu));
        let t = Tensor::from_slice(&[3.0f64, 700.0]);
        let classes = config.classes.map(|_| ClassIds::new(&[2, 5], Device::Cpu).unwrap());
        let conditioning = Conditioning { classes, ..Conditioning::none() };
        let loss = || {
            let out = network.forward_mode(&x, &t, &conditioning, Mode::Train).unwrap();
            out.sin().sum(Kind::Double)
        };
        loss().backward();
        for param in network.params().trained() {
            let direction = Tensor::randn_like(&param.tensor);
            let slope = (param.tensor.grad() * &direction).sum(Kind::Double).double_value(&[]);
            let _guard = no_grad_guard();
            let moved = |by: f64| {
                let _ = param.tensor.shallow_clone().f_add_(&(&direction * by)).unwrap();
                let value = loss().double_value(&[]);
                let _ = param.tensor.shallow_clone().f_sub_(&(&direction * by)).unwrap();
                value
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let scale = 1.0 + slope.abs();
            assert!(
                (difference - slope).abs() < 1e-5 * scale,
                "{}: {difference} {slope}",
                param.name
            );
        }
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
